"""The streams that keep open pages up to date: when they tell of a change, who may have one, and that they end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import pytest
from starlette.responses import StreamingResponse

from millrace import Millrace, StoreUnavailable
from millrace.dashboard import live
from millrace.dashboard.live import CHANGED, Streams
from millrace.store import Subscription
from millrace.stores import MemoryStore
from tests.dashboard.conftest import House

SECONDS = 20.0  # bounds a failure


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing but hints make a stream tell."""
    monkeypatch.setattr(live, "_TICK", 3600.0)
    monkeypatch.setattr(live, "_SPACING", 0.0)


async def pieces(streams: Streams, number: int, *, quick: bool = False) -> list[bytes]:
    """Read so many pieces of a stream, the first aside, or all where it ends."""
    body = cast("StreamingResponse", streams.answer(quick=quick)).body_iterator
    told: list[bytes] = []
    async with asyncio.timeout(SECONDS):
        async for piece in body:
            told.append(cast("bytes", piece))
            if len(told) > number:
                break
    return told


@pytest.mark.usefixtures("unhurried")
def test_a_stream_tells_when_the_store_hints(house: House) -> None:
    async def run() -> list[bytes]:
        streams = Streams(house.app)
        told = asyncio.create_task(pieces(streams, 2))
        while not told.done():
            await house.add.aenqueue(1)
            await asyncio.sleep(0)
        return await told

    assert asyncio.run(run()) == [b"retry: 1000\n\n", CHANGED, CHANGED]


def test_a_stream_tells_now_and_then_where_no_hint_comes(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_QUICK_TICK", 0.0)
    assert asyncio.run(pieces(Streams(house.app), 1, quick=True))[1:] == [CHANGED]


@pytest.mark.usefixtures("unhurried")
def test_streams_end_when_they_are_closed_and_none_is_opened_after(house: House) -> None:
    async def run() -> Streams:
        streams = Streams(house.app)
        body = aiter(cast("StreamingResponse", streams.answer(quick=False)).body_iterator)
        async with asyncio.timeout(SECONDS):
            assert await anext(body) == b"retry: 1000\n\n"
            streams.close()
            assert [piece async for piece in body] == []
        return streams

    assert asyncio.run(run()).answer(quick=False).status_code == 503


@pytest.mark.usefixtures("unhurried")
def test_a_stream_lasts_for_a_while_only_so_that_no_server_waits_for_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_LIFE", 0.0)
    assert asyncio.run(pieces(Streams(house.app), 9)) == [b"retry: 1000\n\n"]


def test_there_are_no_more_than_so_many(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_MOST", 0)
    assert Streams(house.app).answer(quick=False).status_code == 503


def test_a_store_that_is_away_costs_the_stream_only_its_hints(monkeypatch: pytest.MonkeyPatch) -> None:
    class Away(MemoryStore):
        def watch(self, on_change: Callable[[], None]) -> Subscription:
            raise StoreUnavailable(f"away, and {on_change} is told nothing")

    monkeypatch.setattr(live, "_TICK", 0.0)
    with Millrace(Away()) as app:
        assert asyncio.run(pieces(Streams(app), 1))[1:] == [CHANGED]


def test_a_stream_is_for_those_who_may_come_in(house: House) -> None:
    site = house.app.dashboard(token="sesame")
    assert house.visitor(site=site).get("/events").status_code == 401


def test_the_pages_that_move_name_their_stream(house: House) -> None:
    id = house.add.enqueue(1).id
    visitor = house.visitor()
    for path in ("/", "/queues", "/workers", "/schedules", f"/jobs/{id}"):
        page = visitor.get(path).text
        assert 'data-live="/events"' in page, path
        assert "/live.js" in page
    house.app.claim(1)
    assert 'data-live="/events?quick=1"' in visitor.get(f"/jobs/{id}").text
    for path in ("/jobs", "/failures", "/enqueue"):
        assert "data-live" not in visitor.get(path).text
