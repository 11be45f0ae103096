"""Stores on the server that stands for all, closed when their test is over. Owns no assertion."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from millrace.stores.redis.scripts import Script
from millrace.stores.redis.session import Argument, Session
from tests.servers.redisserver import RedisServer
from tests.servers.redisspaces import RedisSpace
from tests.stores.lines.bare import Opens, opening, until
from tests.stores.lines.sides import RedisBare as Bare

__all__ = ["Bare", "Opener", "ask", "clients", "lua", "run", "until"]


Opener = Opens[Bare]


@pytest.fixture
def opened() -> Iterator[Opener]:
    """Opens stores by URL, and closes them."""
    with opening(lambda url, clock: Bare(url, clock=clock)) as open_one:
        yield open_one


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
