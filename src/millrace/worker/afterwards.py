"""Telling middleware how an attempt has ended, once, and what is true; where no outcome is written, listeners too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from millrace.eventmaker import ended, lost
from millrace.outcome import Outcome

if TYPE_CHECKING:
    from millrace.worker.attempt import Attempt

__all__ = ["tell_after", "tell_loss", "tell_own"]


def tell_after(attempt: Attempt, outcome: Outcome) -> None:
    """Tell how it has ended."""
    floor = attempt.floor
    if floor.hooks.afters:
        floor.hooks.tell_after(attempt.context, ended(attempt.row, outcome, floor.store_time()))


def tell_loss(attempt: Attempt) -> None:
    """Tell that it counts for nothing."""
    floor = attempt.floor
    if floor.hooks.afters:
        floor.hooks.tell_after(attempt.context, lost(attempt.row, floor.store_time()))
    if floor.news is not None:
        floor.news.lost(attempt)


def tell_own(attempt: Attempt, outcome: Outcome) -> None:
    """Tell middleware and listeners of one that has completed in its own transaction, once it is known how."""
    tell_after(attempt, outcome)
    if attempt.floor.news is not None:
        attempt.floor.news.own(attempt, outcome)
