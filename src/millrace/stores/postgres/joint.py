"""Two verbs on the caller's own connection, inside the caller's transaction: inserting, and one outcome. No commit.

What is checked of a connection is cheap, but for whether it is to our database: that is one statement, once for each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, TypeVar
from weakref import WeakSet

from millrace.errors import NotSupported
from millrace.messages import InsertAnswer, NewRow
from millrace.outcome import Outcome
from millrace.stores.inserted import queues_touched
from millrace.stores.postgres.arrays import Strings, Uuid
from millrace.stores.postgres.base import PostgresServerStore
from millrace.stores.postgres.caller import Filled, filled, guest_of, with_guest
from millrace.stores.postgres.finish import finish_script
from millrace.stores.postgres.follow import hold_script
from millrace.stores.postgres.insert import insert_script
from millrace.stores.postgres.script import Script, run
from millrace.stores.postgres.session import Session

__all__ = ["JointStore"]

T = TypeVar("T")

# Which database of which server. The start of the server tells it from its clones, which share the number that initdb
# made, and every role may ask for it; a restart changes it, so a difference is looked at twice.
DATABASE = """select (select oid::bigint from pg_database where datname = current_database()),
 (extract(epoch from pg_postmaster_start_time()) * 1000000)::bigint, current_database()::text"""

# Within the caller's transaction, as nobody else knows when it commits. The server merges equal ones of a transaction.
NOTIFY = "select pg_notify(%(channel)b, queue) from unnest(%(queues)b) queue"


# job_pkey. Whoever has locked the row may end the attempt, so a lock is not waited for.
STILL = """select 1 from {s}.job where id = %(id)b and claim = %(claim)b and worker = %(worker)b
 and state + 0 in (2, 3)"""
LOCK = STILL + " for no key update skip locked"


class JointStore(PostgresServerStore):
    """A store that writes in callers' transactions too."""

    _own: tuple[Any, ...] | None = None  #: what `DATABASE` tells on a connection of ours; asked when first needed
    _ours: WeakSet[Any] | None = None  # connections found to be to it

    def insert_on(self, connection: Any, rows: Sequence[NewRow]) -> InsertAnswer:
        """Insert on the caller's own connection, in the caller's transaction, without a commit.

        A unique key that another transaction has just taken is waited for, as long as the caller's timeouts allow.

        Raises:
            NotSupported: The connection is none of a library that we know, or to another database.
            ConfigurationError: It is closed, or commits each statement by itself and no transaction is open.
        """
        if not rows:
            return InsertAnswer(self._nothing_to_do())
        guest = guest_of(connection)
        return run(guest, self._joining(guest.beneath, _insert(self._channel, rows)))

    def hold_on(self, connection: Any, rows: Sequence[NewRow]) -> InsertAnswer:
        """Insert jobs of which some are held on the caller's own connection. Parents are locked until its commit."""
        if not rows:
            return InsertAnswer(self._nothing_to_do())
        guest = guest_of(connection)
        return run(guest, self._joining(guest.beneath, _hold(self._channel, rows)))

    async def ahold_on(self, connection: Any, rows: Sequence[NewRow]) -> InsertAnswer:
        """Do so on any connection from async code."""
        await self._know_own()
        if not rows:
            return InsertAnswer(self._nothing_to_do())
        return await with_guest(connection, lambda beneath: self._joining(beneath, _hold(self._channel, rows)))

    async def ainsert_on(self, connection: Any, rows: Sequence[NewRow]) -> InsertAnswer:
        """Do so on any connection from async code."""
        await self._know_own()
        if not rows:
            return InsertAnswer(self._nothing_to_do())
        return await with_guest(connection, lambda beneath: self._joining(beneath, _insert(self._channel, rows)))

    def finish_on(self, connection: Any, worker: int, outcome: Outcome) -> bool:
        """Write one outcome on the caller's own connection, fenced; False where the claim is no longer the worker's.

        Raises:
            NotSupported: The connection is none of a library that we know, or to another database.
            ConfigurationError: It is closed, or commits each statement by itself and no transaction is open.
        """
        guest = guest_of(connection)
        return run(guest, self._joining(guest.beneath, _finish(worker, outcome)))

    async def afinish_on(self, connection: Any, worker: int, outcome: Outcome) -> bool:
        """Do so on any connection from async code."""
        await self._know_own()
        return await with_guest(connection, lambda beneath: self._joining(beneath, _finish(worker, outcome)))

    def finish_unless_open(self, worker: int, outcome: Outcome) -> bool | None:
        """Write one outcome, fenced; None where a transaction that has locked the job is still open."""

        def body(session: Session) -> bool | None:
            args = {"id": Uuid(outcome.id), "claim": outcome.claim, "worker": worker}
            with session.transaction():
                if session.rows(LOCK, args):
                    return run(session, _finish(worker, outcome))
            return None if session.rows(STILL, args) else False

        written = self._write(body)
        if written:
            self._changed()
        return written

    async def _know_own(self) -> None:
        """Ask our own server in a thread, the first time: that may mean to connect, and to make the tables."""
        if self._own is None:
            await asyncio.to_thread(self._ask_own)

    @property
    def _channel(self) -> str | None:
        return self._settings.channel if self._settings.notify else None

    def _joining(self, beneath: Any, script: Script[T]) -> Filled[T]:
        """Make what runs a script, once it is sure that the connection is to our database."""
        now = None if self._clock is None else self._clock.now()
        return filled(self._checked(beneath, script), self._texts, now)

    def _checked(self, beneath: Any, script: Script[T]) -> Script[T]:
        if self._ours is None:
            self._ours = WeakSet()
        if beneath not in self._ours:
            own = self._own or self._ask_own()  # on a connection of ours, which sees to the tables as well
            ((*there,),) = yield DATABASE, {}
            if tuple(there) != own:
                own = self._ask_own()
                ((*there,),) = yield DATABASE, {}  # after a restart in between, the caller's own error tells of it
            if tuple(there) != own:
                server = "the same server" if there[1] == own[1] else "another server"
                raise NotSupported(
                    f"the connection is to database {there[2]!r} of {server}, the store's is {own[2]!r} ({self.url}); "
                    "jobs and data must be in one database to be committed together"
                )
            self._ours.add(beneath)
        return (yield from script)

    def _ask_own(self) -> tuple[Any, ...]:
        self._own = own = tuple(self._read(lambda session: session.rows(DATABASE))[0])
        return own


def _insert(channel: str | None, rows: Sequence[NewRow]) -> Script[InsertAnswer]:
    """Insert, and tell the workers, who hear of it with the commit."""
    answer = yield from insert_script(rows)
    queues = queues_touched(rows, answer)
    if channel is not None and queues:
        yield NOTIFY, {"channel": channel, "queues": Strings(sorted(queues))}
    return answer


def _hold(channel: str | None, rows: Sequence[NewRow]) -> Script[InsertAnswer]:
    answer = yield from hold_script(rows)
    queues = queues_touched(rows, answer) if answer.unknown is None else ()
    if channel is not None and queues:
        yield NOTIFY, {"channel": channel, "queues": Strings(sorted(queues))}
    return answer


def _finish(worker: int, outcome: Outcome) -> Script[bool]:
    lost, _ = yield from finish_script(worker, [outcome])
    return not lost
