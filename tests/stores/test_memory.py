"""What is the memory store's own: names, the end of a name, forks, and lines that stay short."""

from __future__ import annotations

import os
import sys
import threading
from types import FrameType
from typing import Any

import pytest

from millrace.clock import SystemClock
from millrace.conformance.bench import ANN, HOUR, Bench
from millrace.errors import ConfigurationError, StoreUnavailable
from millrace.messages import ClaimRequest, NewRow, QueueSettings
from millrace.states import CANCELLABLE, RESCHEDULABLE
from millrace.stores.memory import MemoryStore
from millrace.stores.memory.entry import Entry
from millrace.stores.memory.line import Line
from millrace.stores.memory.memory import Memory, give_back, take
from millrace.testing.clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def make(clock: ManualClock, name: str | None = None) -> Bench:
    return Bench(MemoryStore(name, clock=clock), clock)


def inside(name: str) -> Memory:
    """Look at what the stores of a name share."""
    memory = take(name, None)
    give_back(name, memory)
    return memory


# -- names


def test_a_name_lives_as_long_as_one_store_of_it_is_open(clock: ManualClock) -> None:
    one, two = make(clock, "shared"), make(clock, "shared")
    one.add()
    one.store.close()
    one.store.close()
    assert two.store.depth() == 1
    two.store.close()
    three = make(clock, "shared")
    assert three.store.depth() == 0
    three.store.close()


def test_a_closed_store_says_so_and_leaves_its_namesake_alone(clock: ManualClock) -> None:
    one, two = make(clock, "shared"), make(clock, "shared")
    one.store.close()
    with pytest.raises(StoreUnavailable, match="memory://shared is closed"):
        one.store.depth()
    two.add()
    two.store.close()


def test_a_name_has_one_clock(clock: ManualClock) -> None:
    one = MemoryStore("clocked", clock=clock)
    same, silent = MemoryStore("clocked", clock=clock), MemoryStore("clocked")
    assert silent.now() == clock.now()
    with pytest.raises(ConfigurationError, match="memory://clocked is open with another clock"):
        MemoryStore("clocked", clock=SystemClock())
    for store in (one, same, silent):
        store.close()


def test_watchers_of_one_name_hear_each_other(clock: ManualClock) -> None:
    one, two = make(clock, "heard"), make(clock, "heard")
    calls: list[str] = []
    watch = one.store.watch(lambda: calls.append("heard"))
    two.add()
    assert calls == ["heard"]
    watch.close()
    one.store.close()
    two.store.close()


# -- watching


def test_a_watch_may_be_closed_by_its_own_callback(clock: ManualClock) -> None:
    bench = make(clock)
    calls: list[int] = []

    def hear() -> None:
        calls.append(1)
        watch.close()

    watch = bench.store.watch(hear)
    bench.add()
    bench.add()
    assert calls == [1]


def test_closing_a_watch_waits_for_the_call_that_is_under_way(clock: ManualClock) -> None:
    bench = make(clock)
    entered, go_on, closed = threading.Event(), threading.Event(), threading.Event()
    after: list[bool] = []

    def hear() -> None:
        entered.set()
        assert go_on.wait(30)
        after.append(closed.is_set())

    watch = bench.store.watch(hear)

    def close() -> None:
        watch.close()
        closed.set()

    adding = threading.Thread(target=bench.add)
    adding.start()
    assert entered.wait(30)
    closing = threading.Thread(target=close)
    closing.start()
    assert not closed.is_set()
    go_on.set()
    adding.join(30)
    closing.join(30)
    assert closed.is_set()
    assert after == [False]


def test_a_claim_that_changes_nothing_wakes_nobody(clock: ManualClock) -> None:
    bench = make(clock)
    bench.add()
    calls: list[int] = []
    watch = bench.store.watch(lambda: calls.append(1))
    bench.claim()
    bench.claim()
    bench.rescue()
    bench.store.promote()
    bench.store.cancel([], CANCELLABLE, retention=None)
    assert calls == []
    watch.close()


# -- forks


def test_a_forked_child_begins_with_an_empty_store_of_its_own(clock: ManualClock) -> None:
    bench = make(clock, "forked")
    bench.store.set_queue("mail", QueueSettings(priority=3))
    calls: list[int] = []
    watch = bench.store.watch(lambda: calls.append(1))
    bench.add()
    calls.clear()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover - measured in the parent only
        told = b"an error"
        try:
            depth = bench.store.depth()
            bench.add(queue="mail")
            watch.close()
            queues: list[Any] = [(queue.name, queue.priority) for queue in bench.store.queues()]
            told = repr((depth, bench.store.depth(), queues, calls)).encode()
        finally:
            os.write(writer, told)
            os._exit(0)
    os.close(writer)
    told = os.read(reader, 1000)
    os.close(reader)
    os.waitpid(child, 0)
    assert told.decode() == "(0, 1, [('mail', 3)], [])"
    assert bench.store.depth() == 1
    bench.add()
    assert calls == [1]
    watch.close()
    bench.store.close()


