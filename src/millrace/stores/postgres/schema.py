"""The tables, as DDL with the schema left open. Owns names and columns; runs nothing.

States: 0 scheduled, 1 pending, 2 running, 3 cancelling, 4 failed, 5 completed, 6 dead, 7 cancelled. Times are
microseconds since 1970, of the server's clock; `job_view` shows them as people read them. A partial index is used only
where a query repeats its WHERE in these very words.

Texts of handlers (errors, messages) are kept as JSON strings, for `text` cannot hold the character NUL; arguments,
results and options are JSON already, and kept as they came.
"""

from __future__ import annotations

__all__ = ["FOLLOWS", "FOLLOWS_INDEXES", "LIMITS", "LIMITS_INDEXES", "TABLES"]

# A job is one row from its enqueue to its purge, changed in place. What changes and has a fixed width comes first, what
# is wide last: of an update within a page only the middle is logged, and the half of each page that is left free keeps
# updates there. Vacuum looks in long before a fifth of the table is dead.
JOB = """create table {s}.job (
  id uuid not null,
  due bigint not null,
  created_at bigint not null,
  worker bigint,
  lease_until bigint,
  started_at bigint,
  finished_at bigint,
  expire_at bigint,
  claim integer not null default 0,
  rev integer not null default 0,
  attempt integer not null default 0,
  max_attempts integer not null,
  crashes integer not null default 0,
  max_crashes integer not null,
  state smallint not null,
  priority smallint not null,
  progress double precision,
  reason text collate "C",
  queue text collate "C" not null,
  task text collate "C" not null,
  unique_key text collate "C",
  lock_key text collate "C",
  tags text[] collate "C",
  options text collate "C",
  args text collate "C" not null,
  result text collate "C",
  progress_message text collate "C",
  error_type text collate "C",
  error text collate "C",
  constraint job_pkey primary key (id)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
  autovacuum_vacuum_cost_delay = 0, autovacuum_vacuum_insert_scale_factor = 0.1)"""

# Beside them no foreign keys, whose triggers would probe once a row: we delete what belongs to a job ourselves.
ATTEMPT = """create table {s}.attempt (
  job uuid not null,
  claim integer not null,
  attempt integer not null,
  worker bigint,
  started_at bigint,
  finished_at bigint not null,
  outcome text collate "C" not null,
  error text collate "C",
  traceback text collate "C",
  constraint attempt_pkey primary key (job, claim)
)"""
LOG = """create table {s}.log (
  job uuid not null,
  seq bigint generated always as identity,
  claim integer not null,
  attempt integer not null,
  at bigint not null,
  level integer not null,
  message text collate "C" not null,
  data text collate "C",
  constraint log_pkey primary key (job, seq)
)"""
TAG = """create table {s}.tag (
  tag text collate "C" not null,
  job uuid not null,
  constraint tag_pkey primary key (tag, job)
)"""
QUEUE = """create table {s}.queue (
  name text collate "C" not null,
  priority integer not null default 0,
  paused boolean not null default false,
  concurrency integer,
  constraint queue_pkey primary key (name)
)"""
# Unlogged: a crash of the server forgets the register, and each beat writes itself into it again.
WORKER = """create unlogged table {s}.worker (
  id bigint not null,
  name text collate "C" not null,
  started bigint not null,
  seen bigint not null,
  info text collate "C" not null,
  constraint worker_pkey primary key (id)
) with (fillfactor = 50)"""
LOCK = """create table {s}.lock (
  name text collate "C" not null,
  holder bigint not null,
  until bigint not null,
  constraint lock_pkey primary key (name)
) with (fillfactor = 50)"""
# next: null where it never ticks again. rev: each change tests and raises it.
SCHEDULE = """create table {s}.schedule (
  name text collate "C" not null,
  spec text collate "C" not null,
  watermark bigint not null,
  next bigint,
  last bigint,
  paused boolean not null,
  rev bigint not null,
  constraint schedule_pkey primary key (name)
) with (fillfactor = 50)"""
TICK = """create table {s}.tick (
  schedule text collate "C" not null,
  at bigint not null,
  job uuid not null,
  constraint tick_pkey primary key (schedule, at)
)"""

