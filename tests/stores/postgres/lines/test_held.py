"""What workers hold: replies that were lost put outcomes in doubt and claims astray, and nothing else is touched."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import msgspec
import pytest

from millrace.clock import SECOND
from millrace.conformance.bench import Bench
from millrace.errors import StoreUnavailable
from millrace.job import JobRow
from millrace.messages import ClaimRequest, StepAnswer
from millrace.outcome import Outcome
from millrace.records import WorkerRow
from millrace.states import JobState
from millrace.stores import held as holding
from millrace.stores.held import ENOUGH, Held, WorkerHold
from millrace.stores.postgres import PostgresStore, from_url
from millrace.testing.clock import ManualClock
from tests.servers.cluster import Cluster
from tests.servers.proxy import Proxy
from tests.stores.postgres.lines.conftest import until

WORKER = 7
CLAIM = [ClaimRequest(10, lease=3600 * SECOND)]


def row(number: int) -> JobRow:
    return JobRow(ref=0, id=bytes([number] * 16), task="work", queue="default", args=b"{}", claim=1)


def outcome(number: int) -> Outcome:
    return Outcome.completed(row(number), None, retention=None)


def refuse(_: Sequence[bytes]) -> None:
    pytest.fail("nothing is astray")


def noting(into: list[list[bytes]]) -> Callable[[Sequence[bytes]], None]:
    """Make a way to give back that notes what the worker is said to hold."""
    return lambda held: into.append(sorted(held))


def test_what_was_answered_is_held_until_it_ends() -> None:
    hold, mended = WorkerHold(), list[list[bytes]]()
    with hold.step(refuse):
        hold.answered([], StepAnswer(1, [row(1), row(2), row(3)]))
    with hold.step(refuse):
        hold.answered([outcome(1)], StepAnswer(1, [row(4)]))
    hold.forget(row(2).id, 1)
    hold.forget(row(3).id, 99)  # another claim of that job
    with hold.step(refuse):
        hold.unanswered([])
    with hold.step(noting(mended)):
        pass
    assert mended == [[row(3).id, row(4).id]]


def test_outcomes_whose_reply_was_lost_are_in_doubt_until_one_is_answered() -> None:
    hold = WorkerHold()
    assert not hold.doubts([outcome(1)])
    with hold.step(refuse):
        hold.unanswered([outcome(1), outcome(2)])
    assert hold.doubts([outcome(3), outcome(2)])
    assert not hold.doubts([outcome(3)])
    with hold.step(lambda _: None):
        hold.answered([outcome(2)], StepAnswer(1))
    assert not hold.doubts([outcome(2)])
    assert hold.doubts([outcome(1)])


def test_what_is_astray_is_given_back_once() -> None:
    hold, mended = WorkerHold(), list[list[bytes]]()
    with hold.step(refuse):
        hold.unanswered([])
    for _ in range(3):
        with hold.step(noting(mended)):
            pass
    assert mended == [[]]


def test_a_way_back_that_fails_is_tried_again() -> None:
    hold, mended = WorkerHold(), list[list[bytes]]()
    with hold.step(refuse):
        hold.unanswered([])

    def fail(_: Sequence[bytes]) -> None:
        raise StoreUnavailable("it is away")

    for _ in range(2):
        with pytest.raises(StoreUnavailable), hold.step(fail):
            pytest.fail("nothing may be claimed before")
    with hold.step(noting(mended)):
        pass
    assert mended == [[]]


def test_nothing_is_given_back_while_another_step_is_under_way() -> None:
    hold, mended = WorkerHold(), list[list[bytes]]()
    begun, go_on = threading.Event(), threading.Event()

    def long_step() -> None:
        with hold.step(refuse):
            begun.set()
            go_on.wait(10)
            hold.answered([], StepAnswer(1, [row(5)]))

    def mending_step() -> None:
        with hold.step(noting(mended)):
            pass

    first = threading.Thread(target=long_step)
    first.start()
    begun.wait(10)
    hold.unanswered([])
    others = [threading.Thread(target=mending_step) for _ in range(3)]
    for other in others:
        other.start()
    assert mended == []
    go_on.set()
    for thread in (first, *others):
        thread.join()
    assert mended == [[row(5).id]]


def test_what_has_ended_unheard_of_is_sifted_out_once_there_is_much() -> None:
    hold, asked, mended = WorkerHold(), list[int](), list[list[bytes]]()
    rows = [
        JobRow(ref=0, id=number.to_bytes(16, "big"), task="work", queue="q", args=b"", claim=1)
        for number in range(9000)
    ]
    crowded: list[bool] = []
    for some in (rows[:ENOUGH], rows[ENOUGH:]):
        with hold.step(refuse):
            hold.answered([], StepAnswer(1, some))
        crowded.append(hold.crowded)

    def still(ids: Sequence[bytes]) -> list[bytes]:
        asked.append(len(ids))
        hold.answered([], StepAnswer(1, [msgspec.structs.replace(rows[5], claim=2)]))  # claimed again meanwhile
        return [rows[3].id, rows[4].id]

    hold.sift(still)
    crowded.append(hold.crowded)
    assert asked == [9000]
    assert crowded == [False, True, False]
    with hold.step(refuse):
        hold.unanswered([])
    with hold.step(noting(mended)):
        pass
    assert mended == [[rows[3].id, rows[4].id, rows[5].id]]


def test_only_registered_workers_have_a_record() -> None:
    held = Held()
    assert held.of(1) is None
    assert (held.begin(1), held.begin(1)) == (True, False)
    assert held.of(1) is not None
    assert (held.end(1), held.end(1)) == (True, False)
    assert held.of(1) is None


# -- on a server


@pytest.fixture
def bench(cluster: Cluster) -> Bench:
    """A store of its own schema, to look at what another one has done."""
    clock = ManualClock()
    return Bench(from_url(cluster.url(schema="held"), clock=clock), clock)


class Open(PostgresStore):
    """A store that shows what it takes its worker to hold."""

    def ids_held(self) -> list[bytes]:
        """Return the ids of the jobs."""
        hold, ids = self._home.held.of(WORKER), list[bytes]()
        assert hold is not None

        def note(asked: Sequence[bytes]) -> Sequence[bytes]:
            ids.extend(asked)
            return asked

        hold.sift(note)
        return sorted(ids)


def begun(cluster: Cluster, proxy: Proxy, bench: Bench) -> Open:
    """A registered worker's store behind a proxy."""
    cluster.run("drop schema if exists held cascade")
    # Not prepared first, so that the first reply which is cut is that of the statement itself.
    store = Open(cluster.url(port=proxy.port, schema="held", prepare="off"), clock=bench.clock)
    store.register(WorkerRow(WORKER, "w", 0, 0, b"{}"))
    for _ in range(4):  # each of its connections is open by then, as they take turns
        store.pause("open", paused=False)
    return store


