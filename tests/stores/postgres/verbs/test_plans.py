"""Every statement goes by index and by place, whether its table is empty, small or large."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, LiteralString, cast

import psycopg
import pytest

from millrace.stores.postgres import (
    PostgresStore,
    attempts,
    changing,
    claim,
    finish,
    insert,
    keys,
    leases,
    limited,
    retention,
    rows,
    transfer,
)
from millrace.stores.postgres.connection import PINS, connect
from millrace.stores.postgres.texts import Texts
from millrace.stores.postgres.url import read_url
from tests.servers.databases import Database
from tests.stores.postgres.verbs.conftest import fill

#: The types of arguments, as our connections send them.
TYPES: Mapping[str, str] = (
    dict.fromkeys(("worker", "limit", "lease", "number", "now", "retention", "dead_retention", "due", "most"), "bigint")
    | dict.fromkeys(("claims", "states", "delays", "back", "kept", "kept_cancelled", "priorities"), "bigint[]")
    | dict.fromkeys(("attempts", "crashes", "dues", "floors", "ats", "levels", "leases"), "bigint[]")
    | dict.fromkeys(("started", "times", "revs"), "bigint[]")
    | dict.fromkeys(("results", "reasons", "types", "errors", "traces", "kinds", "tasks", "queues"), "text[]")
    | dict.fromkeys(("args", "keys", "tags", "options", "messages", "names", "data"), "text[]")
    | {
        "ids": "uuid[]",
        "fractions": "double precision[]",
        "away": "boolean[]",
        "done": "uuid[]",
        "done_claims": "bigint[]",
        "done_kept": "bigint[]",
        "before": "bigint",
        "since": "bigint",
    }
    | {
        "queue": "text",
        "last": "text",
        "seed": "text",
        "bold": "boolean",
        "limited": "boolean",
        "whole": "boolean",
        "lone": "boolean",
    }
)

#: By statement: the template, arguments of other types, and what the plan must go by.
STATEMENTS: Mapping[str, tuple[str, Mapping[str, str], tuple[str, ...]]] = {
    "insert": (insert.FULL, {}, ("Function Scan on u",)),
    "what stood in the way": (insert.THERE, {}, ("job_pkey", "job_lock")),
    "claim": (claim.ONE, {"leases": "text"}, ("Index Scan using job_ready", "job_due", "Tid Scan on job j")),
    "claim of many": (claim.MANY, {"leases": "text"}, ("Index Scan using job_ready", "job_due", "Tid Scan on job j")),
    "claim from a floor": (claim.FLOORED, {"leases": "text"}, ("due >= t.floor", "Tid Scan on job j")),
    "look": (claim.LOOK, {}, ("job_due", "job_ready")),
    "promote": (claim.PROMOTE, {}, ("job_due", "Tid Scan on job")),
    "change holders": (keys.CHANGE, {}, ("Index Scan using job_pkey on job j",)),
    "free keys": (keys.FREE, {}, ("Index Scan using job_pkey on job j",)),
    "who holds keys": (keys.HOLDERS, {}, ("job_lock",)),
    "undo an insert": (insert.UNDO, {}, ("Index Scan using job_pkey", "attempt_pkey", "log_pkey", "tag_pkey")),
    "complete": (finish.COMPLETE, {}, ("Index Scan using job_pkey on job j",)),
    "complete and delete": (finish.AWAY, {}, ("Index Scan using job_pkey", "attempt_pkey", "log_pkey", "tag_pkey")),
    "mixed outcomes": (finish.END, {}, ("Index Scan using job_pkey", "attempt_pkey", "log_pkey", "tag_pkey")),
    "extend": (leases.EXTEND, {}, ("Index Scan using job_pkey", "Tid Scan on job j")),
    "rescue": (leases.RESCUE, {}, ("job_lease", "Tid Scan on job j")),
    "expire": (retention.EXPIRE, {}, ("job_expire", "Tid Scan on job", "attempt_pkey", "log_pkey", "tag_pkey")),
    "purge": (retention.PURGE, {}, ("job_expire", "Tid Scan on job")),
    "cancel": (changing.CANCEL, {}, ("Index Scan using job_pkey",)),
    "retry": (changing.RETRY, {"args": "text"}, ("Index Scan using job_pkey", "job_lock")),
    "reschedule": (changing.RESCHEDULE, {}, ("Index Scan using job_pkey",)),
    "delete": (changing.DELETE, {}, ("Index Scan using job_pkey", "attempt_pkey", "log_pkey", "tag_pkey")),
    "read": (rows.ROWS, {}, ("Index Scan using job_pkey",)),
    "insert with limits": (insert.GROUPED, {"groups": "text[]"}, ("Function Scan on u",)),
    "queues with limits": (limited.OPEN, {}, ("job_ready", "job_lease", "job_due")),
    "groups of a queue": (limited.GROUPS, {}, ("Index Only Scan using job_group", "Index Scan using job_group")),
    "more of a group": (limited.MORE, {"group": "text", "task": "text", "seen": "bigint"}, ("job_group",)),
    "jobs without a group": (
        limited.PLAIN,
        {"priority": "bigint", "id": "uuid"},
        ("ROW(due, id) >", "Index Scan using job_ready"),
    ),
    "what runs of groups": (limited.RUNNING, {}, ("job_running",)),
    "buckets": (limited.BUCKETS, {}, ()),
    "spend": (limited.SPEND, {"debts": "bigint[]", "fulls": "bigint[]"}, ("bucket_full",)),
    "claim what was chosen": (claim.TAKE, {"leases": "text"}, ("job_pkey", "Tid Scan on job j")),
    "export": (transfer.NEXT, {"above": "uuid"}, ("job_pkey",)),
    "log": (attempts.ADD_LOGS, {}, ("Index Scan using job_pkey",)),
}
SIZES = (0, 10, 100_000)


def plan(connection: psycopg.Connection[Any], template: str, types: Mapping[str, str]) -> str:
    """Return the plan that is kept for a prepared statement, whatever its arguments are."""
    names: list[str] = []

    def numbered(found: re.Match[str]) -> str:
        if found[1] not in names:
            names.append(found[1])
        return f"${names.index(found[1]) + 1}::{types[found[1]]}"

    text = re.sub(r"%\((\w+)\)b", numbered, Texts("millrace_test").plain(template)).replace("%%", "%")
    lines = connection.execute(cast("LiteralString", "explain (generic_plan, costs off) " + text)).fetchall()
    return "\n".join(line for (line,) in lines)


@pytest.mark.parametrize("size", SIZES)
def test_every_statement_goes_by_index_and_by_place(store: PostgresStore, postgres: Database, size: int) -> None:
    """Ended jobs, of which the planner knows nothing: they came after the last look at the table."""
    assert store.depth() == 0
    postgres.run("truncate {s}.job, {s}.attempt, {s}.log, {s}.tag")
    fill(postgres, size)
    pins = " ".join(f"-c {name}={value}" for name, value in PINS.items())
    with psycopg.connect(postgres.server, autocommit=True, options=pins) as connection:
        told = {name: plan(connection, text, {**TYPES, **types}) for name, (text, types, _) in STATEMENTS.items()}
    for name in ("groups of a queue", "more of a group", "what runs of groups"):
        assert not re.search(r"job_(ready|lease)\b", told[name]), f"{name} goes by what holds other jobs:\n{told[name]}"
    for name, (_, _, wanted) in STATEMENTS.items():
        assert not re.search(r"Seq Scan on (job|attempt|log|tag)\b", told[name]), f"{name}:\n{told[name]}"
        assert not re.search(r"Hash Join|Merge Join|Bitmap", told[name]), f"{name}:\n{told[name]}"
        for part in wanted:
            assert part in told[name], f"{name} does not go by {part}:\n{told[name]}"
    postgres.run("truncate {s}.job")


def test_our_own_connections_are_pinned_to_such_plans(postgres: Database) -> None:
    connection = connect(read_url(postgres.url()))
    try:
        for name, value in PINS.items():
            assert connection.rows(f"show {name}", {}) == [(value,)]
    finally:
        connection.close()
