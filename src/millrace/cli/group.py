"""`millrace` itself: the table of its commands, each loaded only when it is called. Owns the table and its help.

`millrace --help` must answer at once, so the table carries each command's summary and nothing here imports a command.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = ["COMMANDS", "USAGE", "Commands", "Entry", "millrace"]

USAGE = 2  #: the exit code of a mistake in what was asked


class Entry(NamedTuple):
    """Where a command lives, in which section of the help, and its summary there."""

    section: str
    module: str
    summary: str


COMMANDS: dict[str, Entry] = {
    "demo": Entry("Start here", "demo", "Watch real jobs run, fail, survive a kill and finish."),
    "worker": Entry("Run jobs", "worker", "Run a worker: claim jobs and run them."),
    "enqueue": Entry("Run jobs", "enqueue", "Store one job."),
    "jobs": Entry("Look at jobs", "jobs", "List jobs, newest first."),
    "job": Entry("Look at jobs", "job", "Show one job with its attempts and its log."),
    "tail": Entry("Look at jobs", "tail", "Follow events and logs of jobs as they happen."),
    "top": Entry("Look at jobs", "top", "Show jobs, queues and workers live."),
    "stats": Entry("Look at jobs", "stats", "Count jobs by state and queue."),
    "cancel": Entry("Change jobs", "change", "Cancel jobs, waiting or running."),
    "retry": Entry("Change jobs", "change", "Run ended or failed jobs again."),
    "delete": Entry("Change jobs", "change", "Delete jobs that do not run."),
    "queues": Entry("Queues and workers", "queues", "List queues, their settings and their jobs."),
    "pause": Entry("Queues and workers", "queues", "Stop claims from a queue."),
    "resume": Entry("Queues and workers", "queues", "Allow claims from a queue again."),
    "schedules": Entry("Queues and workers", "schedules", "List schedules; pause, resume, run or delete one."),
    "workers": Entry("Queues and workers", "workers", "List the workers that report themselves."),
    "dashboard": Entry("Keep it well", "dashboard", "Serve pages that show all of it, and act on it."),
    "health": Entry("Keep it well", "health", "Tell whether jobs get done; exit 1 where they do not."),
    "doctor": Entry("Keep it well", "doctor", "Look for trouble in the store and its surroundings."),
    "purge": Entry("Keep it well", "purge", "Delete ended jobs of a certain age."),
    "migrate": Entry("Keep it well", "migrate", "Create or upgrade the store's schema."),
    "copy": Entry("Keep it well", "copy", "Copy all jobs of one store into another."),
    "completion": Entry("Keep it well", "completion", "Print what lets a shell complete these words."),
}

EXAMPLES = """\
millrace demo
millrace worker tasks:app
millrace jobs tasks:app --state dead
millrace enqueue tasks:app tasks.add '{"a": 2, "b": 3}'
millrace stats --url sqlite:///jobs.db
"""


class Commands(click.Group):
    """A group that knows its commands by name and imports one only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Give the names in the order of the help."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        del ctx
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command: click.Command = getattr(import_module(f"millrace.cli.{entry.module}"), cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that was typed, or refuse with names that come near."""
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            from millrace.cli.near import did_you_mean

            raise click.UsageError(f"no command {args[0]!r}{did_you_mean(args[0], COMMANDS)}", ctx)
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Offer commands with their summaries, none of which is loaded for that, and options."""
        from click.shell_completion import CompletionItem

        found = [
            CompletionItem(name, help=entry.summary) for name, entry in COMMANDS.items() if name.startswith(incomplete)
        ]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands by section."""
        del ctx
        sections: dict[str, list[tuple[str, str]]] = {}
        for name, entry in COMMANDS.items():
            sections.setdefault(entry.section, []).append((name, entry.summary))
        width = max(map(len, COMMANDS))
        for section, rows in sections.items():
            with formatter.section(section):
                # every section lines up with every other
                formatter.write_dl([(name.ljust(width), summary) for name, summary in rows], col_max=width + 2)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples."""
        del ctx
        from millrace.cli.command import write_examples

        write_examples(formatter, EXAMPLES)


def _print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 - click calls it so
    if not wanted or ctx.resilient_parsing:
        return
    from importlib.metadata import version

    click.echo(f"millrace {version('millrace')}")
    ctx.exit()


@click.command(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    invoke_without_command=True,
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Print the version."
)
@click.pass_context
def millrace(ctx: click.Context) -> None:
    """Durable background jobs for Python, kept in the store you already have.

    APP names a Millrace app, as module:attribute; the working directory is on sys.path. It may be left out where
    MILLRACE_APP names it, or where --url or MILLRACE_URL names a store.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
        ctx.exit(USAGE)
