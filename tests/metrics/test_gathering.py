"""The sum over the processes of a supervisor: whatever becomes of them, nothing counted is lost or steps back."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

import pytest

from millrace.metrics.families import ATTEMPTS, DEPTH, ENQUEUED, RUNNING, STORE_UP
from millrace.metrics.readings import Readings
from millrace.worker.gathering import Gathering, Line
from millrace.worker.reporting import Reporter
from millrace.worker.supervisor import Supervisor
from tests.worker.test_supervisor import running
from tests.worker.waiting import PATIENCE, eventually

LANE = ("t", "q")


class Process:
    """A process's side, in this one: it counts up, and knows what waits in the store as of a moment."""

    def __init__(self, gathering: Gathering, name: str, depth: int = 0) -> None:
        self.done = 0
        self.depth = depth
        self.looks = 0
        self.wrong: list[str] = []
        self.answers = threading.Event()
        self.answers.set()
        self.line = gathering.open(name)
        self.reporter = Reporter(os.dup(self.line.descriptor), self.own, self.backlog, lambda: self.wrong)
        self.line.started()

    def own(self) -> Readings:
        assert self.answers.wait(PATIENCE)
        readings = Readings()
        readings.set(ATTEMPTS, (*LANE, "completed"), self.done)
        readings.set(RUNNING, LANE, 1)
        return readings

    def backlog(self) -> Readings:
        self.looks += 1
        readings = Readings()
        readings.set(DEPTH, ("q",), self.depth)
        readings.set(STORE_UP, (), 1)
        return readings

    def die(self) -> None:
        """End without another word."""
        self.reporter._tell = lambda *_, **__: None  # type: ignore[method-assign]
        self.reporter.close()


@contextmanager
def made(*processes: Process) -> Generator[None]:
    try:
        yield
    finally:
        for process in processes:
            process.reporter.close()


def completed(readings: Readings) -> float:
    return readings.value(ATTEMPTS, *LANE, "completed")


def test_what_processes_count_is_summed_as_it_is_now() -> None:
    gathering = Gathering()
    one, other = Process(gathering, "one"), Process(gathering, "other")
    with made(one, other):
        one.done, other.done = 5, 7
        assert completed(gathering.read()) == 12
        one.done += 1
        readings = gathering.read()
        assert (completed(readings), readings.value(RUNNING, *LANE)) == (13, 2)
    gathering.close(one.line)
    gathering.close(other.line)


def test_what_a_process_had_counted_stays_when_it_has_ended_and_what_ran_in_it_does_not() -> None:
    gathering = Gathering()
    one, other = Process(gathering, "one"), Process(gathering, "other")
    with made(other):
        one.done, other.done = 5, 7
        assert completed(gathering.read()) == 12
        one.die()
        gathering.close(one.line)
        readings = gathering.read()
        assert (completed(readings), readings.value(RUNNING, *LANE)) == (12, 1)

        again = Process(gathering, "one")
        with made(again):
            again.done = 2
            assert completed(gathering.read()) == 14
        gathering.close(again.line)
    gathering.close(other.line)


def test_the_last_word_of_a_process_that_ends_well_is_counted() -> None:
    gathering = Gathering()
    one = Process(gathering, "one")
    one.done = 5
    gathering.read()
    one.done = 9
    one.reporter.close()
    gathering.close(one.line)

    assert completed(gathering.read()) == 9


def test_a_process_reports_every_second_without_being_asked() -> None:
    gathering = Gathering()
    one = Process(gathering, "one")
    one.done = 5
    eventually(lambda: completed(one.line.readings) == 5)
    one.die()
    gathering.close(one.line)

    assert completed(gathering.read()) == 5


def test_of_the_whole_store_one_is_asked_and_what_others_once_said_is_not_told() -> None:
    gathering = Gathering()
    one, other = Process(gathering, "one", depth=100), Process(gathering, "other", depth=100)
    for _ in range(5):
        assert gathering.read().value(DEPTH, "q") == 100
    assert sorted((one.looks, other.looks)) == [0, 5]

    asked, spare = (one, other) if one.looks else (other, one)
    asked.die()
    gathering.close(asked.line)
    with made(spare):
        spare.depth = 3
        assert gathering.read().value(DEPTH, "q") == 3
    gathering.close(spare.line)


def test_a_process_that_does_not_answer_is_told_of_as_it_was_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("millrace.worker.gathering._PATIENCE", 0.05)
    gathering = Gathering()
    one = Process(gathering, "one")
    one.done = 5
    with made(one):
        eventually(lambda: completed(gathering.read()) == 5)
        one.done = 6
        one.answers.clear()
        assert completed(gathering.read()) == 5
        one.answers.set()
    gathering.close(one.line)


def test_what_is_wrong_with_a_process_is_said_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    gathering = Gathering()
    one = Process(gathering, "worker process 1")
    with made(one):
        gathering.read()
        assert gathering.complaints() == []
        one.wrong = ["the store cannot be used: away"]
        gathering.read()
        assert gathering.complaints() == ["worker process 1: the store cannot be used: away"]
        one.wrong = []
        gathering.read()
        monkeypatch.setattr("millrace.worker.gathering._SILENT", -1.0)
        (told,) = gathering.complaints()
        assert told.startswith("worker process 1 has not reported for ")
    gathering.missing(lambda: ["worker process 2"])
    assert "worker process 2 does not run" in gathering.complaints()
    gathering.close(one.line)


def test_one_that_has_not_reported_yet_is_not_well() -> None:
    gathering = Gathering()
    line = gathering.open("worker process 1")
    assert gathering.complaints() == ["worker process 1: it has not reported yet"]
    gathering.close(line)


def test_a_line_that_is_not_understood_is_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    line = Line("worker process 1", lambda: None)
    os.write(line.descriptor, b"what?\n")
    line.close()

    assert "worker process 1 said something that is not understood" in caplog.text


COUNTING = """
import os, signal, sys, threading
from millrace.metrics.families import ENQUEUED
from millrace.metrics.readings import Readings
from millrace.worker.reporting import Reporter, line_of_parent
signal.signal(signal.SIGTERM, lambda *_: (reporter.close(), sys.exit(0)))
readings = Readings()
readings.add(ENQUEUED, ("t", "q"), 10)
reporter = Reporter(line_of_parent(), lambda: readings, Readings, list)
threading.Event().wait()
"""


def test_no_counter_steps_back_when_a_process_is_killed_and_another_starts() -> None:
    gathering = Gathering()
    supervisor = Supervisor([sys.executable, "-c", COUNTING], 2, gathering=gathering)

    def enqueued() -> float:
        return gathering.read().value(ENQUEUED, *LANE)

    with running(supervisor):
        eventually(reaching(enqueued, 20))
        os.kill(supervisor.pids[0], signal.SIGKILL)
        assert supervisor.restarts.wait()
        assert enqueued() == 20
        assert len(gathering.complaints()) <= 1  # unless the next one is there already
        assert supervisor.started.wait(3)
        eventually(reaching(enqueued, 30))
        assert gathering.complaints() == []
    assert enqueued() == 30


def reaching(value: Callable[[], float], number: float) -> Callable[[], bool]:
    def reached() -> bool:
        assert value() <= number
        return value() == number

    return reached
