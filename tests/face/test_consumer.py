from __future__ import annotations

import pickle
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from millrace import (
    Backoff,
    CancelJob,
    ConfigurationError,
    Job,
    LeaseLost,
    Millrace,
    NewJob,
    PayloadError,
    SkipRetry,
    Snooze,
)
from millrace.store import Store
from millrace.stores import MemoryStore, SQLiteStore
from millrace.testing.clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, clock: ManualClock, tmp_path: Path) -> Store:
    return SQLiteStore(tmp_path / "jobs.db", clock=clock) if request.param == "sqlite" else MemoryStore(clock=clock)


@pytest.fixture
def app(store: Store) -> Iterator[Millrace]:
    with Millrace(store) as app:
        app.task(name="add", max_attempts=2, retry=Backoff.fixed(10))(add)
        yield app


def add(a: int = 1) -> int:
    return a


def claimed(app: Millrace, **options: Any) -> Job[Any]:
    app.enqueue(NewJob("add", **options))
    (job,) = app.claim()
    return job


def test_a_claim_holds_a_job_until_its_lease_has_passed(app: Millrace, clock: ManualClock) -> None:
    job = claimed(app)

    assert (job.state, job.attempt, job.claim) == ("running", 1, 1)
    assert job.lease_expires_at is not None
    assert app.claim() == []
    clock.advance(31)
    (again,) = app.claim()
    assert (again.id, again.attempt, again.claim, again.crashes) == (job.id, 1, 2, 1)


def test_a_claim_by_hand_takes_what_has_become_due(app: Millrace, clock: ManualClock) -> None:
    app.enqueue(NewJob("add", delay=5))

    assert app.claim() == []
    clock.advance(6)
    assert len(app.claim()) == 1


