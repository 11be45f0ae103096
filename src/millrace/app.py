"""The app: `Millrace`. Owns what users build first, the decorator, and running jobs; its verbs come from its bases."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import cached_property
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar, Unpack, overload

from millrace.checks import Named
from millrace.choices import TaskChoices
from millrace.context import JobContext
from millrace.core import DEFAULT_MAX_PAYLOAD
from millrace.errors import ConfigurationError
from millrace.hooking import Hooking
from millrace.importing import import_failure
from millrace.lifespan import Lifespan, WorkerChoices, make_lifespan
from millrace.options import DEFAULT_DEAD_RETENTION, DEFAULT_RETENTION
from millrace.producer import Producer
from millrace.states import JobState
from millrace.store import Store
from millrace.task import AsyncTask, Task
from millrace.taskmaker import TaskMaker, Unannotated, make_task

if TYPE_CHECKING:
    from datetime import timedelta

    from millrace.aio import AsyncClient
    from millrace.codeschedules import CodeSchedules
    from millrace.dashboard import Dashboard
    from millrace.dashboard.access import Authorize
    from millrace.schedules import ScheduleChoices, Schedules

__all__ = ["Millrace"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T", bound="Task[..., Any]")


class Millrace(Hooking):
    """An app: tasks by name, and the store where their jobs live.

    The schema is created on first use. `with app:` or `app.close()` gives back threads, connections and files.

    Args:
        url_or_store: Where the jobs live: `sqlite:///jobs.db` (relative to the working directory),
            `sqlite:////var/lib/jobs.db`, `postgresql://` (`postgres://` too), `redis://` or `valkey://` (`rediss://`,
            `valkeys://` with TLS, `unix://` for a socket), `memory://`, `memory://name` (one store a name and process),
            or a Store, which the app then closes. None reads `MILLRACE_URL`, else takes `sqlite:///millrace.db`.
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

    @cached_property
    def schedules(self) -> Schedules:
        """The schedules: put, read, pause, resume, delete, run now."""
        from millrace.schedules import Schedules

        return Schedules(self)

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

    # -- schedules

    @cached_property
    def code_schedules(self) -> CodeSchedules:
        """The schedules that stand in the code."""
        from millrace.codeschedules import CodeSchedules

        return CodeSchedules(self)

    def settle_schedules(self) -> None:
        """Let the store know the schedules that stand in the code; workers and drains do so by themselves."""
        self.code_schedules.settle()

    def cron(
        self, expression: str, *, name: str | None = None, timezone: str = "UTC", **options: Unpack[ScheduleChoices]
    ) -> Callable[[T], T]:
        """Run a task by a cron expression: put it above `@app.task`, on a task that needs no arguments.

        Args:
            expression: Minute, hour, day of the month, month, day of the week; with seconds in front if there are six;
                or `@daily` and its kin.
            name: Of the schedule; None: the task's.
            timezone: In which it is meant, by its IANA name.
            options: See `ScheduleChoices`.

        Raises:
            ScheduleError: The expression or the zone is not understood.
            ConfigurationError: What it stands above is no such task, the name is taken, or an option is not acceptable.

        >>> app = Millrace("memory://")
        >>> @app.cron("0 9 * * mon-fri", timezone="Europe/Berlin")
        ... @app.task
        ... def report() -> None: ...
        >>> app.settle_schedules()
        >>> app.schedules.list()[0].words
        'At 09:00 on Monday through Friday, Europe/Berlin'
        """
        from millrace.schedules import schedule_options

        given = schedule_options(options, cron=expression, timezone=timezone)
        return lambda task: self.code_schedules.add(task, name, given)

    def every(
        self,
        *,
        seconds: float = 0,
        minutes: float = 0,
        hours: float = 0,
        days: float = 0,
        name: str | None = None,
        **options: Unpack[ScheduleChoices],
    ) -> Callable[[T], T]:
        """Run a task at equal distances: put it above `@app.task`, on a task that needs no arguments.

        The first tick comes one distance after a worker has first seen the schedule.

        Args:
            seconds: The distance, a second at least; to which are added:
            minutes: So many.
            hours: So many.
            days: So many.
            name: Of the schedule; None: the task's.
            options: See `ScheduleChoices`.

        Raises:
            ScheduleError: The distance is too short.
            ConfigurationError: As for `cron`.

        >>> app = Millrace("memory://")
        >>> @app.every(minutes=5)
        ... @app.task
        ... def tidy() -> None: ...
        """
        from millrace.schedules import interval, schedule_options

        given = schedule_options(options, every=interval(days=days, hours=hours, minutes=minutes, seconds=seconds))
        return lambda task: self.code_schedules.add(task, name, given)

    def load(self) -> None:
        """Import the modules named by `imports`, so that their tasks are known.

        Raises:
            ConfigurationError: One cannot be imported, whatever it raised; the message names module, place and error.

        >>> Millrace("memory://", imports=["json"]).load()
        """
        for name in self.imports:
            try:
                import_module(name)
            except Exception as error:  # importing runs the user's code
                raise ConfigurationError(
                    f"imports names {name!r}, which cannot be imported: {import_failure(error)}"
                ) from error

    # -- running

    def drain(self, *, queues: Iterable[str] | None = None) -> dict[JobState, int]:
        """Run in this thread all that is due and claimable, until none is left, and count how the attempts ended.

        Retries that have become due are included; it never waits for later ones. Inside a running event loop await
        `app.aio.drain()`.

        At its end it deletes some of the jobs whose retention has passed, at most 500.

        Args:
            queues: From these only; None is any.

        >>> app = Millrace("memory://")
        >>> job = app.task(name="ping")(lambda: "pong").enqueue()
        >>> app.drain()[JobState.COMPLETED]
        1
        """
        from millrace.worker import drain

        counts = drain(self, queues=queues)
        self.store.expire()
        return counts

    def run_worker(
        self,
        *,
        queues: Iterable[str] | None = None,
        tasks: Iterable[str | Named] | None = None,
        concurrency: int = 10,
        reserved: Mapping[str, int] | None = None,
        burst: bool = False,
        grace: float | timedelta = 30.0,
        prefetch: int | None = None,
    ) -> int:
        """Run a worker in this thread until SIGTERM or SIGINT, or with `burst` until nothing is due and nothing runs.

        Args:
            queues: Claim from these only; None is all, new ones too.
            tasks: Run these only, named or given; None is every task of the app, ones registered later too.
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
            ConfigurationError: Options of a worker without `worker=True`, or one that is not acceptable.

        >>> import asyncio
        >>> app = Millrace("memory://")
        >>> async def serve() -> int:
        ...     async with app.lifespan()(None):
        ...         return await app.aio.depth()
        >>> asyncio.run(serve())
        0
        """
        return make_lifespan(self, options, worker=worker)

    def dashboard(
        self,
        *,
        token: str | None = None,
        authorize: Authorize | None = None,
        read_only: bool = False,
        redact: Iterable[str] = (),
    ) -> Dashboard:
        """Make an ASGI app that shows jobs, queues, workers and schedules, to mount under FastAPI or Starlette.

        Without `token` and `authorize` it answers on this machine alone, under a loopback name.

        Args:
            token: Who sends it, as Bearer or as the password of Basic, operates; None reads MILLRACE_DASHBOARD_TOKEN.
            authorize: Your own check: given the request it returns "operate", "read" or None; may be async.
            read_only: Nobody may change anything.
            redact: Names of arguments whose values are hidden, beside passwords, tokens and their kin.

        Raises:
            ConfigurationError: millrace[dashboard] is not installed, or an argument is not acceptable.

        >>> from starlette.applications import Starlette
        >>> from starlette.routing import Mount
        >>> app = Millrace("memory://")
        >>> site = Starlette(routes=[Mount("/jobs", app.dashboard(token="sesame"))])
        """
        try:
            from millrace.dashboard import Dashboard
        except ModuleNotFoundError as error:
            if error.name is None or error.name.partition(".")[0] not in {"jinja2", "starlette"}:
                raise
            raise ConfigurationError(f"the dashboard needs {error.name}; install millrace[dashboard]") from error
        return Dashboard(self, token=token, authorize=authorize, read_only=read_only, redact=redact)

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
