"""`millrace completion`: what teaches a shell to complete our words. Owns nothing: the shell code is click's."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from millrace.cli.command import command

__all__ = ["completion"]


@command(
    "completion",
    examples="""\
millrace completion bash >> ~/.bashrc
millrace completion zsh >> ~/.zshrc
millrace completion fish > ~/.config/fish/completions/millrace.fish""",
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what makes a shell complete commands, options, states and the names of queues.

    Queues are those of the APP or --url that stands before, or of MILLRACE_APP or MILLRACE_URL.
    """
    from millrace.cli.group import millrace

    made = get_completion_class(shell)
    if made is None:
        raise click.UsageError(f"no completion for {shell!r} in this version of click")
    click.echo(made(millrace, {}, "millrace", "_MILLRACE_COMPLETE").source())
