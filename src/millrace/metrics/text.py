"""The text in which Prometheus reads metrics, version 0.0.4. Owns its form alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate

from millrace.metrics.families import FAMILIES, Family
from millrace.metrics.readings import Labels, Readings, Spread

__all__ = ["CONTENT_TYPE", "text_of"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


def text_of(readings: Readings) -> str:
    """Write readings in the text format, the families in their own order; one without a value is left out.

    >>> from millrace.metrics.families import SLOTS
    >>> readings = Readings()
    >>> readings.set(SLOTS, (), 10)
    >>> print(text_of(readings), end="")
    # HELP millrace_worker_slots Jobs that may run at once in this process.
    # TYPE millrace_worker_slots gauge
    millrace_worker_slots 10
    """
    return "".join(f"{line}\n" for family in FAMILIES for line in _lines(family, readings))


def _lines(family: Family, readings: Readings) -> Iterator[str]:
    samples = [
        f"{family.name}{_labels(family.labels, labels)} {_number(value)}" for labels, value in readings.of(family)
    ]
    for labels, spread in readings.spreads_of(family):
        samples += _buckets(family, labels, spread)
    if samples:
        yield f"# HELP {family.name} {family.help}"
        yield f"# TYPE {family.name} {family.kind}"
        yield from samples


def _buckets(family: Family, labels: Labels, spread: Spread) -> Iterator[str]:
    """Give a histogram's lines: each bucket holds those below it, and the last one all."""
    bounds = [*map(repr, family.buckets), "+Inf"]  # "1.0" and not "1", as all libraries of Prometheus write them
    names = (*family.labels, "le")
    counts = list(accumulate(spread.counts))
    for bound, count in zip(bounds, counts, strict=True):
        yield f"{family.name}_bucket{_labels(names, (*labels, bound))} {count}"
    yield f"{family.name}_sum{_labels(family.labels, labels)} {_number(spread.sum)}"
    yield f"{family.name}_count{_labels(family.labels, labels)} {counts[-1]}"


def _labels(names: Sequence[str], values: Sequence[str]) -> str:
    if not names:
        return ""
    return (
        "{" + ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in zip(names, values, strict=True)) + "}"
    )


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)
