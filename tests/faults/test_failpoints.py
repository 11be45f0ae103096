"""Kill, error and stall at each statement boundary of each verb on SQLite: it has happened wholly, or not at all."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from millrace.errors import StoreUnavailable
from millrace.stores.sqlite.gate import Gate
from tests.faults.playground import VERBS, build, dump, faults_of, opened, rescue_later, work_on
from tests.faults.stage import Actor
from tests.faults.tripwire import GATE, LEAVE, Tripwire, laid

PATIENCE = 30.0  # seconds: bounds a failure, measures nothing
PATIENT, IMPATIENT = 10.0, 0.02  # deadlines of a store, in seconds

each_verb = pytest.mark.parametrize("verb", VERBS)


class Server(Actor):
    """The process whose children die."""

    module = "tests.faults.killed"


@dataclass(frozen=True)
class Ground:
    """The file that every try starts from."""

    template: Path
    folder: Path

    def copy(self, name: object) -> Path:
        """Make a fresh copy."""
        path = self.folder / f"{name}.db"
        shutil.copyfile(self.template, path)
        return path

    def without_fault(self, verb: str) -> tuple[Tripwire, Path]:
        """Run a verb to its end; return what it crossed, and the file as it then is."""
        path = self.copy("whole")
        with laid(Tripwire()) as wire, closing(opened(path)) as store:
            wire.watch(VERBS[verb](store))
        return wire, path


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with jobs in every state."""
    path = tmp_path_factory.mktemp("failpoints") / "template.db"
    build(path)
    return path


@pytest.fixture
def ground(template: Path, tmp_path: Path) -> Ground:
    """The place of one test."""
    return Ground(template, tmp_path)


@pytest.fixture(scope="module")
def server() -> Iterator[Actor]:
    """The process whose children die, ready."""
    with Server("serve") as server:
        assert json.loads(server.hear()) == "ready"
        yield server
        server.leave()


@each_verb
def test_a_kill_leaves_the_verb_done_wholly_or_not_at_all(ground: Ground, server: Actor, verb: str) -> None:
    wire, path = ground.without_fault(verb)
    before, after = dump(ground.template), dump(path)
    assert before != after, "the verb must have something to do"
    assert {("after", GATE), ("before", "BEGIN IMMEDIATE"), ("after", LEAVE)} <= set(wire.crossed)
    for point, crossing in enumerate(wire.crossed):
        path = ground.copy(point)
        server.say(json.dumps([verb, point, str(path)]))
        assert json.loads(server.hear()) == -signal.SIGKILL, crossing
        assert dump(path) == (after if point >= wire.committed else before), crossing
        gate = Gate(str(path))
        assert gate.try_take(), "the dead hold no gate"
        gate.leave()
        gate.close()
        with closing(opened(path, IMPATIENT)) as store:
            VERBS[verb](store)()
            assert work_on(store) > 0
        assert faults_of(path) == [], crossing


class Boom(Exception):
    """Some error that no driver raises."""


def disk_error() -> sqlite3.OperationalError:
    """Make an error as the driver raises it where the disk fails."""
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR
    return error


@each_verb
@pytest.mark.parametrize(("fault", "raised"), [(Boom, Boom), (disk_error, StoreUnavailable)], ids=["any", "disk"])
def test_an_error_reaches_the_caller_and_nothing_is_stored(
    ground: Ground, verb: str, fault: Callable[[], Exception], raised: type[Exception]
) -> None:
    wire, path = ground.without_fault(verb)
    before, after = dump(ground.template), dump(path)

    def throw() -> None:
        raise fault()

    for point, (side, step) in enumerate(wire.crossed):
        if step in {GATE, LEAVE, "ROLLBACK"}:  # nothing is raised there: not by the kernel, and not by SQLite
            continue
        path = ground.copy(point)
        with laid(Tripwire(point, throw)) as broken, closing(opened(path)) as store:
            call = VERBS[verb](store)
            with pytest.raises(raised):
                broken.watch(call)
            happened = point >= wire.committed  # an error behind the commit cannot take it back
            assert dump(path) == (after if happened else before), (side, step)
            call()
            if not happened:
                assert dump(path) == after, "the store that met the error works on"
        assert faults_of(path) == [], (side, step)


class Stall:
    """A point where a thread stands still until it is let go."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.over = threading.Event()

    def __call__(self) -> None:
        self.reached.set()
        assert self.over.wait(PATIENCE)


@each_verb
def test_a_stall_past_the_leases_lets_others_read_and_ends_in_one_order_or_the_other(ground: Ground, verb: str) -> None:
    wire, path = ground.without_fault(verb)
    alone = dump(path)
    with closing(opened(path)) as store:
        rescue_later(store)
    rescued_after = dump(path)
    rescued_before = _rescued_first(ground, verb)
    inside = _in_the_gate(wire)
    for point, crossing in enumerate(wire.crossed):
        path = ground.copy(point)
        stall, error = Stall(), list[BaseException]()
        with (
            closing(opened(path, IMPATIENT)) as other,
            laid(Tripwire(point, stall)) as slow,
            closing(opened(path, PATIENT)) as store,
        ):
            thread = threading.Thread(target=_note_error, args=(slow, VERBS[verb](store), error))
            thread.start()
            assert stall.reached.wait(PATIENCE)
            assert other.counts(), "a reader waits for nobody"
            rescued = _try(partial(rescue_later, other))
            stall.over.set()
            thread.join(PATIENCE)
        assert error == []
        assert rescued == (point not in inside), crossing
        in_order = rescued_after if point >= wire.committed else rescued_before
        assert dump(path) == (in_order if rescued else alone), crossing
        assert faults_of(path) == [], crossing


def _rescued_first(ground: Ground, verb: str) -> Any:
    """What is in the file where all leases are taken back between the preparation of a verb and its call."""
    path = ground.copy("rescued")
    with closing(opened(path)) as store, closing(opened(path)) as other:
        call = VERBS[verb](store)
        rescue_later(other)
        call()
    return dump(path)


def _in_the_gate(wire: Tripwire) -> set[int]:
    """The boundaries at which the verb has the gate; one that does its work twice has it twice."""
    found = set[int]()
    inside = False
    for n, crossing in enumerate(wire.crossed):
        inside = inside or crossing == ("after", GATE)
        if inside:
            found.add(n)
        inside = inside and crossing != ("before", LEAVE)
    return found


def _note_error(wire: Tripwire, call: Callable[[], object], error: list[BaseException]) -> None:
    try:
        wire.watch(call)
    except BaseException as raised:  # noqa: BLE001 - told to the test's thread
        error.append(raised)


def _try(call: Callable[[], object]) -> bool:
    try:
        call()
    except StoreUnavailable:
        return False
    return True
