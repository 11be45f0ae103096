"""The server's memory is full: what is new is refused whole, what runs comes to its end, and then there is room."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing

import pytest

from millrace.conformance.bench import ANN, BEN, ENDINGS, HOUR
from millrace.errors import StoreUnavailable
from millrace.ids import new_id
from millrace.messages import Beat, ClaimRequest, NewRow
from millrace.states import CANCELLABLE, DELETABLE, JobState
from millrace.store import Store
from millrace.stores import open_store
from tests.faults.chaos import Turn
from tests.faults.enduring import Endure
from tests.faults.redis.keys import disagreements
from tests.servers.redisserver import RedisServer

FULL, ROOM = "1mb", "0"  # the server alone takes more than the one; the other is no limit
SECONDS = 3.0


@pytest.fixture
def store(redis_server: RedisServer, prefix: str) -> Iterator[Store]:
    """A store on a server that has room."""
    with closing(open_store(redis_server.url(prefix=prefix))) as opened:
        opened.migrate()
        yield opened
        redis_server.configure("maxmemory", ROOM)
    assert disagreements(redis_server.url(prefix=prefix)) == []


def row(**fields: object) -> NewRow:
    return NewRow(id=new_id(), task="work", queue="default", args=b"{}", **fields)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def test_a_job_that_has_no_room_is_refused_and_leaves_nothing(store: Store, redis_server: RedisServer) -> None:
    store.insert([row(unique_key="first")])
    before = contents(redis_server)
    rows = [row(), row(unique_key="key", tags=("t",)), row(delay=HOUR), row(priority=3)]
    redis_server.configure("maxmemory", FULL)

    with pytest.raises(StoreUnavailable, match="memory"):
        store.insert(rows)

    assert contents(redis_server) == before
    assert store.get([each.id for each in rows]) == [None] * len(rows)
    redis_server.configure("maxmemory", ROOM)
    assert store.insert(rows).existing == {}, "no key is held by a job that never was"


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_job_that_runs_ends_without_room(store: Store, redis_server: RedisServer, ending: str) -> None:
    rows = [row(unique_key=f"key {number}", tags=("t",)) for number in range(20)]
    store.insert(rows)
    held = store.step(ANN, (), [ClaimRequest(20, lease=HOUR)]).claimed
    redis_server.configure("maxmemory", FULL)

    ends = [ENDINGS[ending](each) for each in held]
    assert store.step(ANN, ends, ()).lost == frozenset()

    states = Counter(each.state for each in store.get([each.id for each in rows]) if each)
    assert states == {ends[0].state: 20}
    assert store.counts()[ends[0].state] == 20


def test_what_frees_and_what_keeps_the_promises_goes_on_without_room(store: Store, redis_server: RedisServer) -> None:
    rows = [row() for _ in range(30)]
    store.insert(rows)
    held = store.step(ANN, (), [ClaimRequest(10, lease=HOUR)]).claimed
    lapsed = store.step(BEN, (), [ClaimRequest(5, lease=1)]).claimed
    redis_server.configure("maxmemory", FULL)

    more = store.step(ANN, (), [ClaimRequest(5, lease=HOUR)]).claimed
    assert len(more) == 5
    beats = [Beat(each.ref, each.id, each.claim, HOUR) for each in held]
    assert store.extend(ANN, beats) == [JobState.RUNNING] * len(held)
    assert len(store.rescue(retention=None, dead_retention=None)) == len(lapsed)
    taken = {each.id for each in (*held, *lapsed, *more)}
    waiting = [each.id for each in rows if each.id not in taken]
    store.cancel(waiting[:5], CANCELLABLE, retention=None)
    store.delete(waiting[:5], DELETABLE)
    assert store.get(waiting[:5]) == [None] * 5
    assert store.counts()[JobState.PENDING] == 10, "five that have been taken back among them"


@pytest.mark.timeout(120)
def test_a_memory_that_is_full_now_and_then_loses_nothing(
    redis_server: RedisServer, prefix: str, endure: Endure
) -> None:
    turns: list[str] = []

    def turn() -> None:
        turns.append(FULL if len(turns) % 2 == 0 else ROOM)
        redis_server.configure("maxmemory", turns[-1])

    def heal() -> None:
        redis_server.configure("maxmemory", ROOM)

    report = endure(
        redis_server.url(prefix=prefix), seconds=SECONDS, pauses=0, strikes=[Turn(turn, 0.2, 0.4)], heal=heal
    )
    assert turns.count(FULL) >= 3
    assert report.rescues == 0, "a lease was lost, though beats need no room"


def contents(server: RedisServer) -> dict[bytes, object]:
    """Every key there is, as the server would write it down."""
    return {key: server.run("DUMP", key) for key in server.run("KEYS", "*")}
