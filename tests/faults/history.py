"""The history checker: reads what every process wrote down and what the store holds at the end, and finds faults.

Linear in the events: a claim number is given once a job and only grows, so the order of a job's life needs no search.
A process that was killed may have acted without writing it down, so a missing event proves nothing; only events that
contradict each other, or the final rows, do.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from millrace.job import JobRow
from millrace.states import FINAL, JobState

#: What a store has said, in contrast to what was asked of it and what handlers did.
ACKNOWLEDGED = frozenset({"enqueued", "claimed", "ended", "refused", "rescued"})


@dataclass
class Report:
    """What the checker found: violations by invariant, and how often the faults really hit."""

    violations: list[str] = field(default_factory=list[str])
    enqueued: int = 0
    runs: int = 0
    rescues: int = 0
    refused: int = 0
    zombie_runs: int = 0
    forked: int = 0

    def found(self, invariant: str, job: str, text: str) -> None:
        """Note a violation."""
        self.violations.append(f"{invariant}: job {job}: {text}")

    def __str__(self) -> str:
        return (
            f"{self.enqueued} enqueued, {self.runs} runs, {self.rescues} leases rescued, {self.refused} late outcomes "
            f"refused, {self.zombie_runs} runs beside another, {len(self.violations)} violations"
        )


def check(events: Sequence[Mapping[str, Any]], rows: Iterable[JobRow], *, forked_at: int | None = None) -> Report:
    """Check a whole history against the invariants.

    Args:
        events: What all have written down.
        rows: Every job after all is quiet.
        forked_at: When a standby took over that had not followed to the end: what the store had acknowledged before may
            never have been, and claim numbers may have been given anew.
    """
    report = Report()
    if forked_at is not None:
        report.forked = len(_at_work(events, forked_at))
        events = [event for event in events if event["t"] >= forked_at or event["e"] not in ACKNOWLEDGED]
    lives: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for event in events:
        lives[event["job"]].append(event)
    final = {row.id.hex(): row for row in rows}
    for job in final.keys() - {event["job"] for event in events if event["e"] == "asked"}:
        report.found("no phantom", job, "is stored, and nobody enqueued it")
    for job, life in lives.items():
        _check_life(report, job, life, final.get(job))
    return report


def _check_life(report: Report, job: str, life: Sequence[Mapping[str, Any]], row: JobRow | None) -> None:
    kinds = Counter(event["e"] for event in life)
    report.enqueued += kinds["enqueued"]
    report.runs += kinds["began"]
    report.rescues += kinds["rescued"]
    report.refused += kinds["refused"]
    if row is None:
        if kinds["enqueued"]:
            report.found("no loss", job, "was acknowledged and is gone")
        return
    if row.state not in FINAL:
        report.found("liveness", job, f"is still {row.state} after all is quiet")
    _check_claims(report, job, life, row)
    _check_ends(report, job, life, row)
    _check_workers(report, job, life)
    if row.attempt > row.max_attempts or row.attempt + row.crashes > row.claim:
        report.found("tries", job, f"attempt {row.attempt}, crashes {row.crashes}, claim {row.claim} do not add up")


def _check_claims(report: Report, job: str, life: Sequence[Mapping[str, Any]], row: JobRow) -> None:
    claims = [event for event in life if event["e"] == "claimed"]
    for claim, times in Counter(event["claim"] for event in claims).items():
        if times > 1:
            report.found("fence", job, f"claim {claim} was given {times} times")
    if claims and max(event["claim"] for event in claims) > row.claim:
        report.found("fence", job, f"ends with claim {row.claim}, below one that was given")
    revs = [event["rev"] for event in sorted(claims, key=lambda event: event["claim"])]
    if revs != sorted(set(revs)):
        report.found("order", job, f"its revisions do not rise with its claims: {revs}")


def _at_work(events: Sequence[Mapping[str, Any]], at: int) -> set[str]:
    """The jobs that had been claimed at a moment, and not ended."""
    held = Counter[str]()
    for event in events:
        if event["t"] < at and event["e"] in {"claimed", "ended"}:
            held[event["job"]] += 1 if event["e"] == "claimed" else -1
    return {job for job, number in held.items() if number > 0}


def _check_ends(report: Report, job: str, life: Sequence[Mapping[str, Any]], row: JobRow) -> None:
    completed = [event for event in life if event["e"] == "ended" and event["state"] == "completed"]
    if len(completed) > 1:
        report.found("one completion", job, f"was completed {len(completed)} times")
    for event in completed:
        later = [other["claim"] for other in life if other["e"] == "claimed" and other["claim"] > event["claim"]]
        if later:
            report.found("fence", job, f"claim {event['claim']} completed it and claim {later[0]} was given after")
        if row.state is not JobState.COMPLETED or row.claim != event["claim"]:
            report.found("one completion", job, f"claim {event['claim']} completed it, it ends {row.state}")
    if row.state is JobState.COMPLETED:
        ran = {event["claim"] for event in life if event["e"] == "finished"}
        if row.claim not in ran:
            report.found("at least once", job, f"is completed by claim {row.claim}, whose handler did not finish")
    report.zombie_runs += _overlaps(life)


def _check_workers(report: Report, job: str, life: Sequence[Mapping[str, Any]]) -> None:
    # A rescue that cancels leaves what a finish would have left: one who sends that again, since its reply was lost, is
    # told so. Two who end the attempt differently are a contradiction.
    rescued = {event["claim"]: event["state"] for event in life if event["e"] == "rescued"}
    for event in life:
        if event["e"] == "ended" and rescued.get(event["claim"], event["state"]) != event["state"]:
            report.found("fence", job, f"claim {event['claim']} was rescued, and its outcome written as well")
    given = {event["claim"]: event.get("worker") for event in life if event["e"] == "claimed"}
    for event in life:
        if event["e"] == "ended" and event.get("worker") != given.get(event["claim"], event.get("worker")):
            report.found("fence", job, f"claim {event['claim']} was ended by another worker than it was given to")


def _overlaps(life: Sequence[Mapping[str, Any]]) -> int:
    """Count runs that began while another run of the job had begun and later finished: legal only past a lease."""
    finished = {event["claim"]: event["t"] for event in life if event["e"] == "finished"}
    runs = [(event["t"], event["claim"]) for event in life if event["e"] == "began"]
    return sum(
        any(
            other_claim < claim and other_start < start < finished.get(other_claim, 0)
            for other_start, other_claim in runs
        )
        for start, claim in runs
    )