def test_a_child_forked_within_a_verb_is_not_locked_out(clock: ManualClock) -> None:
    bench = make(clock)
    children: list[int] = []

    class Forking(list[NewRow]):
        """Rows that fork while the store holds its lock."""

        def __iter__(self) -> Any:
            children.append(os.fork())
            return super().__iter__()

    reader, writer = os.pipe()
    try:
        bench.store.insert(Forking([bench.row()]))
    finally:
        if children == [0]:  # pragma: no cover - measured in the parent only
            os.write(writer, b"%d" % bench.store.depth())
            os._exit(0)
    os.close(writer)
    told = os.read(reader, 100)
    os.close(reader)
    os.waitpid(children[0], 0)
    assert told == b"0"
    assert bench.store.depth() == 1


# -- lines


def entry(ref: int) -> Entry:
    return Entry(ref, NewRow(id=bytes(16), task="t", queue="q", args=b"{}"), 0)


def test_a_line_gives_the_lowest_rank_first() -> None:
    line = Line[int]()
    for ref, rank in enumerate((5, 1, 4, 1, 3)):
        line.put(rank, entry(ref))
    taken: list[tuple[int, int]] = []
    while (first := line.first) is not None:
        taken.append((first[0], first[1].ref))
        line.drop(first[1])
    assert taken == [(1, 1), (1, 3), (3, 4), (4, 2), (5, 0)]


def test_a_job_that_moves_within_a_line_stands_in_it_once() -> None:
    line, moved = Line[int](), entry(1)
    for rank in (5, 1, 5, 9, 5):
        line.put(rank, moved)
    assert (len(line), list(line), list(line.until(5)), list(line.until(4))) == (1, [moved], [moved], [])
    line.drop(moved)
    line.drop(moved)
    assert (line.first, len(line)) == (None, 0)


def test_a_line_forgets_the_places_that_were_left() -> None:
    line, moved = Line[int](), entry(1)
    for rank in range(10_000):
        line.put(rank, moved)
    assert line.size < 100


def calls_of_a_claim(clock: ManualClock, waiting: int) -> int:
    """Count the function calls of one claim, in front of and behind so many waiting jobs."""
    bench = make(clock)
    bench.add_some(waiting, queue="mail", task="unknown", priority=1)
    bench.add_some(waiting, queue="mail", delay=HOUR)
    bench.add_some(waiting, queue="mail")
    calls = 0

    def count(_frame: FrameType, event: str, _arg: Any) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    request = ClaimRequest(3, ("mail",), frozenset({"work"}))
    sys.setprofile(count)
    try:
        claimed = bench.store.step(ANN, (), [request]).claimed
    finally:
        sys.setprofile(None)
    assert len(claimed) == 3
    return calls


def test_a_claim_does_no_more_the_more_jobs_wait(clock: ManualClock) -> None:
    assert calls_of_a_claim(clock, 10_000) == calls_of_a_claim(clock, 10)


def test_jobs_that_are_put_off_again_and_again_cost_no_memory(clock: ManualClock) -> None:
    bench = make(clock, "put off")
    ids = bench.add_some(10, delay=HOUR)
    for n in range(500):
        bench.store.reschedule(ids, RESCHEDULABLE, due=clock.now() + HOUR + n)
    assert inside("put off").shelf.waiting.size < 200
    bench.later(3602)
    assert [row.id for row in bench.claim(ANN)] == ids
    bench.store.close()


def test_nothing_is_left_of_jobs_that_are_gone(clock: ManualClock) -> None:
    bench = make(clock, "gone")
    for n in range(200):
        bench.add(unique_key=f"k{n}", queue=f"q{n}", tags=("t",))
        bench.end("completed", bench.take())
    bench.later(10_000)
    assert bench.store.expire() == 200
    shelf = inside("gone").shelf
    assert (shelf.jobs, shelf.holders, shelf.lanes, shelf.counts, shelf.order) == ({}, {}, {}, {}, [])
    assert (len(shelf.waiting), len(shelf.leases), len(shelf.ends)) == (0, 0, 0)
    bench.store.close()
