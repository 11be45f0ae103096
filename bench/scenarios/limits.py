"""Owns the drain under limits on SQLite, at NORMAL: what they cost is not hidden behind a flush."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.limited import compared

if TYPE_CHECKING:
    from bench.row import Row
    from bench.settings import Settings


def run(settings: Settings) -> list[Row]:
    """Drain on every side and compare."""
    return compared(settings, "SQLite", lambda: f"sqlite:///{settings.folder('limits') / 'jobs.db'}?synchronous=normal")
