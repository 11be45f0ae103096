"""The history checker finds each kind of contradiction, and nothing in a history that is whole."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from millrace.job import JobRow
from millrace.states import JobState
from tests.faults.history import check

ID = bytes(15) + b"\x01"
JOB = ID.hex()
ROW = JobRow(
    ref=1, id=ID, task="t", queue="q", args=b"{}", state=JobState.COMPLETED, attempt=1, claim=2, crashes=1, rev=6
)


def event(kind: str, claim: int = 0, **facts: Any) -> dict[str, Any]:
    return {"e": kind, "job": JOB, "claim": claim, **facts}


WHOLE = [
    event("asked"),
    event("enqueued"),
    event("claimed", 1, rev=1),
    event("began", 1),
    event("rescued", 1, state="pending"),
    event("claimed", 2, rev=3),
    event("began", 2),
    event("finished", 1),
    event("refused", 1, state="completed"),
    event("finished", 2),
    event("ended", 2, state="completed"),
]


def timed(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**each, "t": t} for t, each in enumerate(events)]


def without(kind: str, claim: int) -> list[dict[str, Any]]:
    return [each for each in WHOLE if (each["e"], each["claim"]) != (kind, claim)]


def test_a_whole_history_with_a_zombie_passes_and_is_counted() -> None:
    report = check(timed(WHOLE), [ROW])
    assert report.violations == []
    assert (report.enqueued, report.runs, report.rescues, report.refused, report.zombie_runs) == (1, 2, 1, 1, 1)


@pytest.mark.parametrize(
    ("events", "rows", "invariant"),
    [
        (WHOLE, [], "no loss"),
        ([], [ROW], "no phantom"),
        (WHOLE, [msgspec.structs.replace(ROW, state=JobState.RUNNING)], "liveness"),
        ([*WHOLE, event("claimed", 2, rev=9)], [ROW], "fence"),
        ([*WHOLE, event("claimed", 3, rev=9)], [ROW], "fence"),
        ([*WHOLE, event("ended", 2, state="completed")], [ROW], "one completion"),
        ([*WHOLE, event("ended", 1, state="failed")], [ROW], "fence"),
        (
            [
                *without("ended", 2),
                event("ended", 2, worker=8, state="completed"),
                event("claimed", 2, rev=3, worker=9),
            ],
            [ROW],
            "fence",
        ),
        (without("finished", 2), [ROW], "at least once"),
        (WHOLE, [msgspec.structs.replace(ROW, state=JobState.DEAD)], "one completion"),
        (WHOLE, [msgspec.structs.replace(ROW, attempt=6)], "tries"),
        ([each if each["claim"] != 2 else {**each, "rev": 1} for each in WHOLE], [ROW], "order"),
    ],
)
def test_a_contradiction_is_found(events: Any, rows: Any, invariant: Any) -> None:
    assert any(each.startswith(invariant) for each in check(timed(events), rows).violations)


def test_a_rescue_that_cancels_may_be_taken_for_the_cancel_that_a_lost_reply_told_of() -> None:
    row = msgspec.structs.replace(ROW, state=JobState.CANCELLED, claim=1, attempt=0)
    events = [*WHOLE[:4], event("rescued", 1, state="cancelled"), event("ended", 1, state="cancelled")]
    assert check(timed(events), [row]).violations == []


def test_what_a_killed_process_did_not_write_down_is_no_contradiction() -> None:
    events = [each for each in WHOLE if each["e"] not in ("rescued", "refused", "enqueued") and each["claim"] != 1]
    assert check(timed(events), [ROW]).violations == []


def test_what_was_acknowledged_before_a_fork_may_never_have_been() -> None:
    """The standby that took over never saw the second claim; so the job was given once more by that number."""
    events = timed([*WHOLE, event("claimed", 2, rev=3), event("began", 2), event("ended", 2, state="completed")])
    assert check(events, [ROW]).violations
    assert check(events, [ROW], forked_at=len(WHOLE)).violations == []
    assert check(timed(WHOLE), [], forked_at=len(WHOLE)).violations == []
    assert check(timed(WHOLE), [ROW], forked_at=7).forked == 1


def test_what_was_acknowledged_after_a_fork_holds() -> None:
    report = check(timed(WHOLE), [], forked_at=1)
    assert [each.split(":")[0] for each in report.violations] == ["no loss"]
