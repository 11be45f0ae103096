"""A deployment whose queues are deployments of their own. Owns which there are, whose is whose, and how all are asked.

What they share stands under the plain tag: the workers, the locks, and which queues there are. Each queue has a tag of
its own, and so a slot of its own in a cluster. Nothing is kept for each job: what is asked by id goes to the queue in
which the job was last seen, and where that is not known, or it is there no more, to all.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar, Unpack

from millrace.clock import Clock
from millrace.errors import MillraceError
from millrace.stores.redis.borrowed import RedisOptions
from millrace.stores.redis.desk import Desk
from millrace.stores.redis.directory import enter_queues, read_directory
from millrace.stores.redis.settings import Settings
from millrace.stores.redis.shard import Shard
from millrace.stores.redis.sightings import Sightings
from millrace.stores.redis.turns import Turns

__all__ = ["Spread"]

T = TypeVar("T")

_FRESH = 1.0  # seconds for which a look at the queues will do for who claims
_HURRY = 1.0  # seconds for one in passing
_FEW = 4  # queues: so many are asked as fast one after the other
_CREW = 8  # threads that ask queues side by side: they wait for servers, and nearly nothing else


class _Process:
    """What a forked child must not inherit: a lock that may be held, and workers and threads that are its parent's."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.lock = threading.Lock()
        self.workers: set[int] = set()
        self.crew = ThreadPoolExecutor(_CREW, "millrace-queues")  # which starts threads as they are needed


