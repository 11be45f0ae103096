"""What people and maintenance ask of a Redis store holds up the server for no longer than what workers ask."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from millrace.clock import SECOND
from millrace.conformance.bench import ANN, ERROR, HOUR, KEPT, Bench
from millrace.job import JobRow
from millrace.messages import ClaimRequest, JobFilter
from millrace.outcome import Outcome
from millrace.states import CANCELLABLE, DELETABLE, FINAL, RESCHEDULABLE, RETRYABLE, JobState, Reason
from millrace.stores.redis import RedisStore
from millrace.testing.clock import ManualClock
from tests.servers.redisinstallations import newest_redis
from tests.servers.redisserver import RedisServer
from tests.stores.redis.verbs.test_slow_scripts import JOBS, MOST, ROUNDS, Watch, fill

PIECES = 5  # scripts in which a thousand jobs are changed
ODD = frozenset({JobState.FAILED, JobState.DEAD, JobState.CANCELLED})


@pytest.fixture(scope="module")
def quiet_server() -> Iterator[RedisServer]:
    """A server that does nothing else."""
    with RedisServer(newest_redis(), {"appendonly": "no"}) as server:
        yield server


def end(row: JobRow, number: int) -> Outcome:
    """End an attempt, most of them well."""
    if number % 4 == 0:
        return Outcome.failed(row, ERROR, delay=HOUR, retention=KEPT)
    if number % 4 == 1:
        return Outcome.dead(row, ERROR, reason=Reason.EXHAUSTED, retention=KEPT)
    return Outcome.completed(row, b'"result"', retention=KEPT)


def work(bench: Bench, store: RedisStore, watch: Watch) -> None:
    """Use every verb once, with as many jobs as a script may have, or more."""
    rows = store.step(ANN, (), [ClaimRequest(1000)]).claimed
    store.step(ANN, [end(row, number) for number, row in enumerate(rows)], ())
    ids = [row.id for row in rows]
    with watch.over("get", 2):
        store.get(ids)
    for name, where in {
        "all": JobFilter(),
        "pending": JobFilter(states=frozenset({JobState.PENDING})),
        "odd": JobFilter(states=ODD, queue="queue 1"),
        "tag": JobFilter(tag="odd", task="task 3"),
        "error": JobFilter(error=ERROR.type),
    }.items():
        with watch.over(f"page of {name}", 1):
            store.page(where, limit=50)
    with watch.over("waiting", 1):
        store.waiting()
    with watch.over("depth", 1):
        store.depth()
    with watch.over("export", 1):
        jobs, _ = store.export(limit=500)
    with watch.over("retry", PIECES):
        store.retry(ids, RETRYABLE)
    with watch.over("reschedule", PIECES):
        store.reschedule(ids, RESCHEDULABLE, due=bench.now + HOUR)
    with watch.over("cancel", PIECES):
        store.cancel(ids, CANCELLABLE, retention=KEPT)
    with watch.over("delete", PIECES):
        store.delete(ids, DELETABLE)
    store.delete([job.row.id for job in jobs], DELETABLE)
    with watch.over("restore", 3):
        store.restore(jobs)
    rows = store.step(ANN, (), [ClaimRequest(1000)]).claimed
    store.step(ANN, [Outcome.completed(row, b"1", retention=SECOND) for row in rows], ())
    bench.later(2)
    with watch.over("expire", PIECES):
        assert store.expire(limit=1000) == 1000
    rows = store.step(ANN, (), [ClaimRequest(1000)]).claimed
    store.step(ANN, [Outcome.completed(row, b"1", retention=None) for row in rows], ())
    bench.later(2)
    with watch.over("purge", PIECES):
        assert store.purge(bench.now, FINAL, limit=1000) == 1000


@pytest.mark.timeout(240)
def test_no_script_of_the_desk_takes_long_however_many_jobs_there_are(quiet_server: RedisServer) -> None:
    clock = ManualClock()
    with closing(RedisStore(quiet_server.url(), clock=clock)) as store, quiet_server.client() as client:
        bench = Bench(store, clock)
        fill(bench, JOBS)
        watch = Watch(client)
        for _ in range(ROUNDS):
            work(bench, store, watch)
    fastest = {verb: min(times) for verb, times in watch.took.items()}
    assert {verb: took for verb, took in fastest.items() if took > MOST} == {}
