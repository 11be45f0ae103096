"""A task: a plain function that can also be enqueued. Owns the class users hold; the worker runs its `TaskSpec`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Self, TypeVar, Unpack

import msgspec

from millrace.choices import JobChoices, laid_over, read_choices, template, unique_rule
from millrace.codec import parameter_names
from millrace.context import CURRENT, JobContext
from millrace.ids import new_id
from millrace.job import Job
from millrace.messages import NewRow
from millrace.newjob import NewJob
from millrace.producer import Producer, refused_if_taken
from millrace.registry import TaskSpec

if TYPE_CHECKING:
    from millrace.app import Millrace
    from millrace.chain import Chain
    from millrace.unique import Unique

__all__ = ["AsyncTask", "Task"]

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")


class Task(Generic[P, R]):
    """A function registered with an app by `@app.task`. Calling it calls the function; `enqueue` stores a job.

    `P` are the function's parameters (without a first `JobContext`), `R` is the type of the job's result.

    >>> from millrace import Millrace
    >>> app = Millrace("memory://")
    >>> @app.task
    ... def add(a: int, b: int = 1) -> int:
    ...     return a + b
    >>> add(2, 3)
    5
    >>> job = add.enqueue(2, b=3)
    >>> job.args, job.state.value
    ({'a': 2, 'b': 3}, 'pending')
    """

    __name__: str
    __wrapped__: Callable[..., Any]

    def __init__(self, producer: Producer, spec: TaskSpec, given: Mapping[str, Any] | None = None) -> None:
        self.spec = spec  #: what a worker knows of it
        self._producer = producer
        self._given: Mapping[str, Any] = given or {}
        self._choices = read_choices("using", self._given)
        self._unique = unique_rule(spec, self._choices)
        if self._unique is not None:
            self._unique.check(spec.name, parameter_names(spec.function, int(spec.takes_context)))
        self._limits = spec.limits
        self._rejects = self._unique is not None and self._unique.rejects
        self._row = row = template(spec.name, spec, self._choices)
        self._tail = (
            row.priority, row.delay, row.due, row.max_attempts, row.max_crashes, row.unique_key, row.tags, row.options,
            row.on_conflict,
        )  # fmt: skip
        functools.update_wrapper(self, spec.function)

    @property
    def name(self) -> str:
        """The name that its jobs are stored under."""
        return self.spec.name

    @property
    def app(self) -> Millrace:
        """The app that it belongs to."""
        return self._producer.app

    @property
    def function(self) -> Callable[..., Any]:
        """The plain function."""
        return self.spec.function

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function itself, here and now, with no queue.

        A first `JobContext` may be given; else it is the running job's, or outside a job one that only logs.
        """
        result: R = self._called(args, kwargs)
        return result

    def _called(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        spec = self.spec
        if spec.takes_context and not (args and isinstance(args[0], JobContext)):
            args = (self._context(), *args)
        return spec.function(*args, **kwargs)

    def _context(self) -> JobContext:
        """Find the running job's context, or make one for a call outside any job."""
        running = CURRENT.get()
        if running is not None:
            return running.context
        from millrace.detached import detached_context

        return detached_context(self.spec)

    def enqueue(self, /, *args: P.args, **kwargs: P.kwargs) -> Job[R]:
        """Store a job that calls the function with these arguments, and return it as it was stored.

        In async code use `aenqueue`: this one waits for the store, and warns once where that blocks an event loop.

        Raises:
            PayloadError: The arguments do not fit the function, or have no form in JSON; nothing was stored.
            DuplicateJob: The task's `Unique` rejects it, because another job holds the key of its arguments.
            StoreUnavailable: The store cannot be written; nothing was stored.

        >>> from millrace import Millrace
        >>> app = Millrace("memory://")
        >>> greet = app.task(name="greet")(lambda who: f"hello {who}")
        >>> greet.enqueue("Ada").task
        'greet'
        """
        if self._producer.hooked:
            return self._producer.put_new(self.job(*args, **kwargs))
        row = self._new_row(args, kwargs)
        connection = self._choices.connection
        job = self._producer.put(row) if connection is None else self._producer.put_on(connection, [row])[0]
        return refused_if_taken(job) if self._rejects else job

    async def aenqueue(self, /, *args: P.args, **kwargs: P.kwargs) -> Job[R]:
        """Store a job from async code, in one transaction with those that other tasks store at the same time.

        Raises as `enqueue` does. Cancelled before the write it stores nothing; after, the job is there.

        >>> import asyncio
        >>> from millrace import Millrace
        >>> app = Millrace("memory://")
        >>> greet = app.task(name="greet")(lambda who: f"hello {who}")
        >>> asyncio.run(greet.aenqueue("Ada")).state.value
        'pending'
        >>> app.close()
        """
        if self._producer.hooked:
            return await self._producer.aput_new(self.job(*args, **kwargs))
        row = self._new_row(args, kwargs)
        connection = self._choices.connection
        job = await (self._producer.aput(row) if connection is None else self._producer.aput_one_on(connection, row))
        return refused_if_taken(job) if self._rejects else job

    def _new_row(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> NewRow:
        row, data = self._row, self._encoded(args, kwargs)
        if self._unique is not None or self._limits is not None:
            return msgspec.structs.replace(row, id=new_id(), args=data, **self._keys(data))
        return NewRow(new_id(), row.task, row.queue, data, *self._tail)

    def _keys(self, data: bytes) -> dict[str, str]:
        """Fill the fields of a row that depend on its arguments."""
        spec, keys = self.spec, dict[str, str]()
        if self._unique is not None:
            keys["unique_key"] = self._unique.key(spec.name, spec.arguments, data)
        if self._limits is not None:
            keys["group"] = self._limits.group(spec.arguments, data, self._choices.key)
        return keys

    def _encoded(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bytes:
        return self.spec.arguments.encode(args, kwargs, self._producer.max_payload)

    def job(self, /, *args: P.args, **kwargs: P.kwargs) -> NewJob:
        """Make the job without storing it, for `app.enqueue_many`. Arguments are checked here.

        Raises:
            PayloadError: The arguments do not fit the function, or have no form in JSON.

        >>> from millrace import Millrace
        >>> app = Millrace("memory://")
        >>> square = app.task(name="square")(lambda n: n * n)
        >>> len(app.enqueue_many([square.job(n) for n in range(3)]))
        3
        """
        row, data = self._row, self._encoded(args, kwargs)
        if self._unique is not None or self._limits is not None:
            row = msgspec.structs.replace(row, **self._keys(data))
        return NewJob.bound(row, data, self._choices, self._given)

    def using(self, **options: Unpack[JobChoices]) -> Self:
        """Return the same task with other options for its jobs; see `JobChoices` for what there is.

        What was chosen before stays unless it is chosen again; of what excludes each other the last choice wins, so
        `using(run_at=…)` takes the place of an earlier `delay`, and `unique_key` that of `unique`. A `delay` counts
        from each enqueue.

        Raises:
            ConfigurationError: An option is unknown or out of range, or `delay` and `run_at` are both given at once.

        >>> from millrace import Millrace
        >>> app = Millrace("memory://")
        >>> greet = app.task(name="greet")(lambda who: f"hello {who}")
        >>> greet.using(priority=5, delay=60).enqueue("Ada").state.value
        'scheduled'
        """
        return type(self)(self._producer, self.spec, laid_over(self._given, options))

    def then(self, other: Task[Concatenate[Any, ...], S], /, **args: Any) -> Chain[P, S]:
        """Return a chain of this task and another one, which gets this one's result as its first argument.

        Enqueued, it stores both jobs in one transaction; the second is held until the first has completed. What becomes
        of it where the first ends dead or cancelled says `other.using(on_parent=…)`.

        Args:
            other: The task that follows, with the options of its job.
            args: Its other arguments, by name.

        Raises:
            ConfigurationError: It takes no argument, or has a rule about arguments that are not known yet.

        >>> from millrace import Millrace
        >>> app = Millrace("memory://")
        >>> add = app.task(name="add")(lambda a, b: a + b)
        >>> job = add.then(add, b=10).enqueue(1, 2)
        >>> counts = app.drain()
        >>> job.refresh().args, app.result(job)
        ({'a': 3, 'b': 10}, 13)
        """
        from millrace.chain import chained

        return chained(self, other, args)

    @property
    def given(self) -> Mapping[str, Any]:
        """The options chosen by `using`, as they were given."""
        return self._given

    @property
    def unique(self) -> Unique | None:
        """Which of its jobs are the same."""
        return self._unique

    @property
    def producer(self) -> Producer:
        """What stores its jobs."""
        return self._producer

    def __repr__(self) -> str:
        given = ", ".join(f"{key}={value!r}" for key, value in self._given.items())
        return f"<Task {self.name}{f' using {given}' if given else ''}>"


class AsyncTask(Task[P, R]):
    """A task made from `async def`: calling it gives the coroutine, its jobs have the awaited result.

    >>> import asyncio
    >>> from millrace import Millrace
    >>> app = Millrace("memory://")
    >>> @app.task
    ... async def add(a: int, b: int) -> int:
    ...     return a + b
    >>> asyncio.run(add(2, 3))
    5
    """

    def __call__(  # type: ignore[override]  # an async function is a task with result R, and called it gives an awaitable
        self, /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, R]:
        """Call the function itself, here and now, with no queue; await what it gives."""
        result: Coroutine[Any, Any, R] = self._called(args, kwargs)
        return result
