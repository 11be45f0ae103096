"""The Redis stores' follow-ups: holding jobs until others have ended. Owns the order of the steps; see `follow`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from msgspec.structs import replace

from millrace.followups import first_unknown, hold_of, is_held, judge, wanted
from millrace.job import HELD, JobRow
from millrace.messages import InsertAnswer, NewRow
from millrace.stores.redis.base import RedisServerStore
from millrace.stores.redis.follow import (
    SETTLING,
    End,
    follow_call,
    read_ends,
    tie_call,
    tied_call,
    unfollow_call,
    unhold_call,
)
from millrace.stores.redis.session import Call, Session
from millrace.transfer import WholeJob

__all__ = ["Follower"]

_AT_ONCE = 200  # jobs in one trip

Links = Sequence[tuple[JobRow | NewRow, bytes]]  #: jobs, and the parents of each


class Follower(RedisServerStore):
    """Holds jobs; see `millrace.followups.Following`."""

    _follows = False  #: whether any job waits for another, as far as this process knows

    # -- what a store has beside

    def insert(self, rows: Sequence[NewRow], *, now: int | None = None) -> InsertAnswer:
        """Insert jobs."""
        raise NotImplementedError

    def get(self, ids: Sequence[bytes]) -> list[JobRow | None]:
        """Read jobs by id, in order."""
        raise NotImplementedError

    def _places(self) -> Sequence[str | None]:
        """Name the deployments: the queues, where each is one of its own."""
        return (None,)

    def _trip(self, place: str | None, calls: Sequence[Call], now: int | None = None) -> list[Any]:
        """Run scripts, of which each may be run again, at one of them."""
        del place
        return self._write(lambda session: session.trip(calls), now=now, repeatable=True)

    def _read_key(self, kind: str, id: bytes) -> set[bytes]:
        """Read the set of a kind that belongs to a job."""

        def look(session: Session) -> set[bytes]:
            return set(session.command("SMEMBERS", session.keys.key(kind.encode() + b":" + id)))

        return self._read(look)

    def _place_of(self, queue: str) -> str | None:
        """Name the deployment of a queue."""
        del queue
        return None

    # -- holding

    def hold(self, rows: Sequence[NewRow], *, now: int | None = None) -> InsertAnswer:
        """Insert jobs, some of which are held. A job is in with all that it waits for, whoever dies when."""
        if not rows:
            return InsertAnswer(self._nothing_to_do())
        asked = wanted(rows, InsertAnswer(0))
        queues = self._queues_of({link.parent for link in asked})
        unknown = first_unknown(rows, asked, queues)
        if unknown is not None:
            return InsertAnswer(self.now() if now is None else now, unknown=unknown)
        answer = self.insert(rows, now=now)
        if answer.refused is None:
            there = {each.row.id: each.row.queue for each in answer.existing.values()}
            self._follows = True
            links = [(rows[link.place], link.parent) for link in wanted(rows, answer)]
            ours = {row.id: row.queue for row in reversed(rows)}  # of an id given twice the first went in
            self._link(links, ours | queues | there)
            self._let_act(now=now)
        return answer

    def _queues_of(self, ids: Iterable[bytes]) -> dict[bytes, str]:
        return {row.id: row.queue for row in self.get(sorted(ids)) if row is not None}

    def _link(self, links: Links, queues: Mapping[bytes, str], *, may_come: bool = False) -> None:
        """Write links, each of which may be there already, and note of the jobs that it is done."""
        homes = {row.id: self._place_of(row.queue) for row, _ in links}
        for first in range(0, len(links), _AT_ONCE):
            some = links[first : first + _AT_ONCE]
            self._at_each(((homes[row.id], row.id, parent) for row, parent in some), tie_call)
            known = ((self._place_of(queues[parent]), parent, row.id) for row, parent in some if parent in queues)
            self._at_each(known, partial(follow_call, may_come=may_come))
            lost = [(row, parent) for row, parent in some if parent not in queues]
            places = self._places() if may_come else ()
            nowhere = ((place, parent, row.id) for row, parent in lost for place in places or (homes[row.id],))
            self._at_each(nowhere, partial(follow_call, may_come=may_come))
        tied: dict[str | None, dict[bytes, None]] = {}
        for id, home in homes.items():
            tied.setdefault(home, {})[id] = None
        for place, ids in tied.items():
            self._trip(place, [tied_call(ids)])

    def _at_each(
        self,
        links: Iterable[tuple[str | None, bytes, bytes]],
        call: Callable[[Mapping[bytes, Iterable[bytes]]], Call],
    ) -> None:
        """Run a script at each deployment with the links that are told there: (where, of whom, to whom)."""
        told: dict[str | None, dict[bytes, list[bytes]]] = {}
        for place, one, other in links:
            told.setdefault(place, {}).setdefault(one, []).append(other)
        for place, of in told.items():
            self._trip(place, [call(of)])

    # -- settling

    def settle(self, *, limit: int = 100, now: int | None = None) -> int:
        """Let parents that have ended act; return how many did."""
        self._follows = True
        return self._let_act(limit, now)

    def _let_act(self, limit: int = 100, now: int | None = None) -> int:
        """Settle where jobs are known to wait for others."""
        number = 0
        while self._follows:
            any_waits, some = False, 0
            for place in self._places():
                ((waits, untied, ended),) = self._trip(place, [(SETTLING, (limit,))], now)
                any_waits = any_waits or bool(waits)
                if untied:
                    self._link_again(untied)
                    some += 1
                for parent, end in read_ends(ended).items():
                    self._act(place, parent, end, self.now() if now is None else now)
                    some += 1
            number += some
            if not some:
                self._follows = any_waits
                break
        return number

    def _link_again(self, ids: Sequence[bytes]) -> None:
        """Write the links of jobs whose insert somebody has not seen to the end. A parent that is gone has counted."""
        links: list[tuple[JobRow | NewRow, bytes]] = []
        rows = [row for row in self.get(ids) if row is not None and is_held(row)]
        parents = {parent for row in rows if (hold := hold_of(row.options)) is not None for parent in hold.ids}
        queues = self._queues_of(parents)
        for row in rows:
            hold = hold_of(row.options)
            known = [parent for parent in (() if hold is None else hold.ids) if parent in queues]
            links += [(row, parent) for parent in known]
            if not known:
                now = self.now()
                self._trip(self._place_of(row.queue), [unhold_call(row.id, row, judge(row, (), {}, now), now)])
        self._link(links, queues)

    def _act(self, place: str | None, parent: bytes, end: End, now: int) -> None:
        """Let one parent act on all that wait for it."""
        children = sorted(self._followers_at(place, parent))
        ended = end.ended
        if children and ended.result is None and not end.gone:
            (there,) = self.get([parent])
            ended = ended if there is None else ended._replace(result=there.result)
        done: list[bytes] = []
        for first in range(0, len(children), _AT_ONCE):
            some = children[first : first + _AT_ONCE]
            rows = self.get(some)
            calls: dict[str | None, list[Call]] = {}
            for child, row in zip(some, rows, strict=True):
                verdict = judge(row, (parent,), {parent: ended}, now)
                if verdict.counted and row is not None:
                    calls.setdefault(self._place_of(row.queue), []).append(unhold_call(child, row, verdict, now))
                if verdict.counted:
                    done.append(child)
            freed: set[str] = set()
            for where, told in calls.items():
                freed.update(queue.decode() for answer in self._trip(where, told, now) for queue in answer)
            if freed:
                self._changed(freed)
        self._trip(place, [unfollow_call(parent, done, len(children), end)])

    def _followers_at(self, place: str | None, id: bytes) -> set[bytes]:
        del place
        return self._read_key("followers", id)

    # -- looking

    def open_parents(self, ids: Sequence[bytes]) -> list[tuple[bytes, ...]]:
        """Return for each job the parents that it waits for still."""
        return [tuple(sorted(self._read_key("parents", id))) for id in ids]

    def followers(self, ids: Sequence[bytes]) -> list[tuple[bytes, ...]]:
        """Return for each job the jobs that wait for it still."""
        return [tuple(sorted(self._read_key("followers", id))) for id in ids]

    # -- moving

    def _with_waits(self, jobs: Sequence[WholeJob]) -> list[WholeJob]:
        """Add to jobs that are to move for whom they wait; their due time is that of any held job then."""
        held = [job.row.id for job in jobs if is_held(job.row)]
        waits = dict(zip(held, self.open_parents(held), strict=True)) if held else {}
        return [
            replace(job, row=replace(job.row, due=HELD), waits=waits[job.row.id]) if job.row.id in waits else job
            for job in jobs
        ]

    def _tie_restored(self, jobs: Sequence[WholeJob]) -> None:
        """Let jobs that have just come wait as they did."""
        links = [(job.row, parent) for job in jobs for parent in job.waits]
        if links:
            self._follows = True
            self._link(links, self._queues_of({parent for _, parent in links}), may_come=True)
