"""The gate between processes: who passes when, and what those are told who do not."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from millrace.errors import StoreUnavailable
from millrace.stores.sqlite import files, gate
from millrace.stores.sqlite.connection import Connection
from millrace.stores.sqlite.database import Database
from millrace.stores.sqlite.gate import Gate
from tests.stores.sqlite.files.conftest import Opener
from tests.stores.sqlite.files.rows import add_lock, add_more, count_locks, lock_names
from tests.stores.sqlite.files.stage import Actor, wait_for


@pytest.mark.parametrize("count", [2, 4])
def test_processes_that_write_at_once_all_get_on(path: str, opener: Opener, count: int) -> None:
    """No lock error, nothing lost, and nobody starves; how even it is on a quiet machine is for the benchmarks."""
    goal = 10_000  # a race of some seconds: over a third of one, who began first is all that is seen
    racers = [Actor("race", path, goal) for _ in range(count)]
    try:
        for racer in racers:
            assert racer.hear() == "ready"
        for racer in racers:
            racer.say("go")
        rows = [int(racer.hear().split()[0]) for racer in racers]
        for racer in racers:
            racer.leave()
    finally:
        for racer in racers:
            racer.__exit__(None, None, None)

    assert opener(path).read(count_locks) == sum(rows)
    assert min(rows) * 20 >= max(rows), rows


def test_a_write_waits_for_the_process_in_the_gate_and_then_goes_on(path: str, opener: Opener) -> None:
    database = opener(path)
    with Actor("hold", path) as other:
        assert other.hear() == "holding"
        writer = threading.Thread(target=database.write, args=(add_more,))
        writer.start()
        wait_for(lambda: _is_waiting(path), "the writer to queue up in the kernel")
        other.say()
        writer.join()
        other.leave()

    assert len(database.read(lock_names)) == 2


def test_a_process_that_stands_still_in_the_gate_is_named_at_the_deadline(path: str, opener: Opener) -> None:
    database = opener(path, deadline=0.3)
    database.open()
    with Actor("stop", path) as other:
        assert other.hear() == "stopping"
        other.stop_until_stopped()
        sentences = [_refusal(database, at_least=0.3) for _ in range(3)]
        gate_threads = [thread.name for thread in threading.enumerate() if thread.name == "millrace-gate"]
        other.go_on()
        assert other.hear() == "done"
        other.leave()

    sentence = sentences[-1]
    assert sentence.startswith(f"{path} was locked for 0.3 s by process {other.pid} (python")
    assert "nothing was written" in sentence
    assert gate_threads == ["millrace-gate"], "each wait in vain must not leave a thread of its own"
    assert database.write(add_more) == 1  # the other's row is there


def test_a_lock_that_comes_too_late_is_given_back_at_once(path: str, opener: Opener) -> None:
    database = opener(path, deadline=0.1)
    database.open()
    with Actor("hold", path) as other:
        assert other.hear() == "holding"
        with pytest.raises(StoreUnavailable):
            database.write(add_more)
        other.say()
        assert other.hear() == "done"
        other.leave()

    with Actor("write", path, "next") as following:
        assert following.hear() == "ready"
        following.say()
        assert following.hear() == "written"
        following.leave()


def test_the_next_caller_takes_over_a_wait_that_was_given_up(path: str, opener: Opener) -> None:
    """The gate thread stays in the kernel's queue; its place there is not lost."""
    database = opener(path, deadline=0.1)
    database.open()
    patient = opener(path, deadline=30.0)
    patient.open()
    with Actor("hold", path) as other:
        assert other.hear() == "holding"
        with pytest.raises(StoreUnavailable):
            database.write(add_more)
        object.__setattr__(database.settings, "deadline", 30.0)
        writer = threading.Thread(target=database.write, args=(add_more,))
        writer.start()
        wait_for(lambda: (gate := database.gate) is not None and gate.wanted, "the wait to be taken over")
        other.say()
        writer.join()
        other.leave()

    assert database.read(count_locks) == 2


def test_a_process_killed_in_the_gate_leaves_it_open_and_nothing_behind(path: str, opener: Opener) -> None:
    database = opener(path)
    database.open()
    with Actor("hold", path) as other:
        assert other.hear() == "holding"
        other.process.kill()
        other.process.wait()

    assert database.write(add_more) == 0
    assert database.read(lock_names) == ["row 0000"]


