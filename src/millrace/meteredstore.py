"""A store whose calls are measured: each verb takes its time, and what it did is counted once for all it did.

All ways to a store lead through here once an app is measured, so no store and no worker has to count anything itself.
An app that is not measured never loads this.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache, wraps
from time import perf_counter
from typing import Any, cast

from millrace.messages import InsertAnswer
from millrace.metrics.meter import Meter
from millrace.store import Store

__all__ = ["metered"]

#: What is asked so often, or waits so long, that its time would say nothing.
_UNTIMED = frozenset({"close", "now", "watch"})


def metered(store: Store, meter: Meter) -> Store:
    """Return a store that does all that another one does, the capabilities it has included, and is measured.

    >>> from millrace.stores import MemoryStore
    >>> meter = Meter()
    >>> metered(MemoryStore(), meter).depth()
    0
    >>> [labels for family, labels, spread in meter.read().spreads()]
    [('depth',)]
    """
    made: Any = _class_of(type(store))(store, meter)
    return cast("Store", made)


class _Metered:
    """What all measured stores share. Their verbs are those of the class that they stand for."""

    def __init__(self, store: Any, meter: Meter) -> None:
        self.measured_store = store
        self.measured_by = meter

    def __getattr__(self, name: str) -> Any:
        return getattr(self.measured_store, name)


@cache
def _class_of(kind: type[Any]) -> type[_Metered]:
    """Make the class that stands for a store's: a capability is looked for in the class, so its verbs must be there.

    What every store has is there in any case, should this one be a proxy itself.
    """
    members = dict(inspect.getmembers(Store, callable)) | dict(inspect.getmembers(kind, callable))
    verbs = {
        name: _verb(name, member)
        for name, member in members.items()
        if not name.startswith("_") and not isinstance(member, type)
    }
    return type(f"Metered{kind.__name__}", (_Metered,), verbs)


def _verb(name: str, member: Any) -> Callable[..., Any]:
    count = _COUNTS.get(name)

    @wraps(member)
    def plain(self: _Metered, *args: Any, **options: Any) -> Any:
        return getattr(self.measured_store, name)(*args, **options)

    @wraps(member)
    def timed(self: _Metered, *args: Any, **options: Any) -> Any:
        began = perf_counter()
        try:
            answer = getattr(self.measured_store, name)(*args, **options)
        except BaseException as error:
            self.measured_by.called(name, perf_counter() - began, error)
            raise
        self.measured_by.called(name, perf_counter() - began)
        if count is not None:
            count(self.measured_by, answer, *args)
        return answer

    @wraps(member)
    async def awaited(self: _Metered, *args: Any, **options: Any) -> Any:
        began = perf_counter()
        try:
            answer = await getattr(self.measured_store, name)(*args, **options)
        except BaseException as error:
            self.measured_by.called(name, perf_counter() - began, error)
            raise
        self.measured_by.called(name, perf_counter() - began)
        if count is not None:
            count(self.measured_by, answer, *args)
        return answer

    if name in _UNTIMED:
        return plain
    return awaited if inspect.iscoroutinefunction(member) else timed


# -- what the verbs have done


def _inserted(meter: Meter, answer: InsertAnswer, rows: Any) -> None:
    if answer.unknown is not None:
        return
    existing = answer.existing
    meter.enqueued([row for place, row in enumerate(rows) if place not in existing] if existing else rows)


def _inserted_on(meter: Meter, answer: InsertAnswer, _: object, rows: Any) -> None:
    _inserted(meter, answer, rows)


def _fired(meter: Meter, answer: Any, firings: Any) -> None:
    meter.enqueued([job for firing, written in zip(firings, answer, strict=True) if written for job in firing.jobs])


def _rescued(meter: Meter, answer: Any) -> None:
    meter.leases_lost(answer)


_COUNTS: dict[str, Callable[..., None]] = {
    "ainsert_on": _inserted_on,
    "ahold_on": _inserted_on,
    "fire": _fired,
    "hold": _inserted,
    "hold_on": _inserted_on,
    "insert": _inserted,
    "insert_on": _inserted_on,
    "rescue": _rescued,
}
