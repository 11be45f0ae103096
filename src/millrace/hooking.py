"""The verbs by which an app is told what to call: middleware, listeners, and whether it keeps lines of `logging`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from types import UnionType
from typing import Any, TypeVar, cast, get_args

from millrace import checks
from millrace.client import Client
from millrace.errors import ConfigurationError
from millrace.events import Event, JobEvent
from millrace.hooks import Listener
from millrace.ids import as_id
from millrace.messages import JobFilter
from millrace.middleware import hang_in
from millrace.reader import Id
from millrace.store import MAX_PAGE
from millrace.trail import Trail

__all__ = ["Hooking", "chosen_sight"]

H = TypeVar("H")
L = TypeVar("L", bound=Callable[..., object])

Kinds = type[Event] | UnionType | tuple[Any, ...]


class Hooking(Client):
    """What an app can be told to call."""

    def middleware(self, hooks: H) -> H:
        """Hang middleware in around every enqueue and every attempt: above a class, or called with an object.

        The first one is the outermost. A class is made once, without arguments. It holds from the next enqueue on, and
        in a worker from the next claim on; child processes have what the modules of the app register.

        Args:
            hooks: A class or an object with any of `before_enqueue`, `around_attempt`, `after_attempt`; see
                `millrace.Middleware`, which may be its base.

        Raises:
            ConfigurationError: It has no hook, or one of a name that is none.

        >>> from millrace import Millrace
        >>> app = Millrace("memory://")
        >>> @app.middleware
        ... class Refuse:
        ...     def before_enqueue(self, job):
        ...         if len(job.args) > 10:
        ...             raise ValueError("too many arguments")
        >>> app.task(name="ping")(lambda: "pong").enqueue().state.value
        'pending'
        """
        hang_in(self.hooks, hooks)
        if self.hooks.befores:
            self.producer.hooked = True
            self.hooks.change_row = self.producer.changed_row
        return hooks

    def capture_logs(self, level: int | str | None = "INFO") -> None:
        """Say which lines that handlers write with `logging` are kept in their job's log: by default from INFO on.

        That is in addition to whatever else becomes of them: a line must pass the level of its own logger first, and
        what the root logger has is WARNING where nobody has set it. Kept are lines of the handler and of all that it
        calls or awaits, as for `current_job()`, with the logger's name as `data`, within the bounds of a job's log.

        Args:
            level: From which level on, by number or name; None keeps none.

        Raises:
            ConfigurationError: There is no such level.

        >>> import logging
        >>> from millrace import Millrace
        >>> app = Millrace("memory://")
        >>> app.capture_logs("WARNING")
        >>> @app.task
        ... def parse(name: str) -> None:
        ...     logging.getLogger("shop").error("cannot parse %s", name)
        >>> job = parse.enqueue("a.csv")
        >>> app.drain()[job.refresh().state], app.logs(job)[0].message, app.logs(job)[0].data
        (1, 'cannot parse a.csv', {'logger': 'shop'})
        """
        if isinstance(level, str):
            names = logging.getLevelNamesMapping()
            if level.upper() not in names:
                raise ConfigurationError(f"level {level!r} is not known; give one of {', '.join(names)}, or a number")
            level = names[level.upper()]
        given: Any = level
        if given is not None and (isinstance(given, bool) or not isinstance(given, int)):
            raise ConfigurationError(f"level {given!r} is no level of logging; give 'INFO', a number, or None")
        self.hooks.log_level = level

    def on(self, *kinds: Kinds) -> Callable[[L], L]:
        """Call a function, plain or async, when something happens in this process: `@app.on(JobDead | JobCompleted)`.

        It is called once what happened is written, never for what a store refused. In a worker that is in a thread of
        its own, one event after another, so that a slow listener holds up no job; for the app's own verbs and `drain`
        it is before they return. What it raises is logged, and changes nothing.

        Args:
            kinds: Classes of `millrace.events`, as a union, as a tuple, or several; one hears what derives from it too.

        Raises:
            ConfigurationError: One is no event.

        >>> from millrace import Millrace
        >>> from millrace.events import JobCompleted, JobDead
        >>> app = Millrace("memory://")
        >>> @app.on(JobCompleted | JobDead)
        ... def note(event: JobCompleted | JobDead) -> None:
        ...     print(type(event).__name__, event.task)
        >>> job = app.task(name="ping")(lambda: "pong").enqueue()
        >>> done = app.drain()
        JobCompleted ping
        """
        wanted = tuple(_kinds(kinds))
        if not wanted:
            raise ConfigurationError("on() hears nothing; name events, such as app.on(JobDead)")

        def listen(function: L) -> L:
            if not callable(cast("object", function)):
                raise ConfigurationError(f"{function!r} cannot be called; put app.on(…) above a function")
            self.hooks.listen(Listener(function, wanted))
            return function

        return listen

    def events(self, *, job: Id | None = None, queue: str | None = None, follow: bool = True) -> Iterator[JobEvent]:
        """Follow what happens to a job, to the jobs of a queue, or to all, in whatever process it happens.

        Of one job all is told, from its enqueue to its end, which ends the iteration: states, attempts, log, and the
        newest progress at each look. Of a queue, or of all, it is what happens from this call on: each change of up to
        10,000 live jobs, where changes that come quickly one after another may be told as one and lines be left out;
        of more jobs, those that are new or run.

        Args:
            job: The job, or its id.
            queue: Its name.
            follow: False: only what is there now, of a queue the last event of each of its 1,000 newest jobs.

        Raises:
            ConfigurationError: Both a job and a queue are named.
            JobNotFound: There is no such job.
            StoreUnavailable: The store is out of reach, or the app was closed.

        >>> from millrace import Millrace
        >>> app = Millrace("memory://")
        >>> job = app.task(name="ping")(lambda: "pong").enqueue()
        >>> done = app.drain()
        >>> [type(event).__name__ for event in app.events(job=job)]
        ['JobEnqueued', 'JobStarted', 'JobCompleted']
        >>> app.close()
        """
        from millrace.feed import Following

        id = chosen_sight(job, queue)
        if not checks.flag("follow", follow):
            return iter(self.events_now(id, queue))
        if id is None:
            return Following(self.feed.follow_queue(queue))
        self.row_of(id)
        return Following(self.feed.follow_job(id))

    def events_now(self, id: bytes | None, queue: str | None) -> list[JobEvent]:
        """Return what can be told now, of a job or of the newest jobs."""
        if id is not None:
            self.row_of(id)
            from millrace.feed import JobSight

            return JobSight(self.store, id).look()
        now = self.store.now()
        rows, _ = self.store.page(JobFilter(queue=queue), limit=MAX_PAGE)
        return [Trail().take(row, now)[-1] for row in reversed(rows)]


def chosen_sight(job: Id | None, queue: str | None) -> bytes | None:
    """Check what is to be followed, and return the id of a job, or None.

    Raises:
        ConfigurationError: Both are named.

    >>> chosen_sight(None, "mail") is None
    True
    """
    if queue is not None:
        checks.name("queue", queue)
    if job is None:
        return None
    if queue is not None:
        raise ConfigurationError(f"events(job={job!r}, queue={queue!r}): name one of them; a job is in one queue")
    return as_id(job)


def _kinds(given: object) -> Iterator[type[Event]]:
    """Go through the events in tuples and unions.

    Raises:
        ConfigurationError: One is none.
    """
    if isinstance(given, tuple):
        for each in cast("tuple[object, ...]", given):
            yield from _kinds(each)
    elif isinstance(given, UnionType):
        yield from _kinds(get_args(given))
    elif isinstance(given, type) and issubclass(given, Event):
        yield given
    else:
        raise ConfigurationError(f"{given!r} is no event; name classes of millrace.events, such as app.on(JobDead)")
