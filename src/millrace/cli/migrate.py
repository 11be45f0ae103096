"""`millrace migrate`: the schema, made or brought up to date, or its statements printed. Owns nothing but its words."""

from __future__ import annotations

import click

from millrace.cli.command import command, json_option, url_option, words
from millrace.cli.output import say, say_json
from millrace.cli.progress import busy
from millrace.cli.target import opened, split_words
from millrace.errors import NotSupported
from millrace.script import SchemaScript
from millrace.store import Store

__all__ = ["migrate"]


@command(
    "migrate",
    examples="""\
millrace migrate tasks:app
millrace migrate --url sqlite:///jobs.db
millrace migrate --url postgresql://app@db.example/app --sql
millrace migrate --url postgresql://app@db.example/app --sql --since 1""",
)
@words("[APP]")
@url_option
@click.option("--sql", "as_sql", is_flag=True, help="Print the statements, and run none of them.")
@click.option(
    "--since", type=click.IntRange(0), metavar="VERSION", help="With --sql: only what comes after this version."
)
@json_option
def migrate(words: tuple[str, ...], url: str | None, *, as_sql: bool, since: int | None, as_json: bool) -> None:
    """Create or upgrade the store's schema, and say what was done.

    With --sql nothing is done: the numbered migrations are printed, for whoever may run them. The store is not opened.
    """
    where, _ = split_words(words, url, least=0, most=0)
    if since is not None and not as_sql:
        raise click.UsageError("--since goes with --sql")
    with opened(where, url) as app:
        if as_sql:
            lines = _script(app.store, since or 0)
            if as_json:
                say_json({"sql": lines})
            else:
                for line in lines:
                    say(line)
            return
        with busy(f"migrating {app.store.url}", shown=not as_json):
            done = list(app.migrate())
        if as_json:
            say_json({"done": done})
            return
        for line in done or [f"nothing to do: the schema of {app.store.url} is up to date"]:
            say(line)


def _script(store: Store, since: int) -> list[str]:
    if not isinstance(store, SchemaScript):
        raise NotSupported(f"{store.url} has no schema that SQL could make; --sql is for sqlite:// and postgresql://")
    return store.script(since=since)
