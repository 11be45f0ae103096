"""Threads and event loops at one bridge at once, with a store that fails at random: nobody hangs, nothing is lost."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest

from millrace.bridge import Bridge
from millrace.errors import StoreUnavailable
from millrace.ids import new_id
from millrace.messages import InsertAnswer, NewRow
from millrace.store import Store
from tests.face.stores import PATIENCE

BAD = b'"bad"'


class Moody:
    """Remembers what it took; refuses bad rows, and at times everything."""

    url = "moody:"

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed).random
        self.lock = threading.Lock()
        self.taken: set[bytes] = set()

    def insert(self, rows: Sequence[NewRow], *, now: int | None = None) -> InsertAnswer:
        with self.lock:
            if self.chance() < 0.05:
                raise StoreUnavailable("not now")
            if any(row.args == BAD for row in rows):
                raise ValueError("bad row")
            self.taken.update(row.id for row in rows)
            return InsertAnswer(now or 1)


class Crowd:
    """Inserts rows from threads and loops, and notes what each was told."""

    def __init__(self, bridge: Bridge, seed: int) -> None:
        self.bridge = bridge
        self.chance = random.Random(seed).random
        self.told: list[bytes] = []
        self.refused: list[bytes] = []

    def row(self) -> NewRow:
        return NewRow(new_id(), "add", "default", BAD if self.chance() < 0.02 else b"{}")

    def thread(self) -> None:
        for _ in range(200):
            row = self.row()
            try:
                self.bridge.insert(row)
                self.told.append(row.id)
            except (StoreUnavailable, ValueError):
                self.refused.append(row.id)

    async def lane(self) -> None:
        for _ in range(50):
            row = self.row()
            future = self.bridge.submit(row)
            if self.chance() < 0.05:
                await asyncio.sleep(0)
                future.cancel()
            try:
                await future
                self.told.append(row.id)
            except (StoreUnavailable, ValueError, asyncio.CancelledError):
                self.refused.append(row.id)

    async def lanes(self) -> None:
        calls: list[Any] = [self.bridge.call(len, "call") for _ in range(20)]
        await asyncio.gather(*(self.lane() for _ in range(10)), *calls)

    def loop(self) -> None:
        asyncio.run(self.lanes())


@pytest.mark.parametrize("seed", range(4))
def test_whoever_is_told_that_a_row_went_in_finds_it_there(seed: int) -> None:
    store = Moody(seed)
    bridge = Bridge(cast("Store", store))
    crowd = Crowd(bridge, seed)

    with ThreadPoolExecutor(8) as pool:
        running = [pool.submit(each) for each in [crowd.thread] * 6 + [crowd.loop] * 2]
        for each in running:
            each.result(PATIENCE)
    bridge.close()

    assert len(crowd.told) + len(crowd.refused) == 6 * 200 + 2 * 10 * 50
    assert set(crowd.told) <= store.taken
    assert crowd.refused