def test_jobs_whose_claim_was_lost_are_given_back_and_what_is_held_is_kept(cluster: Cluster, bench: Bench) -> None:
    with Proxy(cluster.port) as proxy:
        store = begun(cluster, proxy, bench)
        held = bench.add()
        assert [each.id for each in store.step(WORKER, (), CLAIM).claimed] == [held]
        lost = bench.add_some(3)
        other = bench.add(queue="other")
        assert bench.take(5, queues=("other",)).id == other
        proxy.turn("cutting")
        with pytest.raises(StoreUnavailable):
            store.step(WORKER, (), CLAIM)
        proxy.turn("well")
        until(lambda: bench.states(lost) == [JobState.RUNNING] * 3)
        answer = store.step(WORKER, (), CLAIM)
        assert sorted(each.id for each in answer.claimed) == sorted(lost)
        assert {(each.attempt, each.claim) for each in answer.claimed} == {(1, 2)}
        assert bench.job(held).claim == 1
        assert bench.job(other).worker == 5
        store.close()
        bench.store.close()


def test_a_store_keeps_no_record_of_jobs_that_ended_in_their_own_transactions(
    cluster: Cluster, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holding, "ENOUGH", 3)
    with Proxy(cluster.port) as proxy:
        store = begun(cluster, proxy, bench)
        bench.add_some(8)
        first, *rest = store.step(WORKER, (), CLAIM).claimed
        with cluster.connect() as own:
            for each in rest:
                with own.transaction():
                    assert store.finish_on(own, WORKER, Outcome.completed(each, None, retention=None))
        later = bench.add_some(20)
        for _ in range(2):
            store.step(WORKER, (), CLAIM)
        assert store.ids_held() == sorted([first.id, *later])
        store.close()
        bench.store.close()


def test_an_outcome_whose_reply_was_lost_is_sent_again_and_is_not_taken_for_lost(
    cluster: Cluster, bench: Bench
) -> None:
    with Proxy(cluster.port) as proxy:
        store = begun(cluster, proxy, bench)
        id = bench.add()
        (claimed,) = store.step(WORKER, (), CLAIM).claimed
        outcomes = [Outcome.completed(claimed, b'"done"', retention=None)]
        proxy.turn("cutting")
        with pytest.raises(StoreUnavailable, match="unknown"):
            store.step(WORKER, outcomes, ())
        proxy.turn("well")
        until(lambda: bench.state(id) is JobState.COMPLETED)
        assert store.step(WORKER, outcomes, ()).lost == frozenset()
        assert store.step(WORKER, outcomes, ()).lost == {0}
        store.close()
        bench.store.close()


def test_an_insert_whose_reply_was_lost_is_made_once_and_told_as_made(cluster: Cluster, bench: Bench) -> None:
    with Proxy(cluster.port) as proxy:
        store = begun(cluster, proxy, bench)
        rows = [bench.row(), bench.row(unique_key="k")]
        proxy.turn("cutting")

        def heal() -> None:
            until(lambda: proxy.hits)
            proxy.turn("well")

        healer = threading.Thread(target=heal)
        healer.start()
        assert store.insert(rows).existing == {}
        healer.join()
        assert [bench.state(each.id) for each in rows] == [JobState.PENDING] * 2
        store.close()
        bench.store.close()
