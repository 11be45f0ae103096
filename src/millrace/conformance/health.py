"""Examples of a store as a thing: its name, its clock, its hints, its health, its end."""

from __future__ import annotations

import threading

import pytest

from millrace.clock import SECOND
from millrace.conformance.bench import ANN, HOUR, Bench
from millrace.conformance.examples import Examples
from millrace.errors import StoreUnavailable
from millrace.messages import JobFilter
from millrace.states import DELETABLE, JobState
from millrace.store import Store

__all__ = ["HealthExamples"]

PATIENCE = 10.0  #: seconds that a hint may take on a busy machine; it only bounds the failure


class Ear:
    """Hears hints, from any thread."""

    def __init__(self) -> None:
        self._heard = threading.Event()

    def __call__(self) -> None:
        self._heard.set()

    def hears(self) -> bool:
        """Wait for a hint, then be ready for the next."""
        heard = self._heard.wait(PATIENCE)
        self._heard.clear()
        return heard


class HealthExamples(Examples):
    """What a store tells of itself."""

    def test_a_store_names_itself(self, store: Store) -> None:
        assert "://" in store.url
        assert store.parallel_steps >= 1

    def test_a_store_goes_by_its_clock(self, bench: Bench, store: Store) -> None:
        assert store.now() == bench.now
        bench.later(12.5)
        assert store.now() == bench.now

    def test_a_stores_time_never_steps_back(self, bench: Bench, store: Store) -> None:
        before = store.now()
        bench.clock.move_to(before - HOUR)
        assert store.now() >= before
        assert bench.job(bench.add()).created >= before
        bench.clock.move_to(before + SECOND)
        assert store.now() == before + SECOND

    def test_a_new_store_has_nothing_to_migrate_twice(self, bench: Bench, store: Store) -> None:
        store.migrate()
        assert store.migrate() == []
        id = bench.add()
        assert store.migrate() == []
        assert bench.state(id) is JobState.PENDING

    def test_a_healthy_store_has_no_errors_to_tell(self, bench: Bench, store: Store) -> None:
        bench.add()
        findings = store.check()
        assert {finding.level for finding in findings} <= {"ok", "note", "warning"}
        assert all(finding.subject and finding.text for finding in findings)

    def test_a_closed_store_refuses_every_verb(self, bench: Bench, store: Store) -> None:
        bench.add()
        store.close()
        for verb in (
            lambda: store.insert([bench.row()]),
            lambda: store.step(ANN, (), ()),
            lambda: store.get([]),
            lambda: store.page(JobFilter(), limit=1),
            store.counts,
        ):
            with pytest.raises(StoreUnavailable):
                verb()

    def test_closing_twice_is_no_error(self, bench: Bench, store: Store) -> None:
        bench.add()
        store.close()
        store.close()

    def test_a_store_that_was_never_used_closes(self, store: Store) -> None:
        store.close()

    # -- hints

    def test_watchers_hear_of_new_jobs(self, bench: Bench, store: Store) -> None:
        ear = Ear()
        watch = store.watch(ear)
        bench.add()
        assert ear.hears()
        bench.add(delay=HOUR)
        assert ear.hears()
        watch.close()

    def test_watchers_hear_of_jobs_that_may_be_claimed_again(self, bench: Bench, store: Store) -> None:
        bench.add_some(2)
        released, lost = bench.claim()
        ear = Ear()
        watch = store.watch(ear)
        bench.end("released", released)
        assert ear.hears()
        bench.lose(lost)
        assert ear.hears()
        store.pause("default", paused=True)
        store.pause("default", paused=False)
        assert ear.hears()
        watch.close()

    def test_watchers_hear_of_changes(self, bench: Bench, store: Store) -> None:
        bench.add_some(2)
        first, second = bench.claim()
        ear = Ear()
        watch = store.watch(ear)
        bench.cancel(first.id)
        assert ear.hears()
        bench.end("completed", second)
        assert ear.hears()
        store.delete([second.id], DELETABLE)
        assert ear.hears()
        watch.close()

    def test_every_watcher_hears_and_a_closed_one_hears_no_more(self, bench: Bench, store: Store) -> None:
        first, second = Ear(), Ear()
        one, two = store.watch(first), store.watch(second)
        bench.add()
        assert (first.hears(), second.hears()) == (True, True)
        one.close()
        calls: list[int] = []
        three = store.watch(lambda: calls.append(1))
        three.close()
        one.close()
        bench.add()
        assert second.hears()
        assert calls == []
        two.close()
