"""`copy`: all jobs of one store into another, again where it was cut short, and what it refuses."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from millrace import JobState, Millrace
from millrace.cli import copying
from millrace.cli.copying import transferable
from millrace.cli.run import run
from millrace.conformance.bench import Bench
from millrace.errors import NotSupported
from millrace.messages import JobFilter
from millrace.records import WorkerRow
from millrace.states import FINAL
from millrace.store import Store
from millrace.stores import MemoryStore, SQLiteStore
from millrace.stores.sqlite.store import SQLiteStore as FileStore
from millrace.testing.clock import ManualClock
from millrace.transfer import Restored, WholeJob
from tests.cli.conftest import Shop

FROM, TO = "sqlite:///from.db", "sqlite:///to.db"


@pytest.fixture
def source(shop: Shop) -> Iterator[Bench]:
    """The store to copy from."""
    store = SQLiteStore(shop.folder / "from.db", synchronous="normal")
    yield Bench(store, ManualClock(store.now()))
    store.close()


@pytest.fixture
def target(shop: Shop) -> Iterator[Store]:
    """The store to copy to."""
    store = SQLiteStore(shop.folder / "to.db", synchronous="normal")
    yield store
    store.close()


def ids(store: Store) -> list[bytes]:
    """The jobs of a store, newest first."""
    return store.select(JobFilter(), limit=1000)[0]


def test_every_job_is_copied_with_what_belongs_to_it(shop: Shop, source: Bench, target: Store) -> None:
    brought = {state: source.bring(state) for state in JobState if state.value not in {"running", "cancelling"}}

    said = shop.good("copy", FROM, TO)

    assert said == (
        f"copied 6 jobs from {FROM} to {TO}: 1 cancelled, 1 completed, 1 dead, 1 failed, 1 pending, 1 scheduled\n"
    )
    assert ids(target) == ids(source.store)
    for state, id in brought.items():
        assert source.job(id).state is state
        assert target.attempts(id) == source.store.attempts(id)
        (row,) = target.get([id])
        assert row is not None
        assert (row.state, row.result, row.error) == (state, source.job(id).result, source.job(id).error)


def test_what_runs_arrives_as_pending_with_its_try_given_back(shop: Shop, source: Bench, target: Store) -> None:
    running, cancelling = source.bring(JobState.RUNNING), source.bring(JobState.CANCELLING)

    said = shop.good("copy", FROM, TO).splitlines()

    assert said[1:] == [
        "2 jobs ran in the source and are pending in the target, the try given back",
        "1 of them had been asked to cancel; ask again in the target: millrace cancel",
    ]
    for id in (running, cancelling):
        (row,) = target.get([id])
        assert row is not None
        assert (row.state, row.attempt, row.claim, row.lease) == (JobState.PENDING, 0, 1, None)
    assert source.states([running, cancelling]) == [JobState.RUNNING, JobState.CANCELLING]


def test_a_second_run_copies_only_what_is_missing(shop: Shop, source: Bench, target: Store) -> None:
    source.add_some(2)
    shop.good("copy", FROM, TO)
    source.add_some(3)

    said = shop.good("copy", FROM, TO).splitlines()

    assert said == [
        f"copied 3 jobs from {FROM} to {TO}: 3 pending",
        "2 jobs were there already and are left so",
    ]
    assert shop.good("copy", FROM, TO) == f"nothing to copy: {TO} has all jobs of {FROM} that it can take\n"
    assert ids(target) == ids(source.store)


def test_a_copy_that_was_cut_short_goes_on_where_it_was(
    shop: Shop, source: Bench, target: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.add_some(400)
    pages = FileStore.restore
    calls = 0

    def fail_at_the_third(store: FileStore, jobs: list[WholeJob]) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return pages(store, jobs)

    monkeypatch.setattr(FileStore, "restore", fail_at_the_third)
    answer = shop.millrace("copy", FROM, TO)
    assert (answer.code, answer.err.strip()) == (1, "millrace: interrupted")
    assert sum(target.counts().values()) == 150

    assert shop.json("copy", FROM, TO)["copied"] == 250
    assert ids(target) == ids(source.store)


KILLED = """\
import os
import signal
import sys

from millrace.cli.run import run
from millrace.stores.sqlite import transfer

write_beside = transfer._restore_beside
pages = iter(range(1, 99))


def die_at_the_third_page(session, jobs):
    if next(pages) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    write_beside(session, jobs)


