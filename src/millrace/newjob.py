"""A job that is not stored yet. Owns the record `NewJob`; stores nothing and knows no app.

A `NewJob` made by `task.job(...)` has its arguments bound, checked and encoded already; one made by hand names a task
and gets both when it is enqueued, by the app that knows the task.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack, cast
from uuid import UUID

import msgspec
from msgspec import UNSET

from millrace.checks import name
from millrace.choices import Choices, JobChoices, laid_over, read_choices
from millrace.clock import SECOND, to_datetime
from millrace.errors import ConfigurationError
from millrace.ids import as_id
from millrace.messages import NewRow
from millrace.options import JobOptions, read_options

__all__ = ["NewJob", "unbound"]

_decode = msgspec.json.Decoder().decode


class NewJob:
    """A job to enqueue: a task's name, arguments by parameter name, and options.

    The same object may be enqueued several times and makes a job each time, unless it was given an `id`: the same id
    twice is one job.

    Args:
        task: The task's name, or the task. A name that the app does not know is taken, for a worker that does.
        args: Arguments by parameter name, JSON values or what the task's annotations can read.
        id: A UUID, or its text, that makes enqueueing again harmless.
        options: As for `Task.using`; what is left out is the task's own where it is known, else the default.

    Raises:
        ConfigurationError: The name, the id or an option is not acceptable.

    >>> NewJob("tasks.add", {"a": 2, "b": 3}, priority=5)
    NewJob('tasks.add', {'a': 2, 'b': 3}, priority=5)
    """

    __slots__ = ("_args", "_given", "_task", "choices", "data", "key", "row")

    _args: Mapping[str, Any] | None
    _given: Mapping[str, Any]
    key: bytes | None  #: the id that it was given
    _task: str
    choices: Choices  #: the options, checked
    data: bytes | None  #: the arguments as JSON, where they are bound already
    row: NewRow | None  #: the row to copy, where the task is known already

    def __init__(
        self,
        task: object,
        args: Mapping[str, Any] | None = None,
        *,
        id: UUID | str | None = None,
        **options: Unpack[JobChoices],
    ) -> None:
        self._task = name("task", getattr(task, "name", task))
        if args is not None and not isinstance(cast("object", args), Mapping):
            raise ConfigurationError(f"args {args!r} is not a mapping; give arguments by name, such as {{'a': 2}}")
        self._args = dict(args or {})
        self.key = None if id is None else as_id(id)
        self._given = dict(options)
        self.choices = read_choices("NewJob", options)
        self.data = None
        self.row = None

    @classmethod
    def bound(cls, row: NewRow, data: bytes, choices: Choices, given: Mapping[str, Any]) -> NewJob:
        """Make one whose arguments are encoded and whose row is worked out; for `Task.job`, which is called in bulk."""
        return cls.__new__(cls)._bound(row, data, choices, given)  # noqa: SLF001 - itself, before its first breath

    def _bound(self, row: NewRow, data: bytes, choices: Choices, given: Mapping[str, Any]) -> NewJob:
        self._task = row.task
        self._args = None
        self._given = given
        self.choices = choices
        self.data = data
        self.key = None
        self.row = row
        return self

    @property
    def task(self) -> str:
        """The name of its task."""
        return self._task

    @property
    def args(self) -> Mapping[str, Any]:
        """Its arguments by parameter name; plain JSON values where it was made by `Task.job`."""
        if self._args is None:
            self._args = cast("dict[str, Any]", _decode(self.data or b"{}"))
        return self._args

    @property
    def id(self) -> UUID | None:
        """The id that it was given, or None: then each enqueue gives a new one."""
        return None if self.key is None else UUID(bytes=self.key)

    @property
    def options(self) -> Mapping[str, Any]:
        """The options that it was given, as they were given."""
        return self._given

    def using(self, *, args: Mapping[str, Any] | None = None, **options: Unpack[JobChoices]) -> NewJob:
        """Return the same job with other options, or with other arguments; its id stays. What middleware does to jobs.

        Args:
            args: Arguments by parameter name, in place of the old; None keeps them.
            options: As for `Task.using`, laid over those that it was given.

        Raises:
            ConfigurationError: An option is not acceptable.

        >>> NewJob("tasks.add", {"a": 2}, delay=60).using(priority=5, args={"a": 3})
        NewJob('tasks.add', {'a': 3}, delay=60, priority=5)
        """
        return NewJob(self._task, self.args if args is None else args, id=self.id, **laid_over(self._given, options))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, NewJob):
            return NotImplemented
        return (self.task, self.args, self.key, self.choices) == (other.task, other.args, other.key, other.choices)

    __hash__ = None  # type: ignore[assignment]  # its arguments are a dict

    def __repr__(self) -> str:
        words = [repr(self.task), repr(dict(self.args)), *([] if self.key is None else [f"id={str(self.id)!r}"])]
        return f"NewJob({', '.join([*words, *(f'{key}={value!r}' for key, value in self._given.items())])})"


def unbound(row: NewRow) -> NewJob:
    """Make of a row the job that it was made of, with its id, as far as the row tells.

    >>> unbound(NewRow(bytes(16), "add", "sums", b'{"a":2}', priority=5)).options["queue"]
    'sums'
    """
    own = JobOptions() if row.options is None else read_options(row.options)
    options: JobChoices = {
        "queue": row.queue, "priority": row.priority, "max_attempts": row.max_attempts, "max_crashes": row.max_crashes,
        "tags": row.tags,
    }  # fmt: skip
    if row.unique_key is not None:
        options["unique_key"] = row.unique_key
    if row.due is not None:
        options["run_at"] = to_datetime(row.due)
    elif row.delay:
        options["delay"] = row.delay / SECOND
    if own.timeout is not UNSET:
        options["timeout"] = own.timeout
    if own.lease is not UNSET:
        options["lease"] = own.lease
    if own.retention is not UNSET:
        options["retention"] = own.retention
    return NewJob(row.task, _decode(row.args), id=UUID(bytes=row.id), **options)
