"""The values of metrics at one moment. Owns adding them up, over processes too; reads and writes them as JSON."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from operator import add
from typing import Self

import msgspec

from millrace.metrics.families import FAMILIES, Family

__all__ = ["Labels", "Readings", "Spread"]

Labels = tuple[str, ...]  #: the values of a family's labels, in its order

_COMBINE: dict[str, Callable[[float, float], float]] = {"sum": add, "max": max, "min": min}


class Spread:
    """What a histogram holds for one set of labels: how many values fell into each bucket, and their sum.

    >>> spread = Spread((0.1, 1.0))
    >>> for value in (0.1, 7):
    ...     spread.add(value)
    >>> spread.counts, spread.sum
    ([1, 0, 1], 7.1)
    """

    __slots__ = ("_bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)  #: each bucket's own, the last without an upper bound
        self.sum = 0.0

    def add(self, value: float) -> None:
        """Take one value in."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.sum += value

    def take_in(self, counts: Iterable[int], total: float) -> None:
        """Add what another one holds."""
        self.counts = [one + other for one, other in zip(self.counts, counts, strict=True)]
        self.sum += total


class _Sent(msgspec.Struct, array_like=True):
    """Readings on their way from one process to another; families by name."""

    values: list[tuple[str, Labels, float]]
    spreads: list[tuple[str, Labels, list[int], float]]


_BY_NAME = {family.name: family for family in FAMILIES}
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Sent).decode


class Readings:
    """Values by family and labels.

    >>> from millrace.metrics.families import DEPTH, ENQUEUED
    >>> one, other = Readings(), Readings()
    >>> for each in (one, other):
    ...     each.add(ENQUEUED, ("add", "default"), 2)
    ...     each.set(DEPTH, ("default",), 7)
    >>> one.merge(other)
    >>> one.value(ENQUEUED, "add", "default"), one.value(DEPTH, "default")
    (4.0, 7.0)
    """

    __slots__ = ("_spreads", "_values")

    def __init__(self) -> None:
        self._values: dict[Family, dict[Labels, float]] = {}
        self._spreads: dict[Family, dict[Labels, Spread]] = {}

    # -- writing

    def add(self, family: Family, labels: Labels, number: float = 1.0) -> None:
        """Let a value grow."""
        values = self._values.setdefault(family, {})
        values[labels] = values.get(labels, 0.0) + number

    def set(self, family: Family, labels: Labels, value: float) -> None:
        """Say what a value is."""
        self._values.setdefault(family, {})[labels] = float(value)

    def spread(self, family: Family, labels: Labels) -> Spread:
        """Return what a histogram holds, to add to it."""
        spreads = self._spreads.setdefault(family, {})
        found = spreads.get(labels)
        if found is None:
            found = spreads[labels] = Spread(family.buckets)
        return found

    def merge(self, other: Readings) -> None:
        """Put the readings of another process to these, each family by its own rule."""
        for family, labels, value in other.values():
            mine = self._values.setdefault(family, {})
            mine[labels] = _COMBINE[family.over](mine[labels], value) if labels in mine else value
        for family, labels, spread in other.spreads():
            self.spread(family, labels).take_in(spread.counts, spread.sum)

    # -- reading

    @property
    def empty(self) -> bool:
        """Whether there is nothing in them."""
        return not self._values and not self._spreads

    def value(self, family: Family, *labels: str) -> float:
        """Return one value, 0 where there is none."""
        return self._values.get(family, {}).get(labels, 0.0)

    def values(self) -> Iterator[tuple[Family, Labels, float]]:
        """Give all values of counters and gauges."""
        for family, values in self._values.items():
            for labels, value in values.items():
                yield family, labels, value

    def spreads(self) -> Iterator[tuple[Family, Labels, Spread]]:
        """Give all that histograms hold."""
        for family, spreads in self._spreads.items():
            for labels, spread in spreads.items():
                yield family, labels, spread

    def of(self, family: Family) -> list[tuple[Labels, float]]:
        """Return the values of one counter or gauge, in the order of their labels."""
        return sorted(self._values.get(family, {}).items())

    def spreads_of(self, family: Family) -> list[tuple[Labels, Spread]]:
        """Return what one histogram holds, in the order of its labels."""
        return sorted(self._spreads.get(family, {}).items(), key=lambda each: each[0])

    def copy(self) -> Readings:
        """Return a copy that does not change any more."""
        other = Readings()
        other.merge(self)
        return other

    def counted(self) -> Readings:
        """Return what only ever grows: what stays true of a process that has ended."""
        kept = Readings()
        kept._values = {family: dict(each) for family, each in self._values.items() if family.kind == "counter"}
        for family, labels, spread in self.spreads():
            kept.spread(family, labels).take_in(spread.counts, spread.sum)
        return kept

    # -- between processes

    def encode(self) -> bytes:
        """Write them as one line of JSON."""
        return _encode(
            _Sent(
                [(family.name, labels, value) for family, labels, value in self.values()],
                [(family.name, labels, spread.counts, spread.sum) for family, labels, spread in self.spreads()],
            )
        )

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read what `encode` wrote; a family that is not known here is passed over."""
        sent, read = _decode(data), cls()
        for name, labels, value in sent.values:
            if name in _BY_NAME:
                read.set(_BY_NAME[name], labels, value)
        for name, labels, counts, total in sent.spreads:
            if name in _BY_NAME:
                read.spread(_BY_NAME[name], labels).take_in(counts, total)
        return read
