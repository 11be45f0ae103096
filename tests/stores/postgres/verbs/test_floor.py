"""The claim floor comes on by itself where a claim is slow for what it helps against, and hides nothing for long."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg
import pytest

from millrace.conformance.bench import ANN, KEPT, Bench
from millrace.job import JobRow
from millrace.messages import ClaimRequest, QueueSettings
from millrace.outcome import Outcome
from millrace.states import JobState
from millrace.stores.postgres.claim import FLOORED, MANY, ONE
from millrace.stores.postgres.connection import Connection
from millrace.stores.postgres.floor import Depth, Floor
from tests.servers.databases import Database
from tests.stores.postgres.verbs.conftest import OpenStore, fill, until

DEAD_ROWS = "select n_dead_tup from pg_stat_all_tables where relid = %s::regclass"
SLOW, FAST = 0.5, 0.001  # seconds
REQUEST = ClaimRequest(10, ("q",))
AT_FLOOR = Depth(0)


Session = psycopg.Connection[Any]


class Watch:
    """A stop-watch that a test moves."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def told(*dues: int, took: float = FAST, priority: int = 0, queue: str = "q") -> list[tuple[Any, ...]]:
    """Make rows as a claim tells them."""
    return [(-priority, due, b"", queue, *[None] * 18, took) for due in dues]


class Evidence:
    """A session that answers the floor's one question."""

    def __init__(self, dead: int = 0, unknown: int = 0) -> None:
        self.answer = dead, unknown
        self.asked = 0

    def rows(self, template: str, args: Mapping[str, Any]) -> list[Any]:
        assert "n_dead_tup" in template
        assert args["queue"] == "q"
        self.asked += 1
        return [self.answer]


def learn(floor: Floor, rows: list[tuple[Any, ...]], evidence: Evidence, depth: Depth | None = None) -> None:
    floor.note(REQUEST, rows, depth, SLOW)
    floor.look(evidence)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def places(floor: Floor, *queues: str) -> dict[str, list[Any]] | None:
    """Where claims begin that are not the turn of any depth; None where it is the turn of a full one."""
    found = floor.places(queues or None)
    while found is not None and found[1].back:
        found[1].took(1e9, 0.0)
        found = floor.places(queues or None)
    return None if found is None else {name: list(array.items) for name, array in found[0].items()}


# -- when it is on


def test_fast_claims_have_no_floor_and_ask_nothing() -> None:
    floor, evidence = Floor(Watch()), Evidence(dead=10**9)
    for due in range(5):
        learn(floor, told(due), evidence)
    assert (floor.on, places(floor), evidence.asked) == (False, None, 0)


def test_a_slow_claim_without_a_reason_to_be_seen_has_none_either() -> None:
    watch = Watch()
    floor, evidence = Floor(watch), Evidence(dead=19_999, unknown=3_999)
    for due in range(5):
        learn(floor, told(due, took=SLOW), evidence)
    assert (floor.on, evidence.asked) == (False, 1)  # asked at most once a second
    watch.seconds += 1
    learn(floor, told(9, took=SLOW), evidence)
    assert evidence.asked == 2


@pytest.mark.parametrize("evidence", [Evidence(dead=20_000), Evidence(unknown=4_000)], ids=["dead", "unknown"])
def test_a_slow_claim_for_a_reason_sets_the_floor_where_it_ended(evidence: Evidence) -> None:
    floor = Floor(Watch())
    learn(floor, told(5, 9, 7, took=SLOW), evidence)
    assert places(floor) == {"names": ["q"], "priorities": [0], "floors": [9]}
    learn(floor, told(12, *[10] * 9), evidence, AT_FLOOR)
    assert places(floor) == {"names": ["q"], "priorities": [0], "floors": [12]}


