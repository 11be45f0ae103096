"""The tables of version 1 and what was added to them, as DDL with the prefix left open. Owns names and columns.

All names carry the prefix (`millrace_` by default), written `{p}` here, because the file may be the user's own. For the
same reason neither `application_id` nor `user_version` is used: they belong to the file's owner.

States: 0 scheduled, 1 failed, 2 pending, 3 running, 4 cancelling, 5 completed, 6 dead, 7 cancelled. The numbers are
chosen so that one comparison names a group: `state<=1` waits for its time, `state<5` is live, `lease IS NOT NULL` is
running or cancelling. A partial index is used only where a query repeats its WHERE in these very words.
"""

from __future__ import annotations

__all__ = ["FOLLOWS", "HOLDS", "LIMITS", "TABLES"]

# One statement an entry, so that each runs inside the caller's transaction.
TABLES: tuple[str, ...] = (
    # keys: schema, min_reader, created, epoch (another text after each new lane, pause and limit)
    "CREATE TABLE {p}meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
    """CREATE TABLE {p}queues(
        name TEXT PRIMARY KEY, priority INTEGER NOT NULL DEFAULT 0, paused INTEGER NOT NULL DEFAULT 0,
        concurrency INTEGER) STRICT, WITHOUT ROWID""",
    # key: a fairness key, later. The counters are of final states only.
    """CREATE TABLE {p}lanes(
        id INTEGER PRIMARY KEY, queue TEXT NOT NULL, task TEXT NOT NULL, key TEXT NOT NULL DEFAULT '',
        completed INTEGER NOT NULL DEFAULT 0, dead INTEGER NOT NULL DEFAULT 0, cancelled INTEGER NOT NULL DEFAULT 0,
        UNIQUE(queue, task, key)) STRICT""",
    # id: never given twice, see `remove.py`. worker: part of the fence, kept after the end for display. lease: not null
    # exactly while running or cancelling. expires: the end of retention, null keeps for ever. args: null where longer
    # than 1 KiB, then in bodies.
    """CREATE TABLE {p}jobs(
        id INTEGER PRIMARY KEY, uid BLOB NOT NULL, lane INTEGER NOT NULL, state INTEGER NOT NULL,
        priority INTEGER NOT NULL, due INTEGER NOT NULL, created INTEGER NOT NULL, attempt INTEGER NOT NULL DEFAULT 0,
        max_attempts INTEGER NOT NULL, claim INTEGER NOT NULL DEFAULT 0, crashes INTEGER NOT NULL DEFAULT 0,
        max_crashes INTEGER NOT NULL DEFAULT 3, rev INTEGER NOT NULL DEFAULT 0, worker INTEGER, lease INTEGER,
        started INTEGER, finished INTEGER, expires INTEGER, reason TEXT, unique_key TEXT, tags TEXT, options BLOB,
        args BLOB) STRICT""",
    "CREATE UNIQUE INDEX {p}jobs_uid ON {p}jobs(uid)",
    # the claim, and pending counts
    "CREATE INDEX {p}jobs_pending ON {p}jobs(lane, priority DESC, due, uid) WHERE state=2",
    # promotion, next due, waiting counts
    "CREATE INDEX {p}jobs_due ON {p}jobs(due, lane, state) WHERE state<=1",
    # rescue, active per lane
    "CREATE INDEX {p}jobs_lease ON {p}jobs(lease, lane) WHERE lease IS NOT NULL",
    # purge; jobs kept for ever cost nothing
    "CREATE INDEX {p}jobs_expires ON {p}jobs(expires) WHERE expires IS NOT NULL",
    # the dead-letter list
    "CREATE INDEX {p}jobs_dead ON {p}jobs(id) WHERE state=6",
    "CREATE UNIQUE INDEX {p}jobs_key ON {p}jobs(unique_key) WHERE unique_key IS NOT NULL AND state<5",
    "CREATE TABLE {p}bodies(job INTEGER PRIMARY KEY, args BLOB NOT NULL) STRICT",
    "CREATE TABLE {p}results(job INTEGER PRIMARY KEY, value BLOB NOT NULL) STRICT",
    # the error shown on a job; deleted when it completes or is retried
    "CREATE TABLE {p}errors(job INTEGER PRIMARY KEY, type TEXT NOT NULL, text TEXT NOT NULL) STRICT",
    """CREATE TABLE {p}progress(
        job INTEGER PRIMARY KEY, claim INTEGER NOT NULL, fraction REAL NOT NULL, message TEXT) STRICT""",
    # every attempt but a successful one, which the job row tells
    """CREATE TABLE {p}attempts(
        id INTEGER PRIMARY KEY, job INTEGER NOT NULL, claim INTEGER NOT NULL, attempt INTEGER NOT NULL, worker INTEGER,
        started INTEGER, finished INTEGER NOT NULL, outcome TEXT NOT NULL, error TEXT, traceback TEXT) STRICT""",
    "CREATE INDEX {p}attempts_job ON {p}attempts(job, id)",
    """CREATE TABLE {p}logs(
        id INTEGER PRIMARY KEY, job INTEGER NOT NULL, claim INTEGER NOT NULL, attempt INTEGER NOT NULL,
        at INTEGER NOT NULL, level INTEGER NOT NULL, message TEXT NOT NULL, data BLOB) STRICT""",
    "CREATE INDEX {p}logs_job ON {p}logs(job, id)",
    "CREATE TABLE {p}tags(tag TEXT NOT NULL, job INTEGER NOT NULL, PRIMARY KEY(tag, job)) STRICT, WITHOUT ROWID",
    """CREATE TABLE {p}workers(
        id INTEGER PRIMARY KEY, name TEXT NOT NULL, started INTEGER NOT NULL, seen INTEGER NOT NULL,
        info BLOB NOT NULL) STRICT""",
    """CREATE TABLE {p}locks(
        name TEXT PRIMARY KEY, holder INTEGER NOT NULL, until INTEGER NOT NULL) STRICT, WITHOUT ROWID""",
    # next: null where it never ticks again. rev: each change tests and raises it.
    """CREATE TABLE {p}schedules(
        name TEXT PRIMARY KEY, spec BLOB NOT NULL, watermark INTEGER NOT NULL, next INTEGER, last INTEGER,
        paused INTEGER NOT NULL, rev INTEGER NOT NULL) STRICT""",
    # what is due
    "CREATE INDEX {p}schedules_due ON {p}schedules(next, name) WHERE paused=0 AND next IS NOT NULL",
    """CREATE TABLE {p}ticks(
        schedule TEXT NOT NULL, at INTEGER NOT NULL, job BLOB NOT NULL,
        PRIMARY KEY(schedule, at)) STRICT, WITHOUT ROWID""",
)

