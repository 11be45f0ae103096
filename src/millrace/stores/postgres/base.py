"""A PostgreSQL server as a store: opening, closing, the time, the sessions that every verb runs in. Owns no verb."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from millrace.clock import Clock
from millrace.messages import StepAnswer
from millrace.outcome import Outcome
from millrace.stores.postgres.connection import Connection
from millrace.stores.postgres.lines import Lines
from millrace.stores.postgres.session import Session
from millrace.stores.postgres.texts import SERVER_NOW, Texts
from millrace.stores.postgres.url import read_url

__all__ = ["ServerStore"]

T = TypeVar("T")

TIME = f"select {SERVER_NOW}"


class ServerStore:
    """What the parts of `PostgresStore` share.

    Args:
        url: `postgresql://user@host/database`, with our options in the query; see `url`.
        clock: Where the time comes from; None is the server's clock.
    """

    parallel_steps = 2  # while one waits for the disk, the other runs

    def __init__(self, url: str, *, clock: Clock | None = None) -> None:
        self._settings = read_url(url)
        self.url = self._settings.url
        self._texts = Texts(self._settings.schema, light=not self._settings.claim_commit)
        self._clock = clock
        self._lines = Lines(self._settings, self._welcome)

    def __repr__(self) -> str:
        return f"PostgresStore({self.url!r})"

    def now(self) -> int:
        """Return the store's time in microseconds."""
        if self._clock is not None:
            return self._clock.now()
        at: int = self._read(lambda session: session.rows(TIME))[0][0]
        return at

    def close(self) -> None:
        """Release every connection and thread."""
        self._lines.close()

    # -- within the store: how a verb gets to the server. `body` may use nothing but the session that it is given.

    def _write(self, body: Callable[[Session], T], *, now: int | None = None, repeatable: bool = False) -> T:
        """Run a body that changes something, and return what it returns.

        Args:
            body: Given a session; each of its statements is a transaction by itself.
            now: The time it is given; None is the clock's, where the store has one, and else the server's.
            repeatable: It may be run again, with `session.again`, where the connection was lost and nobody knows
                whether it was committed.
        """
        return self._lines.write(self._bound(body, now), repeatable=repeatable)

    def _read(self, body: Callable[[Session], T], *, now: int | None = None) -> T:
        """Run a body that only reads, and return what it returns."""
        return self._lines.read(self._bound(body, now))

    def _beat(self, body: Callable[[Session], T], *, within: float, now: int | None = None) -> T:
        """Run a body that extends leases, on a connection of its own; it may be run again.

        Args:
            body: As for `_write`.
            within: Seconds: a third of the shortest lease.
            now: As for `_write`.
        """
        return self._lines.beat(self._bound(body, now), within=within)

    def _step(
        self,
        body: Callable[[Session], StepAnswer],
        worker: int,  # noqa: ARG002
        outcomes: Sequence[Outcome],  # noqa: ARG002
        *,
        now: int | None = None,
    ) -> StepAnswer:
        """Run a worker's step on whichever of its two connections is free.

        `session.again` tells that one of the outcomes may have been written by an earlier step whose reply was lost:
        where the job then shows this very outcome of this very claim and worker, it is done, and not lost. Claims whose
        reply was lost are given back before the worker's next step.
        """
        return self._lines.write(self._bound(body, now), patient=False)

    def _changed(self, queues: Iterable[str] = ()) -> None:
        """Tell the watchers of this process, and by notice those of others, that something was committed.

        Args:
            queues: Where jobs may have become claimable: each is told of at most once in 20 ms.
        """

    def _nothing_to_do(self) -> int:
        """Return the time; a store that is closed says so even where there is nothing to do."""
        return self.now()

    def _bound(self, body: Callable[[Session], T], now: int | None) -> Callable[[Connection, bool], T]:
        texts = self._texts
        if now is None and self._clock is not None:
            now = self._clock.now()
        return lambda connection, again: body(Session(connection, texts, now, again=again))

    def _welcome(self, connection: Connection) -> None:
        """See to the schema on a new connection that writes."""
