"""`millrace purge`: delete what ended long ago. Owns nothing but its words."""

from __future__ import annotations

import click

from millrace.cli.command import command, json_option, url_option, words
from millrace.cli.kinds import DURATION
from millrace.cli.output import plural, say, say_json
from millrace.cli.progress import counted
from millrace.cli.target import opened, split_words
from millrace.states import FINAL

__all__ = ["purge"]


@command(
    "purge",
    examples="""\
millrace purge tasks:app --older-than 7d
millrace purge tasks:app --older-than 90d --state dead""",
)
@words("[APP]")
@url_option
@click.option(
    "--older-than", type=DURATION, required=True, metavar="DURATION", help="Ended so long ago: 3600, 12h, 7d."
)
@click.option(
    "--state",
    "states",
    type=click.Choice(sorted(state.value for state in FINAL)),
    multiple=True,
    default=("completed", "cancelled"),
    show_default=True,
    help="Jobs that ended so (repeatable).",
)
@json_option
def purge(
    words: tuple[str, ...], url: str | None, *, older_than: float, states: tuple[str, ...], as_json: bool
) -> None:
    """Delete ended jobs of a certain age, sooner than their retention would."""
    where, _ = split_words(words, url, least=0, most=0)
    with opened(where, url) as app:
        with counted(app, "purge", "deleting", None, shown=not as_json):
            number = app.purge(older_than=older_than, states=states)
        if as_json:
            say_json({"deleted": number})
        else:
            say(f"deleted {plural(number, 'job')}")
