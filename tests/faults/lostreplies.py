"""The way to a server fails: silence, resets, half a reply, none; under load, and at a single call. Owns the ways.

A store's room has a module with the fixtures `proxy` and `store`, the latter by way of the former with the `DEADLINES`.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from threading import Timer

import pytest

from millrace.conformance.bench import ANN, HOUR
from millrace.errors import StoreUnavailable
from millrace.ids import new_id
from millrace.messages import ClaimRequest, NewRow
from millrace.outcome import Outcome
from millrace.records import WorkerRow
from millrace.states import JobState
from millrace.store import Store
from tests.faults.chaos import Turn
from tests.faults.enduring import Endure
from tests.faults.stage import wait_for
from tests.servers.proxy import Mode, Proxy

__all__ = ["DEADLINES", "LostReplies", "endure_every_way", "warmed"]

#: Short, so that a silence outlasts them; a worker's lease in these tests is a second.
DEADLINES = {"deadline": "1", "read_deadline": "1", "connect_deadline": "1"}
SILENCE = (0.2, 2.0)  # seconds

BREAKING: list[Mode] = ["silent", "resetting", "cutting", "halving"]


def endure_every_way(url: str, proxy: Proxy, endure: Endure, seconds: float) -> None:
    """Let workers live on a way that fails in all ways in turn; each must have hit."""
    hits = Counter[Mode]()
    healing: list[Timer] = []

    def strike() -> None:
        if healing and healing[-1].is_alive():
            return
        mode = BREAKING[len(healing) % len(BREAKING)]
        before = proxy.hits
        proxy.turn(mode)
        healing.append(Timer(SILENCE[len(healing) // len(BREAKING) % 2], recover, [mode, before]))
        healing[-1].start()

    def recover(mode: Mode, before: int) -> None:
        hits[mode] += proxy.hits - before
        proxy.turn("well")

    def heal() -> None:
        for timer in healing:
            timer.join()

    endure(url, seconds=seconds, pauses=0, strikes=[Turn(strike, 0.4, 0.8)], heal=heal)
    assert all(hits[mode] for mode in BREAKING), f"void: not every way has hit: {hits}"


def warmed(store: Store) -> Store:
    """Return a store with its connections open."""
    store.migrate()
    store.register(WorkerRow(ANN, "ann", 0, 0, b"{}"))
    store.step(ANN, (), [ClaimRequest(1)])
    return store


def row() -> NewRow:
    return NewRow(id=new_id(), task="work", queue="default", args=b"{}")


def lose(proxy: Proxy, mode: Mode) -> Timer:
    """Break the way, and mend it in time for a patient call; only a silence lasts until the call has given up."""
    proxy.turn(mode)
    mending = Timer(1.5 if mode == "silent" else 0.3, proxy.turn, ["well"])
    mending.start()
    return mending


@pytest.mark.parametrize("mode", BREAKING)
class LostReplies:
    """What a single call leaves whose reply is lost, in each way."""

    def test_an_insert_whose_reply_is_lost_is_one_job(self, store: Store, proxy: Proxy, mode: Mode) -> None:
        rows = [row() for _ in range(5)]
        mending = lose(proxy, mode)
        with suppress(StoreUnavailable):
            assert store.insert(rows).existing == {}, "they are its own, whichever try has put them in"
        mending.join()
        assert proxy.hits, "void"
        wait_for(lambda: can(lambda: store.insert(rows)), "the store to come back")
        assert store.depth() == 5

    def test_a_claim_whose_reply_is_lost_is_given_back(self, store: Store, proxy: Proxy, mode: Mode) -> None:
        """Its lease is an hour: so whoever gets the jobs now had them given back, and has not waited for it."""
        rows = [row() for _ in range(5)]
        store.insert(rows)
        claimed: list[bytes] = []

        def claim() -> bool:
            with suppress(StoreUnavailable):
                claimed.extend(each.id for each in store.step(ANN, (), [ClaimRequest(5, lease=HOUR)]).claimed)
            return len(claimed) == len(rows)

        mending = lose(proxy, mode)
        claim()
        mending.join()
        assert proxy.hits, "void"
        wait_for(claim, "the jobs to be claimed again")
        assert sorted(claimed) == sorted(each.id for each in rows)
        assert {job.attempt for job in store.get(claimed) if job} == {1}, "the try that nobody had is given back"

    def test_a_finish_whose_reply_is_lost_is_done_when_it_is_sent_again(
        self, store: Store, proxy: Proxy, mode: Mode
    ) -> None:
        store.insert([row() for _ in range(5)])
        held = store.step(ANN, (), [ClaimRequest(5, lease=HOUR)]).claimed
        ends = [Outcome.completed(job, b'"done"', retention=None) for job in held]
        lost: list[frozenset[int]] = []

        def finish() -> bool:
            with suppress(StoreUnavailable):
                lost.append(frozenset(store.step(ANN, ends, ()).lost))
            return bool(lost)

        mending = lose(proxy, mode)
        assert not finish(), "void: the reply has come"
        mending.join()
        wait_for(finish, "the outcomes to be taken")
        assert lost == [frozenset()], "what this very worker has written is no loss"
        assert store.counts()[JobState.COMPLETED] == 5


def can(call: object) -> bool:
    """Tell whether a call gets through."""
    assert callable(call)
    try:
        call()
    except StoreUnavailable:
        return False
    return True
