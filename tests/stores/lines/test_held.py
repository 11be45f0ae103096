"""What workers hold: replies that were lost put outcomes in doubt and claims astray, and nothing else is touched."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import msgspec
import pytest

from millrace.clock import SECOND
from millrace.errors import StoreUnavailable
from millrace.job import JobRow
from millrace.messages import ClaimRequest, StepAnswer
from millrace.outcome import Outcome
from millrace.stores.held import ENOUGH, Held, WorkerHold

WORKER = 7
CLAIM = [ClaimRequest(10, lease=3600 * SECOND)]


def row(number: int) -> JobRow:
    return JobRow(ref=0, id=bytes([number] * 16), task="work", queue="default", args=b"{}", claim=1)


def outcome(number: int) -> Outcome:
    return Outcome.completed(row(number), None, retention=None)


def refuse(_: Sequence[bytes]) -> None:
    pytest.fail("nothing is astray")


def noting(into: list[list[bytes]]) -> Callable[[Sequence[bytes]], None]:
    """Make a way to give back that notes what the worker is said to hold."""
    return lambda held: into.append(sorted(held))


def test_what_was_answered_is_held_until_it_ends() -> None:
    hold, mended = WorkerHold(), list[list[bytes]]()
    with hold.step(refuse):
        hold.answered([], StepAnswer(1, [row(1), row(2), row(3)]))
    with hold.step(refuse):
        hold.answered([outcome(1)], StepAnswer(1, [row(4)]))
    hold.forget(row(2).id, 1)
    hold.forget(row(3).id, 99)  # another claim of that job
    with hold.step(refuse):
        hold.unanswered([])
    with hold.step(noting(mended)):
        pass
    assert mended == [[row(3).id, row(4).id]]


def test_outcomes_whose_reply_was_lost_are_in_doubt_until_one_is_answered() -> None:
    hold = WorkerHold()
    assert not hold.doubts([outcome(1)])
    with hold.step(refuse):
        hold.unanswered([outcome(1), outcome(2)])
    assert hold.doubts([outcome(3), outcome(2)])
    assert not hold.doubts([outcome(3)])
    with hold.step(lambda _: None):
        hold.answered([outcome(2)], StepAnswer(1))
    assert not hold.doubts([outcome(2)])
    assert hold.doubts([outcome(1)])


def test_what_is_astray_is_given_back_once() -> None:
    hold, mended = WorkerHold(), list[list[bytes]]()
    with hold.step(refuse):
        hold.unanswered([])
    for _ in range(3):
        with hold.step(noting(mended)):
            pass
    assert mended == [[]]


def test_a_way_back_that_fails_is_tried_again() -> None:
    hold, mended = WorkerHold(), list[list[bytes]]()
    with hold.step(refuse):
        hold.unanswered([])

    def fail(_: Sequence[bytes]) -> None:
        raise StoreUnavailable("it is away")

    for _ in range(2):
        with pytest.raises(StoreUnavailable), hold.step(fail):
            pytest.fail("nothing may be claimed before")
    with hold.step(noting(mended)):
        pass
    assert mended == [[]]


def test_nothing_is_given_back_while_another_step_is_under_way() -> None:
    hold, mended = WorkerHold(), list[list[bytes]]()
    begun, go_on = threading.Event(), threading.Event()

    def long_step() -> None:
        with hold.step(refuse):
            begun.set()
            go_on.wait(10)
            hold.answered([], StepAnswer(1, [row(5)]))

    def mending_step() -> None:
        with hold.step(noting(mended)):
            pass

    first = threading.Thread(target=long_step)
    first.start()
    begun.wait(10)
    hold.unanswered([])
    others = [threading.Thread(target=mending_step) for _ in range(3)]
    for other in others:
        other.start()
    assert mended == []
    go_on.set()
    for thread in (first, *others):
        thread.join()
    assert mended == [[row(5).id]]


def test_what_has_ended_unheard_of_is_sifted_out_once_there_is_much() -> None:
    hold, asked, mended = WorkerHold(), list[int](), list[list[bytes]]()
    rows = [
        JobRow(ref=0, id=number.to_bytes(16, "big"), task="work", queue="q", args=b"", claim=1)
        for number in range(9000)
    ]
    crowded: list[bool] = []
    for some in (rows[:ENOUGH], rows[ENOUGH:]):
        with hold.step(refuse):
            hold.answered([], StepAnswer(1, some))
        crowded.append(hold.crowded)

    def still(ids: Sequence[bytes]) -> list[bytes]:
        asked.append(len(ids))
        hold.answered([], StepAnswer(1, [msgspec.structs.replace(rows[5], claim=2)]))  # claimed again meanwhile
        return [rows[3].id, rows[4].id]

    hold.sift(still)
    crowded.append(hold.crowded)
    assert asked == [9000]
    assert crowded == [False, True, False]
    with hold.step(refuse):
        hold.unanswered([])
    with hold.step(noting(mended)):
        pass
    assert mended == [[rows[3].id, rows[4].id, rows[5].id]]


def test_only_registered_workers_have_a_record() -> None:
    held = Held()
    assert held.of(1) is None
    assert (held.begin(1), held.begin(1)) == (True, False)
    assert held.of(1) is not None
    assert (held.end(1), held.end(1)) == (True, False)
    assert held.of(1) is None