def test_each_queue_and_priority_has_a_floor_and_the_higher_priority_comes_first() -> None:
    floor, evidence = Floor(Watch()), Evidence(dead=10**6)
    learn(floor, told(1, took=SLOW) + told(2, priority=7) + told(3, priority=-7) + told(4, queue="r"), evidence)
    assert places(floor, "q") == {"names": ["q"] * 3, "priorities": [7, 0, -7], "floors": [2, 1, 3]}
    assert places(floor) == {"names": ["q"] * 3 + ["r"], "priorities": [7, 0, -7, 0], "floors": [2, 1, 3, 4]}
    assert places(floor, "unheard of") is None


def test_a_full_claim_comes_after_a_second_or_twenty_times_what_the_last_took() -> None:
    watch = Watch()
    floor, evidence = Floor(watch), Evidence(dead=10**6)
    learn(floor, told(1, took=0.01), evidence)
    watch.seconds += 0.99
    assert places(floor) is not None
    watch.seconds += 0.02
    assert places(floor) is None
    learn(floor, told(2, took=SLOW), evidence)
    watch.seconds += 9.99
    assert places(floor) is not None
    watch.seconds += 0.02
    assert places(floor) is None


def test_a_full_claim_that_is_fast_again_ends_it() -> None:
    watch = Watch()
    floor, evidence = Floor(watch), Evidence(dead=10**6)
    learn(floor, told(1, took=SLOW), evidence)
    watch.seconds += 11
    learn(floor, told(2, took=FAST), evidence)
    assert (floor.on, places(floor)) == (False, None)


def test_claims_of_each_depth_come_after_twenty_times_what_the_last_took() -> None:
    """The deepest first; here each takes a tenth of a second for each minute, second or quarter that it looks back."""
    watch = Watch()
    floor, evidence = Floor(watch), Evidence(dead=10**6)
    learn(floor, told(10**9, took=SLOW), evidence)
    seen: list[int] = []
    for _ in range(100):
        found = floor.places(None)
        assert found is not None
        args, depth = found
        assert depth.back is not None
        assert list(args["floors"].items) == [10**9 - depth.back]
        seen.append(depth.back)
        floor.note(REQUEST, [], depth, {60_000_000: 0.1, 4_000_000: 0.02, 250_000: 0.004, 0: 0.001}[depth.back])
        watch.seconds += 0.04
    assert seen[:4] == [60_000_000, 4_000_000, 250_000, 0]
    assert [seen.count(back) for back in (60_000_000, 4_000_000, 250_000, 0)] == [2, 10, 48, 40]


def test_while_one_claim_is_full_the_others_begin_at_their_floors() -> None:
    watch = Watch()
    floor, evidence = Floor(watch), Evidence(dead=10**6)
    learn(floor, told(1, took=SLOW), evidence)
    watch.seconds += 60
    assert places(floor) is None
    assert places(floor) is not None
    learn(floor, [], evidence)  # and one that finds nothing is not asked again at once
    assert places(floor) is not None


def test_too_many_floors_are_given_up() -> None:
    floor, evidence = Floor(Watch()), Evidence(dead=10**6)
    learn(floor, told(1, took=SLOW), evidence)
    for priority in range(300):
        learn(floor, told(1, priority=priority), evidence, AT_FLOOR)
    assert not floor.on