transfer._restore_beside = die_at_the_third_page
sys.exit(run(sys.argv[1:]))
"""


def test_a_copy_that_was_killed_within_a_page_leaves_no_half_of_it(shop: Shop, source: Bench, target: Store) -> None:
    jobs = [source.bring(state, tags=("red",)) for state in sorted(FINAL)]
    jobs += source.add_some(197, tags=("red",)) + [source.bring(state, tags=("red",)) for state in sorted(FINAL)]

    done = subprocess.run([sys.executable, "-c", KILLED, "copy", FROM, TO], cwd=shop.folder, timeout=60, check=False)

    assert done.returncode == -signal.SIGKILL
    assert target.select(JobFilter(tag="red"), limit=1000)[0] == ids(target) == jobs[149::-1]
    assert shop.json("copy", FROM, TO)["copied"] == 53
    assert target.counts() == source.store.counts()
    assert [target.attempts(id) for id in jobs] == [source.store.attempts(id) for id in jobs]
    assert target.select(JobFilter(tag="red"), limit=1000)[0] == jobs[::-1]


def test_settings_of_queues_go_first_and_those_of_the_target_stay(shop: Shop, source: Bench, target: Store) -> None:
    with Millrace(source.store) as app:
        app.set_queue("mail", priority=3, concurrency=2)
        app.pause("slow")
        app.set_queue("own", concurrency=1)
        source.add(queue="mail")
        with Millrace(target) as other:
            other.set_queue("own", concurrency=9)

            said = shop.good("copy", FROM, TO).splitlines()

            assert said[1:] == [
                "settings copied of 2 queues: mail, slow",
                "settings in the target differ and stay, of 1 queue: own",
            ]
            assert {each.name: (each.priority, each.concurrency, each.paused) for each in other.queues()} == {
                "mail": (3, 2, False),
                "own": (0, 9, False),
                "slow": (0, None, True),
            }


def test_json_tells_the_same(shop: Shop, source: Bench) -> None:
    source.bring(JobState.CANCELLING)
    source.add_some(2, queue="mail")
    source.store.pause("mail", paused=True)

    assert shop.json("copy", FROM, TO) == {
        "from": FROM,
        "to": TO,
        "copied": 3,
        "states": {"pending": 3},
        "there": 0,
        "returned": 1,
        "cancelling": 1,
        "held": [],
        "queues": ["mail"],
        "queues_kept": [],
        "schedules": [],
        "source_workers": 0,
    }


def test_a_store_without_jobs_is_nothing_to_copy(shop: Shop, source: Bench) -> None:
    source.store.migrate()

    assert shop.good("copy", FROM, TO) == f"nothing to copy: {FROM} has no jobs\n"


def test_a_source_that_does_not_exist_is_refused_and_nothing_is_made(shop: Shop) -> None:
    before = sorted(shop.folder.iterdir())

    answer = shop.millrace("copy", "sqlite:///form.db", TO)

    assert (answer.code, answer.out) == (2, "")
    assert answer.err == "millrace: sqlite:///form.db does not exist; name the store to copy from\n"
    assert sorted(shop.folder.iterdir()) == before


@pytest.mark.parametrize("urls", [("sqlite:///nowhere/from.db", TO), (FROM, "sqlite:///nowhere/to.db")])
def test_a_file_in_a_folder_that_does_not_exist_is_refused(shop: Shop, source: Bench, urls: tuple[str, str]) -> None:
    source.add()
    before = sorted(shop.folder.iterdir())

    answer = shop.millrace("copy", *urls)

    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(f"millrace: the folder {shop.folder}/nowhere of {shop.folder}/nowhere/")
    assert answer.err.endswith(" does not exist; create it, it is never made by itself\n")
    assert answer.err.count("\n") == 1
    assert sorted(shop.folder.iterdir()) == before


def test_one_store_under_two_names_is_refused(shop: Shop, source: Bench) -> None:
    id = source.add()

    answer = shop.millrace("copy", FROM, f"sqlite:///{shop.folder}/../{shop.folder.name}/from.db")

    assert answer.code == 2
    assert answer.err.endswith("are the same store; name another one to copy to\n")
    assert ids(source.store) == [id]


def test_a_target_with_other_jobs_is_refused_unless_merging_is_asked_for(
    shop: Shop, source: Bench, target: Store
) -> None:
    mine = source.add()
    with Millrace(target) as app:
        other = app.enqueue_many([app.task(name="other")(lambda: None).job()])[0]

        answer = shop.millrace("copy", FROM, TO)

        assert (answer.code, answer.out) == (2, "")
        assert answer.err == (
            f"millrace: {TO} holds 1 job that {FROM} has not, such as {other.id}; name an empty store, or say --merge "
            "to copy beside them\n"
        )
        assert ids(target) == [other.id.bytes]
        assert shop.json("copy", FROM, TO, "--merge")["copied"] == 1
        assert ids(target) == [mine, other.id.bytes]


def test_a_job_whose_key_is_held_in_the_target_is_left_out_and_named(shop: Shop, source: Bench, target: Store) -> None:
    left = source.add(unique_key="once")
    source.add()
    Bench(target, source.clock).add(unique_key="once")

    answer = shop.millrace("copy", FROM, TO, "--merge")

    assert answer.code == 1
    assert answer.out.splitlines()[1:] == [
        f"1 job left out, for live jobs of the target hold their unique keys: {UUID(bytes=left)}"
    ]


def test_living_workers_on_either_side_are_warned_about(shop: Shop, source: Bench, target: Store) -> None:
    source.add()
    source.store.register(WorkerRow(1, "host:1", 0, 0, b"{}"))
    target.register(WorkerRow(2, "host:2", 0, 0, b"{}"))

    answer = shop.millrace("copy", FROM, TO, "--json")

    assert (answer.code, answer.json["source_workers"]) == (0, 1)
    first, second = answer.err.splitlines()
    assert first.startswith(f"warning: 1 worker is alive on {FROM}; what they do to a job after it was copied is not")
    assert second == f"warning: 1 worker is alive on {TO}; jobs start as they arrive"


class Terminal(StringIO):
    """A terminal that keeps what it shows."""

    def isatty(self) -> bool:
        return True


def test_only_a_terminal_is_shown_a_progress_bar(shop: Shop, source: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    source.add_some(600)
    assert shop.millrace("copy", FROM, "sqlite:///first.db").err == ""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)

    assert run(["copy", FROM, TO]) == 0

    assert "copying" in terminal.getvalue()
    assert "600/600" in terminal.getvalue()


class Scales(MemoryStore):
    """A store that writes down how many jobs come at once, and what their arguments weigh."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[tuple[int, int]] = []

    def restore(self, jobs: Sequence[WholeJob]) -> Restored:
        self.parts.append((len(jobs), sum(len(job.row.args) for job in jobs)))
        return super().restore(jobs)


