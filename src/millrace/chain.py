"""Tasks one after the other, each given the result of the one before. Owns the jobs that a chain is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, cast
from uuid import UUID

from millrace.codec import parameter_names
from millrace.errors import ConfigurationError
from millrace.ids import new_id
from millrace.job import Job
from millrace.newjob import NewJob

if TYPE_CHECKING:
    from millrace.task import Task

__all__ = ["Chain", "chained"]

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")

_Link = tuple["Task[..., Any]", Mapping[str, Any]]


class Chain(Generic[P, R]):
    """What `task.then(other)` gives: it is enqueued like a task, and stores all its jobs in one transaction.

    Each job but the first is held until the one before has completed, and gets its result as the first argument.

    >>> from millrace import Millrace
    >>> app = Millrace("memory://")
    >>> double = app.task(name="double")(lambda number: 2 * number)
    >>> job = double.then(double).then(double).enqueue(1)
    >>> job.state.value, job.scheduled_at
    ('scheduled', None)
    >>> counts = app.drain()
    >>> job.refresh().result
    8
    """

    def __init__(self, first: Task[P, Any], links: Sequence[_Link]) -> None:
        self._first = first
        self._links = tuple(links)

    def then(self, other: Task[Concatenate[Any, ...], S], /, **args: Any) -> Chain[P, S]:
        """Return the chain with one more task at its end; see `Task.then`."""
        return Chain(self._first, [*self._links, _link(other, args)])

    def jobs(self, *args: P.args, **kwargs: P.kwargs) -> list[NewJob]:
        """Make the jobs without storing them, for `app.enqueue_many`: first to last, with ids.

        Raises:
            PayloadError: The arguments do not fit the first function.

        >>> from millrace import Millrace
        >>> app = Millrace("memory://")
        >>> double = app.task(name="double")(lambda number: 2 * number)
        >>> [job.task for job in double.then(double).jobs(1)]
        ['double', 'double']
        """
        before = self._first.job(*args, **kwargs)
        before.key = new_id()
        jobs = [before]
        for task, given in self._links:
            options = dict(task.given)
            options["after"] = [before.id, *(options.get("after") or ())]
            name = parameter_names(task.function, int(task.spec.takes_context))[0]
            before = NewJob(task.name, given, id=UUID(bytes=new_id()), **cast("Any", options | {"into": name}))
            jobs.append(before)
        return jobs

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> Job[R]:
        """Store all jobs, the first with these arguments; return the last one, which is held.

        Raises:
            PayloadError: The arguments do not fit the first function; nothing was stored.
            StoreUnavailable: The store cannot be written; nothing was stored.
        """
        return self._first.producer.put_many(self.jobs(*args, **kwargs))[-1]

    async def aenqueue(self, *args: P.args, **kwargs: P.kwargs) -> Job[R]:
        """Do so from async code."""
        return (await self._first.producer.aput_many(self.jobs(*args, **kwargs)))[-1]

    def __repr__(self) -> str:
        return f"<Chain {' -> '.join([self._first.name, *(task.name for task, _ in self._links)])}>"


def chained(first: Task[P, Any], other: Task[Concatenate[Any, ...], S], args: Mapping[str, Any]) -> Chain[P, S]:
    """Make a chain of two tasks."""
    return Chain(first, [_link(other, args)])


def _link(other: Any, args: Mapping[str, Any]) -> _Link:
    """Check that a task can follow.

    Raises:
        ConfigurationError: It is no task, takes no argument, or has a rule about arguments that are not known yet.
    """
    spec = getattr(other, "spec", None)
    if spec is None:
        raise ConfigurationError(f"then({other!r}): that is no task; give one made by @app.task")
    names = parameter_names(other.function, int(spec.takes_context))
    if not names:
        raise ConfigurationError(f"then({other.name}): it takes no argument that could be given the result; use after=")
    if names[0] in args:
        raise ConfigurationError(f"then({other.name}, {names[0]}=…): that argument is the result; leave it out")
    if other.unique is not None or spec.limits is not None:
        raise ConfigurationError(
            f"then({other.name}): its unique=, concurrency=, rate= or fair= count by arguments, of which the first is "
            "not known before the job before has completed; use after= and read the result in the handler"
        )
    return other, dict(args)