# -- on a server


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def floored(store: OpenStore, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Claims of the store see a floor wherever they end; tell of each claim whether it began there.

    None begins before its floor, but for those at the front.
    """
    monkeypatch.setattr("millrace.stores.postgres.floor._BACKS", ())
    floor = store.claims.floor = Floor(watch)
    floor.on = True
    monkeypatch.setattr("millrace.stores.postgres.floor._SLOW", -1.0)  # each full claim is slow
    seen: list[bool] = []
    whole = store.texts.plain(FLOORED)
    rows = Connection.rows

    def watched(self: Connection, text: str, args: Mapping[str, Any]) -> list[Any]:
        if "set state = 2" in text:
            seen.append(text == whole)
        return rows(self, text, args)

    monkeypatch.setattr(Connection, "rows", watched)
    return seen


def take(bench: Bench, limit: int = 2) -> list[JobRow]:
    return bench.claim(ANN, limit)


def test_claims_go_on_from_the_floor_in_order(bench: Bench, floored: list[bool]) -> None:
    ids = [id for _ in range(4) for id in bench.add_some(3)]
    claimed = [row.id for _ in range(6) for row in take(bench)]
    assert claimed == ids
    assert floored == [False] + [True] * 5


def test_the_higher_priority_comes_first_from_the_floors_too(bench: Bench, floored: list[bool]) -> None:
    high, low = bench.add_some(4, priority=3), bench.add_some(4)
    assert [row.id for row in bench.claim(ANN, 5)] == high + low[:1]
    more = bench.add_some(1, priority=3)
    assert [row.id for row in take(bench)] == more + low[1:2]
    assert floored == [False, True]


@pytest.mark.parametrize("how", ["late commit", "release", "retry", "reschedule", "another queue", "another priority"])
def test_what_comes_behind_the_floor_is_found_by_the_next_full_claim(
    bench: Bench, store: OpenStore, watch: Watch, floored: list[bool], how: str
) -> None:
    bench.add_some(1, due=bench.now - 50)
    (early,) = take(bench, 1)
    ended = bench.add(due=bench.now - 40)
    bench.end("dead", take(bench, 1)[0])
    bench.add_some(10)
    assert len(take(bench)) == 2
    match how:
        case "late commit":
            behind = bench.add(due=bench.now - 60)
        case "release":
            behind = early.id
            bench.end("released", early)
        case "retry":
            behind = ended
            store.retry([ended], frozenset({JobState.DEAD}), now=bench.now - 30)
        case "reschedule":
            behind = bench.add(due=bench.now + 10**9)
            store.reschedule([behind], frozenset({JobState.SCHEDULED}), due=bench.now - 20)
        case "another queue":
            behind = bench.add(queue="another")
        case _:
            behind = bench.add(priority=9)
    assert behind not in {row.id for row in take(bench)}
    watch.seconds += 60
    assert behind in {row.id for row in take(bench)}
    assert floored[-2:] == [True, False]


def test_an_empty_answer_from_the_floor_is_asked_again_within_a_second(
    bench: Bench, watch: Watch, floored: list[bool]
) -> None:
    bench.add_some(2)
    assert len(take(bench)) == 2
    behind = bench.add(due=1)
    assert take(bench) == []
    watch.seconds += 1.1
    assert [row.id for row in take(bench)] == [behind]
    assert floored == [False, True, False]


def test_what_came_late_is_found_by_claims_that_look_back(
    bench: Bench, store: OpenStore, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("millrace.stores.postgres.floor._SLOW", -1.0)
    floor = store.claims.floor = Floor(watch)
    floor.on = True
    bench.add_some(20)
    assert len(take(bench)) == 2
    late = bench.add(due=bench.now - 1_000_000)  # within four seconds, and not the first
    later = bench.add(due=bench.now - 100_000)
    watch.seconds += 0.5  # a full claim is not due
    assert floor.holds
    assert [row.id for row in take(bench)] == [late, later]


def test_what_falls_due_is_found_from_the_floor(bench: Bench, floored: list[bool]) -> None:
    bench.add_some(2)
    assert len(take(bench)) == 2
    later = bench.add(due=bench.now + 50)
    assert take(bench) == []
    bench.later(100)
    assert [row.id for row in take(bench)] == [later]
    assert True in floored


def test_what_falls_due_does_not_cost_a_full_claim_its_turn(bench: Bench, watch: Watch, floored: list[bool]) -> None:
    """Its guard fails, and what is claimed after the promotion begins at the front as well."""
    bench.add_some(6)
    assert len(take(bench)) == 2
    behind, later = bench.add(due=bench.now - 60), bench.add(due=bench.now + 50)
    assert behind not in {row.id for row in take(bench)}
    watch.seconds += 60
    bench.later(100)
    assert behind in {row.id for row in take(bench)}
    assert bench.state(later) is JobState.PENDING
    assert floored == [False, True, False, False]


def test_a_pause_and_a_limit_hold_from_the_floor_too(bench: Bench, store: OpenStore, floored: list[bool]) -> None:
    bench.add_some(20)
    other = bench.add_some(2, queue="other")
    assert len(bench.claim(ANN, 3)) == 3
    store.pause("default", paused=True)
    assert {row.id for row in bench.claim(ANN, 3)} <= set(other)
    assert take(bench) == []
    store.pause("default", paused=False)
    assert len(take(bench)) == 2
    assert True in floored


def test_dead_entries_at_the_front_are_passed_by_from_the_floor(
    bench: Bench, store: OpenStore, postgres: Database, other: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A snapshot held open keeps every version of a job; the evidence is the server's own count of them."""
    monkeypatch.setattr("millrace.stores.postgres.floor._SLOW", -1.0)
    ids = bench.add_some(30)
    other.execute("set transaction isolation level repeatable read")
    other.execute("select 1 from job limit 1")
    for _ in range(700):
        postgres.run("update {s}.job set rev = rev + 1")
    postgres.run("select pg_stat_force_next_flush()")
    until(lambda: postgres.run(DEAD_ROWS, f"{postgres.schema}.job")[0][0] >= 20_000)
    claimed = [row.id for _ in range(10) for row in bench.claim(limit=3, queues=("default",))]
    assert claimed == ids
    assert store.claims.floor.on


def test_a_run_of_unknown_tasks_at_the_front_is_passed_by_from_the_floor(
    bench: Bench, store: OpenStore, postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The evidence is the server's: most of the front is not for this worker."""
    monkeypatch.setattr("millrace.stores.postgres.floor._SLOW", -1.0)
    fill(postgres, 5_000, state=1, queue="default", due=5)
    ids = bench.add_some(30)
    known = frozenset({"work"})
    outcomes: list[Outcome] = []
    claimed: list[bytes] = []
    while rows := store.step(ANN, outcomes, [ClaimRequest(4, ("default",), known)]).claimed:
        outcomes = [Outcome.completed(row, None, retention=KEPT) for row in rows]
        claimed += [row.id for row in rows]
    assert claimed == ids
    assert store.claims.floor.on


# -- a queue that is alone


@pytest.fixture
def texts(store: OpenStore, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The kinds of claims that a store has run, of which none is slow."""
    monkeypatch.setattr("millrace.stores.postgres.floor._SLOW", 60.0)
    seen: list[str] = []
    kinds = {store.texts.plain(ONE): "one", store.texts.plain(MANY): "many"}
    rows = Connection.rows

    def watched(self: Connection, text: str, args: Mapping[str, Any]) -> list[Any]:
        if text in kinds:
            seen.append(kinds[text])
        return rows(self, text, args)

    monkeypatch.setattr(Connection, "rows", watched)
    return seen


def test_while_one_queue_alone_has_jobs_a_claim_of_all_goes_straight_to_it(bench: Bench, texts: list[str]) -> None:
    ids = bench.add_some(8)
    assert [row.id for _ in range(4) for row in take(bench)] == ids
    assert texts == ["many", "one", "one", "one"]


@pytest.mark.parametrize("queue", ["a queue before", "queues behind"])
def test_jobs_of_another_queue_are_seen_by_the_very_next_claim(bench: Bench, texts: list[str], queue: str) -> None:
    bench.add_some(8)
    take(bench)
    take(bench)
    other = bench.add(queue=queue)
    assert other in {row.id for row in take(bench)}
    assert texts == ["many", "one", "one", "many"]


@pytest.mark.usefixtures("texts")
def test_a_limit_on_a_queue_that_is_alone_holds(bench: Bench, store: OpenStore) -> None:
    bench.add_some(8)
    take(bench)
    take(bench)
    store.set_queue("default", QueueSettings(concurrency=5))
    assert len(take(bench, 8)) == 1
    store.set_queue("default", QueueSettings())
    store.pause("default", paused=True)
    assert take(bench) == []