@pytest.mark.filterwarnings("ignore:this app has no task")
def test_a_claim_is_by_queue_and_by_task_known_or_not(app: Millrace) -> None:
    jobs = app.enqueue_many([NewJob("other", queue="q"), NewJob("add", queue="q"), NewJob("add")])

    assert app.claim(10, queues=["none"]) == []
    assert [job.id for job in app.claim(10, queues=["q"], tasks=["other"])] == [jobs[0].id]
    assert {job.id for job in app.claim(10, tasks=[app.task(name="add too")(add), "add"])} == {jobs[1].id, jobs[2].id}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit": 0}, "limit 0"),
        ({"limit": 1001}, "limit 1001"),
        ({"lease": 0}, "lease 0 is not positive"),
        ({"queues": [""]}, "a name in queues"),
        ({"queues": "mail"}, r"queues is a list of names, not the text 'mail'; give \['mail'\]"),
        ({"tasks": []}, r"tasks=\[\] would claim nothing"),
    ],
)
def test_a_claim_that_is_not_acceptable_is_refused(app: Millrace, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        app.claim(**options)


def test_a_completed_job_has_its_result(app: Millrace) -> None:
    done = app.complete(claimed(app), {"n": 1})

    assert (done.state, done.result) == ("completed", {"n": 1})


def test_another_process_may_complete_a_claimed_job(app: Millrace, store: Store) -> None:
    job: Job[Any] = pickle.loads(pickle.dumps(claimed(app)))  # noqa: S301 - our own bytes
    other = Millrace(store)

    assert other.complete(job, 1).state == "completed"
    assert other.worker_id != app.worker_id


def test_a_result_that_cannot_be_stored_leaves_the_job_running(app: Millrace) -> None:
    job = claimed(app)

    with pytest.raises(PayloadError):
        app.complete(job, object())
    assert app.get(job).state == "running"


def test_a_job_that_is_not_kept_is_shown_as_it_ended(app: Millrace) -> None:
    done = app.complete(claimed(app, retention=0), 5)

    assert (done.state, done.result) == ("completed", 5)
    assert (done.finished_at, done.lease_expires_at) == (done.started_at, None)
    assert app.list().jobs == []


def test_a_dead_job_that_is_not_kept_is_shown_as_it_ended(clock: ManualClock) -> None:
    with Millrace(MemoryStore(clock=clock), dead_retention=0) as app:
        job = app.task(name="add", max_attempts=1)(add).enqueue()
        (held,) = app.claim()
        clock.advance(1)

        dead = app.fail(held, "Boom: no")

        assert (dead.state, dead.reason, dead.error) == ("dead", "exhausted", "Boom: no")
        assert dead.finished_at == job.created_at + timedelta(seconds=1)
        assert app.list().jobs == []


def test_a_cancelled_job_that_is_not_kept_is_shown_as_it_ended(app: Millrace, clock: ManualClock) -> None:
    job = claimed(app, retention=0)
    app.cancel(job)
    clock.advance(1)

    ended = app.release(job)

    assert (ended.state, ended.reason, ended.result, ended.error) == ("cancelled", "cancelled", None, None)
    assert ended.finished_at == job.created_at + timedelta(seconds=1)
    assert app.list().jobs == []


def test_claims_by_hand_delete_what_is_no_longer_kept_now_and_then(
    app: Millrace, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = [1000.0]
    monkeypatch.setattr("millrace.consumer.time.monotonic", lambda: seconds[0])
    for _ in range(3):
        app.complete(claimed(app, retention=5))
    clock.advance(6)
    assert app.claim() == []
    assert len(app.list().jobs) == 3

    seconds[0] += 5.0
    assert app.claim() == []
    assert app.list().jobs == []


def test_a_failure_waits_as_its_tasks_policy_says_and_then_is_dead(app: Millrace, clock: ManualClock) -> None:
    failed = app.fail(claimed(app), ValueError("no"))

    assert (failed.state, failed.error) == ("failed", "ValueError: no")
    assert failed.row.due == clock.now() + 10_000_000
    clock.advance(11)
    dead = app.fail(app.claim()[0], "Boom: again")
    assert (dead.state, dead.reason, dead.error) == ("dead", "exhausted", "Boom: again")


def test_a_failure_may_name_its_own_delay(app: Millrace, clock: ManualClock) -> None:
    assert app.fail(claimed(app), "no", retry_in=2).row.due == clock.now() + 2_000_000
    with pytest.raises(ConfigurationError, match="retry_in -1"):
        app.fail(claimed(app), "no", retry_in=-1)


@pytest.mark.parametrize(
    ("signal", "state", "reason"),
    [
        (SkipRetry("why"), "dead", "skip-retry"),
        (CancelJob("why"), "cancelled", "cancelled"),
        (Snooze(5), "scheduled", None),
    ],
)
def test_a_signal_given_as_the_error_does_what_it_says(
    app: Millrace, signal: Exception, state: str, reason: str | None
) -> None:
    ended = app.fail(claimed(app), signal)

    assert (ended.state, ended.reason) == (state, reason)


@pytest.mark.filterwarnings("ignore:this app has no task")
def test_the_failure_of_a_task_not_known_here_follows_the_default_policy(app: Millrace) -> None:
    app.enqueue(NewJob("other"))

    assert app.fail(app.claim()[0], "no").state == "failed"


def test_a_released_job_is_due_and_has_its_try_back(app: Millrace) -> None:
    released = app.release(claimed(app))

    assert (released.state, released.attempt, released.claim) == ("pending", 0, 1)


def test_an_extended_lease_holds_longer_and_tells_of_a_cancel(app: Millrace, clock: ManualClock) -> None:
    job = claimed(app)

    extended = app.extend(job, 300)

    assert extended.row.lease == clock.now() + 300_000_000
    clock.advance(200)
    assert app.claim() == []
    app.cancel(job)
    assert app.extend(job, 300).state == "cancelling"
    assert app.fail(job, "no").state == "cancelled"


@pytest.mark.parametrize("verb", ["complete", "fail", "release", "extend"])
def test_a_stale_claim_can_do_nothing_and_is_told_who_has_the_job(app: Millrace, clock: ManualClock, verb: str) -> None:
    job = claimed(app)
    clock.advance(31)
    (new,) = app.claim()
    late: Any = getattr(app, verb)
    arguments = {"fail": ("late",), "extend": (5,)}.get(verb, ())

    with pytest.raises(
        LeaseLost, match=rf"claim 1 of job {job.id} is not yours: it is running under claim 2 of worker"
    ):
        late(job, *arguments)
    assert app.get(job) == new
    app.complete(new)
    with pytest.raises(LeaseLost, match="is not yours: it is completed"):
        late(new, *arguments)
    app.delete(new)
    with pytest.raises(LeaseLost, match="the job is gone"):
        late(new, *arguments)


def test_a_job_that_was_never_claimed_cannot_be_ended(app: Millrace) -> None:
    job = app.enqueue(NewJob("add"))

    with pytest.raises(LeaseLost, match=r"claim 0 .* it is pending"):
        app.complete(job)


def test_a_paused_queue_is_not_claimed_from_by_hand(app: Millrace) -> None:
    app.enqueue(NewJob("add", queue="mail"))
    app.pause("mail")

    assert app.claim() == []
