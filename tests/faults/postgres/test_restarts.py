"""The server crashes under load, ends all sessions, or hands over to its standby; and the history holds."""

from __future__ import annotations

import threading
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
from tests.faults.postgres.conftest import Endure
from tests.faults.postgres.failover import Failover
from tests.faults.stage import wait_for
from tests.servers.cluster import Cluster

SECONDS = 8.0
#: What two workers at work hold at least: a strike that ends fewer has found them on their way back from the last.
SESSIONS = 6

ANN, BEN = 11, 22


def at_work(cluster: Cluster) -> int:
    """Wait, not for ever, until all sessions there should be are there again; return how many there are."""
    until = time.monotonic() + SECONDS / 3
    pause = threading.Event()
    while (number := cluster.sessions()) < SESSIONS and time.monotonic() < until:
        pause.wait(0.05)
    return number


@pytest.mark.timeout(120)
def test_a_server_that_crashes_again_and_again_loses_nothing(cluster: Cluster, schema: str, endure: Endure) -> None:
    ended: list[int] = []

    def crash() -> None:
        ended.append(at_work(cluster))
        cluster.restart("immediate")

    endure(cluster.url(schema=schema), seconds=SECONDS, pauses=0, strikes=[Turn(crash, 1.0, 2.0)])
    assert sum(each >= SESSIONS for each in ended) >= 2, f"void: too few sessions have been hit: {ended}"


@pytest.mark.timeout(120)
def test_sessions_that_are_ended_all_the_time_lose_nothing(cluster: Cluster, schema: str, endure: Endure) -> None:
    ended: list[int] = []
    strikes = [Turn(lambda: ended.append(cluster.terminate_all()), 0.1, 0.5)]
    endure(cluster.url(schema=schema), seconds=SECONDS, pauses=0, strikes=strikes)
    assert len(ended) >= 10
    assert max(ended) >= SESSIONS, f"void: too few sessions have been ended: {ended}"


@pytest.fixture
def failover() -> Iterator[Failover]:
    """A primary with a standby that follows it without being waited for."""
    with Failover() as pair:
        yield pair


@pytest.mark.timeout(120)
def test_workers_go_on_with_the_standby_that_takes_over(failover: Failover, schema: str, endure: Endure) -> None:
    """Its last transactions may be gone, and then claim numbers repeat; but nothing is completed twice by one."""
    report = endure(
        failover.url(schema=schema, connect_deadline="2"),
        seconds=SECONDS,
        pauses=0,
        strikes=[Turn(failover.take_over, 3.0, 4.0)],
        lose=lambda: failover.at,
    )
    assert failover.at is not None
    assert report.forked > 0, "void: nothing was at work when the standby took over"


def test_a_claim_number_that_repeats_completes_nothing(failover: Failover, schema: str) -> None:
    """Ann's claim is forgotten by the failover, Ben's has the same number: her outcome must not pass for his."""
    with closing(open_store(failover.url(schema=schema))) as store:
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
