"""How far long work is, on the last line of a terminal; a pipe gets nothing. Owns its drawing; does no work itself."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Generator, Sized
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self, cast

import click

from millrace.cli.output import clip, flat, width
from millrace.store import Store

if TYPE_CHECKING:
    from millrace import Millrace

__all__ = ["Bar", "bar_text", "busy", "counted"]

_CELLS = 30
_OFTEN = 0.1  #: seconds between two drawings, at least
_SOON = 0.2  #: seconds after which it is said that something goes on
_TICK = 1.0


def bar_text(label: str, done: int, total: int | None) -> str:
    """Say how far something is; where nobody knows how much there is, how much is done.

    >>> bar_text("retrying", 1500, 6000), bar_text("deleting", 1500, None)
    ('retrying [#######-----------------------] 1,500 of 6,000', 'deleting 1,500')
    """
    if total is None:
        return f"{label} {done:,}"
    full = min(_CELLS * done // max(total, 1), _CELLS)
    return f"{label} [{'#' * full}{'-' * (_CELLS - full)}] {done:,} of {max(total, done):,}"


class Bar:
    """A bar that grows while it is a context, and is wiped at its end.

    Args:
        label: What is done, as "retrying".
        total: How much there is to do, where that is known.
        shown: False draws nothing, as for `--json`; where no terminal reads stderr nothing is drawn either.

    >>> with Bar("retrying", 2, shown=True) as bar:
    ...     bar.add(2)
    """

    def __init__(self, label: str, total: int | None, *, shown: bool) -> None:
        self._label = label
        self._total = total
        self._shown = shown and sys.stderr.isatty()
        self._done = 0
        self._drawn_at = float("-inf")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            _draw("")

    def add(self, number: int) -> None:
        """Tell that so much more is done."""
        self._done += number
        now = time.monotonic()
        if self._shown and now - self._drawn_at >= _OFTEN:
            self._drawn_at = now
            _draw(bar_text(self._label, self._done, self._total))


@contextmanager
def counted(app: Millrace, verb: str, label: str, total: int | None, *, shown: bool) -> Generator[None]:
    """Show how many jobs a verb of the app's store has looked at so far, while the block runs.

    Args:
        app: The app whose verb for many jobs is called in the block.
        verb: The store's verb that does some at a time: "retry", "cancel", "delete", "purge".
        label: As for `Bar`.
        total: As for `Bar`.
        shown: As for `Bar`.

    >>> from millrace import Millrace
    >>> app = Millrace("memory://")
    >>> with counted(app, "purge", "deleting", None, shown=True):
    ...     app.purge(older_than=60)
    0
    """
    store = app.store
    with Bar(label, total, shown=shown) as bar:
        app.store = cast("Store", _Counted(store, verb, bar))
        try:
            yield
        finally:
            app.store = store


class _Counted:
    """A store that does all that another one does, and tells a bar of one verb."""

    def __init__(self, store: Store, verb: str, bar: Bar) -> None:
        self._store = store
        self._verb = verb
        self._bar = bar

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        return self._told if name == self._verb else found

    def _told(self, *args: Any, **options: Any) -> Any:
        answer: int | Sized = getattr(self._store, self._verb)(*args, **options)
        self._bar.add(answer if isinstance(answer, int) else len(answer))
        return answer


@contextmanager
def busy(label: str, *, shown: bool) -> Generator[None]:
    """Show that something goes on, and for how long, where nobody knows how much there is to do.

    >>> with busy("migrating", shown=False):
    ...     pass
    """
    if not (shown and sys.stderr.isatty()):
        yield
        return
    ended = threading.Event()
    thread = threading.Thread(target=_tick, args=(label, ended), name="millrace-busy", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        _draw("")


def _tick(label: str, ended: threading.Event) -> None:
    began = time.monotonic()
    pause = _SOON
    while not ended.wait(pause):
        _draw(f"{flat(label)}, {time.monotonic() - began:.0f} s")
        pause = _TICK


def _draw(text: str) -> None:
    click.echo("\r\033[K" + clip(text, (width(sys.stderr) or 80) - 1), err=True, nl=False, color=True)
