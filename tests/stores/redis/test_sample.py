"""`doctor` finds what does not agree among the keys, by all counts and a sample of the jobs, however many there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from uuid import UUID

import pytest

from millrace.conformance.bench import Bench
from millrace.ids import new_id
from millrace.messages import Finding, NewRow
from millrace.states import JobState
from millrace.stores.redis import RedisStore, ShardedRedisStore
from millrace.testing.clock import ManualClock
from tests.servers.redisspaces import RedisSpace

MANY = 12_000
LOOKS = 40  # scripts of one check, at most


@pytest.fixture
def clock() -> ManualClock:
    """The store's."""
    return ManualClock()


@pytest.fixture
def store(main_redis: RedisSpace, clock: ManualClock) -> Iterator[RedisStore]:
    """A store on an empty prefix."""
    with closing(RedisStore(main_redis.url(listen="off"), clock=clock)) as opened:
        yield opened


def told(found: Sequence[Finding]) -> Finding:
    """Return what is told of the keys."""
    (finding,) = (each for each in found if each.subject == "keys")
    return finding


def fill(store: RedisStore, number: int) -> list[bytes]:
    """Insert jobs with ids in order; return these."""
    ids = [each.to_bytes(16, "big") for each in range(1, number + 1)]
    for first in range(0, number, 1000):
        store.insert(
            [NewRow(id=id, task="work", queue="default", args=b"{}") for id in ids[first : first + 1000]],
        )
    return ids


def scripts_run(space: RedisSpace) -> int:
    """Count the scripts that the server has run by now."""
    stats = space.run("INFO", "commandstats")
    return sum(int(each["calls"]) for name, each in stats.items() if name in {"cmdstat_evalsha", "cmdstat_eval"})


def test_a_sound_store_is_told_to_be_so(store: RedisStore, clock: ManualClock) -> None:
    assert told(store.check()).level == "ok"
    bench = Bench(store, clock)
    for state in JobState:
        bench.bring(state, tags=("red",), unique_key=state.value)
    finding = told(store.check())
    assert finding.level == "ok"
    assert "the keys of 8 jobs of 8 agree" in finding.text


#: What one job has lost, or got too much.
DAMAGES: dict[str, Callable[[RedisSpace, bytes], object]] = {
    "a body is gone": lambda space, job: space.run("HDEL", space.key("body"), job),
    "a job is to be promoted": lambda space, job: space.run("ZADD", space.key("later"), 1, job),
    "a job stands too early in its line": lambda space, job: space.run("ZADD", *place_of(space, job)),
}


def place_of(space: RedisSpace, id: bytes) -> tuple[bytes, int, bytes]:
    """Return the line of a job, a wrong place in it, and how it stands there."""
    line = space.key(b"line:default\0work")
    return line, 1, next(member for member in space.run("ZRANGE", line, 0, -1) if member.endswith(id))


@pytest.mark.parametrize("place", [0, 199, 200, 1234, 1999])
@pytest.mark.parametrize("damage", DAMAGES)
def test_of_few_jobs_each_is_looked_at(main_redis: RedisSpace, store: RedisStore, damage: str, place: int) -> None:
    ids = fill(store, 2000)
    DAMAGES[damage](main_redis, ids[place])
    finding = told(store.check())
    assert (finding.level, "our keys do not agree" in finding.text) == ("error", True)
    assert "copy" in finding.text
    if damage == "a job stands too early in its line":
        assert str(UUID(bytes=ids[place])) in finding.text


def test_of_many_jobs_a_sample_is_looked_at_and_every_count(main_redis: RedisSpace, store: RedisStore) -> None:
    ids = fill(store, MANY)
    before = scripts_run(main_redis)
    finding = told(store.check())
    assert finding.level == "ok"
    assert f"2,000 jobs of {MANY:,} agree" in finding.text
    assert scripts_run(main_redis) - before <= LOOKS
    for id in (ids[0], ids[-1]):  # the oldest and the newest are always among them
        line, _, member = place_of(main_redis, id)
        score = main_redis.run("ZSCORE", line, member)
        main_redis.run("ZADD", line, 1, member)
        assert str(UUID(bytes=id)) in told(store.check()).text
        main_redis.run("ZADD", line, score, member)
    assert told(store.check()).level == "ok"
    main_redis.run("HINCRBY", main_redis.key("counts"), "1:default", 1)
    assert "pending in default" in told(store.check()).text


def test_what_has_befallen_many_jobs_is_found_by_the_sample(main_redis: RedisSpace, store: RedisStore) -> None:
    ids = set(fill(store, MANY)[300:-300])  # those of which none is sure to be looked at
    line = main_redis.key(b"line:default\0work")
    members = [member for member in main_redis.run("ZRANGE", line, 0, -1) if member[2:] in ids]
    for first in range(0, len(members), 1000):
        main_redis.run("ZADD", line, *[word for member in members[first : first + 1000] for word in (1, member)])
    finding = told(store.check())
    assert finding.level == "error"
    assert "stands in its line at 1 instead of" in finding.text


def test_where_queues_are_spread_the_queue_is_named(main_redis: RedisSpace) -> None:
    with closing(ShardedRedisStore(main_redis.url(shard="queue", listen="off"))) as store:
        store.insert([NewRow(id=new_id(), task="work", queue=queue, args=b"{}") for queue in ("mail", "report")])
        assert told(store.check()).level == "ok"
        main_redis.run("HINCRBY", f"{{{main_redis.prefix}/report}}:counts", "1:report", 1)
        finding = told(store.check())
    assert finding.level == "error"
    assert finding.text.startswith("queue 'report': our keys do not agree")
