"""How many connections a store has, and what waits for what."""

from __future__ import annotations

import threading
from collections import Counter

import pytest

from millrace.errors import StoreUnavailable
from millrace.stores.postgres.session import Session
from tests.servers.databases import Database
from tests.stores.postgres.lines.conftest import Bare, Opener, ask, until

THERE = "select application_name from pg_stat_activity where application_name like 'millrace%'"


def there(postgres: Database) -> Counter[str]:
    """Count the connections to the server by their names."""
    return Counter(name for (name,) in postgres.run(THERE))


def test_a_store_that_is_not_used_connects_to_nothing(postgres: Database, opened: Opener) -> None:
    opened(postgres.url())
    assert there(postgres) == {}


def test_a_producer_has_one_connection_for_all_that_it_does(store: Bare, postgres: Database) -> None:
    threads = [threading.Thread(target=store.write, args=(ask("select pg_sleep(0.01)::text"),)) for _ in range(8)]
    for thread in threads:
        thread.start()
    store.read(ask("select 1"))
    store.beat(ask("select 1"), within=5)
    for thread in threads:
        thread.join()
    assert there(postgres) == {"millrace": 1}


def test_a_worker_has_two_for_steps_one_for_beats_one_for_reads_and_one_that_listens(
    store: Bare, postgres: Database
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
    store.read(ask("select 1"))
    store.beat(ask("select 1"), within=5)
    all_five = {"millrace": 2, "millrace reads": 1, "millrace beats": 1, "millrace listens": 1}
    until(lambda: there(postgres) == all_five)
    store.end_work(1)
    assert there(postgres) == all_five
    store.end_work(2)
    store.end_work(2)
    watch.close()
    until(lambda: there(postgres) == {"millrace": 1})
    assert store.write(ask("select 1")) == 1


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
    assert store.beat(ask("select 1"), within=5) == 1
    assert store.read(ask("select 2")) == 2
    go_on.set()
    for thread in threads:
        thread.join()


def test_who_waits_for_a_connection_past_the_deadline_is_told(postgres: Database, opened: Opener) -> None:
    store = opened(postgres.url(deadline="0.2"))
    begun, go_on = threading.Event(), threading.Event()

    def long(_: Session) -> None:
        begun.set()
        go_on.wait(10)

    thread = threading.Thread(target=store.write, args=(long,))
    thread.start()
    begun.wait(10)
    with pytest.raises(StoreUnavailable, match=r"were all in use for 0\.2 s"):
        store.write(ask("select 1"))
    go_on.set()
    thread.join()
    assert store.write(ask("select 1")) == 1


def test_closing_waits_for_what_is_under_way_and_refuses_what_waits(store: Bare, postgres: Database) -> None:
    begun, go_on = threading.Event(), threading.Event()
    answers: list[object] = []

    def long(session: Session) -> int:
        begun.set()
        go_on.wait(10)
        answer: int = session.rows("select 1")[0][0]
        return answer

    def note(body: object) -> None:
        try:
            answers.append(store.write(body))  # type: ignore[arg-type]
        except StoreUnavailable as error:
            answers.append(error)

    first = threading.Thread(target=note, args=(long,))
    first.start()
    begun.wait(10)
    second = threading.Thread(target=note, args=(ask("select 2"),))
    second.start()
    closing = threading.Thread(target=store.close)
    closing.start()
    until(lambda: store.home.lines.closed)
    go_on.set()
    for thread in (first, second, closing):
        thread.join()
    assert 1 in answers
    assert len(answers) == 2
    assert there(postgres) == {}
    with pytest.raises(StoreUnavailable, match="is closed"):
        store.write(ask("select 1"))


def test_nothing_of_ours_is_left_set_for_a_poolers_next_client(store: Bare) -> None:
    changed = "select count(*) from pg_settings where source = 'session' and name not like 'client_%%'"
    assert store.write(ask(changed)) == 0


def test_read_committed_whatever_the_role_says(postgres: Database, opened: Opener) -> None:
    postgres.run("alter role current_user set default_transaction_isolation = 'serializable'")
    try:
        assert opened(postgres.url()).write(ask("select current_setting('transaction_isolation')")) == "read committed"
    finally:
        postgres.run("alter role current_user reset default_transaction_isolation")
