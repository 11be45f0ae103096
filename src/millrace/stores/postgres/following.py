"""The PostgreSQL store's follow-ups: holding jobs until others have ended. Owns when it looks for parents that have."""

from __future__ import annotations

from collections.abc import Sequence

from millrace.errors import SchemaMismatch
from millrace.followups import in_order
from millrace.messages import InsertAnswer, NewRow
from millrace.stores.inserted import queues_touched
from millrace.stores.postgres.base import PostgresServerStore
from millrace.stores.postgres.follow import any_links, followers_of, has_links, hold_script, parents_of, settle
from millrace.stores.postgres.script import run
from millrace.stores.postgres.session import Session

__all__ = ["Follower"]


class Follower(PostgresServerStore):
    """Holds jobs; see `millrace.followups.Following`."""

    _follows = False  #: whether any job waits for another, as far as this process knows
    _linked = False  #: whether the schema is known to have links

    def hold(self, rows: Sequence[NewRow], *, now: int | None = None) -> InsertAnswer:
        """Insert jobs, some of which are held, with their links in one transaction.

        Raises:
            SchemaMismatch: The schema is of a version that has no links.
        """
        if not rows:
            return InsertAnswer(self._nothing_to_do())
        self._need_links()

        def body(session: Session) -> InsertAnswer:
            with session.transaction():
                answer = run(session, hold_script(rows))
            if session.again:  # a job of the same id is what the first run wrote, whose reply was lost
                others = {place: there for place, there in answer.existing.items() if there.by_key}
                return InsertAnswer(answer.now, others, answer.refused, answer.unknown)
            return answer

        answer = self._write(body, now=now, repeatable=True)
        if answer.unknown is None:
            self._follows = True
            self._changed(queues_touched(rows, answer))
            self._let_act(now=now)
        return answer

    def settle(self, *, limit: int = 100, now: int | None = None) -> int:
        """Let parents that have ended act; return how many did."""
        if not self._linked:
            self._linked = self._read(has_links)
        self._follows = self._linked and self._read(any_links)
        return self._let_act(limit, now)

    def _let_act(self, limit: int = 100, now: int | None = None) -> int:
        """Settle where jobs are known to wait for others."""
        number = 0
        while self._follows:
            some, queues = self._write(lambda session: settle(session, limit), now=now, repeatable=True)
            if not some:
                break
            number += some
            self._changed(queues)
        return number

    def open_parents(self, ids: Sequence[bytes]) -> list[tuple[bytes, ...]]:
        """Return for each job the parents that it waits for still."""
        return in_order(self._read(lambda session: parents_of(session, ids)), ids)

    def followers(self, ids: Sequence[bytes]) -> list[tuple[bytes, ...]]:
        """Return for each job the jobs that wait for it still."""
        return in_order(self._read(lambda session: followers_of(session, ids)), ids)

    def _need_links(self) -> None:
        if self._linked:
            return
        self._linked = self._read(has_links)
        if not self._linked:
            raise SchemaMismatch(
                f"{self.url} has a schema in which no job can wait for another; run `millrace migrate`, or add "
                "?migrate=auto to the URL"
            )
