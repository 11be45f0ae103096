"""`millrace migrate`: the schema, made or brought up to date. Owns nothing but its words."""

from __future__ import annotations

from millrace.cli.command import command, json_option, url_option, words
from millrace.cli.output import say, say_json
from millrace.cli.target import opened, split_words

__all__ = ["migrate"]


@command(
    "migrate",
    examples="""\
millrace migrate tasks:app
millrace migrate --url sqlite:///jobs.db""",
)
@words("[APP]")
@url_option
@json_option
def migrate(words: tuple[str, ...], url: str | None, *, as_json: bool) -> None:
    """Create or upgrade the store's schema, and say what was done."""
    where, _ = split_words(words, url, least=0, most=0)
    with opened(where, url) as app:
        done = list(app.migrate())
        if as_json:
            say_json({"done": done})
            return
        for line in done or [f"nothing to do: the schema of {app.store.url} is up to date"]:
            say(line)
