"""What a shell can complete besides commands and options: names of queues. Owns when a store is asked for them.

A completion has nowhere to complain: whatever goes wrong, it offers nothing. It never makes a store.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout

import click
from click.shell_completion import CompletionItem

from millrace.cli.target import is_dotted, looks_like_app, opened
from millrace.transfer import Transfer

__all__ = ["complete_queue"]


def complete_queue(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the queues of the app that the command line names so far, or of the one that a variable names.

    >>> command = click.Command("jobs")
    >>> complete_queue(click.Context(command), click.Option(["--queue"]), "ma")
    []
    """
    del param
    # where an option still lacks its value, click has not sorted the words yet
    words: Sequence[str] = ctx.params.get("words") or ctx.args
    url: str | None = ctx.params.get("url")
    where = words[0] if words and url is None and (looks_like_app(words[0]) or is_dotted(words[0])) else None
    try:
        # what the app's modules print as they are imported is not for the shell
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()), opened(where, url) as app:
            if isinstance(app.store, Transfer) and not app.store.exists():
                return []
            return [CompletionItem(each.name) for each in app.queues() if each.name.startswith(incomplete)]
    except Exception:  # noqa: BLE001 - see the module
        return []
