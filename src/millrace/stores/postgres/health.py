"""What `doctor` tells of a PostgreSQL server. Looks, and changes nothing; what this role may not see is left out."""

from __future__ import annotations

import time
from collections.abc import Iterator

from millrace.messages import Finding
from millrace.stores.postgres.arrays import Strings
from millrace.stores.postgres.connection import Connection
from millrace.stores.postgres.migrations import OLDEST_SERVER, index_names, table_names
from millrace.stores.postgres.settings import Settings
from millrace.stores.postgres.texts import SERVER_NOW, quoted

__all__ = ["find_trouble"]

_HOUR = 3600.0
_LONG = 60.0  # seconds for which a transaction is open before it is worth a word
_APART = 1.0  # seconds between our clock and the server's, likewise
_MANY_DEAD = 10_000  # rows
_LARGE = 256 << 20  # bytes
_ROW = 4096  # bytes a row: several times what one takes, its indexes included
_FULL = 0.5  # of the server's queue of notices
_CROWDED = 0.9  # of its connections
_PRIVILEGES = ("select", "insert", "update", "delete")

SERVER = f"""select current_setting('server_version'), pg_is_in_recovery(), current_setting('synchronous_commit'),
 current_setting('fsync'), current_setting('full_page_writes'), current_setting('autovacuum'),
 current_setting('server_encoding'), current_setting('max_connections')::bigint,
 (select sum(numbackends) from pg_stat_database)::bigint, pg_notification_queue_usage(), {SERVER_NOW}"""

# A role without pg_monitor sees that there are standbys, and not how they follow.
STANDBYS = "select coalesce(sync_state, 'unknown')::text, count(*) from pg_stat_replication group by 1 order by 1"

# What keeps vacuum from removing dead rows: a snapshot held by a session, or a transaction prepared and forgotten.
OLDEST = """select seconds, whose from (
  select extract(epoch from clock_timestamp() - xact_start)::double precision as seconds,
    'process ' || pid || coalesce(' of ' || nullif(application_name, ''), '') || coalesce(' (' || state || ')', '')
      as whose
  from pg_stat_activity where xact_start is not null and pid <> pg_backend_pid() and datname = current_database()
  union all
  select extract(epoch from clock_timestamp() - prepared)::double precision, 'the prepared transaction ' || gid
  from pg_prepared_xacts where database = current_database()
) held order by seconds desc limit 1"""

BLOAT = """select n_live_tup, n_dead_tup, pg_total_relation_size(relid), greatest(last_vacuum, last_autovacuum) is null
 from pg_stat_user_tables where schemaname = %(schema)b and relname = 'job'"""

INDEXES = """select c.relname::text, i.indisvalid from pg_index i join pg_class c on c.oid = i.indexrelid
 where c.relnamespace = to_regnamespace(%(schema)b)"""

GRANTS = """select t.name, p.privilege from unnest(%(tables)b) t(name) cross join unnest(%(privileges)b) p(privilege)
 where not coalesce(has_table_privilege(to_regclass(%(schema)b || '.' || quote_ident(t.name)), p.privilege), false)
 order by 1, 2"""


def find_trouble(settings: Settings, connection: Connection) -> list[Finding]:
    """Look at the server, its settings, its sessions, and our tables."""
    return [
        *_server(connection),
        *_standbys(connection),
        *_transactions(connection),
        *_bloat(settings, connection),
        *_indexes(settings, connection),
        *_grants(settings, connection),
    ]


def _server(connection: Connection) -> Iterator[Finding]:
    before = time.time()
    ((version, standby, commit, fsync, pages, vacuum, encoding, limit, used, notices, at),) = connection.rows(
        SERVER, {}
    )
    apart = at / 1_000_000 - (before + time.time()) / 2
    if connection.version < OLDEST_SERVER:
        yield Finding("error", "version", f"PostgreSQL {version} is too old; Millrace needs 14 or newer")
    else:
        yield Finding("ok", "version", f"PostgreSQL {version}")
    if standby:
        yield Finding(
            "error",
            "standby",
            "the server is a standby and takes no writes; name the primary, or several hosts with "
            "&target_session_attrs=read-write",
        )
    yield from _durability(commit, fsync, pages)
    if vacuum != "on":
        yield Finding("error", "autovacuum", "autovacuum is off, and dead rows pile up; turn it on")
    if encoding != "UTF8":
        yield Finding("error", "encoding", f"the database is encoded in {encoding}, not UTF8; make another one")
    level = "warning" if used > limit * _CROWDED else "ok"
    yield Finding(level, "connections", f"{used} of {limit} connections are in use; a worker takes five of them")
    if notices > _FULL:
        yield Finding(
            "warning",
            "notices",
            f"the server's queue of notices is {notices:.0%} full, and when it is full commits fail; end the session "
            "that listens with a transaction open",
        )
    level = "note" if abs(apart) > _APART else "ok"
    yield Finding(
        level, "clock", f"the server's clock and this host's are {abs(apart):.1f} s apart; the server's is used"
    )


