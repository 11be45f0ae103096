"""The collector for a registry of prometheus_client tells what the port tells."""

from __future__ import annotations

import doctest
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, generate_latest

import millrace.contrib.prometheus
from millrace import Millrace
from millrace.contrib.prometheus import MillraceCollector, register
from millrace.measuring import Measured
from millrace.metrics.families import FAMILIES
from millrace.metrics.text import text_of
from tests.metrics.test_values import parsed


@pytest.fixture
def app() -> Iterator[Millrace]:
    with Millrace("memory://") as app:
        yield app


def test_the_examples_hold() -> None:
    assert doctest.testmod(millrace.contrib.prometheus).failed == 0


def test_a_registry_tells_the_same_as_the_port(app: Millrace) -> None:
    registry = CollectorRegistry()
    register(app, registry)
    measured = Measured(app)
    ping = app.task(name="ping", queue="a b")(lambda: None)
    app.enqueue_many([ping.job() for _ in range(3)])
    app.drain()

    ours, theirs = parsed(text_of(measured.read())), parsed(generate_latest(registry).decode())
    times = {name for name in ours if name.startswith("millrace_store_")}  # reading is itself a call of the store
    assert set(theirs) - times == set(ours) - times
    for name in set(ours) - times - {"millrace_oldest_waiting_seconds"}:
        values = {frozenset(labels): value for labels, value in theirs[name].items()}
        assert values == {frozenset(labels): value for labels, value in ours[name].items()}


def test_without_the_store_nothing_is_read_of_it(app: Millrace) -> None:
    registry = CollectorRegistry()
    register(app, registry, store=False)

    assert {"millrace_store_up", "millrace_queue_depth"}.isdisjoint(parsed(generate_latest(registry).decode()))


def test_an_app_cannot_be_put_into_a_registry_twice(app: Millrace) -> None:
    registry = CollectorRegistry()
    register(app, registry)

    with pytest.raises(ValueError, match="Duplicated"):
        register(app, registry)


def test_it_names_all_metrics_without_asking_the_store(app: Millrace) -> None:
    collector = MillraceCollector(app)
    app.close()

    assert len(FAMILIES) == len(list(collector.describe()))
