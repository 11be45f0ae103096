"""Deleting jobs with all that belongs to them. Owns the DELETEs; who may be deleted is its callers' business."""

from __future__ import annotations

from collections.abc import Sequence

from millrace.stores.sqlite.rows import decode_tags
from millrace.stores.sqlite.session import Session

__all__ = ["remove_children", "remove_jobs"]

DELETE_JOBS = "DELETE FROM {p}jobs WHERE id IN ({ids})"  # SEARCH jobs USING INTEGER PRIMARY KEY

# The newest number is never given up, or the next job would get it, and an outcome of the old one could pass for its:
# where the newest job goes, a row of no state and lane keeps its place until a newer job goes. AUTOINCREMENT would do
# the same for a page of WAL more with each insert, a quarter of what a single one writes. `max(id)` is one look.
KEEP_NUMBER = """INSERT OR REPLACE INTO {p}jobs(id,uid,lane,state,priority,due,created,max_attempts)
 SELECT ?1,x'',0,8,0,0,0,1 WHERE NOT EXISTS (SELECT 1 FROM {p}jobs NOT INDEXED WHERE id>?1)"""

# One each, not triggers or foreign keys, which would cost every row of the hot path. By primary key, or by the
# index led by `job`.
CHILDREN = (
    "DELETE FROM {p}bodies WHERE job IN ({ids})",
    "DELETE FROM {p}results WHERE job IN ({ids})",
    "DELETE FROM {p}errors WHERE job IN ({ids})",
    "DELETE FROM {p}progress WHERE job IN ({ids})",
    "DELETE FROM {p}attempts WHERE job IN ({ids})",
    "DELETE FROM {p}logs WHERE job IN ({ids})",
)
# `tags` is led by the tag, which the job's row names: SEARCH tags USING PRIMARY KEY (tag=? AND job=?). One statement
# a tag: a list of pairs would look through all jobs of each tag.
DELETE_TAG = "DELETE FROM {p}tags WHERE tag=? AND job IN ({ids})"

Tagged = tuple[int, str | None]  #: a job's number and its tags as stored


def remove_jobs(session: Session, jobs: Sequence[Tagged]) -> None:
    """Delete jobs with all that belongs to them."""
    session.list_execute(DELETE_JOBS, [id for id, _ in jobs])
    remove_children(session, jobs)


def remove_children(session: Session, jobs: Sequence[Tagged]) -> None:
    """Delete what belongs to jobs whose rows are gone."""
    if not jobs:
        return
    ids = [id for id, _ in jobs]
    session.execute(KEEP_NUMBER, (max(ids),))
    for template in CHILDREN:
        session.list_execute(template, ids)
    tagged: dict[str, list[int]] = {}
    for id, stored in jobs:
        for tag in () if stored is None else decode_tags(stored):
            tagged.setdefault(tag, []).append(id)
    for tag, holders in tagged.items():
        session.list_execute(DELETE_TAG, holders, before=(tag,))
