"""Jobs that wait for others. Owns the links and the column `followed`; what becomes of a job is decided by `judge`.

A parent has `followed` 1 from the insert of a job that waits for it until it has ended and acted, then 2 if any job
waits still. So whatever ends it, also older code or a caller's transaction, it is in the index `job_followed`, and
every statement that ends jobs is as it was. A trigger sees to deletes: one that runs is kept until its end was seen.

Two who settle at once skip each other's parents and lock the jobs that wait before they read for what: so the last
parent of a job is seen to be the last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from millrace.followups import Ended, Verdict, by_child, first_unknown, judge, kept_until, wanted
from millrace.job import JobRow
from millrace.messages import InsertAnswer, NewRow
from millrace.stores.postgres.arrays import Bigints, Strings, Uuids
from millrace.stores.postgres.insert import insert_script
from millrace.stores.postgres.keys import KEPT_KEY
from millrace.stores.postgres.remove import remove_ended
from millrace.stores.postgres.rows import CANCELLED, COLUMNS, STATES, job_row
from millrace.stores.postgres.script import Script
from millrace.stores.postgres.session import Session
from millrace.transfer import WholeJob

__all__ = [
    "ENDED",
    "FOLLOW",
    "HAS_LINKS",
    "any_links",
    "followers_of",
    "has_links",
    "hold_script",
    "parents_of",
    "settle",
    "tie_restored",
]

# Whether the schema has come so far.
HAS_LINKS: Final = "select to_regclass('{s}.link') is not null"
ANY: Final = "select exists (select from {s}.link)"
# job_followed: only parents that have ended and have not acted.
ENDED: Final = """select uuid_send(j.id), j.state, j.result from {s}.job j
 where j.followed is not null and (j.state + 0 = 5 or (j.followed = 1 and j.state + 0 in (6, 7)))
 order by j.id limit %(limit)b for no key update skip locked"""
GONE: Final = """select distinct uuid_send(l.parent), l.ended from {s}.link l where l.ended is not null
 limit %(limit)b"""  # link_ended
CHILDREN: Final = """select uuid_send(l.child) from {s}.link l where l.parent = any(%(ids)b)
 group by l.child"""  # link_pkey
LINKS: Final = (
    "select uuid_send(l.child), uuid_send(l.parent) from {s}.link l where l.child = any(%(ids)b)"  # link_child
)
FOLLOWERS: Final = "select uuid_send(l.parent), uuid_send(l.child) from {s}.link l where l.parent = any(%(ids)b)"
# job_pkey, each locked in the order of ids
LOCKED: Final = f"""select {COLUMNS} from {{s}}.job j where j.id = any(%(ids)b) order by j.id for no key update"""
FOLLOW: Final = """update {s}.job j set followed = 1 where j.id = any(array(
 select f.id from {s}.job f where f.id = any(%(ids)b) order by f.id for no key update))
returning uuid_send(j.id)"""
TIE: Final = """with t as (insert into {s}.link (parent, child, ended)
 select u.parent, u.child, u.ended from unnest(%(parents)b, %(children)b, %(ended)b) u(parent, child, ended)
 on conflict do nothing returning 1)
select count(*) from t"""
UNTIE: Final = """delete from {s}.link l using unnest(%(parents)b, %(children)b) u(parent, child)
 where l.parent = u.parent and l.child = u.child"""
FORGET: Final = "update {s}.link set ended = null where parent = any(%(ids)b) and ended is not null"
ACTED: Final = """update {s}.job j set
 followed = case when exists (select from {s}.link l where l.parent = j.id) then 2 end where j.id = any(%(ids)b)"""
GIVE: Final = "update {s}.job j set args = u.args from unnest(%(ids)b, %(args)b) u(id, args) where j.id = u.id"
RELEASE: Final = """update {s}.job j set state = case when u.due <= (select {now}) then 1 else 0 end, due = u.due,
 rev = j.rev + 1 from unnest(%(ids)b, %(dues)b) u(id, due) where j.id = u.id"""
CANCEL: Final = f"""update {{s}}.job j set state = 7, reason = 'parent', rev = j.rev + 1,
 finished_at = (select {{now}}), expire_at = u.until, lock_key = {KEPT_KEY}
