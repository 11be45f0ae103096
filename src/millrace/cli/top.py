"""`millrace top`: how jobs, queues and workers do, live. Owns the loop; what is read, laid out and drawn is others'."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING

import click

from millrace.cli.command import command, json_option, url_option, words
from millrace.cli.kinds import DURATION
from millrace.cli.output import clip, flat, say, say_json, width
from millrace.cli.overview import Overview, read_overview
from millrace.cli.overviewlines import Section, head_lines, sections
from millrace.cli.target import opened, split_words
from millrace.errors import StoreUnavailable

if TYPE_CHECKING:
    from millrace import Millrace
    from millrace.cli.screens import Frame

__all__ = ["top"]

_REST = 10  #: times as long as a look took does it rest at least, so that it takes little of a store
_LEAST = 0.1


@command(
    "top",
    examples="""\
millrace top tasks:app
millrace top --url sqlite:///jobs.db --interval 5
millrace top tasks:app --once
millrace top tasks:app --once --json""",
)
@words("[APP]")
@url_option
@click.option(
    "--interval", type=DURATION, default="2", show_default=True, metavar="DURATION", help="Between two looks: 0.5, 2s."
)
@click.option("--once", is_flag=True, help="Print what there is now, and end.")
@json_option
def top(words: tuple[str, ...], url: str | None, *, interval: float, once: bool, as_json: bool) -> int:
    """Show how jobs, queues and workers do, live, until q or Ctrl-C.

    JOBS/S is what workers have ended between their last two signs of life, which come every 10 s; with --once since
    their start. A pipe gets one frame, as with --once. A look that takes long is followed by a rest of ten times that.
    """
    where, _ = split_words(words, url, least=0, most=0)
    if as_json and not once:
        raise click.UsageError("--json goes with --once")
    if interval < _LEAST:
        raise click.UsageError(f"--interval {interval:g} is too short; give {_LEAST} or more")
    with opened(where, url) as app:
        if as_json:
            say_json(read_overview(app))
        elif once or not sys.stdout.isatty():
            _print(read_overview(app))
        else:
            _live(app, interval)
    return 0


def _print(view: Overview) -> None:
    room = width()
    head, parts = _laid_out(view, room)
    for line in head:
        say(line)
    for part in parts:
        say()
        say(click.style(part.title, underline=True))
        for line in part.lines():
            say(line)


def _laid_out(view: Overview, room: int | None) -> tuple[list[str], Sequence[Section]]:
    first = f"{view.store}  {view.at.astimezone():%H:%M:%S}"
    return [first if room is None else clip(first, room), *head_lines(view, room)], sections(view, room)


def _live(app: Millrace, interval: float) -> None:
    """Draw frame after frame until somebody leaves; an outage of the store is shown, and waited for."""
    from millrace.cli.screens import keys, make_screen

    view = read_overview(app)  # what refuses at once is told as by every command, not on a screen that goes away
    with suppress(KeyboardInterrupt), _ended_by_sigterm(), make_screen() as screen, keys() as pressed:
        trouble, took = "", 0.0
        while True:
            screen.draw(_frame(view, interval, trouble))
            if "q" in pressed(max(interval, _REST * took)):
                return
            began = time.monotonic()
            try:
                view, trouble = read_overview(app, view), ""
            except StoreUnavailable as error:
                trouble = flat(str(error))
            took = time.monotonic() - began


def _frame(view: Overview, interval: float, trouble: str) -> Frame:
    def frame(room: int) -> tuple[list[str], Sequence[Section]]:
        head, parts = _laid_out(view, room)
        last = click.style(clip(trouble, room), fg="red") if trouble else clip(f"every {interval:g} s; q ends it", room)
        return [*head, last], parts

    return frame


@contextmanager
def _ended_by_sigterm() -> Generator[None]:
    """Leave as by Ctrl-C at a SIGTERM, so that the terminal is given back as it was."""

    def leave(number: int, _: FrameType | None) -> None:
        del number
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
