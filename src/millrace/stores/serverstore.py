"""A server as a store: opening, closing, the time, the sessions that every verb runs in. Owns no verb.

What a session is made of, and what else is to be known of the server, is for the `base` of each store to say.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Generic, TypeVar

from millrace.clock import SECOND
from millrace.errors import MillraceError
from millrace.messages import Beat, Changed, Finding, StepAnswer
from millrace.outcome import Outcome
from millrace.states import LIVE, JobState
from millrace.store import Subscription
from millrace.stores.serverhome import ServerHome
from millrace.stores.serverlistener import Audible

__all__ = ["ServerStore"]

C = TypeVar("C", bound=Audible)
S = TypeVar("S")
T = TypeVar("T")

_PATIENCE = 10.0  # seconds for a beat that extends no lease

_getpid = os.getpid


class ServerStore(Generic[C, S]):
    """What the stores on a server share: `C` is a connection to it, `S` a session that runs on one.

    Args:
        url: As people see it, passwords masked.
        make_home: Makes what the store has open in a process, once in each.
    """

    parallel_steps = 2  # while one waits for the server, or its disk, the other runs

    def __init__(self, url: str, make_home: Callable[[], ServerHome[C]]) -> None:
        self.url = url
        self._make_home = make_home
        self._own_home = make_home()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    # -- what each store says of its server

    def _bound(
        self, home: ServerHome[C], body: Callable[[S], T], now: int | None, *, again: bool = False
    ) -> Callable[[C, bool], T]:
        """Make of a body what runs it on a connection, in a session of its own; see `lines`."""
        raise NotImplementedError

    def _find_trouble(self, connection: C) -> list[Finding]:
        """Look for trouble that `doctor` should tell."""
        raise NotImplementedError

    def _give_back(self, session: S, worker: int, held: Sequence[bytes]) -> int:
        """Make a worker's running jobs pending again but for those it holds; return how many."""
        raise NotImplementedError

    def _still_held(self, session: S, worker: int, ids: Sequence[bytes]) -> Collection[bytes]:
        """Tell which of these jobs are running for a worker."""
        raise NotImplementedError

    # -- what is there

    def now(self) -> int:
        """Return the server's time in microseconds; never steps back within a process."""
        return self._home.time.now()

    def _at(self, now: int | None) -> int:
        """Return the time that a verb is given, or else the server's."""
        return self.now() if now is None else now

    def migrate(self) -> list[str]:
        """See that what we keep on the server is there and up to date; return what was done."""
        return self._home.migrate()

    def exists(self) -> bool:
        """Tell whether what we keep on the server is there, without making any of it."""
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
        try:
            return self._home.lines.read(lambda connection, _: self._find_trouble(connection))
        except MillraceError as error:
            return [Finding("error", "server", str(error))]

    # -- within the store: how a verb gets to the server. `body` may use nothing but the session that it is given.

    def _write(self, body: Callable[[S], T], *, now: int | None = None, repeatable: bool = False) -> T:
        """Run a body that changes something, and return what it returns.

        Args:
            body: Given a session; each of its statements or scripts is a whole by itself.
            now: The time it is given; None is the clock's, where the store has one, and else the server's.
            repeatable: It may be run again, with `session.again`, where the connection was lost and nobody knows
                whether it was done.
        """
        home = self._home
        return home.lines.write(self._bound(home, body, now), repeatable=repeatable)

    def _read(self, body: Callable[[S], T], *, now: int | None = None) -> T:
        """Run a body that only reads, and return what it returns."""
        home = self._home
        return home.lines.read(self._bound(home, body, now))

    def _beat(self, body: Callable[[S], T], *, within: float, now: int | None = None) -> T:
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
        body: Callable[[S], StepAnswer],
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
        with hold.step(partial(self._mend, home, worker)):
            again = hold.doubts(outcomes)
            try:
                answer = home.lines.write(self._bound(home, body, now, again=again), patient=False)
            except BaseException:  # whatever it is, even Ctrl-C: part of it may have been done
                hold.unanswered(outcomes)
                raise
            hold.answered(outcomes, answer)
        if hold.crowded:
            with suppress(MillraceError):  # it is no hurry
                hold.sift(lambda ids: self._read(lambda session: self._still_held(session, worker, ids)))
        return answer

    def _mend(self, home: ServerHome[C], worker: int, held: Sequence[bytes]) -> None:
        def body(session: S) -> int:
            return self._give_back(session, worker, held)

        if home.lines.write(self._bound(home, body, None), patient=False):
            self._changed()

    def _extended(
        self,
        extend: Callable[[S, int, Sequence[Beat]], list[JobState | None]],
        worker: int,
        beats: Sequence[Beat],
        now: int | None,
    ) -> list[JobState | None]:
        """Have beats written within a third of the shortest lease; note what the answers tell, and return them."""
        if not beats:
            self._nothing_to_do()
            return []
        terms = [beat.lease for beat in beats if beat.lease is not None]
        within = max(min(terms) / SECOND / 3, 1.0) if terms else _PATIENCE
        states = self._beat(lambda session: extend(session, worker, beats), within=within, now=now)
        for beat, state in zip(beats, states, strict=True):
            if state is None:
                self._let_go(worker, beat.id, beat.claim)
        if any(beat.progress is not None or beat.result is not None for beat in beats):
            self._changed()
        return states

    def _nothing_to_do(self) -> int:
        """Return the time; a store that is closed says so even where there is nothing to do."""
        home = self._home
        home.lines.check()
        return home.time.now()

    # -- telling what was done

    def _changed(self, queues: Iterable[str] = ()) -> None:
        """Tell the watchers of this process, and those of others, that something was done.

        Args:
            queues: Where jobs may have become claimable.
        """
        self._home.changed(queues)

    def _told(self, answers: list[Changed]) -> list[Changed]:
        """Tell of what people have changed, and return the answers; none where nothing was to be changed."""
        if not answers:
            self._nothing_to_do()
        if any(answer.changed for answer in answers):
            self._changed(
                {each.row.queue for each in answers if each.changed and each.row is not None and each.row.state in LIVE}
            )
        return answers

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

    @property
    def _home(self) -> ServerHome[C]:
        home = self._own_home
        if home.pid != _getpid():
            home.abandon()
            home = self._own_home = self._make_home()
        return home
