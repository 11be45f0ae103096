"""Which jobs of a task are the same. Owns the record `Unique` and the key it makes; stores know whether it is held."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from millrace import checks
from millrace.codec import Arguments
from millrace.errors import ConfigurationError, NotSupported

__all__ = ["Unique"]

_LATER_UNTIL = "started"
_CONFLICTS = ("return", "reject")
_LATER_CONFLICTS = ("replace", "debounce")


class Unique:
    """One live job for the same arguments: a second one is not stored while the first has not ended.

    The key is made per task from the arguments, defaults included, and kept as a hash in `Job.unique_key`. The plain
    form is `unique_key=`, one space for the whole store.

    Args:
        by: Which arguments count, by parameter name; None is all, `()` none: the task as a whole.
        until: "finished": until the job is completed, dead or cancelled. "started" and seconds are not in this version.
        on_conflict: "return": the holder comes back with `duplicate=True`. "reject": `DuplicateJob` is raised.
            "replace" and "debounce" are not in this version.

    Raises:
        ConfigurationError: An argument is not acceptable.
        NotSupported: It asks for what a later version has.

    >>> from millrace import Millrace
    >>> app = Millrace("memory://")
    >>> @app.task(unique=Unique(by=["user"]))
    ... def greet(user: int, text: str = "hello") -> None: ...
    >>> first, second, third = greet.enqueue(1), greet.enqueue(1, "hi"), greet.enqueue(2)
    >>> second.id == first.id, second.duplicate, third.duplicate
    (True, True, False)
    """

    __slots__ = ("by", "on_conflict")

    def __init__(
        self,
        by: Iterable[str] | None = None,
        until: Literal["finished"] = "finished",
        on_conflict: Literal["return", "reject"] = "return",
    ) -> None:
        names = () if by is None else checks.items("Unique(by=)", by, "parameter names")
        self.by = None if by is None else tuple(checks.name("a name in Unique(by=)", each) for each in names)
        _check(until, on_conflict)
        self.on_conflict = on_conflict

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
        return (self.by, self.on_conflict) == (other.by, other.on_conflict)

    def __hash__(self) -> int:
        return hash((self.by, self.on_conflict))

    def __repr__(self) -> str:
        return f"Unique(by={self.by!r}, on_conflict={self.on_conflict!r})"


def _check(until: object, on_conflict: object) -> None:
    if until == _LATER_UNTIL or isinstance(until, (int, float)):
        raise NotSupported(f"Unique(until={until!r}): not in this version of Millrace; leave it at 'finished'")
    if until != "finished":
        raise ConfigurationError(f"Unique(until={until!r}) is not known; give 'finished'")
    if on_conflict in _LATER_CONFLICTS:
        raise NotSupported(f"Unique(on_conflict={on_conflict!r}): not in this version; give 'return' or 'reject'")
    if on_conflict not in _CONFLICTS:
        raise ConfigurationError(f"Unique(on_conflict={on_conflict!r}) is not known; give 'return' or 'reject'")
