"""The demo's parts: its input, its tasks, its screens, and above all its own proof, which must be able to fail."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock
from uuid import UUID, uuid4

import click
import pytest

from millrace import ConfigurationError, Job, JobState, Millrace
from millrace.cli.run import run
from millrace.demo.audit import Verdict, audit
from millrace.demo.library import find_input
from millrace.demo.play import Play, Result
from millrace.demo.screen import PipeScreen, PlainScreen, bar, make_screen
from millrace.demo.tasks import Measures, measure
from millrace.demo.told import ending
from millrace.messages import empty_counts

# -- the input


def library(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_the_input_is_every_source_file_of_the_library_and_nothing_installed(tmp_path: Path) -> None:
    library(tmp_path, "a.py", "deep/b.py", "test/bad.py", "c.txt", "site-packages/d.py", "deep/__pycache__/b.pyc")

    assert find_input(tmp_path).paths == ("a.py", "deep/b.py", "test/bad.py")


def test_compiled_modules_stand_in_where_there_is_no_test_tree(tmp_path: Path) -> None:
    library(tmp_path, "a.py", *(f"__pycache__/m{number}.pyc" for number in range(9)))

    found = find_input(tmp_path)

    assert found.stand_ins == 5
    assert found.paths == ("a.py", *(f"__pycache__/m{number}.pyc" for number in range(5)))


def test_a_limit_takes_files_from_everywhere(tmp_path: Path) -> None:
    library(tmp_path, "test/x.py", *(f"m{number}.py" for number in range(9)))

    assert find_input(tmp_path, limit=5).paths == ("m0.py", "m2.py", "m4.py", "m6.py", "m8.py")
    assert len(find_input(tmp_path, limit=100).paths) == 10


def test_a_python_without_sources_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no source files in"):
        find_input(tmp_path)


# -- the tasks


SOURCE = """\
class Shelf:
    def put(self):
        def inner(): ...
        return inner

    async def take(self): ...


def main():
    return Shelf()
"""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A library of one's own."""
    monkeypatch.setattr("sysconfig.get_path", Mock(return_value=str(tmp_path)))
    return tmp_path


def test_a_file_is_measured(files: Path) -> None:
    (files / "shelf.py").write_text(SOURCE, encoding="utf-8")

    assert measure("shelf.py") == Measures(lines=10, functions=4, classes=1, longest="put", longest_lines=3)


def test_a_file_that_is_no_python_fails(files: Path) -> None:
    (files / "bad.py").write_text("def f(:\n", encoding="utf-8")
    (files / "null.py").write_bytes(b"x = 1\0")

    with pytest.raises(SyntaxError):
        measure("bad.py")
    with pytest.raises((SyntaxError, ValueError)):
        measure("null.py")


def test_a_file_without_functions_has_no_longest(files: Path) -> None:
    (files / "empty.py").touch()

    assert measure("empty.py") == Measures(lines=0, functions=0, classes=0, longest="", longest_lines=0)


# -- the proof

KILLED = "00000000000000ff"


@pytest.fixture
def jobs(millrace: Millrace) -> list[Job[int]]:
    """Three jobs, two completed and one dead."""

    @millrace.task(name="measure", max_attempts=1)
    def divide(number: int) -> int:
        return 1 // number

    made = [divide.enqueue(number) for number in (1, 1, 0)]
    millrace.drain()
    return made


def ids(jobs: list[Job[int]]) -> set[UUID]:
    return {job.id for job in jobs}


def test_a_store_in_which_all_has_ended_has_nothing_to_complain_of(millrace: Millrace, jobs: list[Job[int]]) -> None:
    verdict = audit(millrace, ids(jobs), set(), KILLED)

    assert verdict.complaints == ()
    assert {state: number for state, number in verdict.counts.items() if number} == {"completed": 2, "dead": 1}
    assert [job.id for job in verdict.dead] == [jobs[2].id]


def test_a_job_that_is_gone_is_found(millrace: Millrace, jobs: list[Job[int]]) -> None:
    millrace.delete(jobs[0])

    assert audit(millrace, ids(jobs), set(), KILLED).complaints == ("1 of 3 stored jobs are gone",)


def test_a_job_that_nobody_stored_is_found(millrace: Millrace, jobs: list[Job[int]]) -> None:
    assert audit(millrace, ids(jobs[1:]), set(), KILLED).complaints == ("1 jobs are there that nobody stored",)


