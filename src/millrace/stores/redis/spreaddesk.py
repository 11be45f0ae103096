"""What people, clients and maintenance ask of queues that are deployments of their own: of all, of one, or by id."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from millrace.errors import MillraceError
from millrace.job import JobRow
from millrace.messages import Changed, Finding, JobFilter, QueueSettings, Waiting, empty_counts
from millrace.records import AttemptRow, LogRow, QueueInfo
from millrace.states import JobState
from millrace.store import MAX_PAGE
from millrace.stores.redis.listing import read_cursor
from millrace.stores.redis.merging import PAGES, WHOLES, merged
from millrace.stores.redis.session import Call
from millrace.stores.redis.shard import Shard
from millrace.stores.redis.spread import Spread
from millrace.transfer import MAX_WHOLE, Restored, WholeJob

__all__ = ["SpreadDesk"]

_NOTHING = Changed(None, changed=False)


class SpreadDesk(Spread):
    """Everything but producing and working; the register and the locks are those of any deployment."""

    # -- changing jobs

    def cancel(
        self,
        ids: Sequence[bytes],
        states: frozenset[JobState],
        *,
        retention: int | None,
        now: int | None = None,
    ) -> list[Changed]:
        """Cancel: a running job becomes cancelling, any other cancelled."""
        answers = self._change_by_id(ids, lambda shard, some: shard.cancel(some, states, retention=retention, now=now))
        self._let_act(now=now)
        return answers

    def retry(
        self,
        ids: Sequence[bytes],
        states: frozenset[JobState],
        *,
        args: bytes | None = None,
        now: int | None = None,
    ) -> list[Changed]:
        """Make jobs pending and due now, as if they had just been enqueued."""
        known, unknown = self._seen.by_queue(ids)
        if known and unknown:  # of two jobs of a key the first takes it: so they are asked for together
            self.get([ids[place] for place in unknown])
        return self._change_by_id(ids, lambda shard, some: shard.retry(some, states, args=args, now=now))

    def reschedule(
        self,
        ids: Sequence[bytes],
        states: frozenset[JobState],
        *,
        due: int,
        now: int | None = None,
    ) -> list[Changed]:
        """Move the due time; due ones are pending, others scheduled."""
        return self._change_by_id(ids, lambda shard, some: shard.reschedule(some, states, due=due, now=now))

    def delete(self, ids: Sequence[bytes], states: frozenset[JobState]) -> list[Changed]:
        """Delete jobs with all that belongs to them."""
        answers = self._change_by_id(ids, lambda shard, some: shard.delete(some, states))
        self._let_act()
        return answers

    def _change_by_id(self, ids: Sequence[bytes], ask: Callable[[Shard, list[bytes]], list[Changed]]) -> list[Changed]:
        return self._by_id(ids, _NOTHING, ask)

    # -- reading

    def get(self, ids: Sequence[bytes]) -> list[JobRow | None]:
        """Read jobs by id, in order."""
        nothing: JobRow | None = None
        return self._by_id(ids, nothing, lambda shard, some: shard.get(some))

    def page(self, where: JobFilter, *, limit: int, cursor: str | None = None) -> tuple[list[JobRow], str | None]:
        """Read one page, newest first, and the cursor of the next."""
        found, following = self._find(where, limit, cursor)
        rows: dict[bytes, JobRow | None] = {}
        places: dict[str, list[bytes]] = {}
        for id, queue in found:
            places.setdefault(queue, []).append(id)
        for queue, ids in places.items():
            rows.update(zip(ids, self._shard(queue).get(ids), strict=True))
            self._seen.note(queue, ids)
        return [row for id, _ in found if (row := rows[id]) is not None], following

    def select(self, where: JobFilter, *, limit: int, cursor: str | None = None) -> tuple[list[bytes], str | None]:
        """Read only the ids of such a page."""
        found, following = self._find(where, limit, cursor)
        for id, queue in found:
            self._seen.note(queue, (id,))
        return [id for id, _ in found], following

    def _find(self, where: JobFilter, limit: int, cursor: str | None) -> tuple[list[tuple[bytes, str]], str | None]:
        """Return the ids of a page with the queue of each, and the cursor of the next."""
        if cursor is not None:
            read_cursor(cursor, PAGES)
        limit = max(1, min(limit, MAX_PAGE))

        def look(shard: Shard) -> tuple[list[tuple[bytes, str]], str | None]:
            ids, following = shard.select(where, limit=limit, cursor=cursor)
            return [(id, shard.queue) for id in ids], following

        pages = self._each(self._asked(where.queue), look)
        found, last = merged(pages, limit, lambda each: each[0], newest_first=True)
        return found, None if last is None else PAGES + last.hex()

    def counts(self, queue: str | None = None, *, exact: bool = True) -> dict[JobState, int]:
        """Count jobs by state, all eight named; each queue's are exact, and read by itself."""
        counts = empty_counts()
        for some in self._each(self._asked(queue), lambda shard: shard.counts(shard.queue, exact=exact)):
            for state, number in some.items():
                counts[state] += number
        return counts

    def depth(self, queue: str | None = None, *, now: int | None = None) -> int:
        """Count what waits for a worker."""
        return sum(self._each(self._asked(queue), lambda shard: shard.depth(now=now)))

    def waiting(self, *, now: int | None = None) -> list[Waiting]:
        """Tell what `depth` counts by queue and task, and since when the oldest is due."""
        lanes = [each for some in self._each(self._asked(None), lambda shard: shard.waiting(now=now)) for each in some]
        return sorted(lanes, key=lambda each: (each.queue, each.task))

    def attempts(self, id: bytes) -> list[AttemptRow]:
        """Read a job's ended attempts, oldest first."""
        shard = self._home_of(id)
        return [] if shard is None else shard.attempts(id)

    def logs(self, id: bytes) -> list[LogRow]:
        """Read a job's log lines, oldest first."""
        shard = self._home_of(id)
        return [] if shard is None else shard.logs(id)

    def _home_of(self, id: bytes) -> Shard | None:
        """Return the store of a job's queue; the answer to one that has left nothing does not tell that it is there."""
        queue = self._seen.queue_of(id)
        if queue is not None:
            return self._shard(queue)
        (row,) = self.get([id])
        return None if row is None else self._shard(row.queue)

    # -- whole jobs

    def export(self, *, limit: int, cursor: str | None = None) -> tuple[list[WholeJob], str | None]:
        """Read one page of whole jobs, oldest first, and the cursor of the next."""
        if cursor is not None:
            read_cursor(cursor, WHOLES)
        limit = max(1, min(limit, MAX_WHOLE))
        pages = self._each(self._asked(None), lambda shard: shard.export(limit=limit, cursor=cursor))
        jobs, last = merged(pages, limit, lambda job: job.row.id, newest_first=False)
        return self._with_waits(jobs), None if last is None else WHOLES + last.hex()

    def restore(self, jobs: Sequence[WholeJob]) -> Restored:
        """Insert whole jobs as they are, all or none of each queue; tell which were left out."""
        self._check_open()
        places: dict[str, list[int]] = {}
        for place, job in enumerate(jobs):
            places.setdefault(job.row.queue, []).append(place)
        self._enter(places)
        there: set[int] = set()
        held: set[int] = set()
        for queue, some in places.items():
            answer = self._shard(queue).restore([jobs[place] for place in some])
            there.update(some[place] for place in answer.there)
            held.update(some[place] for place in answer.held)
        self._tie_restored(jobs)
        return Restored(frozenset(there), frozenset(held))

    # -- what waits for what, see `following`

    def _places(self) -> Sequence[str | None]:
        return sorted(self._fresh())

    def _place_of(self, queue: str) -> str | None:
        return queue

    def _trip(self, place: str | None, calls: Sequence[Call], now: int | None = None) -> list[Any]:
        assert place is not None  # noqa: S101 - each is a queue
        return self._shard(place).trip(calls, now)

    def _followers_at(self, place: str | None, id: bytes) -> set[bytes]:
        assert place is not None  # noqa: S101 - each is a queue
        return self._shard(place).read_key("followers", id)

    def _read_key(self, kind: str, id: bytes) -> set[bytes]:
        return {each for some in self._each(self._known(), lambda shard: shard.read_key(kind, id)) for each in some}

    # -- queues, retention, health

    def queues(self) -> list[QueueInfo]:
        """Read every queue that has settings or jobs, by name, with its counts."""
        return [info for some in self._each(self._asked(None), lambda shard: shard.queues()) for info in some]

    def set_queue(self, name: str, settings: QueueSettings) -> None:
        """Write a queue's settings: its own, and for those who claim the priority it has among the others."""
        super().set_queue(name, settings)
        self._directory = {**self._directory, name: settings.priority}
        self._shard(name).set_queue(name, settings)

    def pause(self, name: str, *, paused: bool) -> None:
        """Pause or resume a queue, whether it is known yet or not."""
        self._enter((name,))
        self._shard(name).pause(name, paused=paused)

    def expire(self, *, limit: int = 500, now: int | None = None) -> int:
        """Delete jobs whose retention has passed; return how many."""
        return self._within(limit, lambda shard, left: shard.expire(limit=left, now=now))

    def purge(self, finished_before: int, states: frozenset[JobState], *, limit: int = 500) -> int:
        """Delete ended jobs in `states` that finished before a time; return how many, at most `limit`."""
        return self._within(limit, lambda shard, left: shard.purge(finished_before, states, limit=left))

    def check(self) -> list[Finding]:
        """Look for trouble that `doctor` should tell: at the node of what the queues share, and at theirs."""
        findings = [each for each in super().check() if each.subject not in {"hints", "keys"}]  # they are by queue
        if any(each.level == "error" and each.subject == "server" for each in findings):
            return findings
        try:
            shards = self._asked(None)
        except MillraceError as error:
            return [*findings, Finding("error", "server", str(error))]
        told = {(each.level, each.subject) for each in findings}
        for shard, found in zip(shards, self._each(shards, lambda shard: shard.check()), strict=True):
            for each in found:
                if each.level in {"warning", "error"} and (each.level, each.subject) not in told:
                    told.add((each.level, each.subject))
                    findings.append(Finding(each.level, each.subject, f"queue {shard.queue!r}: {each.text}"))
        if not any(each.subject == "keys" for each in findings):
            findings.append(
                Finding("ok", "keys", "in each queue all counts are right, and the keys of some jobs agree")
            )
        return [*findings, Finding("ok", "queues", f"{len(shards)}, each with a slot of its own (?shard=queue)")]
