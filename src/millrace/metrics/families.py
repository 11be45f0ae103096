"""The list of all metrics: name, kind, labels, what each means, and how a fleet's are put together. Counts nothing."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = [
    "ATTEMPTS",
    "DELAY_SECONDS",
    "DEPTH",
    "ENQUEUED",
    "FAMILIES",
    "LEASES_LOST",
    "OLDEST_SECONDS",
    "PROCESSES",
    "RUNNING",
    "RUN_SECONDS",
    "SLOTS",
    "STALE",
    "STORE_ERRORS",
    "STORE_SECONDS",
    "STORE_UP",
    "Family",
]


class Family(msgspec.Struct, frozen=True):
    """One metric with all its labels.

    >>> ATTEMPTS.labels
    ('task', 'queue', 'outcome')
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    help: str
    buckets: tuple[float, ...] = ()  #: upper bounds of a histogram's, without the last, which is infinite
    over: Literal["sum", "max", "min"] = "sum"  #: how the values of several processes become one


_LANE = ("task", "queue")
_MILLISECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_MINUTES = (*_MILLISECONDS, 30.0, 60.0, 300.0, 1800.0)

ENQUEUED = Family("millrace_jobs_enqueued_total", "counter", _LANE, "Jobs stored, those of schedules included.")
ATTEMPTS = Family(
    "millrace_attempts_total",
    "counter",
    (*_LANE, "outcome"),
    "Attempts that have ended, by how, as the store has it.",
)
RUN_SECONDS = Family(
    "millrace_attempt_seconds", "histogram", _LANE, "How long handlers ran, from their start to their end.", _MINUTES
)
DELAY_SECONDS = Family(
    "millrace_start_delay_seconds", "histogram", _LANE, "From when a job was due to the start of its handler.", _MINUTES
)
LEASES_LOST = Family(
    "millrace_leases_lost_total", "counter", _LANE, "Leases of lost workers that this process has taken back."
)
STALE = Family(
    "millrace_stale_finishes_total", "counter", _LANE, "Ends of attempts that were refused: the lease was another's."
)
STORE_SECONDS = Family(
    "millrace_store_call_seconds", "histogram", ("call",), "How long calls of the store took, failed ones too.",
    (0.0005, *_MILLISECONDS, 30.0),
)  # fmt: skip
STORE_ERRORS = Family(
    "millrace_store_errors_total",
    "counter",
    ("call", "error"),
    "Calls of the store that raised, by class of error.",
)
RUNNING = Family("millrace_running_jobs", "gauge", _LANE, "Jobs that run in this process.")
SLOTS = Family("millrace_worker_slots", "gauge", (), "Jobs that may run at once in this process.")
PROCESSES = Family("millrace_worker_processes", "gauge", (), "Worker processes behind this port.")
DEPTH = Family(
    "millrace_queue_depth", "gauge", ("queue",),
    "Jobs due in the whole store that wait for a worker; never to be summed.", over="max",
)  # fmt: skip
OLDEST_SECONDS = Family(
    "millrace_oldest_waiting_seconds", "gauge", ("queue",),
    "For how long the oldest of them has been due; never to be summed.", over="max",
)  # fmt: skip
STORE_UP = Family("millrace_store_up", "gauge", (), "1 where the store answered when last asked, else 0.", over="min")

FAMILIES = (
    ENQUEUED, ATTEMPTS, RUN_SECONDS, DELAY_SECONDS, LEASES_LOST, STALE, STORE_SECONDS, STORE_ERRORS,
    RUNNING, SLOTS, PROCESSES, DEPTH, OLDEST_SECONDS, STORE_UP,
)  # fmt: skip
