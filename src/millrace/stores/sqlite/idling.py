"""What an idle moment is good for: the WAL cut, pages given back, a file that was replaced let go. Never waits."""

from __future__ import annotations

from millrace.stores.sqlite.hold import Hold
from millrace.stores.sqlite.upkeep import has_spare_pages, shrink, truncate, wal_is_long
from millrace.stores.sqlite.wakeup import Watchers

__all__ = ["tidy"]


def tidy(hold: Hold, watchers: Watchers) -> bool:
    """Do what an idle moment is good for, with the turn to write; tell whether more can be done in a second."""
    if hold.way is None:
        return True
    if hold.replaced():
        _change_over(hold, watchers)
        return True
    writer, gate = hold.way
    spare = has_spare_pages(writer)
    if not (spare or wal_is_long(hold.settings.path)) or not gate.try_take():
        return True
    try:
        if spare:
            shrink(writer)
        return truncate(writer, hold.settings.deadline)
    finally:
        gate.leave()


def _change_over(hold: Hold, watchers: Watchers) -> None:
    """Let go of a file that has lost its name, such as one that a backup has replaced: the next verb opens the new."""
    if hold.reading.acquire(blocking=False):
        try:
            watchers.change_over()
            hold.drop(cut=False)
        finally:
            hold.reading.release()
