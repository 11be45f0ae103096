"""A terminal that is drawn over again and again, and given back as it was. Owns the ways to draw, and the keys.

With rich it frames the parts; without, it draws the same lines plainly. Both use the terminal's other screen.
"""

from __future__ import annotations

import os
import select
import shutil
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol, Self

import click

from millrace.cli.overviewlines import Section

if TYPE_CHECKING:
    from rich.live import Live

__all__ = ["Frame", "PlainScreen", "RichScreen", "Screen", "fitted", "keys", "make_screen"]

_ENTER = "\x1b[?1049h\x1b[?25l"
_LEAVE = "\x1b[?25h\x1b[?1049l"

#: Gives the lines of the head and the parts below it, for so many cells.
Frame = Callable[[int], tuple[list[str], Sequence[Section]]]


class Screen(Protocol):
    """Where frames are drawn; a context manager, in which the terminal is ours."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def draw(self, frame: Frame) -> None:
        """Draw a frame in place of the last one, for the size that the terminal has now."""
        ...


def make_screen() -> Screen:
    """Make the best screen that there is."""
    return PlainScreen() if find_spec("rich") is None else RichScreen()


def fitted(parts: Sequence[Section], room: int, each: int) -> list[list[str]]:
    """Cut parts so that all of them fit into so many lines, the longest first.

    Args:
        parts: What is to fit.
        room: The lines that there are.
        each: The lines that a part takes besides its own.

    >>> fitted([Section("", "A", ["1", "2", "3", "4"]), Section("", "B", ["1"])], 7, 1)
    [['A', '1', '3 more'], ['B', '1']]
    """
    heights = [len(part.lines()) for part in parts]
    while sum(heights) + each * len(parts) > room and max(heights) > 1:
        heights[heights.index(max(heights))] -= 1
    return [part.lines(height) for part, height in zip(parts, heights, strict=True)]


class PlainScreen:
    """Draws lines."""

    def __enter__(self) -> Self:
        _write(_ENTER)
        return self

    def __exit__(self, *_: object) -> None:
        _write(_LEAVE)

    def draw(self, frame: Frame) -> None:
        """Draw a frame: every line anew, and what is left of the last one is wiped."""
        columns, height = shutil.get_terminal_size()
        head, parts = frame(columns - 1)
        lines = list(head)
        for part, shown in zip(parts, fitted(parts, height - 1 - len(head), 2), strict=True):
            lines += ["", click.style(part.title, underline=True), *shown]
        shown = [_coloured(line) for line in lines[: height - 1]]
        _write("\x1b[H" + "".join(f"{line}\x1b[K\r\n" for line in shown) + "\x1b[J")


class RichScreen:
    """Lets rich draw, each part in a frame."""

    def __init__(self) -> None:
        self._live: Live | None = None

    def __enter__(self) -> Self:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(console=Console(highlight=False), screen=True, auto_refresh=False)
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def draw(self, frame: Frame) -> None:
        """Draw a frame."""
        from rich.console import Group
        from rich.panel import Panel
        from rich.text import Text

        if self._live is None:
            return
        columns, height = shutil.get_terminal_size()
        head, parts = frame(columns - 4)

        def text(lines: Sequence[str]) -> Text:
            return Text.from_ansi("\n".join(map(_coloured, lines)), no_wrap=True, overflow="crop")

        cut = fitted(parts, height - len(head) - 2, 2)
        panels = [Panel(text(shown), title=part.title) for part, shown in zip(parts, cut, strict=True)]
        self._live.update(Group(Panel(text(head)), *panels), refresh=True)


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _coloured(line: str) -> str:
    return click.unstyle(line) if os.environ.get("NO_COLOR") else line


@contextmanager
def keys() -> Generator[Callable[[float], str]]:
    """Take keys as they are pressed, without Enter and without showing them.

    Gives a function that waits so many seconds for a key, and returns it; the empty text where none was pressed. Where
    no person types it only waits. Ctrl-C is a signal as ever.
    """
    if not sys.stdin.isatty():
        yield _no_key
        return
    import termios
    import tty

    device = sys.stdin.fileno()
    before = termios.tcgetattr(device)
    tty.setcbreak(device)
    try:
        yield lambda seconds: _key(device, seconds)
    finally:
        termios.tcsetattr(device, termios.TCSADRAIN, before)


def _key(device: int, seconds: float) -> str:
    ready, _, _ = select.select([device], [], [], seconds)
    if not ready:
        return ""
    typed = os.read(device, 1024)
    return typed.decode(errors="replace") if typed else _no_key(seconds)


def _no_key(seconds: float) -> str:
    time.sleep(seconds)
    return ""
