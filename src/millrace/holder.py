"""Storing jobs that wait for others. Owns what is added to their rows, and what is told of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from msgspec import UNSET
from msgspec.structs import replace

from millrace.errors import JobNotFound, NotSupported
from millrace.followups import CallerHolds, Following, is_held
from millrace.messages import Existing, InsertAnswer, NewRow
from millrace.options import read_options

if TYPE_CHECKING:
    from millrace.core import Core

__all__ = ["any_held", "held_on", "hold", "told_how_long", "unknown_parent"]


def any_held(rows: Sequence[NewRow]) -> bool:
    """Tell whether any of the jobs waits for others."""
    return any(map(is_held, rows))


def told_how_long(app: Core, rows: Sequence[NewRow]) -> list[NewRow]:
    """Say of held jobs for how long each is kept where a parent cancels it, if its own options do not."""
    return [_told(app, row) if is_held(row) else row for row in rows]


def _told(app: Core, row: NewRow) -> NewRow:
    options = read_options(row.options or b"{}")
    if options.after is UNSET:
        return row
    spec = app.registry.get(row.task)
    terms = (app.terms if spec is None else spec.terms).over(options)
    after = replace(options.after, kept=terms.retention_micros)
    return replace(row, options=replace(options, after=after).encode())


def hold(app: Core, rows: Sequence[NewRow]) -> tuple[InsertAnswer, dict[int, Existing]]:
    """Insert rows of which some are held; tell these as they then are, for parents may have ended already.

    Raises:
        NotSupported: It is a store of somebody's that cannot.
    """
    store: object = app.store
    if not isinstance(store, Following):
        raise NotSupported(f"{app.store.url} holds no jobs for others; use a store of Millrace for after=")
    answer = store.hold(rows)
    if answer.unknown is not None or answer.refused is not None:
        return answer, {}
    places = [place for place, row in enumerate(rows) if is_held(row) and place not in answer.existing]
    found = app.store.get([rows[place].id for place in places])
    shown = {place: Existing(row, by_key=False) for place, row in zip(places, found, strict=True) if row is not None}
    return answer, shown


def held_on(store: object) -> CallerHolds:
    """Return a store that holds jobs in callers' transactions.

    Raises:
        NotSupported: It does not.
    """
    if isinstance(store, CallerHolds):
        return store
    raise NotSupported(f"{store!r} holds no jobs for others in a caller's transaction; enqueue after your commit")


def unknown_parent(app: Core, rows: Sequence[NewRow], unknown: tuple[int, bytes]) -> JobNotFound:
    """Make the error for a parent that is not there."""
    place, parent = unknown
    return JobNotFound(
        f"after: a job of {rows[place].task!r} is to wait for job {UUID(bytes=parent)}, which is not in "
        f"{app.store.url}; enqueue that one first, or earlier in the same enqueue_many"
    )
