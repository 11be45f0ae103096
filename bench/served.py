"""Owns what sides on a server have in common: their options, those on Node.js, and which of them this run has."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from bench import venvs
from bench.driver import Options
from bench.settings import BenchmarkError
from bench.sides import Side, millrace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from bench.settings import Settings

PEERS = Path(__file__).with_name("peers")

Found = TypeVar("Found", bound="Served")


@dataclass(frozen=True)
class Served(Side):
    """A queue on a server; `jobs` bounds what a slow one is given."""

    setting: str = ""
    jobs: int = sys.maxsize

    def at(self, url: str, *, count: int = 0, concurrency: int = 0, template: str = "", seconds: float = 0) -> Options:
        """Return the options for a run at a URL, at its own concurrency unless one is named."""
        return Options(
            url,
            handler=self.handler,
            count=count,
            concurrency=concurrency or self.concurrencies[0],
            template=template,
            setting=self.setting,
            seconds=seconds,
        )


class Own(Served):
    """Millrace: its worker is the one its users start."""

    def worker(self, options: Options) -> list[str]:
        """Return the product's own command line."""
        return millrace("worker", "bench.millrace_app:app", "--concurrency", str(options.concurrency))


class OnNode(Served):
    """A queue whose driver runs on Node.js; `module` is the driver's file."""

    def command(self, command: str, options: Options) -> list[str]:
        """Return the command line of its driver."""
        return [str(self.python), str(PEERS / self.module), *super().command(command, options)[3:]]

    def environment(self, options: Options, probe: Path | None = None) -> Mapping[str, str]:
        """Name the folder of the packages too."""
        return {**super().environment(options, probe), "NODE_PATH": str(venvs.node_modules())}


def available(settings: Settings, *sides: Callable[[], Found]) -> list[Found]:
    """Return the sides that this machine can run and that are asked for; what cannot be had is said."""
    found: list[Found] = []
    for make in sides:
        try:
            side = make()
        except BenchmarkError as error:
            print(f"\nnot measured, since it cannot be installed here: {error}", flush=True)
            continue
        if settings.without.isdisjoint(side.name.split(" ")):
            found.append(side)
        else:
            print(f"\nleft out: {side.name}", flush=True)
    return found


def named(sides: Iterable[Found]) -> dict[str, Found]:
    """Return the sides by their names."""
    return {side.name: side for side in sides}
