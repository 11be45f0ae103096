"""The app: `Millrace`. Owns what users build first, the decorator, and running jobs; its verbs come from `Client`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping
from datetime import timedelta
from functools import cached_property
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar, Unpack, overload

from millrace.choices import TaskChoices
from millrace.client import Client
from millrace.context import JobContext
from millrace.core import DEFAULT_MAX_PAYLOAD
from millrace.errors import ConfigurationError
from millrace.lifespan import Lifespan, WorkerChoices, make_lifespan
from millrace.options import DEFAULT_DEAD_RETENTION, DEFAULT_RETENTION
from millrace.producer import Producer
from millrace.states import JobState
from millrace.store import Store
from millrace.task import AsyncTask, Task
from millrace.taskmaker import TaskMaker, Unannotated, make_task

if TYPE_CHECKING:
    from millrace.aio import AsyncClient

__all__ = ["Millrace"]

P = ParamSpec("P")
R = TypeVar("R")


class Millrace(Client):
    """An app: tasks by name, and the store where their jobs live.

    The schema is created on first use. `with app:` or `app.close()` gives back threads, connections and files.

    Args:
        url_or_store: Where the jobs live: `sqlite:///jobs.db` (relative to the working directory),
            `sqlite:////var/lib/jobs.db`, `memory://`, `memory://name` (one store a name and process), or a Store, which
            the app then closes. None reads `MILLRACE_URL`, and without that uses `sqlite:///millrace.db`.
        imports: Modules with tasks, loaded by worker and command line.
        eager: Run what is due before `enqueue` returns, for tests. A failure is recorded on the job, not raised.
        release: A number that grows with each release of your code.
        retention: Seconds for which completed and cancelled jobs are kept; None for ever, 0 not at all.
        dead_retention: The same for dead ones.
        max_payload: The most bytes of arguments as JSON.

    Raises:
        ConfigurationError: The URL or a setting is not acceptable.

    >>> app = Millrace("memory://")
    >>> @app.task
    ... def add(a: int, b: int) -> int:
    ...     return a + b
    >>> job = add.enqueue(2, 3)
    >>> app.drain()[JobState.COMPLETED], app.result(job)
    (1, 5)
    """

    def __init__(
        self,
        url_or_store: str | Store | None = None,
        *,
        imports: Iterable[str] = (),
        eager: bool = False,
        release: int | None = None,
        retention: float | timedelta | None = DEFAULT_RETENTION,
        dead_retention: float | timedelta | None = DEFAULT_DEAD_RETENTION,
        max_payload: int = DEFAULT_MAX_PAYLOAD,
    ) -> None:
        super().__init__(
            url_or_store,
            imports=imports,
            eager=eager,
            release=release,
            retention=retention,
            dead_retention=dead_retention,
            max_payload=max_payload,
        )
        self.producer = Producer(self)

    def __repr__(self) -> str:
        return f"<Millrace {self.store.url} with {len(self.registry)} tasks>"

    @cached_property
    def aio(self) -> AsyncClient:
        """The same verbs, awaitable."""
        from millrace.aio import AsyncClient

        return AsyncClient(self)

    # -- tasks

    @overload
    def task(
        self, function: Callable[Concatenate[Unannotated, ...], Coroutine[Any, Any, R]], /
    ) -> AsyncTask[..., R]: ...
    @overload
    def task(self, function: Callable[Concatenate[Unannotated, ...], R], /) -> Task[..., R]: ...
    @overload
    def task(self, function: Callable[Concatenate[JobContext, P], Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...
    @overload
    def task(self, function: Callable[Concatenate[JobContext, P], R], /) -> Task[P, R]: ...
    @overload
    def task(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...
    @overload
    def task(self, function: Callable[P, R], /) -> Task[P, R]: ...
    @overload
    def task(self, **options: Unpack[TaskChoices]) -> TaskMaker: ...
    def task(self, function: object = None, **options: Any) -> Any:
        """Make a function a task of this app: `@app.task`, or `@app.task(queue="mail", …)` with options.

        Args:
            function: A function or async function. A first parameter annotated `JobContext` is left out by callers.
            options: See `TaskChoices`; what is left out has the default told there.

        Raises:
            ConfigurationError: The function cannot be a task, its name is taken, or an option is not acceptable.
            NotSupported: An option belongs to a later version.

        >>> app = Millrace("memory://")
        >>> @app.task(name="mail.send", queue="mail", max_attempts=8, timeout=30)
        ... async def send(to: str, subject: str = "Hello") -> None: ...
        >>> send.name
        'mail.send'
        """
        if function is not None:
            return make_task(function, self.registry, self.producer, self.terms, options)

        def decorate(function: object, /) -> Task[..., Any]:
            return make_task(function, self.registry, self.producer, self.terms, options)

        return decorate

    def load(self) -> None:
        """Import the modules named by `imports`, so that their tasks are known.

        Raises:
            ConfigurationError: One cannot be imported.

        >>> Millrace("memory://", imports=["json"]).load()
        """
        for name in self.imports:
            try:
                import_module(name)
            except ImportError as error:
                raise ConfigurationError(f"imports names {name!r}, which cannot be imported: {error}") from error

    # -- running

    def drain(self, *, queues: Iterable[str] | None = None) -> dict[JobState, int]:
        """Run in this thread all that is due and claimable, until none is left, and count how the attempts ended.

        Retries that have become due are included; it never waits for later ones. Inside a running event loop await
        `app.aio.drain()`.

        Args:
            queues: From these only; None is any.

        >>> app = Millrace("memory://")
        >>> job = app.task(name="ping")(lambda: "pong").enqueue()
        >>> app.drain()[JobState.COMPLETED]
        1
        """
        from millrace.worker import drain

        return drain(self, queues=queues)

    def run_worker(
        self,
        *,
        queues: Iterable[str] | None = None,
        tasks: Iterable[str] | None = None,
        concurrency: int = 10,
        reserved: Mapping[str, int] | None = None,
        burst: bool = False,
        grace: float = 30.0,
        prefetch: int | None = None,
    ) -> int:
        """Run a worker in this thread until SIGTERM or SIGINT, or with `burst` until nothing is due and nothing runs.

        Args:
            queues: Claim from these only; None is all, new ones too.
            tasks: Run these only; None is every task of the app, ones registered later too.
            concurrency: Jobs at once in this process.
            reserved: Slots by queue that no other queue's jobs may take.
            burst: Stop when there is nothing more to do now.
            grace: Seconds that running jobs have to end once it stops; what is left is given back.
            prefetch: Jobs to claim beyond the free slots; None finds out, 0 claims none ahead.

        Returns:
            The exit code: 0, or 1 where a second signal cut it short.

        >>> app = Millrace("memory://")
        >>> job = app.task(name="ping")(lambda: "pong").enqueue()
        >>> app.run_worker(burst=True), job.refresh().state.value
        (0, 'completed')
        """
        from millrace.worker import Worker

        return Worker(
            self,
            queues=queues,
            tasks=tasks,
            concurrency=concurrency,
            reserved=reserved,
            burst=burst,
            grace=grace,
            prefetch=prefetch,
        ).run()

    def lifespan(self, *, worker: bool = False, **options: Unpack[WorkerChoices]) -> Lifespan:
        """Make a lifespan for a web app: `FastAPI(lifespan=app.lifespan(worker=True, concurrency=4))`, or Starlette.

        Args:
            worker: Run a worker in the web process. Without it the app is only opened and closed with the web app.
            options: The worker's; see `WorkerChoices`.

        Raises:
            ConfigurationError: Options of a worker without `worker=True`.

        >>> import asyncio
        >>> app = Millrace("memory://")
        >>> async def serve() -> int:
        ...     async with app.lifespan()(None):
        ...         return await app.aio.depth()
        >>> asyncio.run(serve())
        0
        """
        return make_lifespan(self, options, worker=worker)

    # -- opening and closing

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        await self.aio.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aio.close()
