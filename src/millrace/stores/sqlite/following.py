"""The SQLite store's follow-ups: holding jobs until others have ended. Owns when it looks for parents that have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from millrace.followups import in_order
from millrace.messages import InsertAnswer, NewRow
from millrace.stores.sqlite.base import FileStore
from millrace.stores.sqlite.caller import in_its_thread
from millrace.stores.sqlite.follow import any_links, followers_of, hold, parents_of, settle
from millrace.stores.sqlite.insert import insert_rows, pair_of
from millrace.stores.sqlite.lanes import Lanes
from millrace.stores.sqlite.session import Session

__all__ = ["Follower"]


class Follower(FileStore):
    """Holds jobs; see `millrace.followups.Following`."""

    _follows = False  #: whether any job waits for another, as far as this process knows

    def hold(self, rows: Sequence[NewRow], *, now: int | None = None) -> InsertAnswer:
        """Insert jobs, some of which are held, with their links in one transaction."""
        if not rows:
            return InsertAnswer(self._nothing_to_do())
        answer = self._write(lambda session: hold(session, rows, _insert), now=now)
        self._follows = True
        self._database.changed()
        return answer

    def hold_on(self, connection: Any, rows: Sequence[NewRow]) -> InsertAnswer:
        """Do so on the caller's own connection, in the caller's transaction, without a commit."""
        if not rows:
            return InsertAnswer(self._nothing_to_do())
        answer = self._on(connection, lambda session: hold(session, rows, _insert))
        self._follows = True
        return answer

    async def ahold_on(self, connection: Any, rows: Sequence[NewRow]) -> InsertAnswer:
        """Do so from async code, on any connection: one that is awaited is written on in its own thread."""
        return await in_its_thread(connection, self._database.path, lambda given: self.hold_on(given, rows))

    def settle(self, *, limit: int = 100, now: int | None = None) -> int:
        """Let parents that have ended act; return how many did."""
        self._follows = self._read(any_links)
        return self._let_act(limit, now) if self._follows else 0

    def _let_act(self, limit: int = 100, now: int | None = None) -> int:
        """Settle where jobs are known to wait for others."""
        number = 0
        while self._follows and (some := self._write(lambda session: settle(session, limit), now=now)):
            number += some
        if number:
            self._database.changed()
        return number

    def open_parents(self, ids: Sequence[bytes]) -> list[tuple[bytes, ...]]:
        """Return for each job the parents that it waits for still."""
        return in_order(self._read(lambda session: parents_of(session, ids)), ids)

    def followers(self, ids: Sequence[bytes]) -> list[tuple[bytes, ...]]:
        """Return for each job the jobs that wait for it still."""
        return in_order(self._read(lambda session: followers_of(session, ids)), ids)


def _insert(session: Session, rows: Sequence[NewRow]) -> InsertAnswer:
    """Insert with lanes that are looked up, as what is made here may be rolled back."""
    return insert_rows(session, Lanes.make(session, {pair_of(row) for row in rows}), rows)
