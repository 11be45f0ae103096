"""What the demo shows while it runs: a progress bar and notes above it. Owns the three ways to draw; decides nothing.

With rich in a terminal its bar, without rich a plain one, in a pipe a line now and then.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol, Self

import click

from millrace.cli.output import clip, width

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = ["PipeScreen", "PlainScreen", "RichScreen", "Screen", "SilentScreen", "bar", "make_screen"]

_BAR = 30


class Screen(Protocol):
    """Where the demo tells how far it is; a context manager, in which the bar stands."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def note(self, text: str) -> None:
        """Say something that stays."""
        ...

    def show(self, done: int, total: int, text: str) -> None:
        """Show how far it is, and a few words."""
        ...


def make_screen() -> Screen:
    """Make the best screen for where the output goes."""
    if not sys.stdout.isatty():
        return PipeScreen()
    return PlainScreen() if find_spec("rich") is None else RichScreen()


def bar(done: int, total: int, cells: int) -> str:
    """Draw a bar of plain characters.

    >>> bar(1, 4, 8)
    '[##------]'
    """
    full = cells * done // max(total, 1)
    return f"[{'#' * full}{'-' * (cells - full)}]"


class SilentScreen:
    """Shows nothing, for `--json`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def note(self, text: str) -> None:
        """Say nothing."""

    def show(self, done: int, total: int, text: str) -> None:
        """Show nothing."""


class PipeScreen(SilentScreen):
    """Prints each note, and one line for each quarter."""

    def __init__(self) -> None:
        self._quarter = 0

    def note(self, text: str) -> None:
        """Print it."""
        click.echo(text)

    def show(self, done: int, total: int, text: str) -> None:
        """Print a line where another quarter is done."""
        quarter = 4 * done // max(total, 1)
        if quarter > self._quarter:
            self._quarter = quarter
            click.echo(f"{bar(done, total, _BAR)} {text}")


class PlainScreen(SilentScreen):
    """Draws a bar on the terminal's last line, over and over."""

    def __exit__(self, *_: object) -> None:
        self._clear()

    def note(self, text: str) -> None:
        """Print it above the bar."""
        self._clear()
        click.echo(text)

    def show(self, done: int, total: int, text: str) -> None:
        """Draw the bar anew."""
        self._clear()
        click.echo(clip(f"{bar(done, total, _BAR)} {text}", (width() or 80) - 1), nl=False)

    def _clear(self) -> None:
        click.echo("\r\033[K", nl=False, color=True)  # this screen is drawn on terminals only


class RichScreen:
    """Lets rich draw the bar."""

    def __init__(self) -> None:
        self._progress: Progress | None = None

    def __enter__(self) -> Self:
        from rich.progress import BarColumn, Progress, TextColumn

        self._progress = Progress(BarColumn(_BAR), TextColumn("{task.description}"), transient=True)
        self._progress.start()
        self._task = self._progress.add_task("starting", total=None)
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def note(self, text: str) -> None:
        """Print it above the bar."""
        if self._progress is None:
            click.echo(text)
        else:
            self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def show(self, done: int, total: int, text: str) -> None:
        """Move the bar."""
        if self._progress is not None:
            self._progress.update(self._task, completed=done, total=total, description=text)
