"""Every SQL constant goes by the index it was written for, whatever the planner is told about the tables.

On 50,000 jobs in all states and a million delayed ones of a high priority: with no statistics, with those of a real
ANALYZE, and with those of another time, when the tables were small.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator

import pytest

from millrace.stores.sqlite.schema import TABLES
from tests.stores.sqlite.verbs.constants import constants, filled, marks

MIXED = 50_000
DELAYED = 1_000_000

# Jobs of eight states in turn, a hundred lanes, some keys, ends and leases; then the delayed ones, due later.
FILL = """INSERT INTO jobs(id,uid,lane,state,priority,due,created,max_attempts,lease,expires,unique_key,args)
 WITH RECURSIVE counted(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM counted WHERE n<?1)
 SELECT n, CAST(printf('%016d', n) AS BLOB), 1 + n % 100, n % 8, n % 3, n, n, 5, CASE WHEN n % 8 IN (3, 4) THEN n END,
 CASE WHEN n % 8 > 4 THEN n END, CASE WHEN n % 50 = 0 THEN 'key' || n END, x'7b7d' FROM counted"""
DELAY = """INSERT INTO jobs(id,uid,lane,state,priority,due,created,max_attempts,args)
 WITH RECURSIVE counted(n) AS (SELECT ?1 + 1 UNION ALL SELECT n+1 FROM counted WHERE n<?1+?2)
 SELECT n, CAST(printf('%016d', n) AS BLOB), 1 + n % 100, 0, 100, n * 1000, n, 5, x'7b7d' FROM counted"""
BESIDE = (
    "INSERT INTO lanes(id,queue,task) SELECT id, 'queue' || id % 10, 'task' || id FROM jobs WHERE id<=100",
    "INSERT INTO attempts(job,claim,attempt,finished,outcome) SELECT id,1,1,id,'failed' FROM jobs WHERE id<20000",
    "INSERT INTO errors(job,type,text) SELECT id,'Broken','Broken: x' FROM jobs WHERE id<20000",
    "INSERT INTO results(job,value) SELECT id,x'31' FROM jobs WHERE id<20000",
    "INSERT INTO logs(job,claim,attempt,at,level,message) SELECT id,1,1,1,20,'hello' FROM jobs WHERE id<20000",
    "INSERT INTO tags(tag,job) SELECT 'tag' || id % 10, id FROM jobs WHERE id<20000",
)

# The index of `jobs` that each constant must use; by number is its INTEGER PRIMARY KEY. Not named: not on `jobs`.
BY_NUMBER = "INTEGER PRIMARY KEY"
EXPECTED = {
    "attempts.HELD": BY_NUMBER,
    "claim.BESIDE": BY_NUMBER,
    "claim.LOOK": "COVERING INDEX jobs_due",
    "claim.MARK": BY_NUMBER,
    "claim.NEXT_DUE": "COVERING INDEX jobs_due",
    "claim.PROMOTE": f"COVERING INDEX jobs_due (due<?), {BY_NUMBER}",
    "counting.BY_LANE": "COVERING INDEX jobs_due (due>?), INDEX jobs_lease (lease>?), INDEX jobs_pending (lane>?)",
    "counting.COUNTS": "COVERING INDEX jobs_due (due>?), INDEX jobs_lease (lease>?), INDEX jobs_pending (lane>?)",
    "counting.COUNTS_OF_QUEUE": (
        "COVERING INDEX jobs_due (due>?), INDEX jobs_lease (lease>?), INDEX jobs_pending (lane=?)"
    ),
    "counting.DEPTH": "COVERING INDEX jobs_due (due<?), INDEX jobs_pending (lane>?)",
    "counting.DEPTH_OF_QUEUE": "COVERING INDEX jobs_due (due<?), INDEX jobs_pending (lane=?)",
    "counting.WAITING": "COVERING INDEX jobs_due (due<?), INDEX jobs_pending (lane>?)",
    "finish.COMPLETE": BY_NUMBER,
    "finish.COMPLETE_AWAY": BY_NUMBER,
    "finish.COMPLETE_CAREFULLY": BY_NUMBER,
    "finish.END": BY_NUMBER,
    "insert.BODIES": "COVERING INDEX jobs_uid (uid=?)",
    "insert.TAGS": "COVERING INDEX jobs_uid (uid=?)",
    "insert.THERE": "INDEX jobs_uid (uid=?)",
    "leases.CANCELLING": "INDEX jobs_lease (lease>?)",
    "leases.EXTEND": BY_NUMBER,
    "leases.FIRST_LEASE": "COVERING INDEX jobs_lease (lease>?)",
    "leases.HELD": BY_NUMBER,
    "leases.KEEP_UNTIL": BY_NUMBER,
    "leases.RESCUE": f"COVERING INDEX jobs_lease (lease<?), {BY_NUMBER}",
    "listing.ACTIVE_ONES": "INDEX jobs_lease (lease>?)",
    "listing.BELOW": BY_NUMBER,
    "listing.BY_ERROR": BY_NUMBER,
    "listing.BY_KEY": "INDEX jobs_key (unique_key=?)",
    "listing.BY_TAG": BY_NUMBER,
    "listing.DEAD": "INDEX jobs_dead (id<?)",
    "listing.PENDING": "INDEX jobs_pending (lane>?)",
    "listing.WAITING_ONES": "INDEX jobs_due (due>?)",
    "listing.WINDOW": BY_NUMBER,
    "remove.DELETE_JOBS": BY_NUMBER,
    "remove.KEEP_NUMBER": BY_NUMBER,
    "retention.ABOVE": BY_NUMBER,
    "retention.EXPIRED": "INDEX jobs_expires (expires<?)",
    "retention.FIRST_END": "COVERING INDEX jobs_expires (expires>?)",
    "retention.MADE": BY_NUMBER,
    "retention.OLD": BY_NUMBER,
    "retention.STILL_OLD": BY_NUMBER,
    "rows.HOLDERS": "INDEX jobs_key (unique_key=?)",
    "rows.ROWS_BY_ID": BY_NUMBER,
    "rows.ROWS_BY_UID": "INDEX jobs_uid (uid=?)",
    "turns.ACTIVE": "COVERING INDEX jobs_lease (lease>?)",
    "turns.ANY": "INDEX jobs_pending (lane=?)",
    "turns.HEADS": "INDEX jobs_pending (lane=?)",
    "turns.LIVE": "INDEX jobs_pending, INDEX jobs_pending (lane>?)",
    "verbs.ASK_TO_CANCEL": BY_NUMBER,
    "verbs.CANCEL": BY_NUMBER,
    "verbs.NEW_ARGS": BY_NUMBER,
    "verbs.NEW_BODIES": BY_NUMBER,
    "verbs.RESCHEDULE": BY_NUMBER,
    "verbs.RETRY": BY_NUMBER,
}


def made(mixed: int, delayed: int) -> sqlite3.Connection:
    """Make a file of so many jobs, in memory."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for statement in TABLES:
        connection.execute(statement.format(p=""))
    connection.execute(FILL, (mixed,))
    if delayed:
        connection.execute(DELAY, (mixed, delayed))
    for statement in BESIDE:
        connection.execute(statement)
    return connection