from unnest(%(ids)b, %(ends)b) u(id, until) where j.id = u.id"""
PARENTS: Final = """update {s}.job j set followed = 1 where j.id = any(%(ids)b)
 and exists (select from {s}.link l where l.parent = j.id)"""
CLOCK: Final = "select {now}"


def has_links(session: Session) -> bool:
    """Tell whether the schema has links."""
    ((there,),) = session.rows(HAS_LINKS)
    return bool(there)


def any_links(session: Session) -> bool:
    """Tell whether any job waits for another."""
    ((found,),) = session.rows(ANY)
    return bool(found)


def hold_script(rows: Sequence[NewRow]) -> Script[InsertAnswer]:
    """Insert jobs within an open transaction, some of which are held.

    Where a parent is unknown nothing was inserted; that the others are marked as followed harms nobody.
    """
    ((now,),) = yield CLOCK, {}
    links = wanted(rows, InsertAnswer(now))
    marked = {id for (id,) in (yield FOLLOW, {"ids": Uuids(sorted({link.parent for link in links}))})}
    unknown = first_unknown(rows, links, marked)
    if unknown is not None:
        return InsertAnswer(now, unknown=unknown)
    answer = yield from insert_script(rows)
    if answer.refused is not None:
        return answer
    links = wanted(rows, answer)
    others = {link.parent for link in links} - marked
    if others:
        marked |= {id for (id,) in (yield FOLLOW, {"ids": Uuids(sorted(others))})}
    args = {
        "parents": Uuids([link.parent for link in links]),
        "children": Uuids([link.child for link in links]),
        # one that has held a key and is gone meanwhile
        "ended": Bigints([None if link.parent in marked else CANCELLED for link in links]),
    }
    yield TIE, args
    return answer


def settle(session: Session, limit: int) -> tuple[int, set[str]]:
    """Let parents that have ended act; return how many did, and the queues in which jobs were released."""
    with session.transaction():
        most = {"limit": limit}
        there = {id: Ended(STATES[state], _encoded(result)) for id, state, result in session.rows(ENDED, most)}
        gone = {id: Ended(STATES[state]) for id, state in session.rows(GONE, most) if id not in there}
        ended = there | gone
        if not ended:
            return 0, set()
        ((now,),) = session.rows(CLOCK)
        children = [id for (id,) in session.rows(CHILDREN, {"ids": Uuids(sorted(ended))})]
        jobs = {columns[0]: job_row(columns) for columns in session.rows(LOCKED, {"ids": Uuids(sorted(children))})}
        links = parents_of(session, children, known=True)
        verdicts = {child: judge(jobs.get(child), links.get(child, ()), ended, now) for child in children}
        counted = [(parent, child) for child, verdict in verdicts.items() for parent in verdict.counted]
        if counted:
            args = {"parents": Uuids([each for each, _ in counted]), "children": Uuids([each for _, each in counted])}
            session.execute(UNTIE, args)
        removed = _carry_out(session, jobs, verdicts, now)
        if there:
            session.execute(ACTED, {"ids": Uuids(sorted(there))})
        if gone:
            session.execute(FORGET, {"ids": Uuids(sorted(gone))})
        remove_ended(session, [*removed, *there])  # of the parents those that nobody keeps
    released = {jobs[child].queue for child, verdict in verdicts.items() if verdict.due is not None}
    return len(ended), released


def _carry_out(
    session: Session, jobs: Mapping[bytes, JobRow], verdicts: Mapping[bytes, Verdict], now: int
) -> list[bytes]:
    """Change the jobs that wait; return those that are not kept."""
    given = {child: verdict.args for child, verdict in verdicts.items() if verdict.args is not None}
    if given:
        session.execute(GIVE, {"ids": Uuids(list(given)), "args": Strings(list(given.values()))})
    dues = {child: verdict.due for child, verdict in verdicts.items() if verdict.due is not None}
    if dues:
        session.execute(RELEASE, {"ids": Uuids(list(dues)), "dues": Bigints(list(dues.values()))})
    ends = {child: kept_until(jobs[child], now) for child, verdict in verdicts.items() if verdict.cancels}
    if ends:
        session.execute(CANCEL, {"ids": Uuids(list(ends)), "ends": Bigints(list(ends.values()))})
    return [child for child, end in ends.items() if end == now]


def _encoded(result: str | None) -> bytes | None:
    return None if result is None else result.encode()


def parents_of(session: Session, ids: Sequence[bytes], *, known: bool = False) -> dict[bytes, set[bytes]]:
    """Return the open parents of jobs; `known` says that the schema has links."""
    if not ids or not (known or has_links(session)):
        return {}
    return by_child(session.rows(LINKS, {"ids": Uuids(ids)}))


def followers_of(session: Session, ids: Sequence[bytes]) -> dict[bytes, set[bytes]]:
    """Return who waits for jobs."""
    if not ids or not has_links(session):
        return {}
    return by_child(session.rows(FOLLOWERS, {"ids": Uuids(ids)}))


def tie_restored(session: Session, jobs: Sequence[WholeJob]) -> None:
    """Let jobs that have just come wait as they did, and those for which others wait act once they have ended."""
    if not jobs or not has_links(session):
        return
    links = [(parent, job.row.id) for job in jobs for parent in job.waits]
    if links:
        args = {
            "parents": Uuids([parent for parent, _ in links]),
            "children": Uuids([child for _, child in links]),
            "ended": Bigints([None] * len(links)),
        }
        session.rows(TIE, args)
    ids = {job.row.id for job in jobs} | {parent for parent, _ in links}
    session.execute(PARENTS, {"ids": Uuids(sorted(ids))})
