from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest

from millrace.bridge import MAX_GROUP, Bridge
from millrace.errors import StoreUnavailable
from millrace.ids import new_id
from millrace.messages import Existing, NewRow
from millrace.store import Store
from tests.face.stores import PATIENCE, Staged


def row(args: bytes = b"{}", *, key: str | None = None, id: bytes | None = None) -> NewRow:
    return NewRow(id or new_id(), "add", "default", args, unique_key=key)


class Refused(Exception):
    """What the staged store raises about a bad row."""


def refuse_bad(rows: Sequence[NewRow]) -> BaseException | None:
    return Refused("bad row") if any(each.args == b'"bad"' for each in rows) else None


@pytest.fixture
def store() -> Staged:
    return Staged()


@pytest.fixture
def bridge(store: Staged) -> Iterator[Bridge]:
    bridge = Bridge(cast("Store", store))
    yield bridge
    store.let_go.set()
    bridge.close()


def queued(bridge: Bridge) -> int:
    return len(bridge._queue)  # pyright: ignore[reportPrivateUsage]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


async def turned(condition: Callable[[], bool]) -> None:
    """Let the loop turn until a condition holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0)


def test_a_lone_thread_inserts_its_row_at_once(store: Staged, bridge: Bridge) -> None:
    told = bridge.insert(row())

    assert isinstance(told, int)
    assert store.groups == [1]
    assert threading.active_count() == 1


def test_what_threads_queue_while_one_writes_is_written_in_one_insert(store: Staged, bridge: Bridge) -> None:
    store.let_go.clear()
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(bridge.insert, row())
        store.await_insert()
        rest = [pool.submit(bridge.insert, row()) for _ in range(8)]
        until(lambda: queued(bridge) == 8)
        store.let_go.set()
        assert all(isinstance(each.result(PATIENCE), int) for each in [first, *rest])

    assert store.groups == [1, 8]
    assert store.inner.depth() == 9


def test_what_tasks_of_a_loop_queue_is_written_in_one_insert(store: Staged, bridge: Bridge) -> None:
    async def main() -> list[Any]:
        store.let_go.clear()
        first = bridge.submit(row())
        await asyncio.to_thread(store.await_insert)
        rest = [bridge.submit(row()) for _ in range(50)]
        store.let_go.set()
        return await asyncio.gather(first, *rest)

    told = asyncio.run(main())

    assert len(told) == 51
    assert store.groups == [1, 50]


def test_threads_and_loops_share_one_queue(store: Staged, bridge: Bridge) -> None:
    async def main() -> None:
        store.let_go.clear()
        writer = asyncio.create_task(asyncio.to_thread(bridge.insert, row()))
        await asyncio.to_thread(store.await_insert)
        threads = [asyncio.create_task(asyncio.to_thread(bridge.insert, row())) for _ in range(3)]
        await turned(lambda: queued(bridge) == 3)
        awaited = [bridge.submit(row()) for _ in range(4)]
        store.let_go.set()
        await asyncio.gather(writer, *threads, *awaited)

    asyncio.run(main())

    assert store.groups == [1, 7]
    assert store.inner.depth() == 8


def test_two_loops_in_two_threads_are_both_answered(store: Staged, bridge: Bridge) -> None:
    async def main() -> int:
        return len(await asyncio.gather(*(bridge.submit(row()) for _ in range(100))))

    with ThreadPoolExecutor(2) as pool:
        assert [each.result(PATIENCE) for each in [pool.submit(lambda: asyncio.run(main())) for _ in range(2)]] == [
            100,
            100,
        ]

    assert store.inner.depth() == 200


def test_a_group_holds_at_most_a_thousand_rows(store: Staged, bridge: Bridge) -> None:
    async def main() -> None:
        store.let_go.clear()
        first = bridge.submit(row())
        await asyncio.to_thread(store.await_insert)
        rest = [bridge.submit(row()) for _ in range(MAX_GROUP + 1)]
        store.let_go.set()
        await asyncio.gather(first, *rest)

    asyncio.run(main())

    assert store.groups == [1, MAX_GROUP, 1]


def test_a_group_ends_with_the_row_that_fills_its_bytes(store: Staged, bridge: Bridge) -> None:
    large = b'"' + b"x" * (3 * 1024 * 1024) + b'"'

    async def main() -> None:
        store.let_go.clear()
        first = bridge.submit(row())
        await asyncio.to_thread(store.await_insert)
        rest = [bridge.submit(row(large)) for _ in range(3)]
        store.let_go.set()
        await asyncio.gather(first, *rest)

    asyncio.run(main())

    assert store.groups == [1, 2, 1]


def test_a_bad_row_fails_alone_and_its_neighbours_are_stored() -> None:
    store = Staged(refuse_bad)
    bridge = Bridge(cast("Store", store))

    async def main() -> list[Any]:
        rows = [row(b'"bad"' if number == 3 else b"{}") for number in range(6)]
        return await asyncio.gather(*map(bridge.submit, rows), return_exceptions=True)

    told = asyncio.run(main())
    bridge.close()

    assert [type(each) for each in told] == [int, int, int, Refused, int, int]
    assert store.inner.depth() == 5


def test_a_bad_row_of_a_thread_fails_at_that_thread_alone() -> None:
    store = Staged(refuse_bad)
    bridge = Bridge(cast("Store", store))
    store.let_go.clear()
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(bridge.insert, row())
        store.await_insert()
        good = [pool.submit(bridge.insert, row()) for _ in range(2)]
        bad = pool.submit(bridge.insert, row(b'"bad"'))
        until(lambda: queued(bridge) == 3)
        store.let_go.set()
        assert all(isinstance(each.result(PATIENCE), int) for each in [first, *good])
        with pytest.raises(Refused, match="bad row"):
            bad.result(PATIENCE)
    bridge.close()

    assert store.inner.depth() == 3


def test_an_unreachable_store_is_told_to_all_of_a_group_and_not_tried_again() -> None:
    store = Staged(lambda _: StoreUnavailable("the disk is full"))
    bridge = Bridge(cast("Store", store))

    async def main() -> list[Any]:
        return await asyncio.gather(*(bridge.submit(row()) for _ in range(4)), return_exceptions=True)

    told = asyncio.run(main())
    bridge.close()

    assert [str(each) for each in told] == ["the disk is full"] * 4
    assert len(set(map(id, told))) == 4  # each has an error of its own, whose traceback it may extend
    assert store.groups == [4]


def test_a_lone_error_of_the_store_reaches_the_caller_and_the_next_insert_works() -> None:
    store = Staged(refuse_bad)
    bridge = Bridge(cast("Store", store))

    with pytest.raises(Refused):
        bridge.insert(row(b'"bad"'))
    bridge.insert(row())

    assert store.inner.depth() == 1


def test_a_future_cancelled_before_the_write_stores_nothing(store: Staged, bridge: Bridge) -> None:
    async def main() -> None:
        store.let_go.clear()
        first = bridge.submit(row())
        await asyncio.to_thread(store.await_insert)
        second, third = bridge.submit(row()), bridge.submit(row())
        second.cancel()
        store.let_go.set()
        await asyncio.gather(first, third)

    asyncio.run(main())

    assert store.groups == [1, 1]
    assert store.inner.depth() == 2


def test_a_future_cancelled_during_the_write_harms_no_neighbour(store: Staged, bridge: Bridge) -> None:
    async def main() -> None:
        store.let_go.clear()
        first, second = bridge.submit(row()), bridge.submit(row())
        await asyncio.to_thread(store.await_insert)
        first.cancel()
        store.let_go.set()
        assert isinstance(await second, int)

    asyncio.run(main())

    assert store.inner.depth() == 2


def test_the_write_for_a_loop_that_was_closed_stands_and_the_next_loop_is_served(store: Staged, bridge: Bridge) -> None:
    async def leave() -> None:
        store.let_go.clear()
        bridge.submit(row())
        await asyncio.to_thread(store.await_insert)

    async def stay() -> Any:
        return await bridge.submit(row())

    asyncio.run(leave())
    store.let_go.set()

    assert isinstance(asyncio.run(stay()), int)
    assert store.inner.depth() == 2


def test_closing_writes_what_is_queued_first(store: Staged) -> None:
    bridge = Bridge(cast("Store", store))

    async def main() -> list[Any]:
        store.let_go.clear()
        futures = [bridge.submit(row())]
        await asyncio.to_thread(store.await_insert)
        futures += [bridge.submit(row()) for _ in range(5)]
        closing = asyncio.create_task(asyncio.to_thread(bridge.close))
        store.let_go.set()
        told = await asyncio.gather(*futures)
        await closing
        return told

    assert len(asyncio.run(main())) == 6
    assert store.inner.depth() == 6


def test_a_closed_bridge_refuses_async_calls_and_says_how_to_go_on(store: Staged) -> None:
    bridge = Bridge(cast("Store", store))

    async def main() -> None:
        await bridge.submit(row())
        bridge.close()
        with pytest.raises(StoreUnavailable, match=r"closed; open it again with app\.open\(\)"):
            bridge.submit(row())
        with pytest.raises(StoreUnavailable, match="closed"):
            bridge.call(lambda: 1)

    asyncio.run(main())
    bridge.close()


def test_a_row_that_is_there_already_is_told_and_not_stored_twice(store: Staged, bridge: Bridge) -> None:
    first = row(key="one")
    bridge.insert(first)

    by_key = bridge.insert(row(key="one"))
    by_id = bridge.insert(first)

    assert isinstance(by_key, Existing)
    assert (by_key.row.id, by_key.by_key) == (first.id, True)
    assert isinstance(by_id, Existing)
    assert by_id.row.id == first.id
    assert store.inner.depth() == 1


def test_each_of_a_group_is_told_about_its_own_row(bridge: Bridge) -> None:
    async def main() -> list[Any]:
        return await asyncio.gather(*(bridge.submit(row(key=f"key {number % 2}")) for number in range(4)))

    told = asyncio.run(main())

    assert [type(each) for each in told] == [int, int, Existing, Existing]


def test_calls_run_in_order_on_the_store_thread_and_their_errors_come_back(bridge: Bridge) -> None:
    seen: list[tuple[int, str]] = []

    def note(number: int) -> int:
        seen.append((number, threading.current_thread().name))
        if number == 1:
            raise ValueError("one")
        return number * 2

    async def main() -> list[Any]:
        return await asyncio.gather(*(bridge.call(note, number) for number in range(3)), return_exceptions=True)

    zero, one, two = asyncio.run(main())

    assert (zero, str(one), two) == (0, "one", 4)
    assert seen == [(number, "millrace-store") for number in range(3)]


def test_an_interrupted_leader_leaves_its_rows_to_the_next_in_turn() -> None:
    """A thread that is interrupted while it writes for others must not take their jobs with it."""
    interrupts = [KeyboardInterrupt()]

    def refuse(rows: Sequence[NewRow]) -> BaseException | None:
        return interrupts.pop() if len(rows) > 1 and interrupts else None

    store = Staged(refuse)
    bridge = Bridge(cast("Store", store))
    store.let_go.clear()
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(bridge.insert, row())]
        store.await_insert()
        for count in range(1, 4):
            futures.append(pool.submit(bridge.insert, row()))
            until(lambda count=count: queued(bridge) == count)  # type: ignore[misc]
        store.let_go.set()
        outcomes = [each.exception(PATIENCE) for each in futures]
    bridge.close()

    assert [type(each) for each in outcomes] == [type(None), KeyboardInterrupt, type(None), type(None)]
    assert store.inner.depth() == 4  # the interrupted one's too: it cannot know, but it is not lost either


def test_a_loop_that_is_never_idle_still_gets_its_answers(bridge: Bridge) -> None:
    """A loop with always ready work starves other threads; the bridge makes it sleep a moment while it waits."""

    async def busy(stop: asyncio.Event) -> None:
        while not stop.is_set():
            deadline = time.perf_counter() + 0.0002
            while time.perf_counter() < deadline:
                pass
            await asyncio.sleep(0)

    async def main() -> int:
        stop = asyncio.Event()
        noise = asyncio.create_task(busy(stop))
        async with asyncio.timeout(PATIENCE):
            for _ in range(20):
                await bridge.submit(row())
        stop.set()
        await noise
        return 20

    assert asyncio.run(main()) == 20


def test_no_loop_is_kept_once_nothing_is_out(bridge: Bridge) -> None:
    async def main() -> None:
        await bridge.submit(row())
        assert len(bridge._sides) == 1  # pyright: ignore[reportPrivateUsage]
        await turned(lambda: not bridge._sides)  # pyright: ignore[reportPrivateUsage]

    asyncio.run(main())
