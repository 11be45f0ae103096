"""What is tried again and when, which outcome an error deserves, and that the table of states is whole."""

from __future__ import annotations

import pickle
import random
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.clock import SECOND
from millrace.errors import ConfigurationError
from millrace.job import JobRow
from millrace.options import JobOptions, Terms, read_options
from millrace.outcome import MAX_ERROR_BYTES, Outcome, error_record, shorten
from millrace.retry import Backoff, backoff_for, check_policy
from millrace.signals import CancelJob, RetryAfter, SkipRetry, Snooze
from millrace.states import (
    ACTIVE,
    CANCELLABLE,
    FINAL,
    LIVE,
    RESCHEDULABLE,
    RETRYABLE,
    TRANSITIONS,
    JobState,
    Reason,
    allowed,
)
from millrace.verdict import after_bad_result, after_cancel, after_error, after_failure, after_timeout


def claimed(*, attempt: int = 1, max_attempts: int = 5) -> JobRow:
    return JobRow(
        ref=1, id=bytes(16), task="t", queue="q", args=b"{}", attempt=attempt, max_attempts=max_attempts, claim=attempt
    )


@given(st.floats(0, 1e6), st.floats(1, 10), st.floats(0, 1e6), st.floats(0, 1), st.integers(1, 2**31), st.floats(0, 1))
def test_a_backoff_stays_between_zero_and_its_limit_with_jitter(
    first: Any, factor: Any, limit: Any, jitter: Any, attempt: Any, chance: Any
) -> None:
    delay = Backoff(first=first, factor=factor, limit=limit, jitter=jitter).delay(attempt, lambda: chance)
    assert 0 <= delay <= limit * (1 + jitter) * (1 + 1e-9)


def test_jitter_spreads_jobs_that_failed_together() -> None:
    backoff = Backoff(first=10, jitter=0.2)
    delays = [backoff.delay(1, random.Random(seed).random) for seed in range(50)]
    assert 8.0 <= min(delays) < 9.0
    assert 11.0 < max(delays) <= 12.0


@pytest.mark.parametrize(
    "make",
    [
        lambda: Backoff(first=-1),
        lambda: Backoff(factor=0.5),
        lambda: Backoff(jitter=1.5),
        lambda: Backoff(limit=float("nan")),
        Backoff.steps,
        lambda: Backoff.fixed(-1),
        lambda: Backoff(listed=[-1]),
        lambda: Backoff(first=timedelta(seconds=-1)),
    ],
)
def test_a_backoff_out_of_range_is_refused(make: Any) -> None:
    with pytest.raises(ConfigurationError):
        make()


@pytest.mark.parametrize("field", ["first", "factor", "limit", "jitter", "listed"])
@pytest.mark.parametrize("value", [None, "5", True, [None], ["5"], object()])
def test_a_field_of_a_backoff_that_is_no_number_is_refused(field: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"Backoff\({field}=\)"):
        Backoff(**{field: value})


def test_a_backoff_takes_durations_and_keeps_seconds() -> None:
    backoff = Backoff(first=timedelta(seconds=5), limit=timedelta(minutes=1), jitter=0, listed=[])
    assert backoff == Backoff(first=5, limit=60, jitter=0)
    assert [backoff.delay(attempt) for attempt in (1, 2, 9)] == [5.0, 10.0, 60.0]
    assert Backoff(listed=[timedelta(seconds=2), 3], jitter=0).delay(1) == 2.0
    assert (backoff.first, backoff.limit, hash(backoff)) == (5.0, 60.0, hash(Backoff(5, 2, 60, 0)))
    assert replace(backoff, limit=7).delay(9) == 7.0
    assert pickle.loads(pickle.dumps(backoff)) == backoff  # noqa: S301 - our own bytes


