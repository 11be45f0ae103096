"""A worker's lines: their three forms, and which of them are shown when jobs come faster than a person can read."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from itertools import count
from typing import Any

import click
import pytest

from millrace.cli.flow import Flow
from millrace.cli.lines import JsonLines, PlainLines

ID = "01a20f03-ba98-71c8-bf2d-fe9bd6462754"


def record(level: int = logging.INFO, message: str = "hello", **more: Any) -> logging.LogRecord:
    made = logging.LogRecord("millrace.worker", level, __file__, 1, message, (), None)
    made.created = 1_800_000_000.25
    vars(made).update(more)
    return made


def about_job(event: str, level: int = logging.DEBUG, **more: Any) -> logging.LogRecord:
    started = 1_800_000_000 * 1_000_000
    return record(level, job_id=ID, task="shop.add", queue="mail", attempt=2, event=event, started=started, **more)


def test_a_line_in_a_file_has_date_level_event_task_whole_id_and_duration() -> None:
    text = PlainLines(colour=False).format(about_job("failed", logging.WARNING, detail="try 2 of 5: ValueError: no"))

    assert text == (f"2027-01-15T08:00:00.250Z WARNING  failed     shop.add  {ID}  250 ms  try 2 of 5: ValueError: no")


def test_a_line_on_a_terminal_is_shorter_and_coloured() -> None:
    text = PlainLines(colour=True).format(about_job("dead", logging.ERROR))

    assert text.count("\x1b[31m") == 2
    assert click.unstyle(text)[8:] == " ERROR    dead       shop.add  d6462754  250 ms"


def test_what_a_handler_logged_stands_with_its_job_and_its_values() -> None:
    said = record(job_id=ID, task="shop.add", data={"lines": 3, "name": "a\nb"})
    said.name = "millrace.job"

    assert (
        PlainLines(colour=False)
        .format(said)
        .endswith(rf"INFO     log        shop.add  {ID}          hello lines=3 name='a\nb'")
    )
    assert json.loads(JsonLines().format(said))["message"] == r"hello lines=3 name='a\nb'"


def test_a_line_about_no_job_is_its_message_on_one_line() -> None:
    assert (
        PlainLines(colour=False).format(record(message="up\nand\x1b running")).endswith(r" INFO     up and\x1b running")
    )


def test_a_traceback_follows_indented() -> None:
    with pytest.raises(ValueError, match="invalid literal") as caught:
        int("x")
    failed = record(logging.ERROR, exc_info=(caught.type, caught.value, caught.tb))
    lines = PlainLines(colour=False).format(failed).splitlines()

    assert lines[0].endswith("ERROR    hello")
    assert lines[1] == "    Traceback (most recent call last):"
    assert lines[-1] == "    ValueError: invalid literal for int() with base 10: 'x'"


def test_a_line_in_json_has_what_is_known_of_the_job() -> None:
    assert json.loads(JsonLines().format(about_job("completed"))) == {
        "time": "2027-01-15T08:00:00.250000Z",
        "level": "debug",
        "logger": "millrace.worker",
        "message": "hello",
        "job_id": ID,
        "task": "shop.add",
        "queue": "mail",
        "attempt": 2,
        "event": "completed",
        "seconds": 0.25,
    }


# -- the flow

NUMBERS = count()


class Stage:
    """A worker's logger whose lines go through a flow, and a clock that is moved by hand."""

    def __init__(self, level: int) -> None:
        self.worker = logging.getLogger(f"tests.cli.stage-{next(NUMBERS)}")
        self.worker.propagate = False
        self.shown: list[str] = []
        self.now = 100.0
        self.done = 0
        self.flow = Flow(level, self.worker, completed=lambda: self.done, now=lambda: self.now)
        stage = self

        class Shown(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                stage.shown.append(f"{record.levelname} {record.getMessage()}")

        handler = Shown()
        handler.addFilter(self.flow)
        self.worker.addHandler(handler)

    def complete(self, times: int = 1) -> int:
        """Let jobs complete, as the worker tells them; return how many lines it has made."""
        made = 0
        for _ in range(times):
            self.done += 1
            if self.worker.isEnabledFor(logging.DEBUG):
                made += 1
                self.worker.debug("one", extra={"event": "completed"})
        return made


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage(logging.INFO)
    yield stage
    stage.flow.close()


def test_a_success_is_shown_at_info_while_they_are_few(stage: Stage) -> None:
    for _ in range(5):
        stage.complete(20)
        stage.now += 1

    assert stage.shown == ["INFO one"] * 100


def test_a_success_with_a_warning_stays_one_whatever_is_muted(stage: Stage) -> None:
    stage.complete(5000)
    stage.worker.warning("but", extra={"event": "completed"})

    assert stage.shown[-1] == "WARNING but"


def test_a_flood_of_successes_is_counted_and_costs_no_lines(stage: Stage) -> None:
    made = stage.complete(5000)
    stage.now += 5
    stage.flow.unmute()

    assert made == 21
    assert stage.shown == ["INFO one"] * 20 + ["INFO 5,000 completed so far, 996 a second of late"]


def test_the_count_of_a_flood_is_not_told_after_the_end(stage: Stage) -> None:
    stage.complete(50)
    stage.flow.close()
    stage.flow.unmute()

    assert stage.shown == ["INFO one"] * 20


def test_successes_are_shown_again_after_a_flood(stage: Stage) -> None:
    stage.complete(50)
    stage.now += 5
    stage.flow.unmute()
    stage.complete()

    assert stage.shown[-1] == "INFO one"


def test_failures_are_shown_in_a_flood_too(stage: Stage) -> None:
    stage.complete(50)
    stage.worker.warning("two", extra={"event": "failed"})

    assert stage.shown[-1] == "WARNING two"


def test_other_details_are_not_shown_at_info(stage: Stage) -> None:
    stage.worker.debug("detail")
    stage.worker.info("news")

    assert stage.shown == ["INFO news"]


def test_at_debug_everything_is_shown() -> None:
    stage = Stage(logging.DEBUG)
    stage.complete(100)
    stage.worker.debug("detail")

    assert stage.shown == ["DEBUG one"] * 100 + ["DEBUG detail"]


def test_at_warning_successes_are_not_even_made() -> None:
    stage = Stage(logging.WARNING)

    assert stage.complete(100) == 0
    stage.worker.warning("two", extra={"event": "failed"})
    assert stage.shown == ["WARNING two"]
