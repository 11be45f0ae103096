"""How many connections a store has, and what waits for what."""

from __future__ import annotations

import gc
import threading
from collections import Counter
from collections.abc import Callable

import pytest

from millrace import Millrace, NewJob
from millrace.errors import StoreUnavailable
from millrace.stores.redis.session import Session
from tests.leaks import Held
from tests.servers.redisspaces import RedisSpace
from tests.stores.redis.lines.conftest import Bare, Opener, ask, clients, until

PING = ask("PING")


def there(space: RedisSpace) -> Counter[str]:
    """Count the connections to the server by their names."""
    names = [client["name"] for client in clients(space)]
    return Counter(name for name in names if name.startswith("millrace"))


def test_a_store_that_is_not_used_connects_to_nothing(main_redis: RedisSpace, opened: Opener) -> None:
    opened(main_redis.url())
    assert there(main_redis) == {}


def test_a_producer_has_one_connection_for_all_that_it_does(store: Bare, main_redis: RedisSpace) -> None:
    threads = [threading.Thread(target=store.write, args=(PING,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    store.read(PING)
    store.beat(PING, within=5)
    for thread in threads:
        thread.join()
    assert there(main_redis) == {"millrace": 1}


def test_a_worker_has_two_for_steps_one_for_beats_one_for_reads_and_one_that_listens(
    store: Bare, main_redis: RedisSpace
) -> None:
    store.begin_work(1)
    store.begin_work(2)
    store.begin_work(1)  # it is known
    watch = store.watch(lambda: None)
    both = threading.Barrier(2)

    def at_once() -> None:
        store.write(lambda _: both.wait(10))

    thread = threading.Thread(target=at_once)
    thread.start()
    at_once()
    thread.join()
    store.read(PING)
    store.beat(PING, within=5)
    all_five = {"millrace": 2, "millrace-reads": 1, "millrace-beats": 1, "millrace-listens": 1}
    until(lambda: there(main_redis) == all_five)
    store.end_work(1)
    assert there(main_redis) == all_five
    store.end_work(2)
    store.end_work(2)
    watch.close()
    until(lambda: there(main_redis) == {"millrace": 1})
    assert store.write(PING) == b"PONG"


def test_a_beat_and_a_read_wait_for_no_step(store: Bare) -> None:
    store.begin_work(1)
    begun, go_on = threading.Barrier(3), threading.Event()

    def long_step(_: Session) -> None:
        begun.wait(10)
        go_on.wait(10)

    threads = [threading.Thread(target=store.write, args=(long_step,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    begun.wait(10)
    assert store.beat(PING, within=5) == b"PONG"
    assert store.read(PING) == b"PONG"
    go_on.set()
    for thread in threads:
        thread.join()


def test_who_waits_for_a_connection_past_the_deadline_is_told(main_redis: RedisSpace, opened: Opener) -> None:
    store = opened(main_redis.url(deadline="0.2"))
    begun, go_on = threading.Event(), threading.Event()

    def long(_: Session) -> None:
        begun.set()
        go_on.wait(10)

    thread = threading.Thread(target=store.write, args=(long,))
    thread.start()
    begun.wait(10)
    with pytest.raises(StoreUnavailable, match=r"were all in use for 0\.2 s"):
        store.write(PING)
    go_on.set()
    thread.join()
    assert store.write(PING) == b"PONG"


def test_a_store_that_is_closed_says_so(store: Bare, main_redis: RedisSpace) -> None:
    store.close()
    store.close()
    calls: list[Callable[[], object]] = [
        lambda: store.write(PING),
        lambda: store.read(PING),
        lambda: store.beat(PING, within=1),
    ]
    for call in calls:
        with pytest.raises(StoreUnavailable, match="is closed; open it anew"):
            call()
    until(lambda: there(main_redis) == {})


def forget(space: RedisSpace) -> None:
    """Use an app in every way that starts something, and leave it."""
    app = Millrace(space.url())
    app.task(name="add")(lambda a: a)
    app.enqueue(NewJob("add", {"a": 1}))
    assert app.depth() == 1


def is_gone(before: Held) -> bool:
    """Collect, again and again."""
    gc.collect()
    return not Held.now().since(before)


@pytest.mark.filterwarnings("ignore:.*:ResourceWarning")
def test_a_store_that_nobody_has_any_more_leaves_no_connection_and_no_thread(main_redis: RedisSpace) -> None:
    before = Held.now()
    forget(main_redis)
    until(lambda: is_gone(before))