# hold: whether a job holds its unique key, whatever its state: 1 it does, though it may have ended; 0 it does not,
# another has taken the key over; null, nearly always: while it lives. So no claim and no finish ever writes it.
HOLDS: tuple[str, ...] = (
    "ALTER TABLE {p}jobs ADD COLUMN hold INTEGER",
    "DROP INDEX {p}jobs_key",
    "CREATE UNIQUE INDEX {p}jobs_key ON {p}jobs(unique_key) WHERE unique_key IS NOT NULL AND ifnull(hold,state<5)",
    # the others that have a key and are listed by it
    "CREATE INDEX {p}jobs_freed ON {p}jobs(unique_key) WHERE hold=0",
)

# Version 3. keyed: there are lanes of the same queue and task with a key, which is the group of their jobs.
LIMITS: tuple[str, ...] = (
    "ALTER TABLE {p}queues ADD COLUMN rate_count INTEGER",
    "ALTER TABLE {p}queues ADD COLUMN rate_per INTEGER",
    "ALTER TABLE {p}lanes ADD COLUMN keyed INTEGER NOT NULL DEFAULT 0",
    # debt: what was taken and has not come back at the time `at`. full: when nothing is owed any more.
    """CREATE TABLE {p}buckets(
        name TEXT PRIMARY KEY, debt INTEGER NOT NULL, at INTEGER NOT NULL,
        full INTEGER NOT NULL) STRICT, WITHOUT ROWID""",
    # which may be forgotten
    "CREATE INDEX {p}buckets_full ON {p}buckets(full)",
)

# Version 4. followed: 1 while jobs wait for the end of this one, 2 once it has ended and some wait still. ended: the
# state that a parent has come to which is gone. A parent that runs is not deleted, whoever asks: its end comes first.
FOLLOWS: tuple[str, ...] = (
    "ALTER TABLE {p}jobs ADD COLUMN followed INTEGER",
    # parents that have ended and have not acted
    "CREATE INDEX {p}jobs_followed ON {p}jobs(id) WHERE followed=1 AND state>=5 OR followed=2 AND state=5",
    """CREATE TABLE {p}links(
        parent BLOB NOT NULL, child BLOB NOT NULL, ended INTEGER, PRIMARY KEY(parent, child)) STRICT, WITHOUT ROWID""",
    "CREATE INDEX {p}links_child ON {p}links(child)",
    "CREATE INDEX {p}links_ended ON {p}links(ended) WHERE ended IS NOT NULL",
    """CREATE TRIGGER {p}jobs_leave BEFORE DELETE ON {p}jobs WHEN OLD.followed IS NOT NULL BEGIN
        SELECT RAISE(IGNORE) WHERE OLD.state IN (3,4);
        UPDATE {p}links SET ended=CASE WHEN OLD.state>=5 THEN OLD.state ELSE 7 END WHERE parent=OLD.uid;
    END""",
)