# For people: a job's times in the session's time zone, its state by name, its error as text.
VIEW = """create view {s}.job_view as
select id, task, queue,
  (array['scheduled', 'pending', 'running', 'cancelling', 'failed', 'completed', 'dead', 'cancelled'])[state + 1]
    as state,
  reason, priority, attempt, max_attempts, crashes, max_crashes, claim, to_hex(worker) as worker,
  to_timestamp(due / 1000000.0) as due, to_timestamp(created_at / 1000000.0) as created_at,
  to_timestamp(started_at / 1000000.0) as started_at, to_timestamp(lease_until / 1000000.0) as lease_until,
  to_timestamp(finished_at / 1000000.0) as finished_at, to_timestamp(expire_at / 1000000.0) as expire_at,
  unique_key, tags, options, args, result, progress, error
from {s}.job"""

# One statement an entry.
TABLES: tuple[str, ...] = (
    JOB,
    # the claim, and what is pending
    "create index job_ready on {s}.job (queue, priority desc, due, id) where state = 1",
    # promotion, and when the next is due
    "create index job_due on {s}.job (due) where state in (0, 4)",
    # rescue, and what runs
    "create index job_lease on {s}.job (lease_until) where state in (2, 3)",
    # who is asked to cancel, which a worker looks at several times a second
    "create index job_cancel on {s}.job (worker) where state = 3",
    # uniqueness: `lock_key` is the key while it is held, and null once the job has ended
    "create unique index job_lock on {s}.job (lock_key) where lock_key is not null",
    # retention
    "create index job_expire on {s}.job (expire_at) where state in (5, 6, 7)",
    # the lists of what went wrong, which no success ever touches
    "create index job_odd on {s}.job (state, id) where state in (4, 6, 7)",
    "create index job_error on {s}.job (error_type, id) where error_type is not null",
    "create index job_key on {s}.job (unique_key, id) where unique_key is not null",
    ATTEMPT,
    LOG,
    TAG,
    QUEUE,
    WORKER,
    LOCK,
    SCHEDULE,
    # what is due
    "create index schedule_due on {s}.schedule (next, name) where not paused and next is not null",
    TICK,
    VIEW,
)

# Version 2. grp: the limits that a job falls under, null for nearly all. grouped: the queue has, or had, such jobs.
# A `concurrency` of -1 keeps claims away that know nothing of limits; the number asked for is then in `at_once`.
LIMITS: tuple[str, ...] = (
    'alter table {s}.job add column grp text collate "C"',
    "alter table {s}.queue add column at_once integer",
    "alter table {s}.queue add column rate_count integer",
    "alter table {s}.queue add column rate_per bigint",
    "alter table {s}.queue add column grouped boolean not null default false",
    # debt: what was taken and has not come back at the time `at`. full_at: when nothing is owed any more.
    """create table {s}.bucket (
  name text collate "C" not null,
  debt bigint not null,
  at bigint not null,
  full_at bigint not null,
  constraint bucket_pkey primary key (name)
) with (fillfactor = 50)""",
    "create index bucket_full on {s}.bucket (full_at)",
)
# The claim from queues with limits, and what of them runs. Jobs without a group are in neither. `state + 0` is what no
# other index speaks of: where the planner knows nothing of a new column, one is as good to it as another.
LIMITS_INDEXES: tuple[tuple[str, str], ...] = (
    (
        "job_group",
        """create index concurrently job_group on {s}.job (queue, grp, priority desc, due, id)
 where state + 0 = 1 and grp is not null""",
    ),
    (
        "job_running",
        "create index concurrently job_running on {s}.job (queue, grp) where state + 0 in (2, 3) and grp is not null",
    ),
)

# Version 3. followed: 1 while jobs wait for the end of this one, 2 once it has ended and some wait still. ended: the
# state that a parent has come to which is gone. A parent that runs is not deleted, whoever asks: its end comes first.
FOLLOWS: tuple[str, ...] = (
    "alter table {s}.job add column followed smallint",
    """create table {s}.link (
  parent uuid not null,
  child uuid not null,
  ended smallint,
  constraint link_pkey primary key (parent, child)
)""",
    "create index link_child on {s}.link (child)",
    "create index link_ended on {s}.link (parent) where ended is not null",
    """create function {s}.job_leaves() returns trigger language plpgsql as $$
begin
  if old.state in (2, 3) then return null; end if;
  update {s}.link set ended = case when old.state >= 5 then old.state else 7 end where parent = old.id;
  return old;
end $$""",
    """create trigger job_leaves before delete on {s}.job for each row
 when (old.followed is not null) execute function {s}.job_leaves()""",
)
# Parents that have ended and have not acted. `state + 0`, as above.
FOLLOWS_INDEXES: tuple[tuple[str, str], ...] = (
    (
        "job_followed",
        """create index concurrently job_followed on {s}.job (id)
 where followed is not null and (state + 0 = 5 or (followed = 1 and state + 0 in (6, 7)))""",
    ),
)