def test_a_mapping_of_policies_goes_by_the_nearest_type() -> None:
    general, exact = Backoff.fixed(1), Backoff.fixed(2)
    policy = check_policy({LookupError: general, KeyError: exact, ValueError: None})
    assert exact == backoff_for(policy, KeyError("k"))
    assert general == backoff_for(policy, IndexError("i"))
    assert backoff_for(policy, UnicodeError("u")) is None
    assert Backoff() == backoff_for(policy, OSError("o"))


@pytest.mark.parametrize("policy", [5, "no", {"ValueError": None}, {ValueError: 5}, {int: None}])
def test_a_policy_of_another_kind_is_refused(policy: Any) -> None:
    with pytest.raises(ConfigurationError, match="retry"):
        check_policy(policy)


def test_a_failure_with_tries_left_waits_and_without_is_dead() -> None:
    terms = Terms(retry=Backoff.fixed(3))
    retried = after_error(claimed(attempt=4), ValueError("no"), terms)
    assert (retried.state, retried.delay) == (JobState.FAILED, 3 * SECOND)
    dead = after_error(claimed(attempt=5), ValueError("no"), terms)
    assert (dead.state, dead.reason, dead.retention) == (JobState.DEAD, Reason.EXHAUSTED, 30 * 86400 * SECOND)


@pytest.mark.parametrize(
    ("error", "state", "reason", "delay", "keeps_try"),
    [
        (Snooze(2), JobState.SCHEDULED, None, 2 * SECOND, False),
        (RetryAfter(7), JobState.FAILED, None, 7 * SECOND, True),
        (SkipRetry("why"), JobState.DEAD, Reason.SKIP_RETRY, None, True),
        (CancelJob("why"), JobState.CANCELLED, Reason.CANCELLED, None, True),
        (SystemExit(1), JobState.FAILED, None, 9 * SECOND, True),
        (KeyboardInterrupt(), JobState.FAILED, None, 9 * SECOND, True),
    ],
)
def test_each_signal_does_what_it_says(error: Any, state: Any, reason: Any, delay: Any, keeps_try: Any) -> None:
    outcome = after_error(claimed(), error, Terms(retry=Backoff.fixed(9)))
    assert (state, reason, delay, keeps_try) == (outcome.state, outcome.reason, outcome.delay, outcome.keeps_try)


def test_retry_after_overrides_even_a_policy_of_none_but_not_the_count_of_tries() -> None:
    assert after_error(claimed(), RetryAfter(1), Terms(retry=None)).state == JobState.FAILED
    assert after_error(claimed(attempt=5), RetryAfter(1), Terms(retry=None)).state == JobState.DEAD


def test_a_policy_of_none_is_dead_at_once_and_a_timeout_keeps_its_reason() -> None:
    assert after_error(claimed(), ValueError(), Terms(retry=None)).reason == Reason.SKIP_RETRY
    assert after_timeout(claimed(attempt=5), 2.0, Terms()).reason == Reason.TIMEOUT
    assert after_timeout(claimed(attempt=1), 2.0, Terms()).reason == Reason.TIMEOUT
    assert after_bad_result(claimed(), TypeError("object"), Terms()).reason == Reason.BAD_RESULT
    assert after_cancel(claimed(), Terms()).state == JobState.CANCELLED


def test_an_error_given_as_text_is_kept_as_given() -> None:
    assert error_record("boom").text == "boom"
    assert (error_record("Boom: it broke").type, error_record("Boom: it broke").message) == ("Boom", "it broke")
    outcome = after_failure(claimed(attempt=5), error_record("boom"), Terms())
    assert outcome.error is not None
    assert outcome.error.text == "boom"


@pytest.mark.parametrize(
    "text", ["http://x timed out", "C:\\path gone", "Foo:", "Foo: ", "note: x", "a.b: x", "Foo:  x"]
)
def test_a_text_that_only_has_a_colon_in_it_names_no_class_and_is_kept_unchanged(text: str) -> None:
    assert (error_record(text).type, error_record(text).text) == ("", text)


