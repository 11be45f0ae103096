"""The server is killed under load, ends all sessions, forgets its scripts, or its replica takes over; history holds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from millrace.conformance.bench import ERROR, HOUR
from millrace.errors import StoreUnavailable
from millrace.ids import new_id
from millrace.job import JobRow
from millrace.messages import ClaimRequest, NewRow
from millrace.outcome import Outcome
from millrace.states import JobState, Reason
from millrace.store import Store
from millrace.stores import open_store
from tests.faults.chaos import Turn
from tests.faults.enduring import Endure
from tests.faults.redis.failover import RedisFailover
from tests.faults.stage import wait_for
from tests.servers.redisinstallations import newest_redis
from tests.servers.redisserver import ALWAYS, RedisServer

SECONDS = 4.0
#: What three workers and a consumer hold at least: a strike that ends fewer has found them on their way back.
SESSIONS = 5

ANN, BEN = 11, 22


@pytest.mark.timeout(120)
def test_a_server_that_is_killed_again_and_again_and_flushes_always_loses_nothing(prefix: str, endure: Endure) -> None:
    with RedisServer(newest_redis(), ALWAYS) as server:
        ended: list[int] = []

        def crash() -> None:
            ended.append(server.sessions())
            server.restart()

        endure(server.url(prefix=prefix), seconds=SECONDS, pauses=0, strikes=[Turn(crash, 0.6, 1.2)])
    assert sum(each >= SESSIONS for each in ended) >= 2, f"void: too few sessions have been hit: {ended}"


@pytest.mark.timeout(120)
def test_a_server_that_flushes_every_second_may_lose_only_what_it_was_told_last(
    redis_server: RedisServer, prefix: str, endure: Endure
) -> None:
    """While a flush lasts, what comes in waits in the server's own memory, and is lost with it: so it is a fork."""
    killed: list[int] = []
    ended: list[int] = []

    def crash() -> None:
        if not killed:
            ended.append(redis_server.sessions())
            redis_server.kill()
            killed.append(time.monotonic_ns())
            redis_server.start()

    endure(
        redis_server.url(prefix=prefix),
        seconds=SECONDS,
        pauses=0,
        strikes=[Turn(crash, 1.5, 2.0)],
        lose=lambda: killed[0],
    )
    assert ended[0] >= SESSIONS, f"void: too few sessions have been hit: {ended}"


@pytest.mark.timeout(120)
def test_sessions_that_are_ended_all_the_time_lose_nothing(
    redis_server: RedisServer, prefix: str, endure: Endure
) -> None:
    ended: list[int] = []
    strikes = [Turn(lambda: ended.append(redis_server.end_sessions()), 0.1, 0.5)]
    endure(redis_server.url(prefix=prefix), seconds=SECONDS, pauses=0, strikes=strikes)
    assert len(ended) >= 8
    assert max(ended) >= SESSIONS, f"void: too few sessions have been ended: {ended}"


@pytest.mark.timeout(120)
def test_a_server_that_forgets_its_scripts_all_the_time_is_told_them_again(
    redis_server: RedisServer, prefix: str, endure: Endure
) -> None:
    forgotten: list[int] = []

    def forget() -> None:
        forgotten.append(int(redis_server.info("memory")["number_of_cached_scripts"]))
        redis_server.forget_scripts()

    report = endure(redis_server.url(prefix=prefix), seconds=3.0, pauses=0, strikes=[Turn(forget, 0.02, 0.06)])
    assert sum(each > 0 for each in forgotten) >= 20, "void: there was hardly ever a script to forget"
    assert report.rescues == 0, "a lease was lost, though the server was there all the time"


@pytest.fixture
def failover() -> Iterator[RedisFailover]:
    """A primary with a replica that follows it without being waited for."""
    with RedisFailover() as pair:
        yield pair


@pytest.mark.timeout(120)
def test_workers_go_on_with_the_replica_that_takes_over(failover: RedisFailover, prefix: str, endure: Endure) -> None:
    """The last that the primary took may be gone, and then claim numbers repeat; but nothing is completed twice."""
    report = endure(
        failover.url(prefix=prefix, connect_deadline="2"),
        seconds=SECONDS,
        pauses=0,
        strikes=[Turn(failover.take_over, 1.5, 2.0)],
        lose=lambda: failover.at,
    )
    assert failover.at is not None
    assert report.forked > 0, "void: nothing was at work when the replica took over"


def test_a_claim_number_that_repeats_completes_nothing(failover: RedisFailover, prefix: str) -> None:
    """Ann's claim is forgotten by the failover, Ben's has the same number: her outcome must not pass for his."""
    with closing(open_store(failover.url(prefix=prefix))) as store:
        store.migrate()
        row = NewRow(id=new_id(), task="work", queue="default", args=b"{}")
        store.insert([row])
        failover.wait_until_followed()
        failover.forget_what_follows()
        (hers,) = store.step(ANN, (), [ClaimRequest(1, lease=HOUR)]).claimed
        failover.take_over()
        (his,) = claimed_again(store)
        assert (hers.id, hers.claim) == (his.id, his.claim) == (row.id, 1)
        assert store.step(ANN, [Outcome.dead(hers, ERROR, reason=Reason.EXHAUSTED, retention=None)], ()).lost == {0}
        assert store.step(BEN, [Outcome.completed(his, b'"his"', retention=None)], ()).lost == frozenset()
        (job,) = store.get([row.id])
    assert job is not None
    assert (job.state, job.result, job.worker) == (JobState.COMPLETED, b'"his"', BEN)


def claimed_again(store: Store) -> list[JobRow]:
    """Claim as soon as the store has found the new primary."""
    claimed: list[JobRow] = []

    def claim() -> bool:
        with suppress(StoreUnavailable):
            claimed.extend(store.step(BEN, (), [ClaimRequest(1, lease=HOUR)]).claimed)
        return bool(claimed)

    wait_for(claim, "a claim on the new primary")
    return claimed
