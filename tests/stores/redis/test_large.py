"""Of more jobs than one look takes, Redis tells what the memory store tells of the same jobs."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from millrace.clock import SECOND
from millrace.conformance.bench import ANN, ERROR, HOUR, KEPT, Bench
from millrace.conformance.reading import walk
from millrace.job import JobRow
from millrace.messages import ClaimRequest, JobFilter
from millrace.outcome import Outcome
from millrace.states import CANCELLABLE, DELETABLE, FINAL, JobState, Reason
from millrace.stores.memory import MemoryStore
from millrace.stores.redis import RedisStore
from millrace.testing.clock import ManualClock
from tests.servers.redisspaces import RedisSpace

JOBS = 4000
QUEUES = [f"queue {n}" for n in range(5)]
TASKS = [f"task {n}" for n in range(300)]


def fill(bench: Bench) -> None:
    """Make jobs in every state, of many queues and tasks; same seed, same jobs."""
    rng = random.Random(7)
    rows = [
        bench.row(
            queue=rng.choice(QUEUES), task=rng.choice(TASKS), priority=rng.randint(-2, 2),
            delay=rng.choice([0, 0, rng.randint(1, 20) * SECOND]), tags=rng.choice([(), ("red",), ("red", "blue")]),
            unique_key=f"key {n}" if n % 7 == 0 else None,
        )
        for n in range(JOBS)
    ]  # fmt: skip
    bench.store.insert(rows)
    claimed = bench.store.step(ANN, (), [ClaimRequest(1000, lease=HOUR)]).claimed
    endings: dict[int, Callable[[JobRow], Outcome]] = {
        0: lambda row: Outcome.failed(row, ERROR, delay=rng.randint(1, 20) * SECOND, retention=KEPT),
        1: lambda row: Outcome.dead(row, ERROR, reason=Reason.EXHAUSTED, retention=KEPT),
        2: lambda row: Outcome.completed(row, b"1", retention=rng.choice([KEPT, None])),
    }
    outcomes = [endings[n % 4](row) for n, row in enumerate(claimed) if n % 4 in endings]
    bench.store.step(ANN, outcomes, ())
    running = [row.id for n, row in enumerate(claimed) if n % 8 == 3]
    bench.store.cancel([*running, *(row.id for row in rows[::9])], CANCELLABLE, retention=KEPT)
    for row in rows[::11]:
        bench.store.reschedule([row.id], frozenset({JobState.PENDING}), due=bench.now - rng.randint(0, 9) * SECOND)


@pytest.fixture(scope="module")
def memory() -> Iterator[MemoryStore]:
    """The jobs in memory."""
    clock = ManualClock()
    with closing(MemoryStore(clock=clock)) as store:
        fill(Bench(store, clock))
        yield store


@pytest.fixture
def redis(memory: MemoryStore, each_redis: RedisSpace) -> Iterator[RedisStore]:
    """The same jobs on Redis."""
    with closing(RedisStore(each_redis.url(listen="off"), clock=ManualClock())) as store:
        cursor: str | None = None
        while True:
            page, cursor = memory.export(limit=500, cursor=cursor)
            store.restore(page)
            if cursor is None:
                break
        yield store


def filters() -> list[JobFilter]:
    """Make filters of every kind, alone and together."""
    rng = random.Random(11)
    states = [frozenset({state}) for state in JobState]
    states += [frozenset(rng.sample(list(JobState), rng.randint(2, 5))) for _ in range(20)]
    made = [JobFilter(), JobFilter(error=ERROR.type), JobFilter(tag="blue"), JobFilter(unique_key="key 0")]
    for some in states:
        made += [
            JobFilter(states=some),
            JobFilter(states=some, queue=rng.choice(QUEUES)),
            JobFilter(states=some, queue=rng.choice(QUEUES), task=rng.choice(TASKS[:9])),
            JobFilter(states=some, tag=rng.choice(["red", "blue", "none"])),
            JobFilter(states=some, unique_key=f"key {rng.randrange(JOBS // 7) * 7}"),
            JobFilter(states=some, error=ERROR.type, tag="red"),
        ]
    return made


def test_every_filter_finds_the_same_jobs_page_by_page(memory: MemoryStore, redis: RedisStore) -> None:
    for where in filters():
        for limit in (97, 1000):
            assert walk(redis, where, limit) == walk(memory, where, limit), where


def test_counts_and_queues_are_the_same(memory: MemoryStore, redis: RedisStore) -> None:
    assert redis.counts() == memory.counts()
    assert redis.queues() == memory.queues()


@pytest.mark.parametrize("ahead", [0, 10 * SECOND, HOUR])
def test_what_waits_is_the_same(memory: MemoryStore, redis: RedisStore, ahead: int) -> None:
    at = memory.now() + ahead
    assert redis.waiting(now=at) == memory.waiting(now=at)
    assert redis.depth(now=at) == memory.depth(now=at)
    assert [redis.depth(queue, now=at) for queue in QUEUES] == [memory.depth(queue, now=at) for queue in QUEUES]


def test_a_purge_passes_over_what_stays(memory: MemoryStore, redis: RedisStore) -> None:
    number = memory.counts()
    assert redis.purge(redis.now() + 1, frozenset({JobState.DEAD}), limit=5000) == number[JobState.DEAD]
    assert redis.purge(redis.now() + 1, FINAL, limit=5000) == number[JobState.COMPLETED] + number[JobState.CANCELLED]
    assert redis.purge(redis.now() + 1, FINAL, limit=5000) == 0
    assert sum(redis.counts().values()) == sum(number.values()) - sum(number[state] for state in FINAL)


def test_a_whole_walk_gives_the_same_jobs_back(memory: MemoryStore, redis: RedisStore) -> None:
    ids, _ = redis.select(JobFilter(), limit=1000)
    before = redis.get(ids)
    whole, _ = redis.export(limit=500)
    gone = [job.row.id for job in whole if redis.delete([job.row.id], DELETABLE)[0].changed]
    redis.restore(whole)
    assert len(gone) > 100
    assert redis.get(ids) == before
    assert redis.counts() == memory.counts()
