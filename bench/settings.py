"""Owns what one run of the benchmarks was asked for, and the folders it works in."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import venvs
from bench.trouble import BenchmarkError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["BenchmarkError", "Settings"]


@dataclass(frozen=True)
class Settings:
    """What the command line asked for."""

    rounds: int = 3
    quick: bool = False
    without: frozenset[str] = frozenset()  # names of the sides that are left out

    def count(self, full: int, quick: int) -> int:
        """Return the number to use: `full` as the targets have it, or the small one for a quick look."""
        return quick if self.quick else full

    def folder(self, name: str) -> Path:
        """Return an empty folder for one run, on the disk that the home is on."""
        folder = venvs.home() / "run" / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder
