"""Every SQL constant goes by the index it was written for, whatever the planner is told about the tables.

On 50,000 jobs in all states and a million delayed ones of a high priority, and whatever ANALYZE has noted before the
file was opened: now, or when the tables were small.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from millrace.messages import QueueSettings
from millrace.stores.sqlite import SQLiteStore
from millrace.stores.sqlite.apswire import ApswConnection
from millrace.stores.sqlite.connection import Connection, Driver, StandardConnection
from millrace.stores.sqlite.migrations import STEPS
from millrace.stores.sqlite.statistics import forget_statistics
from tests.stores.sqlite.verbs.constants import constants, filled, marks

PREFIX = "millrace_"
MIXED = 50_000
DELAYED = 1_000_000

# Jobs of eight states in turn, a hundred lanes, some keys, ends and leases; then the delayed ones, due later.
FILL = """INSERT INTO millrace_jobs(id,uid,lane,state,priority,due,created,max_attempts,lease,expires,unique_key,args)
 WITH RECURSIVE counted(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM counted WHERE n<?1)
 SELECT n, CAST(printf('%016d', n) AS BLOB), 1 + n % 100, n % 8, n % 3, n, n, 5, CASE WHEN n % 8 IN (3, 4) THEN n END,
 CASE WHEN n % 8 > 4 THEN n END, CASE WHEN n % 50 = 0 THEN 'key' || n END, x'7b7d' FROM counted"""
DELAY = """INSERT INTO millrace_jobs(id,uid,lane,state,priority,due,created,max_attempts,args)
 WITH RECURSIVE counted(n) AS (SELECT ?1 + 1 UNION ALL SELECT n+1 FROM counted WHERE n<?1+?2)
 SELECT n, CAST(printf('%016d', n) AS BLOB), 1 + n % 100, 0, 100, n * 1000, n, 5, x'7b7d' FROM counted"""
EARLY = "FROM millrace_jobs WHERE id<20000"
BESIDE = (
    "INSERT INTO millrace_lanes(id,queue,task) SELECT id, 'q' || id % 10, 't' || id FROM millrace_jobs WHERE id<=100",
    f"INSERT INTO millrace_attempts(job,claim,attempt,finished,outcome) SELECT id,1,1,id,'failed' {EARLY}",
    f"INSERT INTO millrace_errors(job,type,text) SELECT id,'Broken','Broken: x' {EARLY}",
    f"INSERT INTO millrace_results(job,value) SELECT id,x'31' {EARLY}",
    f"INSERT INTO millrace_logs(job,claim,attempt,at,level,message) SELECT id,1,1,1,20,'hello' {EARLY}",
    f"INSERT INTO millrace_tags(tag,job) SELECT 'tag' || id % 10, id {EARLY}",
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
    "follow.ACTED": BY_NUMBER,
    "follow.CANCEL": BY_NUMBER,
    "follow.ENDED": "INDEX jobs_followed (id>?)",
    "follow.FOLLOWED": "INDEX jobs_uid (uid=?)",
    "follow.RELEASE": BY_NUMBER,
    "follow.THERE": "COVERING INDEX jobs_uid (uid=?)",
    "insert.BODIES": "COVERING INDEX jobs_uid (uid=?)",
    "insert.TAGS": "COVERING INDEX jobs_uid (uid=?)",
    "insert.THERE": "INDEX jobs_uid (uid=?)",
    "keys.CHANGE": BY_NUMBER,
    "keys.FREE": BY_NUMBER,
    "keys.HOLDERS": "INDEX jobs_key (unique_key=?)",
    "keys.HOLD_ON": "INDEX jobs_uid (uid=?)",
    "keys.IDS": "COVERING INDEX jobs_uid (uid=?)",
    "keys.TAKE_AGAIN": BY_NUMBER,
    "leases.CANCELLING": "INDEX jobs_lease (lease>?)",
    "leases.EXTEND": BY_NUMBER,
    "leases.FIRST_LEASE": "COVERING INDEX jobs_lease (lease>?)",
    "leases.HELD": BY_NUMBER,
    "leases.KEEP_UNTIL": BY_NUMBER,
    "leases.RESCUE": f"COVERING INDEX jobs_lease (lease<?), {BY_NUMBER}",
    "limited.CHOSEN": BY_NUMBER,
    "limited.FIRSTS": f"INDEX jobs_pending (lane=?), {BY_NUMBER}",
    "limited.LIVE": "INDEX jobs_pending, INDEX jobs_pending (lane>?)",
    "limited.NEXT": "INDEX jobs_pending (lane=?)",
    "limited.RUNNING": "COVERING INDEX jobs_lease (lease>?)",
    "listing.ACTIVE_ONES": "INDEX jobs_lease (lease>?)",
    "listing.BELOW": BY_NUMBER,
    "listing.BY_ERROR": BY_NUMBER,
    "listing.BY_KEY": "INDEX jobs_key (unique_key=?)",
    "listing.BY_TAG": BY_NUMBER,
    "listing.DEAD": "INDEX jobs_dead (id<?)",
    "listing.FREED": "INDEX jobs_freed (unique_key=?)",
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
    "rows.ROWS_BY_ID": BY_NUMBER,
    "rows.ROWS_BY_UID": "INDEX jobs_uid (uid=?)",
    "transfer.FOLLOWED": "INDEX jobs_uid (uid=?)",
    "transfer.NEXT": BY_NUMBER,
    "transfer.PLACES": "COVERING INDEX jobs_uid (uid=?)",
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


def made(driver: Driver, mixed: int, delayed: int) -> Connection:
    """Make a file of so many jobs, in memory."""
    connection: Connection
    if driver == "apsw":
        connection = ApswConnection(":memory:")
    else:
        connection = StandardConnection(sqlite3.connect(":memory:", isolation_level=None))
    for statement in (statement for step in STEPS for statement in step.statements):
        connection.execute(statement.replace("{p}", PREFIX))
    connection.execute(FILL, (mixed,))
    if delayed:
        connection.execute(DELAY, (mixed, delayed))
    for statement in BESIDE:
        connection.execute(statement)
    connection.execute("CREATE TABLE orders(id INTEGER PRIMARY KEY, item TEXT)")
    connection.execute("CREATE INDEX orders_item ON orders(item)")
    connection.execute("INSERT INTO orders(item) VALUES('book')")
    return connection


@pytest.fixture(scope="module", params=["sqlite3", "apsw"])
def driver(request: pytest.FixtureRequest) -> Driver:
    chosen: Driver = request.param
    return chosen


@pytest.fixture(scope="module")
def full(driver: Driver) -> Iterator[Connection]:
    connection = made(driver, MIXED, DELAYED)
    yield connection
    connection.close()


def plan(connection: Connection, template: str) -> list[str]:
    """Give the lines of a statement's plan, our tables without their prefix."""
    text = filled(template, PREFIX)
    rows = connection.rows(f"EXPLAIN QUERY PLAN {text}", [None] * marks(text))
    return [line.replace(PREFIX, "") for _, _, _, line in rows]


def ways(lines: list[str]) -> str:
    """Give how the plan comes to `jobs`: each way once, in order of name."""
    found = {match[1] for line in lines if (match := re.match(r"\w+ jobs USING (.*)", line))}
    # newer SQLites know that the pending index covers its own condition
    plain = {way.replace("COVERING INDEX jobs_pending", "INDEX jobs_pending") for way in found}
    return ", ".join(sorted(re.sub(r"(PRIMARY KEY) \(.*\)", r"\1", way) for way in plain))


def check_all(connection: Connection) -> None:
    """Hold the plan of every constant against what is expected of it."""
    plans = {name: plan(connection, template) for name, template in constants()}
    scans = [f"{name}: {line}" for name, lines in plans.items() for line in lines if re.match(r"SCAN jobs\b", line)]
    assert scans == []
    assert {name: way for name, lines in plans.items() if (way := ways(lines))} == EXPECTED


def test_every_statement_goes_by_its_index(full: Connection) -> None:
    check_all(full)


def test_every_statement_goes_by_its_index_after_analyze(full: Connection) -> None:
    full.execute("ANALYZE")
    forget_statistics(full, PREFIX)
    check_all(full)


@pytest.mark.parametrize("jobs", [1, 8, 100, 1000])
def test_every_statement_goes_by_its_index_after_analyze_of_small_tables(
    full: Connection, driver: Driver, jobs: int
) -> None:
    young = made(driver, jobs, 0)
    young.execute("ANALYZE")
    statistics = young.rows("SELECT tbl, idx, stat FROM sqlite_stat1")
    young.close()
    full.execute("ANALYZE")
    full.execute("DELETE FROM sqlite_stat1")
    for row in statistics:
        full.execute("INSERT INTO sqlite_stat1 VALUES(?,?,?)", row)
    full.rows("ANALYZE sqlite_schema")
    forget_statistics(full, PREFIX)
    check_all(full)
    assert full.rows("SELECT DISTINCT tbl FROM sqlite_stat1") == [("orders",)]


def test_one_lane_is_read_in_order_without_a_sort(full: Connection) -> None:
    from millrace.stores.sqlite.turns import HEADS

    lines = plan(full, HEADS.replace("{ids}", "?"))

    assert lines == ["SEARCH jobs USING INDEX jobs_pending (lane=?)"]


def test_statistics_of_our_tables_are_forgotten_when_the_file_is_opened(path: Path) -> None:
    store = SQLiteStore(path, synchronous="normal")
    store.set_queue("mail", QueueSettings())
    store.close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE orders(id INTEGER PRIMARY KEY, item TEXT)")
        connection.execute("INSERT INTO orders(item) VALUES('book')")
        connection.execute("ANALYZE")
        assert len(connection.execute("SELECT DISTINCT tbl FROM sqlite_stat1").fetchall()) > 1
    store = SQLiteStore(path, synchronous="normal")
    store.counts()
    store.close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT DISTINCT tbl FROM sqlite_stat1").fetchall() == [("orders",)]
