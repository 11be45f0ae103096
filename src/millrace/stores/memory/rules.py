"""Queues' settings. Owns their record and their table; what they mean to a claim stands in `claiming.py`."""

from __future__ import annotations

from dataclasses import dataclass

from millrace.groups import Pace
from millrace.messages import QueueSettings

__all__ = ["NO_RULES", "QueueRules", "RuleBook"]


@dataclass(frozen=True, slots=True)
class QueueRules:
    """The settings of one queue."""

    priority: int = 0
    paused: bool = False
    concurrency: int | None = None
    pace: Pace | None = None


NO_RULES = QueueRules()


class RuleBook(dict[str, QueueRules]):
    """The queues that were given settings, by name."""

    def write(self, name: str, settings: QueueSettings) -> None:
        """Replace a queue's settings; whether it is paused stays where nothing is said of it."""
        paused = self.get(name, NO_RULES).paused if settings.paused is None else settings.paused
        self[name] = QueueRules(settings.priority, paused, settings.concurrency, settings.rate)

    def pause(self, name: str, *, paused: bool) -> None:
        """Pause or resume a queue; its other settings stay."""
        old = self.get(name, NO_RULES)
        self[name] = QueueRules(old.priority, paused, old.concurrency, old.pace)
