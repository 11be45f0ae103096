"""What a kept job writes to the write-ahead log, from its insert to its end: bytes are exact, on any machine."""

from __future__ import annotations

from millrace.conformance.bench import ANN, KEPT, Bench
from millrace.messages import ClaimRequest
from millrace.outcome import Outcome
from millrace.stores.postgres import PostgresStore
from tests.servers.databases import Database

MOST = 1500  # bytes
ARGS = b'{"user_id": 123456, "template": "welcome", "locale": "en", "vars": {"name": "Ada Lovelace", "n": 42}}'
BATCH, BATCHES = 100, 20


def test_a_kept_job_writes_less_than_1500_bytes_of_wal(bench: Bench, store: PostgresStore, postgres: Database) -> None:
    def flow(batches: int) -> None:
        outcomes: list[Outcome] = []
        for _ in range(batches):
            bench.add_some(BATCH, args=ARGS, task="mail.send")
            claimed = store.step(ANN, outcomes, [ClaimRequest(BATCH)]).claimed
            outcomes = [Outcome.completed(row, b'{"ok": true}', retention=KEPT) for row in claimed]
        assert store.step(ANN, outcomes, ()).lost == frozenset()

    flow(5)  # new pages, which are whole in the log after a checkpoint, are the tables' and not the jobs'
    (before,) = postgres.run("select pg_current_wal_insert_lsn()::text")
    flow(BATCHES)
    ((written,),) = postgres.run("select pg_current_wal_insert_lsn() - %s::pg_lsn", before[0])
    assert 0 < written / (BATCH * BATCHES) < MOST