def _durability(commit: str, fsync: str, pages: str) -> Iterator[Finding]:
    if fsync != "on" or pages != "on":
        name = "fsync" if fsync != "on" else "full_page_writes"
        yield Finding("error", "durability", f"{name} is off: a crash of the machine may damage the whole database")
    elif commit == "off":
        yield Finding(
            "warning",
            "durability",
            "synchronous_commit is off: a crash forgets the last commits, jobs that were acknowledged among them; set "
            "it to on, and use ?claim_commit=off where claims are to be cheap",
        )
    else:
        yield Finding("ok", "durability", f"synchronous_commit is {commit}")


def _standbys(connection: Connection) -> Iterator[Finding]:
    for state, number in connection.rows(STANDBYS, {}):
        if state in {"sync", "quorum"}:
            yield Finding("ok", "standbys", f"{number} follow synchronously ({state})")
        elif state == "unknown":
            yield Finding("note", "standbys", f"{number} follow; this role may not see how (grant it pg_monitor)")
        else:
            yield Finding(
                "note",
                "standbys",
                f"{number} follow asynchronously ({state}): a failover to one may lose the last jobs acknowledged",
            )


def _transactions(connection: Connection) -> Iterator[Finding]:
    rows = connection.rows(OLDEST, {})
    if not rows or rows[0][0] < _LONG:
        yield Finding("ok", "transactions", "no transaction has been open for long")
        return
    ((seconds, whose),) = rows
    yield Finding(
        "warning" if seconds > _HOUR else "note",
        "transactions",
        f"a transaction of {whose} has been open for {seconds:.0f} s; until it ends no dead row can be removed, and "
        "the table grows",
    )


def _bloat(settings: Settings, connection: Connection) -> Iterator[Finding]:
    rows = connection.rows(BLOAT, {"schema": settings.schema})
    if not rows:
        return
    ((live, dead, size, never),) = rows
    text = f"{live} live and {dead} dead rows of jobs in {size >> 20} MiB, indexes included"
    if dead > max(live, _MANY_DEAD):
        yield Finding(
            "warning",
            "bloat",
            f"{text}{', never vacuumed' if never else ''}; end what holds an old snapshot (see transactions), then "
            f"vacuum {settings.schema}.job",
        )
    elif size > _LARGE and size > live * _ROW:
        yield Finding(
            "note",
            "bloat",
            f"{text}: most of it is free and will be used again; to give it back, reindex table concurrently "
            f"{settings.schema}.job, and vacuum full it while no worker runs",
        )
    else:
        yield Finding("ok", "bloat", text)


def _indexes(settings: Settings, connection: Connection) -> Iterator[Finding]:
    found: dict[str, bool] = dict(connection.rows(INDEXES, {"schema": quoted(settings.schema)}))
    wanted = index_names()
    missing = sorted(name for name in wanted if name not in found)
    broken = sorted(name for name in found if not found[name])
    if missing:
        yield Finding(
            "error",
            "indexes",
            f"schema {settings.schema} lacks {', '.join(missing)}; make them again, as `millrace migrate --sql` prints",
        )
    if broken:
        yield Finding(
            "error",
            "indexes",
            f"{', '.join(broken)} in schema {settings.schema} cannot be used, they were not made to the end; reindex "
            "them concurrently, or drop those that end in _ccnew",
        )
    if not missing and not broken:
        yield Finding("ok", "indexes", f"all {len(wanted)} are there")


def _grants(settings: Settings, connection: Connection) -> Iterator[Finding]:
    args = {
        "schema": quoted(settings.schema),
        "tables": Strings(sorted(table_names())),
        "privileges": Strings(_PRIVILEGES),
    }
    missing: dict[str, list[str]] = {}
    for table, privilege in connection.rows(GRANTS, args):
        missing.setdefault(table, []).append(privilege)
    if not missing:
        yield Finding("ok", "grants", "this role may read and write every table")
    for table, privileges in missing.items():
        yield Finding(
            "error",
            "grants",
            f"this role lacks {', '.join(privileges)} on {settings.schema}.{table}; its owner grants that",
        )
