"""Middleware: what an app's user hangs in around every enqueue and every attempt. Owns what `@app.middleware` accepts.

The first one registered is the outermost: asked first before an enqueue, entered first and left last around an
attempt, told last after it.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
    nullcontext,
)
from typing import Any, cast

from millrace.context import JobContext
from millrace.errors import ConfigurationError
from millrace.events import AttemptEnd
from millrace.hooks import Hooks
from millrace.newjob import NewJob

__all__ = ["Middleware", "Wrapping", "hang_in"]

Wrapping = (  #: what `around_attempt` may return; as a generator function it is taken as a context manager
    AbstractContextManager[Any] | AbstractAsyncContextManager[Any] | Iterator[Any] | AsyncIterator[Any]
)

_HOOKS = ("before_enqueue", "around_attempt", "after_attempt")


class Middleware:
    """The base of middleware: every hook does nothing, and those that are not overridden cost nothing.

    >>> from millrace import Millrace, NewJob
    >>> app = Millrace("memory://")
    >>> @app.middleware
    ... class Urgent(Middleware):
    ...     def before_enqueue(self, job: NewJob) -> NewJob:
    ...         return job.using(priority=9)
    ...
    ...     def around_attempt(self, context: JobContext) -> Iterator[None]:
    ...         print("before", context.job.task)
    ...         yield
    ...         print("after", context.job.task)
    ...
    ...     def after_attempt(self, context: JobContext, event: AttemptEnd) -> None:
    ...         print(type(event).__name__, event.attempt)
    >>> job = app.task(name="ping")(lambda: "pong").enqueue()
    >>> done = app.drain()
    before ping
    after ping
    JobCompleted 1
    >>> job.priority
    9
    """

    def before_enqueue(self, job: NewJob) -> NewJob | None:
        """See a job before it is stored: by `enqueue` and its kin, on a caller's connection, by a schedule's tick.

        Called in the caller's thread, on a running event loop too, so it must not wait for anything. What it raises is
        raised to who enqueues, and nothing is stored; a tick is then tried again a second later.

        Args:
            job: What is to be stored.

        Returns:
            Another job to store in its place, or None, which keeps it.
        """
        return job

    def around_attempt(self, context: JobContext) -> Wrapping:  # noqa: ARG002 - for who overrides it
        """Give a context manager within which the handler runs, in its thread, on its event loop, in its process.

        For an async handler it may be an asynchronous one. A generator function that yields once will do as well. What
        it raises, before or after, ends the attempt as if the handler had raised it; where it swallows an error, the
        attempt is completed, without a result.

        Args:
            context: The running job's, as `current_job()` gives it.
        """
        return nullcontext()

    def after_attempt(self, context: JobContext, event: AttemptEnd) -> None:
        """Hear how an attempt has ended, before that is written: see `app.on` for what has become of it.

        Called where the attempt has run, on its event loop too, for a child process in the worker. An attempt left to
        itself, because it did not answer a cancel or a timeout, is told of by another thread. What it raises is logged,
        and changes nothing.

        Args:
            context: The job's; its log takes lines still.
            event: How it has ended.
        """


def hang_in(hooks: Hooks, given: object) -> None:
    """Check middleware, a class to be made or an object made already, and hang it in.

    Raises:
        ConfigurationError: It has no hook, or one that is none of ours.

    >>> hang_in(Hooks(), object())
    Traceback (most recent call last):
    millrace.errors.ConfigurationError: object has no hook; define before_enqueue, around_attempt or after_attempt
    """
    if isinstance(given, type):
        try:
            made: object = given()
        except TypeError as error:
            raise ConfigurationError(
                f"{given!r} cannot be made without arguments ({error}); give app.middleware({given.__name__}(…))"
            ) from error
    else:
        made = given
    kind = type(made)
    for name in dir(kind):
        if name.startswith(("before_", "around_", "after_")) and name not in _HOOKS:
            import difflib

            near = difflib.get_close_matches(name, _HOOKS, 1) or [", ".join(_HOOKS)]
            raise ConfigurationError(f"{kind!r} has {name}, which is no hook and never called; did you mean {near[0]}?")
    before, around, after = (_own(made, name) for name in _HOOKS)
    if before is None and around is None and after is None:
        raise ConfigurationError(f"{kind.__name__} has no hook; define before_enqueue, around_attempt or after_attempt")
    for hook in (before, after):
        if inspect.iscoroutinefunction(hook) or inspect.isgeneratorfunction(hook):
            raise ConfigurationError(f"{hook.__qualname__} must be a plain function: nobody awaits or goes through it")
    hooks.wrap(before=before, around=None if around is None else _managed(around), after=after)


def _own(made: object, name: str) -> Callable[..., Any] | None:
    """Return a hook that was written, or None."""
    hook = getattr(made, name, None)
    if hook is None or getattr(hook, "__func__", hook) is getattr(Middleware, name):
        return None
    if not callable(hook):
        raise ConfigurationError(f"{type(made)!r} has {name}={hook!r}, which cannot be called; make it a method")
    return cast("Callable[..., Any]", hook)


def _managed(around: Callable[..., Any]) -> Callable[..., Any]:
    """Take a generator function for the context manager that it means."""
    if inspect.isgeneratorfunction(around):
        return contextmanager(around)
    if inspect.isasyncgenfunction(around):
        return asynccontextmanager(around)
    if inspect.iscoroutinefunction(around):
        raise ConfigurationError(
            f"{around.__qualname__} is a coroutine; to wrap async handlers put @asynccontextmanager above it, and yield"
        )
    return around