def test_a_foreign_writer_is_waited_for(path: str, opener: Opener) -> None:
    database = opener(path)
    database.open()
    with Actor("foreign", path) as other:
        assert other.hear() == "holding"
        writer = threading.Thread(target=database.write, args=(add_more,))
        writer.start()
        wait_for(lambda: files.holder(f"{path}-gate") is not None, "the writer to be in the gate")
        other.say()
        writer.join()
        other.leave()

    assert database.read(count_locks) == 1


def test_a_foreign_writer_past_the_deadline_is_named(path: str, opener: Opener) -> None:
    database = opener(path, deadline=0.2)
    database.open()
    with Actor("foreign", path) as other:
        assert other.hear() == "holding"
        with pytest.raises(StoreUnavailable, match=rf"was locked for 0\.2 s by process {other.pid} \(python"):
            database.write(add_more)
        other.say()
        assert other.hear() == "done"
        other.leave()

    assert database.write(add_more) == 0


def test_time_spent_at_the_gate_is_taken_off_the_wait_for_a_foreign_writer(
    path: str, opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("millrace.stores.sqlite.hold._LONG_WAIT", 0.0)
    database = opener(path)
    patience: list[int] = []

    def body(connection: Connection, _now: int) -> None:
        patience.extend(connection.rows("PRAGMA busy_timeout")[0])

    database.open()
    with Actor("hold", path) as other:
        assert other.hear() == "holding"
        writer = threading.Thread(target=database.write, args=(body,))
        writer.start()
        wait_for(lambda: _is_waiting(path), "the writer to queue up in the kernel")
        other.say()
        writer.join()
        other.leave()
    database.write(body)

    assert patience[0] < patience[1] == 30_000


def test_two_databases_of_one_process_keep_each_other_out(path: str, opener: Opener) -> None:
    """`flock` belongs to a descriptor, so the gate works within a process too."""
    first, second = opener(path), opener(path, deadline=0.1)
    second.open()

    def body(connection: Connection, now: int) -> None:
        add_lock(connection, "first", now)
        with pytest.raises(StoreUnavailable, match="by another connection of this process"):
            second.write(add_more)

    first.write(body)
    assert second.write(add_more) == 1


def test_a_wait_that_is_interrupted_leaves_no_one_in_the_gate(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = Gate(path), Gate(path)
    assert first.try_take()

    class Interrupted:
        def __init__(self, lock: threading.Lock) -> None:
            self._lock = lock

        def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:  # noqa: FBT001, FBT002
            if timeout >= 0:
                raise KeyboardInterrupt
            return self._lock.acquire(blocking)

        def release(self) -> None:
            self._lock.release()

    monkeypatch.setattr(second, "granted", Interrupted(second.granted))
    with pytest.raises(KeyboardInterrupt):
        second.wait(time.monotonic() + 30)
    first.leave()
    wait_for(lambda: not second.asked, "the gate thread to be through")

    assert first.try_take(), "the interrupted one must have given it back"
    first.leave()
    first.close()
    second.close()


def test_where_the_system_has_no_table_of_locks_the_holder_signs_the_gate(
    path: str, opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = Path("/proc/no-such-table")
    monkeypatch.setattr(gate, "LOCK_TABLE", nowhere)
    monkeypatch.setattr(files, "LOCK_TABLE", nowhere)
    database = opener(path)

    seen = database.write(lambda _connection, _now: files.holder(f"{path}-gate"))

    assert seen == "another connection of this process"
    assert files.holder(f"{path}-shm") is None


def test_the_gate_is_only_its_owner_s(path: str, opener: Opener) -> None:
    opener(path).open()

    assert Path(f"{path}-gate").stat().st_mode & 0o777 == 0o600


def _refusal(database: Database, *, at_least: float) -> str:
    """Try to write in vain; return what is said, after a certain time and not before."""
    begun = time.monotonic()
    with pytest.raises(StoreUnavailable) as caught:
        database.write(add_more)
    assert time.monotonic() - begun >= at_least
    return str(caught.value)


def _is_waiting(path: str) -> bool:
    """Tell whether somebody waits in the kernel's queue of the gate."""
    inode = str(Path(f"{path}-gate").stat().st_ino)
    lines = files.LOCK_TABLE.read_text(encoding="ascii").splitlines()
    return any("->" in line and f":{inode} " in line for line in lines)
