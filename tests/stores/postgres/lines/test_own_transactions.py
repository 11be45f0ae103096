"""Jobs that a handler ends in a transaction of its own: the store hears of none, and keeps no record of them."""

from __future__ import annotations

from contextlib import closing

import pytest

from millrace.clock import SECOND
from millrace.conformance.bench import Bench
from millrace.messages import ClaimRequest
from millrace.outcome import Outcome
from millrace.records import WorkerRow
from millrace.stores import held as holding
from millrace.testing.clock import ManualClock
from tests.servers.databases import Database
from tests.stores.lines.holding import PostgresHolding

WORKER = 7
CLAIM = [ClaimRequest(10, lease=3600 * SECOND)]


def test_a_store_keeps_no_record_of_jobs_that_ended_in_their_own_transactions(
    postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holding, "ENOUGH", 3)
    clock = ManualClock()
    with closing(PostgresHolding(postgres.url(), clock=clock)) as store:
        bench = Bench(store, clock)
        store.register(WorkerRow(WORKER, "w", 0, 0, b"{}"))
        bench.add_some(8)
        first, *rest = store.step(WORKER, (), CLAIM).claimed
        with postgres.connect() as own:
            for each in rest:
                with own.transaction():
                    assert store.finish_on(own, WORKER, Outcome.completed(each, None, retention=None))
        later = bench.add_some(20)
        for _ in range(2):
            store.step(WORKER, (), CLAIM)
        assert store.ids_held(WORKER) == sorted([first.id, *later])
