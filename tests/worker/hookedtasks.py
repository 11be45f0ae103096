"""Tasks that run in child processes, of an app with middleware; imported by the test's process and by each child."""

# ruff: noqa: ARG002 - hooks and handlers take what they are given

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextvars import ContextVar
from typing import ClassVar

from millrace import JobContext, Millrace, current_job
from millrace.events import AttemptEnd

app = Millrace("memory://")
place: ContextVar[str] = ContextVar("place", default="without")


@app.middleware
class Within:
    """Tells handlers that it is there."""

    ends: ClassVar[list[AttemptEnd]] = []

    def around_attempt(self, context: JobContext) -> Iterator[None]:
        """Set a variable; add to an error."""
        token = place.set("within")
        try:
            yield
        except ValueError as error:
            raise ValueError(f"{error}, and {place.get()}") from None
        finally:
            place.reset(token)

    def after_attempt(self, context: JobContext, event: AttemptEnd) -> None:
        """Write down the end, in the worker's own process."""
        self.ends.append(event)


@app.task(run_in="process")
def sync() -> str:
    """Tell where it runs."""
    return place.get()


@app.task(run_in="process")
async def awaited() -> str:
    """Do the same on an event loop."""
    return place.get()


@app.task(run_in="process", max_attempts=1)
def fail() -> None:
    """Fail."""
    raise ValueError("no")


@app.task(run_in="process")
def chatter() -> None:
    """Log with `logging`, and once with the job's own log."""
    logger = logging.getLogger("shop.parser")
    logger.warning("parsed %s", "a.csv")
    try:
        int("no number")
    except ValueError:
        logger.exception("x" * 20_000)
    current_job().log.info("done")
