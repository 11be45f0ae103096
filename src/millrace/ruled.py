"""Rows under a rule of uniqueness on their way to the store: what is refused, and what a changed row keeps of it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import UNSET

from millrace.errors import DuplicateJob
from millrace.messages import NewRow
from millrace.options import JobOptions, read_options
from millrace.registry import TaskSpec

__all__ = ["refuse_twins", "ruled_as", "unkeyed"]


def unkeyed(row: NewRow, spec: TaskSpec | None) -> NewRow:
    """Leave the key of a row out that the rule of its task has made: it makes that of the changed job as well.

    >>> row = NewRow(bytes(16), "add", "default", b"{}", unique_key="mine")
    >>> unkeyed(row, None).unique_key
    'mine'
    """
    if row.unique_key is None or spec is None or spec.unique is None:
        return row
    made = spec.unique.key(spec.name, spec.arguments, row.args)
    return msgspec.structs.replace(row, unique_key=None) if made == row.unique_key else row


def ruled_as(row: NewRow, made: NewRow) -> NewRow:
    """Let a key that a rule has made be held, and its holder changed, as the rule says; only the row still tells it.

    Args:
        row: As it was.
        made: What has been made of it, without its rule.

    >>> row = NewRow(bytes(16), "add", "default", b"{}", unique_key="k", options=b'{"until":"started"}')
    >>> ruled_as(row, msgspec.structs.replace(row, options=None)).options
    b'{"until":"started"}'
    """
    until = UNSET if row.options is None else read_options(row.options).until
    if made.unique_key != row.unique_key or (until is UNSET and row.on_conflict == "return"):
        return made
    own = JobOptions() if made.options is None else read_options(made.options)
    options = msgspec.structs.replace(own, until=until).encode()
    return msgspec.structs.replace(made, options=options, on_conflict=row.on_conflict)


def refuse_twins(rows: Sequence[NewRow]) -> None:
    """Refuse a call in which a job that rejects comes behind another one of its key.

    Raises:
        DuplicateJob: It names their places.

    >>> refuse_twins([NewRow(bytes(16), "add", "default", b"{}", unique_key="k", on_conflict="reject")])
    """
    first: dict[str, int] = {}
    for place, row in enumerate(rows):
        if row.unique_key is None:
            continue
        there = first.setdefault(row.unique_key, place)
        if there != place and row.on_conflict == "reject" and rows[there].id != row.id:
            raise DuplicateJob(
                f"{row.task}: jobs {there} and {place} of the call have the same arguments, which the second rejects; "
                "nothing was stored. Leave one of them out"
            )