@pytest.mark.parametrize(("number", "size"), [(60, 1 << 20), (1500, 100)], ids=["heavy", "light"])
def test_heavy_jobs_are_copied_a_few_at_a_time_and_light_ones_in_full_pages(number: int, size: int) -> None:
    memory, scales, copied = MemoryStore(), Scales(), copying.Copied()
    args = b'"' + b"x" * size + b'"'
    Bench(memory, ManualClock(memory.now())).add_some(number, args=args)

    for _ in copying.copy_jobs(memory, scales, copied):
        pass

    assert copied.jobs == number
    assert max(weight for _, weight in scales.parts) < 17 << 20
    assert max(jobs for jobs, _ in scales.parts) == min(500, (16 << 20) // len(args))
    memory.close()
    scales.close()


def test_a_store_that_gives_no_whole_jobs_is_not_supported() -> None:
    class Plain:
        url = "plain://"

    with pytest.raises(NotSupported, match=r"^plain:// cannot be copied from or to: its store has no export"):
        transferable(Plain())  # type: ignore[arg-type]


@pytest.mark.parametrize("words", [("copy",), ("copy", FROM), ("copy", FROM, TO, "more")])
def test_copy_takes_two_urls(shop: Shop, words: tuple[str, ...]) -> None:
    assert shop.millrace(*words).code == 2


def test_copying_to_memory_and_back_keeps_every_job(source: Bench, tmp_path: Path) -> None:
    for state in JobState:
        source.bring(state)
    memory = MemoryStore()
    back = SQLiteStore(tmp_path / "back.db", synchronous="normal")
    first, second = copying.Copied(), copying.Copied()

    for _ in copying.copy_jobs(transferable(source.store), memory, first):
        pass
    for _ in copying.copy_jobs(memory, back, second):
        pass

    assert (first.jobs, first.returned, second.jobs, second.returned) == (8, 2, 8, 0)
    assert ids(back) == ids(memory) == ids(source.store)
    memory.close()
    back.close()
