"""What every command has in common: its examples, `--json`, and the words APP may stand among. Knows no command."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = ["Command", "command", "json_option", "url_option", "words", "write_examples"]

F = TypeVar("F", bound=Callable[..., Any])
Complete = Callable[[click.Context, click.Parameter, str], "list[CompletionItem]"]


class Command(click.Command):
    """A command whose help ends with examples.

    Args:
        name: As it is typed.
        examples: A line each, as they are typed.
        keywords: What `click.Command` takes.
    """

    def __init__(self, name: str | None, *, examples: str = "", **keywords: Any) -> None:
        super().__init__(name, **keywords)
        self.examples = examples

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples."""
        del ctx
        write_examples(formatter, self.examples)


def command(name: str, *, examples: str) -> Callable[[Callable[..., Any]], Command]:
    """Make a function a command, as `click.command` does, with examples in its help."""
    return click.command(name, cls=Command, examples=examples)


def write_examples(formatter: click.HelpFormatter, examples: str) -> None:
    """Write examples as they are typed, never wrapped."""
    with formatter.section("Examples"):
        for line in examples.splitlines():
            formatter.write(f"{'':>{formatter.current_indent}}{line}\n")


def words(form: str, *, complete: Complete | None = None) -> Callable[[F], F]:
    """Take the words of the command line as a tuple; `form` is what the help shows for them."""
    return click.argument("words", nargs=-1, metavar=form, shell_complete=complete)


def url_option(function: F) -> F:
    """Add `--url`."""
    return click.option(
        "--url", metavar="URL", help="The store itself, such as sqlite:///jobs.db, in place of an APP."
    )(function)


def json_option(function: F) -> F:
    """Add `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)