@pytest.fixture(scope="module")
def full() -> Iterator[sqlite3.Connection]:
    connection = made(MIXED, DELAYED)
    yield connection
    connection.close()


def plan(connection: sqlite3.Connection, template: str) -> list[str]:
    """Give the lines of a statement's plan."""
    text = filled(template, prefix="")
    return [line for _, _, _, line in connection.execute(f"EXPLAIN QUERY PLAN {text}", [None] * marks(text))]


def ways(lines: list[str]) -> str:
    """Give how the plan comes to `jobs`: each way once, in order of name."""
    found = {match[1] for line in lines if (match := re.match(r"\w+ jobs(?: AS \w+)? USING (.*)", line))}
    return ", ".join(sorted(re.sub(r"(PRIMARY KEY) \(.*\)", r"\1", way) for way in found))


def check_all(connection: sqlite3.Connection) -> None:
    """Hold the plan of every constant against what is expected of it."""
    plans = {name: plan(connection, template) for name, template in constants()}
    scans = [f"{name}: {line}" for name, lines in plans.items() for line in lines if re.match(r"SCAN jobs\b", line)]
    assert scans == []
    assert {name: way for name, lines in plans.items() if (way := ways(lines))} == EXPECTED


def test_every_statement_goes_by_its_index_without_statistics(full: sqlite3.Connection) -> None:
    check_all(full)


def test_every_statement_goes_by_its_index_after_analyze(full: sqlite3.Connection) -> None:
    full.execute("ANALYZE")
    check_all(full)


@pytest.mark.parametrize("jobs", [1, 3, 8, 20, 100, 1000])
def test_every_statement_goes_by_its_index_by_statistics_from_when_the_file_was_small(
    full: sqlite3.Connection, jobs: int
) -> None:
    young = made(jobs, 0)
    young.execute("ANALYZE")
    statistics = young.execute("SELECT tbl, idx, stat FROM sqlite_stat1").fetchall()
    young.close()
    full.execute("ANALYZE")
    full.execute("DELETE FROM sqlite_stat1")
    full.executemany("INSERT INTO sqlite_stat1 VALUES(?,?,?)", statistics)
    full.execute("ANALYZE sqlite_schema")  # makes the connection read them anew
    check_all(full)


def test_each_list_of_the_claim_is_read_in_order_from_one_lane(full: sqlite3.Connection) -> None:
    from millrace.stores.sqlite.turns import HEADS

    lines = plan(full, HEADS.replace("{ids}", "?"))

    assert lines == ["SEARCH jobs USING INDEX jobs_pending (lane=?)"]
