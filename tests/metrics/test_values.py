"""The values of metrics: counted, added up over processes, sent between them, and written as Prometheus reads them."""

from __future__ import annotations

import doctest
import pkgutil
from collections.abc import Iterator
from importlib import import_module

import pytest
from prometheus_client.parser import text_string_to_metric_families

import millrace.metrics
from millrace.metrics.families import ATTEMPTS, DELAY_SECONDS, DEPTH, ENQUEUED, FAMILIES, RUNNING, STORE_UP, Family
from millrace.metrics.meter import MOST_LANES, OTHER, Meter
from millrace.metrics.readings import Readings
from millrace.metrics.text import text_of
from millrace.states import OutcomeKind
from tests.docs.snippets import ROOT

MODULES = [f"millrace.metrics.{each.name}" for each in pkgutil.iter_modules(millrace.metrics.__path__)]

LANE = ("shop.send", "mail")


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_hold(name: str) -> None:
    assert doctest.testmod(import_module(name)).failed == 0


def parsed(text: str) -> dict[str, dict[tuple[str, ...], float]]:
    """Read a text as Prometheus does: values by name of the sample, and by labels."""
    samples: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            samples.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return samples


def test_each_family_is_written_as_the_parser_of_prometheus_reads_it() -> None:
    readings = Readings()
    for family in FAMILIES:
        labels = tuple(f"a {label}" for label in family.labels)
        if family.kind == "histogram":
            readings.spread(family, labels).add(0.02)
        else:
            readings.set(family, labels, 2)

    read = {family.name: family for family in text_string_to_metric_families(text_of(readings))}

    for family in FAMILIES:
        found = read[family.name.removesuffix("_total")]
        assert (found.type, found.documentation) == (family.kind, family.help)
        for sample in found.samples:
            assert tuple(name for name in sample.labels if name != "le") == family.labels


def test_names_of_any_characters_come_through() -> None:
    readings = Readings()
    names = ('a "quoted" one', "back\\slash\\n", "two\nlines", "Grüße, {}=", "")
    for name in names:
        readings.add(ENQUEUED, (name, "q"))

    assert parsed(text_of(readings))["millrace_jobs_enqueued_total"] == {(name, "q"): 1.0 for name in names}


def test_a_bucket_holds_all_below_its_bound_and_the_last_one_all() -> None:
    readings = Readings()
    for value in (0.001, 0.0011, 0.5, 4000.0):
        readings.spread(DELAY_SECONDS, LANE).add(value)

    read = parsed(text_of(readings))
    buckets = {float(labels[-1]): count for labels, count in read["millrace_start_delay_seconds_bucket"].items()}
    assert (buckets[0.001], buckets[0.0025], buckets[0.25], buckets[0.5], buckets[1800.0]) == (1, 2, 2, 3, 3)
    assert buckets[float("inf")] == read["millrace_start_delay_seconds_count"][LANE] == 4
    assert read["millrace_start_delay_seconds_sum"][LANE] == pytest.approx(4000.5021)


def test_what_processes_count_is_summed_and_what_all_say_the_same_of_is_not() -> None:
    total = Readings()
    for depth, up in ((7, 1), (6, 0)):
        one = Readings()
        one.add(ATTEMPTS, (*LANE, "completed"), 3)
        one.set(RUNNING, LANE, 2)
        one.set(DEPTH, ("mail",), depth)
        one.set(STORE_UP, (), up)
        one.spread(DELAY_SECONDS, LANE).add(0.1)
        total.merge(one)

    assert 6 == total.value(ATTEMPTS, *LANE, "completed")
    assert 4 == total.value(RUNNING, *LANE)
    assert 7 == total.value(DEPTH, "mail")
    assert 0 == total.value(STORE_UP)
    assert 2 == sum(total.spread(DELAY_SECONDS, LANE).counts)


def everything() -> Readings:
    readings = Readings()
    for number, family in enumerate(FAMILIES):
        if family.kind == "histogram":
            readings.spread(family, family.labels).add(number)
        else:
            readings.set(family, family.labels, number + 0.5)
    return readings


def test_readings_come_over_to_another_process_as_they_were() -> None:
    assert text_of(everything()) == text_of(Readings.decode(everything().encode()))


def test_of_a_process_that_has_ended_only_what_it_had_counted_stays() -> None:
    kept = everything().counted()
    told = {family for family, _, _ in kept.values()} | {family for family, _, _ in kept.spreads()}
    assert told == {family for family in FAMILIES if family.kind != "gauge"}


class Row:
    def __init__(self, task: str, queue: str = "q") -> None:
        self.task, self.queue = task, queue


def test_names_without_end_are_counted_together() -> None:
    meter = Meter()
    meter.enqueued(Row(f"task-{number}") for number in range(MOST_LANES + 5))
    meter.ended([("yet another", "q", OutcomeKind.DEAD, 1.0)])

    read = meter.read()
    assert len(read.of(ENQUEUED)) == MOST_LANES + 1
    assert read.value(ENQUEUED, OTHER, OTHER) == 5
    assert read.value(ATTEMPTS, OTHER, OTHER, "dead") == 1


def of_the_docs() -> Iterator[tuple[str, str]]:
    for line in (ROOT / "docs" / "metrics.md").read_text().splitlines():
        if line.startswith("| `millrace_"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            yield cells[0].strip("`"), " ".join(cells[1:4])


def test_the_docs_name_each_metric_with_its_kind_its_labels_and_how_to_put_it_together() -> None:
    def told(family: Family) -> str:
        return " ".join((family.kind, ", ".join(f"`{label}`" for label in family.labels) or "none", f"`{family.over}`"))

    assert dict(of_the_docs()) == {family.name: told(family) for family in FAMILIES}
