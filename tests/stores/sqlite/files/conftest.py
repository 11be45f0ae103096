"""A fresh file for each test, by either driver, and a small disk of its own for tests that fill one."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from millrace.stores.sqlite.connection import Driver
from millrace.stores.sqlite.database import Database

Opener = Callable[..., Database]


@pytest.fixture(params=["sqlite3", "apsw"])
def driver(request: pytest.FixtureRequest) -> Driver:
    """Each driver in turn."""
    chosen: Driver = request.param
    return chosen


@pytest.fixture
def path(tmp_path: Path) -> str:
    """The name of a file that is not there yet."""
    return str(tmp_path / "jobs.db")


@pytest.fixture
def opener() -> Iterator[Opener]:
    """Make databases that are closed after the test."""
    made: list[Database] = []

    def make(path: str, **options: Any) -> Database:
        database = Database(path, **options)
        made.append(database)
        return database

    yield make
    for database in made:
        database.close()


@pytest.fixture
def database(path: str, driver: Driver, opener: Opener) -> Database:
    """A database by each driver in turn."""
    return opener(path, driver=driver)


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that every user of the host may reach."""
    with tempfile.TemporaryDirectory(prefix="millrace-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 6 MiB, empty."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["/bin/mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.fail(f"this test needs a small disk, and only root may mount one: {done.stderr.strip()}", pytrace=False)
    try:
        yield folder
    finally:
        subprocess.run(["/bin/umount", "--lazy", str(folder)], check=True)
