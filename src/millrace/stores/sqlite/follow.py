"""Jobs that wait for others. Owns the links and the column `followed`; what becomes of a job is decided by `judge`.

A parent has `followed` 1 from the insert of a job that waits for it until it has ended and acted, then 2 if any job
waits still. So whatever ends it, also older code or a caller's transaction, it is in the index `jobs_followed`, and
every statement that ends jobs is as it was. A trigger sees to deletes: one that runs is kept until its end was seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from millrace.followups import Ended, Verdict, by_child, first_unknown, judge, kept_until, wanted
from millrace.job import JobRow
from millrace.messages import InsertAnswer, NewRow
from millrace.stores.sqlite.lanes import count_finals, tally
from millrace.stores.sqlite.remove import remove_jobs
from millrace.stores.sqlite.rows import (
    CANCELLED,
    ID_MASK,
    LANE_SHIFT,
    NUMBERS,
    PENDING,
    SCHEDULED,
    STATES,
    encode_tags,
    rows_by_id,
    rows_by_uid,
)
from millrace.stores.sqlite.session import Session
from millrace.stores.sqlite.verbs import replace_args

__all__ = ["any_links", "followers_of", "hold", "parents_of", "settle", "tie", "unknown_parent"]

ANY = "SELECT EXISTS(SELECT 1 FROM {p}links)"
# SEARCH jobs USING INDEX jobs_followed: only parents that have ended and have not acted.
ENDED = """SELECT id FROM {p}jobs INDEXED BY {p}jobs_followed
 WHERE id>0 AND (followed=1 AND state>=5 OR followed=2 AND state=5) ORDER BY id LIMIT ?"""
# SEARCH links USING INDEX links_ended: parents that were deleted.
GONE = "SELECT parent, ended FROM {p}links WHERE ended IS NOT NULL LIMIT ?"
CHILDREN = "SELECT child FROM {p}links WHERE parent IN ({ids})"  # SEARCH links USING PRIMARY KEY (parent=?)
LINKS = "SELECT child, parent FROM {p}links WHERE child IN ({ids})"  # SEARCH links USING INDEX links_child
FOLLOWERS = "SELECT parent, child FROM {p}links WHERE parent IN ({ids})"  # by primary key
TIE = """INSERT OR IGNORE INTO {p}links(parent, child) SELECT column1, column2
 FROM (VALUES {rows}) WHERE column1 IS NOT NULL"""
UNTIE = "DELETE FROM {p}links WHERE parent=? AND child IN ({ids})"  # by primary key
FORGET = "UPDATE {p}links SET ended=NULL WHERE parent=?"  # by primary key
FOLLOWED = "UPDATE {p}jobs SET followed=1 WHERE uid IN ({ids})"  # SEARCH jobs USING INDEX jobs_uid
THERE = "SELECT uid FROM {p}jobs WHERE uid IN ({ids})"  # likewise
ACTED = """UPDATE {p}jobs SET followed=CASE WHEN EXISTS(SELECT 1 FROM {p}links WHERE parent=uid) THEN 2 END
 WHERE id IN ({ids})"""
# SEARCH jobs USING INTEGER PRIMARY KEY
RELEASE = "UPDATE {p}jobs SET state=column2, due=column3, rev=rev+1 FROM (VALUES {rows}) WHERE id=column1"
CANCEL = """UPDATE {p}jobs SET state=7, finished=?, expires=column2, reason='parent', rev=rev+1
 FROM (VALUES {rows}) WHERE id=column1"""

Insert = Callable[[Session, Sequence[NewRow]], InsertAnswer]


def any_links(session: Session) -> bool:
    """Tell whether any job waits for another."""
    ((found,),) = session.rows(ANY)
    return bool(found)


def unknown_parent(session: Session, rows: Sequence[NewRow]) -> tuple[int, bytes] | None:
    """Return the first row that names a parent which is neither there nor earlier in the call, and that parent."""
    links = wanted(rows, InsertAnswer(session.now))
    there = {uid for (uid,) in session.list_rows(THERE, list({link.parent for link in links}))}
    return first_unknown(rows, links, there)


def hold(session: Session, rows: Sequence[NewRow], insert: Insert) -> InsertAnswer:
    """Insert jobs within the open transaction, some of which are held."""
    unknown = unknown_parent(session, rows)  # before anything is written
    if unknown is not None:
        return InsertAnswer(session.now, unknown=unknown)
    answer = insert(session, rows)
    if answer.refused is None:
        tie(session, [(link.child, link.parent) for link in wanted(rows, answer)])
        while settle(session, 100):
            pass
    return answer


def tie(session: Session, links: Sequence[tuple[bytes, bytes]]) -> None:
    """Let jobs wait for parents, told as (child, parent)."""
    session.values_execute(TIE, [(parent, child) for child, parent in links])
    session.list_execute(FOLLOWED, list({parent for _, parent in links}))


def settle(session: Session, limit: int) -> int:
    """Let parents that have ended act, within the open transaction; return how many did."""
    numbers = [id for (id,) in session.rows(ENDED, (limit,))]
    rows = rows_by_id(session, numbers)
    ended = {row.id: Ended(row.state, row.result) for row in rows.values()}
    for parent, state in session.rows(GONE, (limit,)):
        ended.setdefault(parent, Ended(STATES[state]))
    if not ended:
        return 0
    children = [child for (child,) in session.list_rows(CHILDREN, list(ended))]
    links = by_child(session.list_rows(LINKS, list(dict.fromkeys(children))))
    jobs = rows_by_uid(session, list(links))
    verdicts = {child: judge(jobs.get(child), parents, ended, session.now) for child, parents in links.items()}
    _untie(session, verdicts)
    _carry_out(session, [(jobs[child], verdict) for child, verdict in verdicts.items() if child in jobs])
    session.list_execute(ACTED, numbers)
    kept_for_it = [row for row in rows.values() if row.expires is not None and row.expires == row.finished]
    _remove(session, kept_for_it)
    count_finals(session, tally(((row.ref >> LANE_SHIFT, NUMBERS[row.state]) for row in kept_for_it), -1))
    _forget(session, {parent for parent in ended if parent not in {row.id for row in rows.values()}})
    return len(ended)


def _untie(session: Session, verdicts: Mapping[bytes, Verdict]) -> None:
    done: dict[bytes, list[bytes]] = {}
    for child, verdict in verdicts.items():
        for parent in verdict.counted:
            done.setdefault(parent, []).append(child)
    for parent, children in done.items():
        session.list_execute(UNTIE, children, before=(parent,))


def _forget(session: Session, parents: Iterable[bytes]) -> None:
    """Take `ended` from links of parents that are gone for good and that jobs wait for all the same."""
    for parent in parents:
        session.execute(FORGET, (parent,))


def _carry_out(session: Session, judged: Sequence[tuple[JobRow, Verdict]]) -> None:
    now = session.now
    for row, verdict in judged:
        if verdict.args is not None:
            replace_args(session, [row.ref & ID_MASK], verdict.args)
    released = [(row.ref & ID_MASK, verdict.due) for row, verdict in judged if verdict.due is not None]
    session.values_execute(RELEASE, [(number, PENDING if due <= now else SCHEDULED, due) for number, due in released])
    ends = [(row, kept_until(row, now)) for row, verdict in judged if verdict.cancels]
    session.values_execute(CANCEL, [(row.ref & ID_MASK, end) for row, end in ends], before=(now,))
    count_finals(session, tally((row.ref >> LANE_SHIFT, CANCELLED) for row, end in ends if end != now))
    _remove(session, [row for row, end in ends if end == now])


def _remove(session: Session, rows: Sequence[JobRow]) -> None:
    remove_jobs(session, [(row.ref & ID_MASK, encode_tags(row.tags).decode() if row.tags else None) for row in rows])


def parents_of(session: Session, ids: Sequence[bytes]) -> dict[bytes, set[bytes]]:
    """Return the open parents of jobs."""
    return by_child(session.list_rows(LINKS, ids))


def followers_of(session: Session, ids: Sequence[bytes]) -> dict[bytes, set[bytes]]:
    """Return who waits for jobs."""
    return by_child(session.list_rows(FOLLOWERS, ids))
