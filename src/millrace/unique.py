"""Which jobs of a task are the same. Owns the record `Unique` and the key it makes; stores know whether it is held."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Literal

from millrace import checks
from millrace.codec import Arguments
from millrace.errors import ConfigurationError

__all__ = ["Unique"]

Conflict = Literal["return", "replace", "reject", "debounce"]
Until = Literal["finished", "started"]

_UNTIL: tuple[Until, ...] = ("finished", "started")
_CONFLICTS: tuple[Conflict, ...] = ("return", "replace", "reject", "debounce")


class Unique:
    """One job for the same arguments: a second one is not stored while the first holds their key.

    The key is made per task from the arguments, defaults included, and kept as a hash in `Job.unique_key`. The plain
    form is `unique_key=`, one space for the whole store, held until finished. How long a key is held says the rule of
    its holder; what becomes of the second job says its own.

    Args:
        by: Which arguments count, by parameter name; None is all, `()` none: the task as a whole.
        until: "finished": until the job is completed, dead or cancelled. "started": until a worker claims it, for good:
            a try that fails does not take it back. Seconds, or a `timedelta`: so long from the enqueue of the holder,
            beyond its end too, for which the job is kept at least as long.
        on_conflict: "return": the holder comes back with `duplicate=True`. "replace": so too, but while it waits it is
            given the new arguments. "debounce": the new arguments, and the due time of the new job, so that it runs
            once calls have ceased for a `delay`. A holder that runs or has ended comes back unchanged. "reject":
            `DuplicateJob` is raised.

    Raises:
        ConfigurationError: An argument is not acceptable.

    >>> from millrace import Millrace
    >>> app = Millrace("memory://")
    >>> @app.task(unique=Unique(by=["user"]))
    ... def greet(user: int, text: str = "hello") -> None: ...
    >>> first, second, third = greet.enqueue(1), greet.enqueue(1, "hi"), greet.enqueue(2)
    >>> second.id == first.id, second.duplicate, third.duplicate
    (True, True, False)
    """

    __slots__ = ("by", "on_conflict", "until")

    def __init__(
        self,
        by: Iterable[str] | None = None,
        until: Until | float | timedelta = "finished",
        on_conflict: Conflict = "return",
    ) -> None:
        names = () if by is None else checks.items("Unique(by=)", by, "parameter names")
        self.by = None if by is None else tuple(checks.name("a name in Unique(by=)", each) for each in names)
        self.until: Until | float = _checked_until(until)
        self.on_conflict: Conflict = _checked_conflict(on_conflict)

    @property
    def rejects(self) -> bool:
        """Whether a second job is an error."""
        return self.on_conflict == "reject"

    def check(self, task: str, names: Sequence[str]) -> None:
        """Check that `by` lists parameters of a task that takes `names`.

        Raises:
            ConfigurationError: It names what is no parameter of the task.
        """
        for name in self.by or ():
            if name not in names:
                raise ConfigurationError(
                    f"Unique(by=…) names {name!r}, but {task} takes {', '.join(names) or 'no arguments'}"
                )

    def key(self, task: str, arguments: Arguments, data: bytes) -> str:
        """Make the key of a job from its stored arguments.

        Raises:
            ConfigurationError: `by` names what is no parameter of the task.
        """
        names = arguments.names
        self.check(task, names)
        import hashlib  # it loads the system's OpenSSL: 4 ms that only those pay who use a rule

        told = arguments.canonical(data, names if self.by is None else self.by)
        return f"unique:{hashlib.blake2b(task.encode() + bytes(1) + told, digest_size=20).hexdigest()}"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Unique):
            return NotImplemented
        return (self.by, self.until, self.on_conflict) == (other.by, other.until, other.on_conflict)

    def __hash__(self) -> int:
        return hash((self.by, self.until, self.on_conflict))

    def __repr__(self) -> str:
        return f"Unique(by={self.by!r}, until={self.until!r}, on_conflict={self.on_conflict!r})"


def _checked_until(until: object) -> Until | float:
    if isinstance(until, str):
        for known in _UNTIL:
            if until == known:
                return known
        raise ConfigurationError(
            f"Unique(until={until!r}) is not known; give 'finished', 'started', or how many seconds the key is held"
        )
    return checks.duration("Unique(until=)", until, positive=True)


def _checked_conflict(on_conflict: object) -> Conflict:
    for known in _CONFLICTS:
        if on_conflict == known:
            return known
    raise ConfigurationError(
        f"Unique(on_conflict={on_conflict!r}) is not known; give one of {', '.join(map(repr, _CONFLICTS))}"
    )
