"""The system calls of inotify: a write is heard, and so is a file that goes away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from millrace.stores.sqlite.inotify import FileEvents
from tests.stores.sqlite.files.stage import PATIENCE


@pytest.fixture
def events(tmp_path: Path) -> Iterator[tuple[FileEvents, Path]]:
    """Events of a small file."""
    file = tmp_path / "log"
    file.write_text("a")
    made = FileEvents(str(file))
    yield made, file
    made.close()


def test_a_write_is_an_event_and_only_once(events: tuple[FileEvents, Path]) -> None:
    made, file = events
    made.find()
    nothing = made.wait(0)
    file.write_text("b")

    assert (nothing, made.wait(PATIENCE), made.wait(0)) == (False, True, False)
    assert made.watching


def test_the_bell_ends_a_wait_without_an_event(events: tuple[FileEvents, Path]) -> None:
    made, _ = events
    made.find()
    made.ring()

    assert made.wait(PATIENCE) is False


def _delete(file: Path) -> None:
    file.unlink()


def _move(file: Path) -> None:
    file.rename(f"{file}-old")


@pytest.mark.parametrize("leave", [_delete, _move])
def test_a_file_that_goes_away_is_noticed_and_found_again(
    events: tuple[FileEvents, Path], leave: Callable[[Path], object]
) -> None:
    made, file = events
    made.find()
    leave(file)
    went = made.wait(PATIENCE)
    watching = [made.watching]
    made.find()
    watching.append(made.watching)
    file.write_text("new")
    made.find()
    watching.append(made.watching)
    made.drain()
    file.write_text("newer")

    assert went
    assert watching == [False, False, True]
    assert made.wait(PATIENCE)
