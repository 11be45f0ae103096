"""A Redis server as a store: opening, closing, the time, the sessions that every verb runs in. Owns no verb."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar

from millrace.clock import Clock
from millrace.errors import ConfigurationError, MillraceError
from millrace.messages import Finding, StepAnswer
from millrace.outcome import Outcome
from millrace.store import Subscription
from millrace.stores.redis.health import find_trouble
from millrace.stores.redis.home import Home
from millrace.stores.redis.session import Session
from millrace.stores.redis.settings import Settings
from millrace.stores.redis.strays import give_back, still_held
from millrace.stores.redis.url import read_url
from millrace.stores.redis.wire import Connection

__all__ = ["RedisServerStore"]

T = TypeVar("T")

_getpid = os.getpid


class RedisServerStore:
    """What the parts of `RedisStore` share.

    Args:
        url: `redis://user:password@host:6379/0`, with our options in the query; see `url`. Or what it says, read.
        clock: Where the time comes from; None is the server's clock.
    """

    _by_queue = False  # whether it shares the queues out
    parallel_steps = 2  # while one waits for the server, the other runs

    def __init__(self, url: str | Settings, *, clock: Clock | None = None) -> None:
        self._settings = read_url(url) if isinstance(url, str) else url
        if self._settings.shard is not self._by_queue:
            raise ConfigurationError(f"{self._settings.url} is not for {type(self).__name__}; open it by open_store()")
        self.url = self._settings.url
        self._clock = clock
        self._own_home = Home(self._settings, clock)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    def now(self) -> int:
        """Return the server's time in microseconds; never steps back within a process."""
        return self._home.time.now()

    def _at(self, now: int | None) -> int:
        """Return the time that a verb is given, or else the server's."""
        return self.now() if now is None else now

    def migrate(self) -> list[str]:
        """See that the layout of our keys is there and ours; return what was done."""
        return self._home.migrate()

    def exists(self) -> bool:
        """Tell whether our keys are there, without making any."""
        return self._home.exists()

    def close(self) -> None:
        """Release every connection and thread. A second call does nothing."""
        self._home.close()

    # -- hints and health

    def watch(self, on_change: Callable[[], None]) -> Subscription:
        """Call back, from any thread, soon after jobs may have become claimable or changed."""
        home = self._home
        home.open()
        return home.watchers.add(on_change)

    def check(self) -> list[Finding]:
        """Look for trouble that `doctor` should tell."""
        home = self._home
        try:
            findings = home.lines.read(lambda connection, _: find_trouble(self._settings, home.keys, connection))
        except MillraceError as error:
            return [Finding("error", "server", str(error))]
        return findings

    # -- within the store: how a verb gets to the server. `body` may use nothing but the session that it is given.

    def _write(self, body: Callable[[Session], T], *, now: int | None = None, repeatable: bool = False) -> T:
        """Run a body that changes something, and return what it returns.

        Args:
            body: Given a session; each of its scripts is atomic by itself.
            now: The time it is given; None is the clock's, where the store has one, and else the server's.
            repeatable: It may be run again, with `session.again`, where the connection was lost and nobody knows
                whether it was done.
        """
        home = self._home
        return home.lines.write(self._bound(home, body, now), repeatable=repeatable)

    def _read(self, body: Callable[[Session], T], *, now: int | None = None) -> T:
        """Run a body that only reads, and return what it returns."""
        home = self._home
        return home.lines.read(self._bound(home, body, now))

    def _beat(self, body: Callable[[Session], T], *, within: float, now: int | None = None) -> T:
        """Run a body that extends leases, on a connection of its own; it may be run again.

        Args:
            body: As for `_write`.
            within: Seconds: a third of the shortest lease.
            now: As for `_write`.
        """
        home = self._home
        return home.lines.beat(self._bound(home, body, now), within=within)

    def _step(
        self,
        body: Callable[[Session], StepAnswer],
        worker: int,
        outcomes: Sequence[Outcome],
        *,
        now: int | None = None,
    ) -> StepAnswer:
        """Run a worker's step on whichever of its two connections is free.

        `session.again` tells that one of the outcomes may have been written by an earlier step whose reply was lost:
        where the job then shows this very outcome of this very claim and worker, it is done, and not lost. Claims whose
        reply was lost are given back before the worker's next step.
        """
        home = self._home
        hold = home.held.of(worker)
        if hold is None:
            return home.lines.write(self._bound(home, body, now), patient=False)
        with hold.step(partial(self._give_back, home, worker)):
            again = hold.doubts(outcomes)
            try:
                answer = home.lines.write(self._bound(home, body, now, again=again), patient=False)
            except BaseException:  # whatever it is, even Ctrl-C: part of it may have been done
                hold.unanswered(outcomes)
                raise
            hold.answered(outcomes, answer)
        if hold.crowded:
            with suppress(MillraceError):  # it is no hurry
                hold.sift(lambda ids: self._read(lambda session: still_held(session, worker, ids)))
        return answer

    def _changed(self, queues: Iterable[str] = ()) -> None:
        """Tell the watchers of this process that something was done; the scripts have told those of others.

        Args:
            queues: Where jobs may have become claimable.
        """
        del queues
        self._home.watchers.tell()

    def _nothing_to_do(self) -> int:
        """Return the time; a store that is closed says so even where there is nothing to do."""
        home = self._home
        home.lines.check()
        return home.time.now()

    # -- workers

    def _begin_work(self, worker: int) -> None:
        """Note that a worker of this process is about to be registered, new or known."""
        home = self._home
        if home.held.begin(worker):
            home.lines.begin_work()

    def _end_work(self, worker: int) -> None:
        """Note that a worker has stopped."""
        home = self._home
        if home.held.end(worker):
            home.lines.end_work()

    def _let_go(self, worker: int, id: bytes, claim: int) -> None:
        """Note that a job is no longer a worker's, as an answer to its beat has told."""
        hold = self._home.held.of(worker)
        if hold is not None:
            hold.forget(id, claim)

    def _give_back(self, home: Home, worker: int, held: Sequence[bytes]) -> None:
        def body(session: Session) -> int:
            return give_back(session, worker, held)

        if home.lines.write(self._bound(home, body, None), patient=False):
            self._changed()

    @property
    def _home(self) -> Home:
        home = self._own_home
        if home.pid != _getpid():
            home.abandon()
            home = self._own_home = Home(self._settings, self._clock)
        return home

    def _bound(
        self, home: Home, body: Callable[[Session], T], now: int | None, *, again: bool = False
    ) -> Callable[[Connection, bool], T]:
        keys = home.keys
        if now is None:
            now = home.time.given()
        return lambda connection, repeated: body(Session(connection, keys, now, again=again or repeated))
