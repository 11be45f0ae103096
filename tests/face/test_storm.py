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


@pytest.mark.parametrize("seed", range(4))
def test_whoever_is_told_that_a_row_went_in_finds_it_there(seed: int) -> None:
    store = Moody(seed)
    bridge = Bridge(cast("Store", store))
    chance = random.Random(seed)
    told: list[bytes] = []
    refused: list[bytes] = []

    def row() -> NewRow:
        return NewRow(new_id(), "add", "default", BAD if chance.random() < 0.02 else b"{}")

    def thread() -> None:
        for _ in range(200):
            mine = row()
            try:
                bridge.insert(mine)
                told.append(mine.id)
            except (StoreUnavailable, ValueError):
                refused.append(mine.id)

    async def lane() -> None:
        for _ in range(50):
            mine = row()
            future = bridge.submit(mine)
            if chance.random() < 0.05:
                await asyncio.sleep(0)
                future.cancel()
            try:
                await future
                told.append(mine.id)
            except (StoreUnavailable, ValueError, asyncio.CancelledError):
                refused.append(mine.id)

    async def loop() -> None:
        calls: list[Any] = [bridge.call(len, "call") for _ in range(20)]
        await asyncio.gather(*(lane() for _ in range(10)), *calls)

    with ThreadPoolExecutor(8) as pool:
        running = [pool.submit(thread) for _ in range(6)] + [pool.submit(lambda: asyncio.run(loop())) for _ in range(2)]
        for each in running:
            each.result(PATIENCE)
    bridge.close()

    assert len(told) + len(refused) == 6 * 200 + 2 * 10 * 50
    assert set(told) <= store.taken
    assert refused
