"""Queues on the nodes of a real cluster: where they lie, and that a worker drains them all while their slots move."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from itertools import count

import pytest

from millrace.errors import StoreUnavailable
from millrace.ids import new_id
from millrace.messages import ClaimRequest, JobFilter, NewRow
from millrace.outcome import Outcome
from millrace.records import WorkerRow
from millrace.states import JobState
from millrace.stores import open_store
from tests.servers.rediscluster import RedisCluster
from tests.servers.redisinstallations import newest_redis
from tests.servers.redisserver import RedisServer
from tests.stores.redis.lines.conftest import until

ANN = 7
KEPT = 3600 * 1_000_000


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisCluster]:
    """Three nodes."""
    with RedisCluster(newest_redis()) as started:
        yield started


def places(cluster: RedisCluster, prefix: str) -> dict[str, RedisServer]:
    """Name queues such that there are two on each node."""
    found: dict[str, RedisServer] = {}
    number = 0
    while len(found) < 2 * len(cluster.nodes):
        queue = f"q{number}"
        node = cluster.node_of(f"{{{prefix}/{queue}}}:")
        if list(found.values()).count(node) < 2:
            found[queue] = node
        number += 1
    return found


def rows_of(queues: list[str], each: int) -> list[NewRow]:
    """Make jobs for queues, by turns."""
    return [NewRow(id=new_id(), task="work", queue=queue, args=b"{}") for _ in range(each) for queue in queues]


def test_queues_lie_on_several_nodes_and_are_asked_as_one_store(cluster: RedisCluster) -> None:
    queues = places(cluster, "spread")
    rows = rows_of(list(queues), 5)
    with (
        closing(open_store(cluster.nodes[0].url(prefix="spread", shard="queue"))) as one,
        closing(open_store(cluster.nodes[1].url(prefix="spread", shard="queue"))) as other,
    ):
        heard = threading.Event()
        watch = other.watch(heard.set)
        until(lambda: watch.live)
        heard.clear()
        one.insert(rows)
        assert heard.wait(20), "a hint comes from whatever node"
        watch.close()
        for queue, node in queues.items():
            assert node.run("HLEN", f"{{spread/{queue}}}:meta") == 5
        ids = [row.id for row in rows]
        assert [row and row.id for row in other.get(ids)] == ids
        first, cursor = other.page(JobFilter(), limit=20)
        rest, end = one.page(JobFilter(), limit=20, cursor=cursor)
        assert ([row.id for row in (*first, *rest)], end) == (ids[::-1], None)
        assert other.depth() == other.counts()[JobState.PENDING] == 30
        claimed = other.step(ANN, (), [ClaimRequest(30)]).claimed
        assert {row.id for row in claimed} == set(ids)


def test_where_the_node_that_is_listened_to_is_gone_another_one_is() -> None:
    """The others go on, as they need not have all slots; what the store shares lies on one of them."""
    with RedisCluster(newest_redis(), {"cluster-require-full-coverage": "no"}) as cluster:
        gone, *others = cluster.nodes
        prefix = next(f"p{n}" for n in count() if cluster.node_of(f"{{p{n}}}:") in others)
        queue = next(f"q{n}" for n in count() if cluster.node_of(f"{{{prefix}/q{n}}}:") in others)
        with (
            closing(open_store(gone.url(prefix=prefix, shard="queue"))) as store,
            closing(open_store(others[0].url(prefix=prefix, shard="queue"))) as producer,
        ):
            heard = threading.Event()
            watch = store.watch(heard.set)
            until(lambda: watch.live)
            producer.insert(rows_of([queue], 2))
            assert len(store.step(ANN, (), [ClaimRequest(1)]).claimed) == 1  # so it knows where the queue is
            gone.kill()
            until(lambda: not watch.live)
            heard.clear()
            until(lambda: watch.live)
            assert heard.wait(20), "it tells to look, once it listens again"
            heard.clear()
            producer.insert(rows_of([queue], 1))
            assert heard.wait(20)
            watch.close()
            assert len(store.step(ANN, (), [ClaimRequest(9)]).claimed) == 2


@pytest.mark.timeout(180)
def test_a_worker_drains_all_queues_while_their_slots_move(cluster: RedisCluster) -> None:
    queues = places(cluster, "moving")
    slots = {queue: int(cluster.nodes[0].run("CLUSTER", "KEYSLOT", f"{{moving/{queue}}}:")) for queue in queues}
    moved = threading.Event()

    def move() -> None:
        """Move each queue to the next node and back."""
        try:
            for queue, node in queues.items():
                following = cluster.nodes[(cluster.nodes.index(node) + 1) % len(cluster.nodes)]
                cluster.move(slots[queue], node, following)
                cluster.move(slots[queue], following, node)
        finally:
            moved.set()

    with closing(open_store(cluster.nodes[0].url(prefix="moving", shard="queue"))) as store:
        store.register(WorkerRow(ANN, "ann", 0, 0, b"{}"))
        enqueued = rows_of(list(queues), 20)
        store.insert(enqueued)
        mover = threading.Thread(target=move)
        mover.start()
        outcomes: list[Outcome] = []
        refused = 0
        while True:
            if not moved.is_set():  # there is always something to do while they move
                more = rows_of(list(queues), 1)
                for each in more:
                    with suppress(StoreUnavailable):
                        store.insert([each])
                enqueued += more
            try:
                answer = store.step(ANN, outcomes, [ClaimRequest(7)])
            except StoreUnavailable:
                continue  # as a worker does: the outcomes are sent again
            refused += len(answer.lost)
            outcomes = [Outcome.completed(row, None, retention=KEPT) for row in answer.claimed]
            if moved.is_set() and not outcomes:
                break
        mover.join()
        store.insert(enqueued)  # those whose insert was not answered; the others are there
        while answer.claimed or store.depth():
            answer = store.step(
                ANN, [Outcome.completed(row, None, retention=KEPT) for row in answer.claimed], [ClaimRequest(50)]
            )
        counts = store.counts()
        assert refused == 0
        assert counts[JobState.COMPLETED] == sum(counts.values()) == len(enqueued)
        assert [row for row in store.get([each.id for each in enqueued]) if row is None or row.claim != 1] == []
        store.unregister(ANN)
