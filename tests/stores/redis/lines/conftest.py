"""Stores on the server that stands for all, closed when their test is over. Owns no assertion."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

import pytest

from millrace.clock import Clock
from millrace.messages import StepAnswer
from millrace.outcome import Outcome
from millrace.stores.redis.base import RedisServerStore
from millrace.stores.redis.home import Home
from millrace.stores.redis.scripts import Script
from millrace.stores.redis.session import Argument, Session
from tests.servers.redisserver import RedisServer
from tests.servers.redisspaces import RedisSpace

__all__ = ["Bare", "Opener", "ask", "clients", "lua", "run", "until"]

PATIENCE = 20.0  # seconds: bounds a failure, measures nothing

T = TypeVar("T")


class Bare(RedisServerStore):
    """A store without verbs, whose ways to the server may be used from outside."""

    def write(self, body: Callable[[Session], T], *, now: int | None = None, repeatable: bool = False) -> T:
        """Run a body that writes."""
        return self._write(body, now=now, repeatable=repeatable)

    def read(self, body: Callable[[Session], T], *, now: int | None = None) -> T:
        """Run a body that reads."""
        return self._read(body, now=now)

    def beat(self, body: Callable[[Session], T], *, within: float) -> T:
        """Run a body on the connection for beats."""
        return self._beat(body, within=within)

    def step(self, body: Callable[[Session], StepAnswer], worker: int, outcomes: Sequence[Outcome] = ()) -> StepAnswer:
        """Run a worker's step."""
        return self._step(body, worker, outcomes)

    def changed(self, *queues: str) -> None:
        """Tell that something was done."""
        self._changed(queues)

    def begin_work(self, worker: int) -> None:
        """Let a worker begin."""
        self._begin_work(worker)

    def end_work(self, worker: int) -> None:
        """Let a worker end."""
        self._end_work(worker)

    @property
    def home(self) -> Home:
        """What it has open."""
        return self._home


class Opener(Protocol):
    """Opens a store by URL."""

    def __call__(self, url: str, clock: Clock | None = None) -> Bare: ...


@pytest.fixture
def opened() -> Iterator[Opener]:
    """Opens stores by URL, and closes them."""
    stores: list[Bare] = []

    def open_one(url: str, clock: Clock | None = None) -> Bare:
        stores.append(Bare(url, clock=clock))
        return stores[-1]

    yield open_one
    for store in stores:
        store.close()


@pytest.fixture
def store(main_redis: RedisSpace, opened: Opener) -> Bare:
    """A store on an empty prefix, connected."""
    store = opened(main_redis.url())
    store.migrate()
    return store


def ask(*words: Argument) -> Callable[[Session], Any]:
    """Make a body that runs one command and returns its answer."""
    return lambda session: session.command(*words)


def lua(text: str, *keys: str, durable: bool = False) -> Script:
    """Make a script of a text."""
    whole = text.encode()
    sha = hashlib.sha1(whole, usedforsecurity=False).hexdigest()
    return Script(f"made-{sha}", keys, whole, sha.encode(), durable)


def run(script: Script, *args: Argument) -> Callable[[Session], Any]:
    """Make a body that runs one script and returns its answer."""
    return lambda session: session.run(script, *args)


def clients(space: RedisSpace | RedisServer) -> list[dict[str, str]]:
    """Return what the server tells of each connection."""
    lines: bytes = space.run("CLIENT", "LIST")
    return [dict(word.split("=", 1) for word in line.split(" ")) for line in lines.decode().splitlines()]


def until(holds: Callable[[], object]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "it never came to hold"
        time.sleep(0.005)