class Spread(Desk):
    """What the parts of `ShardedRedisStore` share.

    Args:
        url: As of `RedisStore`, with `shard=queue`.
        clock: Where the time comes from; None is the servers' clocks.
    """

    _by_queue = True

    def __init__(
        self,
        url: str | Settings | None = None,
        *,
        client: Any = None,
        clock: Clock | None = None,
        **options: Unpack[RedisOptions],
    ) -> None:
        super().__init__(url, client=client, clock=clock, **options)
        self._seen = Sightings()
        self._turns = Turns()
        self._directory: Mapping[str, int] = {}  # queues and their priorities, as they were when last looked at
        self._looked = -math.inf
        self._shards: dict[str, Shard] = {}
        self._own_process = _Process()
        self._round = 0

    def close(self) -> None:
        """Release every connection and thread. A second call does nothing."""
        super().close()  # from here on no queue is opened any more
        for shard in self._opened():
            shard.close()
        self._process.crew.shutdown()

    def migrate(self) -> list[str]:
        """See that the layout of the keys is there and ours, of every queue too; return what was done.

        What a queue needs is made with its first job, which is no news.
        """
        done = super().migrate()
        self._each(self._asked(None), lambda shard: shard.migrate())
        return done

    # -- which queues there are

    def _shard(self, queue: str) -> Shard:
        """Return the store of a queue; nothing is connected by that."""
        shard = self._shards.get(queue)
        if shard is not None:
            return shard
        process = self._process
        with process.lock:
            self._home.lines.check()
            shard = self._shards.get(queue)
            if shard is None:
                time_of_all = None if self._clock is None else self  # which steps back for none of them
                shard = Shard(self._settings, queue, time_of_all, self._heard)
                for worker in process.workers:
                    shard.begin_work(worker)
                self._shards[queue] = shard
        return shard

    def _enter(self, queues: Iterable[str]) -> None:
        """Make queues known, before anything is in them."""
        new = [queue for queue in queues if queue not in self._directory]
        if new:
            self._write(partial(enter_queues, names=new), repeatable=True)
            self._directory = {**dict.fromkeys(new, 0), **self._directory}

    def _look(self) -> Mapping[str, int]:
        """Look which queues there are; what the server has lost of them is told it again."""
        return self._learned(self._read(read_directory))

    def _known(self) -> list[Shard]:
        """Return the stores of all queues that were there not long ago."""
        self._check_open()
        return [self._shard(queue) for queue in sorted(self._fresh())]

    def _fresh(self) -> Mapping[str, int]:
        """Return the queues and their priorities as they were not long ago."""
        if time.monotonic() - self._looked > _FRESH:
            self._look_in_passing()
        return self._directory

    def _look_in_passing(self) -> None:
        """Look which queues there are, unless that takes long: what goes on in them does not hang on that node."""
        try:
            self._learned(self._beat(read_directory, within=_HURRY))
        except MillraceError:
            if not self._directory:
                raise
            self._looked = time.monotonic()

    def _learned(self, told: Mapping[str, int]) -> Mapping[str, int]:
        lost = {queue: priority for queue, priority in self._directory.items() if queue not in told}
        self._looked = time.monotonic()
        if lost:
            self._write(partial(enter_queues, names=lost), repeatable=True)
        self._turns.forget()
        self._directory = {**lost, **told}
        return self._directory

    def _asked(self, queue: str | None) -> list[Shard]:
        """Return the store of a queue, none where it is not known; or those of all."""
        if queue is None:
            return [self._shard(each) for each in sorted(self._look())]
        return [self._shard(queue)] if queue in self._directory or queue in self._look() else []

    def _check_open(self) -> None:
        self._home.lines.check()

    def _opened(self) -> list[Shard]:
        with self._process.lock:
            return list(self._shards.values())

    # -- asking them

    def _each(self, shards: Sequence[Shard], ask: Callable[[Shard], T]) -> list[T]:
        """Ask queues side by side, as each question is a trip to a server; return the answers in order."""
        if len(shards) <= _FEW:
            return [ask(shard) for shard in shards]
        try:
            return list(self._process.crew.map(ask, shards))
        except RuntimeError:  # it takes nothing any more: the store has been closed meanwhile
            self._check_open()
            raise

    def _within(self, limit: int, ask: Callable[[Shard, int], int]) -> int:
        """Have queues do something, up to a limit that they share; return how much was done.

        Each time another one begins. One that cannot be reached keeps none of the others from it; it is told of where
        nothing was done.
        """
        shards = self._known()
        self._round += 1
        first = self._round % max(len(shards), 1)
        done = 0
        trouble: MillraceError | None = None
        for shard in shards[first:] + shards[:first]:
            if done >= limit:
                break
            try:
                done += ask(shard, limit - done)
            except MillraceError as error:
                trouble = trouble or error
        if trouble is not None and not done:
            raise trouble
        return done

    def _by_id(self, ids: Sequence[bytes], nothing: T, ask: Callable[[Shard, list[bytes]], Sequence[T]]) -> list[T]:
        """Ask for jobs by id, and return the answers in order; see `_by_place`."""
        self._check_open()
        return self._by_place(ids, nothing, lambda shard, places: ask(shard, [ids[place] for place in places]))

    def _by_place(
        self, ids: Sequence[bytes], nothing: T, ask: Callable[[Shard, Sequence[int]], Sequence[T]]
    ) -> list[T]:
        """Ask each queue for what belongs to its jobs, and return the answers in order.

        Args:
            ids: Of the jobs.
            nothing: The answer for a job that is not there.
            ask: Asks one queue for what stands at these places, which answers in their order.
        """
        answers = [nothing] * len(ids)

        def look(queue: str, places: Sequence[int]) -> list[int]:
            missing: list[int] = []
            told = ask(self._shard(queue), places)
            for place, answer in zip(places, told, strict=True):
                answers[place] = answer
                if answer == nothing:
                    missing.append(place)
            self._seen.note(queue, {ids[place] for place in places}.difference(ids[place] for place in missing))
            return missing

        known, left = self._seen.by_queue(ids)
        for queue, places in known.items():
            left += look(queue, places)
        left.sort()
        asked: set[str] = set()
        for anew in (False, True):  # what others have brought meanwhile comes last
            if not left:
                break
            for queue in (queue for queue in (self._look() if anew else self._directory) if queue not in asked):
                asked.add(queue)
                left = look(queue, left) if left else left
        return answers

    # -- hints and workers

    def _heard(self, queue: str, claimable: bool) -> None:  # noqa: FBT001 - so a shard tells it
        if claimable:
            self._turns.filled(queue)
        self._changed()

    def _begin_work(self, worker: int) -> None:
        super()._begin_work(worker)
        with self._process.lock:
            self._process.workers.add(worker)
        for shard in self._opened():
            shard.begin_work(worker)

    def _end_work(self, worker: int) -> None:
        with self._process.lock:
            self._process.workers.discard(worker)
        for shard in self._opened():
            shard.end_work(worker)
        super()._end_work(worker)

    @property
    def _process(self) -> _Process:
        process = self._own_process
        if process.pid != os.getpid():
            process = self._own_process = _Process()
        return process