@pytest.mark.parametrize("name", ["Boom", "_Boom", "shop.errors.OutOfStock", "E2"])
def test_a_text_that_names_a_class_is_found_by_it_and_kept_unchanged(name: str) -> None:
    record = error_record(f"{name}: http://x timed out: 5 s")
    assert (record.type, record.text) == (name, f"{name}: http://x timed out: 5 s")


@pytest.mark.parametrize("delay", [float("nan"), -1.0, "soon", 1e300])
def test_a_policy_of_ones_own_that_gives_no_delay_is_told(delay: Any) -> None:
    class Odd(Backoff):
        def delay(self, attempt: int, chance: Any = None) -> float:  # noqa: ARG002
            return delay  # type: ignore[no-any-return]

    with pytest.raises(ConfigurationError, match="the delay of the retry policy"):
        after_error(claimed(), ValueError("no"), Terms(retry=Odd()))


class Hostile(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text for you")


def test_an_error_whose_text_raises_is_still_described() -> None:
    try:
        raise Hostile  # noqa: TRY301
    except Hostile as error:
        record = error_record(error)
    assert record.type == "Hostile"
    assert "RuntimeError" in record.message


def test_a_traceback_of_endless_recursion_fits_and_names_the_error() -> None:
    def endless() -> None:
        endless()

    with pytest.raises(RecursionError) as caught:
        endless()
    record = error_record(caught.value)
    assert record.traceback is not None
    assert len(record.message.encode()) + len(record.traceback.encode()) <= MAX_ERROR_BYTES
    assert record.traceback.rstrip().endswith("maximum recursion depth exceeded")


@given(st.text(max_size=300), st.integers(80, 200))
def test_a_shortened_text_keeps_head_and_tail_within_the_limit(text: Any, limit: Any) -> None:
    short = shorten(text, limit)
    assert len(short.encode()) <= limit
    assert short == text or (len(text.encode()) > limit and text.startswith(short[:1]))


def test_a_huge_message_keeps_its_head_and_tail() -> None:
    record = error_record(ValueError("a" * 50_000 + "tail"))
    assert len(record.message.encode()) <= MAX_ERROR_BYTES
    assert record.message.startswith("aaa")
    assert record.message.endswith("tail")


def test_options_unset_come_from_the_task_and_given_ones_win() -> None:
    terms = Terms(timeout=5.0, lease=2.0, retention=60.0)
    stored = JobOptions(retention=None).encode()
    assert stored is not None
    over = terms.over(read_options(stored))
    assert (over.timeout, over.lease, over.retention_micros) == (5.0, 2.0, None)


def test_every_state_has_its_transitions_and_a_final_one_only_goes_back_to_pending() -> None:
    assert set(JobState) == set(TRANSITIONS)
    assert all(TRANSITIONS[state] == {JobState.PENDING} for state in FINAL)
    assert set(JobState) == FINAL | LIVE
    assert not FINAL & LIVE
    assert all(JobState.CANCELLED in TRANSITIONS[state] for state in CANCELLABLE)
    assert all(JobState.PENDING in TRANSITIONS[state] for state in RETRYABLE)
    assert all(state is JobState.SCHEDULED or JobState.SCHEDULED in TRANSITIONS[state] for state in RESCHEDULABLE)


def test_every_outcome_is_a_transition_of_a_running_job() -> None:
    row, record, keep = claimed(), error_record("x"), None
    outcomes = [
        Outcome.completed(row, None, retention=keep),
        Outcome.failed(row, record, delay=1, retention=keep),
        Outcome.dead(row, record, reason=Reason.EXHAUSTED, retention=keep),
        Outcome.cancelled(row, None, retention=keep),
        Outcome.snoozed(row, delay=1, retention=keep),
        Outcome.released(row, retention=keep),
        Outcome.returned(row, retention=keep),
    ]
    assert all(allowed(JobState.RUNNING, outcome.state) for outcome in outcomes)
    assert {JobState.RUNNING, JobState.CANCELLING} == ACTIVE
