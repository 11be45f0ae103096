"""An app within a web app: opened and closed with it, with a worker or without. Owns that span; serves nothing.

It needs neither FastAPI nor Starlette: what both take is a function from their app to an async context manager.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypedDict

from millrace.checks import Named
from millrace.errors import ConfigurationError

if TYPE_CHECKING:
    from millrace.app import Millrace

__all__ = ["Lifespan", "WorkerChoices", "make_lifespan"]

Lifespan = Callable[[Any], AbstractAsyncContextManager[None]]


class WorkerChoices(TypedDict, total=False):
    """The options of a worker that lives in a web process; those of `run_worker` but `burst`.

    >>> options: WorkerChoices = {"concurrency": 4}
    """

    queues: Iterable[str] | None
    tasks: Iterable[str | Named] | None
    concurrency: int
    reserved: Mapping[str, int] | None
    grace: float | timedelta
    prefetch: int | None


def make_lifespan(app: Millrace, options: WorkerChoices, *, worker: bool) -> Lifespan:
    """Make the function that FastAPI and Starlette call with their own app.

    The options are checked here, where they were given, and not when the web app starts.

    Raises:
        ConfigurationError: Options of a worker without a worker, or one that no worker has or takes.
    """
    if options and not worker:
        raise ConfigurationError(f"lifespan({', '.join(options)}=…) is for a worker; add worker=True")
    known = WorkerChoices.__annotations__
    for option in options.keys() - known.keys():
        raise ConfigurationError(f"lifespan() has no option {option!r}; it knows worker, {', '.join(known)}")
    if worker:
        from millrace.worker import Worker

        Worker(app, **options)

    @asynccontextmanager
    async def span(_: object) -> AsyncGenerator[None]:
        async with app:
            await app.aio.depth()  # a store that is out of reach must stop the start, not the first request
            if not worker:
                yield
                return
            from millrace.worker import Worker

            async with Worker(app, **options):
                yield

    return span
