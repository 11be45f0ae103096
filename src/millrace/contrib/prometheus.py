"""Millrace's metrics in a registry of prometheus_client: `pip install millrace[prometheus]`. Owns that form alone.

For a process that has a registry already, such as a web app which enqueues. A worker needs none of this:
`millrace worker --metrics-port` serves the same, and for several processes their sum.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from millrace.measuring import Measured
from millrace.metrics.families import FAMILIES, Family

if TYPE_CHECKING:
    from millrace import Millrace
    from millrace.metrics.readings import Readings

__all__ = ["MillraceCollector", "register"]


class MillraceCollector(Collector):
    """Tells a registry of an app: what this process has enqueued and run, and what waits in its store.

    The app is measured from here on, so make this where the app is made, before it is used and before a worker of this
    process starts.

    Args:
        app: Whose metrics.
        store: Whether to tell what waits in the whole store too, which costs a read at each scrape, at most once a
            second; several processes that tell it must not be summed.

    >>> from prometheus_client import CollectorRegistry, generate_latest
    >>> from millrace import Millrace
    >>> registry = CollectorRegistry()
    >>> registry.register(MillraceCollector(Millrace("memory://")))
    >>> b"millrace_store_up 1.0" in generate_latest(registry)
    True
    """

    def __init__(self, app: Millrace, *, store: bool = True) -> None:
        self._measured = Measured(app)
        self._store = store

    def collect(self) -> Iterator[Metric]:
        """Give all metrics as they are now; the registry calls it at each scrape."""
        readings = self._measured.read() if self._store else self._measured.own()
        for family in FAMILIES:
            yield _metric(family, readings)

    def describe(self) -> Iterator[Metric]:
        """Name the metrics without reading anything, so that a registry may refuse doubles."""
        for family in FAMILIES:
            yield Metric(_name(family), family.help, family.kind)


def register(app: Millrace, registry: CollectorRegistry = REGISTRY, *, store: bool = True) -> MillraceCollector:
    """Put an app's metrics into a registry; see `MillraceCollector`.

    >>> from prometheus_client import CollectorRegistry
    >>> from millrace import Millrace
    >>> registry = CollectorRegistry()
    >>> app = Millrace("memory://")
    >>> collector = register(app, registry)
    >>> job = app.task(name="ping")(lambda: "pong").enqueue()
    >>> registry.get_sample_value("millrace_jobs_enqueued_total", {"task": "ping", "queue": "default"})
    1.0
    """
    collector = MillraceCollector(app, store=store)
    registry.register(collector)
    return collector


def _name(family: Family) -> str:
    """Return a name as the library wants it: that of a counter without its ending."""
    return family.name.removesuffix("_total") if family.kind == "counter" else family.name


def _metric(family: Family, readings: Readings) -> Metric:
    if family.kind == "histogram":
        spreads = HistogramMetricFamily(family.name, family.help, labels=family.labels)
        bounds = [*(repr(bound) for bound in family.buckets), "+Inf"]
        for labels, spread in readings.spreads_of(family):
            buckets = list(zip(bounds, accumulate(spread.counts), strict=True))
            spreads.add_metric(labels, buckets, spread.sum)
        return spreads
    kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    metric = kind(_name(family), family.help, labels=family.labels)
    for labels, value in readings.of(family):
        metric.add_metric(labels, value)
    return metric