def test_a_job_that_has_not_ended_is_found(millrace: Millrace, jobs: list[Job[int]]) -> None:
    millrace.retry(jobs[0])

    assert audit(millrace, ids(jobs), set(), KILLED).complaints == (f"job {jobs[0].id} is pending",)


def test_a_job_that_died_of_something_else_is_found(millrace: Millrace) -> None:
    task = millrace.task(name="measure", retry=None)(lambda: 1 // 0)
    job = task.enqueue()
    millrace.drain()

    (complaint,) = audit(millrace, {job.id}, set(), KILLED).complaints
    assert complaint == f"job {job.id} is dead because of skip-retry, not because its file is broken"


def test_an_orphan_whose_history_does_not_tell_of_its_loss_is_found(millrace: Millrace, jobs: list[Job[int]]) -> None:
    verdict = audit(millrace, ids(jobs), {jobs[0].id}, KILLED)

    assert verdict.complaints == (f"job {jobs[0].id} lost its worker, and its history does not say so",)
    assert [job.id for job in verdict.orphans] == [jobs[0].id]


def test_an_orphan_that_ended_in_the_dead_workers_hands_is_found(millrace: Millrace, jobs: list[Job[int]]) -> None:
    ended_by = millrace.get(jobs[0]).worker
    assert ended_by is not None

    assert f"job {jobs[0].id} ended in the hands of the worker that was dead" in audit(
        millrace, ids(jobs), {jobs[0].id}, ended_by
    ).complaints  # fmt: skip


def test_an_orphan_that_is_gone_is_found_as_a_lost_job(millrace: Millrace, jobs: list[Job[int]]) -> None:
    gone = uuid4()

    verdict = audit(millrace, {*ids(jobs), gone}, {gone}, KILLED)

    assert verdict.complaints == ("1 of 4 stored jobs are gone",)
    assert verdict.counts[JobState.COMPLETED] == 2


# -- what is said in the end


def result(jobs: list[Job[int]], *complaints: str) -> Result:
    verdict = Verdict({**empty_counts(), JobState.COMPLETED: 2, JobState.DEAD: 1}, (jobs[2],), (jobs[0],), complaints)
    return Result(verdict, seconds=1.5, stored_seconds=0.1, back_seconds=2.0, report=jobs[2])


def test_a_good_end_says_that_nothing_was_lost(millrace: Millrace, jobs: list[Job[int]]) -> None:
    lines = [click.unstyle(line) for line in ending(result([millrace.get(job) for job in jobs]), "URL", Path("at"), 80)]

    assert "3 jobs in 1.5 s: 2 a second" in lines
    assert "Nothing was lost: of 3 jobs 2 completed and 1 are dead letters." in lines
    assert lines[-1] == "  rm -r at"


def test_a_bad_end_says_what_is_wrong_and_is_a_failure(
    jobs: list[Job[int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = result(jobs, "1 of 3 stored jobs are gone")
    monkeypatch.setattr(Play, "run", Mock(return_value=bad))

    code = run(["demo", "--folder", str(tmp_path)])

    told = capsys.readouterr().out.splitlines()
    assert code == 1
    assert told[told.index("SOMETHING IS WRONG:") + 1] == "  1 of 3 stored jobs are gone"
    assert not any("Nothing was lost" in line for line in told)


# -- the screens


def test_a_pipe_gets_a_line_a_quarter(capsys: pytest.CaptureFixture[str]) -> None:
    with PipeScreen() as screen:
        screen.note("begin")
        for done in range(9):
            screen.show(done, 8, f"{done} of 8")

    assert capsys.readouterr().out.splitlines() == ["begin"] + [
        f"{bar(done, 8, 30)} {done} of 8" for done in (2, 4, 6, 8)
    ]


def test_a_plain_terminal_gets_one_line_that_is_drawn_anew(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    with PlainScreen() as screen:
        screen.show(1, 2, "x" * 80)
        screen.note("news")

    assert capsys.readouterr().out == f"{CLEAR}{bar(1, 2, 30)} {'x' * 45}…{CLEAR}news\n{CLEAR}"


CLEAR = "\r\033[K"


def test_where_no_terminal_reads_the_screen_is_one_for_pipes() -> None:
    assert isinstance(make_screen(), PipeScreen)
