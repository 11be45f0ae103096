"""Owns the drain under limits on Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.limited import compared
from bench.redisserver import redis_server

if TYPE_CHECKING:
    from bench.row import Row
    from bench.settings import Settings


def run(settings: Settings) -> list[Row]:
    """Drain on every side and compare."""
    return compared(settings, "Redis", redis_server().fresh)
