"""`millrace worker`: the process that runs jobs. Owns its options, its log and its first and last line."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from millrace.cli.command import command, json_option, url_option, words
from millrace.cli.completing import complete_queue
from millrace.cli.kinds import DURATION, SLOTS
from millrace.cli.output import plural
from millrace.cli.parent import child_environment, ending_with_parent
from millrace.cli.target import APP_VARIABLE, opened, split_words
from millrace.cli.times import seconds_text
from millrace.errors import ConfigurationError, UnknownTask
from millrace.states import OutcomeKind

if TYPE_CHECKING:
    from millrace import Millrace, Worker
    from millrace.worker.gathering import Gathering

__all__ = ["worker"]

_NAMES_SHOWN = 6
_OWN = ("--processes", "--metrics-port", "--metrics-host")  # what is for the parent of several processes alone
_LOGGER = logging.getLogger("millrace.worker")


@command(
    "worker",
    examples="""\
millrace worker tasks:app
millrace worker tasks:app --queue mail --queue default --concurrency 20
millrace worker tasks:app --processes 4 --reserve high=2
millrace worker tasks:app --burst
millrace worker tasks:app --metrics-port 9100
millrace worker tasks:app --reload --log-level debug""",
)
@words("[APP]")
@url_option
@click.option(
    "--queue",
    "queues",
    multiple=True,
    metavar="NAME",
    shell_complete=complete_queue,
    help="Claim from this queue only (repeatable).",
)
@click.option("--task", "tasks", multiple=True, metavar="NAME", help="Run this task only (repeatable).")
@click.option(
    "--concurrency", type=click.IntRange(1, 10_000), default=10, show_default=True, help="Jobs at once in each process."
)
@click.option("--processes", type=click.IntRange(1, 256), default=1, show_default=True, help="Processes to run.")
@click.option(
    "--reserve", type=SLOTS, multiple=True, metavar="QUEUE=N", help="Slots that no other queue may take (repeatable)."
)
@click.option("--prefetch", type=click.IntRange(min=0), metavar="N", help="Claim at most so many ahead; 0 claims none.")
@click.option("--burst", is_flag=True, help="Stop when nothing is due and nothing runs.")
@click.option(
    "--grace",
    type=DURATION,
    default="30",
    show_default=True,
    metavar="DURATION",
    help="How long running jobs have to end after a signal: 30, 30s, 5m.",
)
@click.option(
    "--metrics-port",
    type=click.IntRange(0, 65535),
    metavar="N",
    help="Serve /metrics for Prometheus and /healthz on this port; 0 takes a free one and says which.",
)
@click.option(
    "--metrics-host", default="127.0.0.1", show_default=True, metavar="HOST", help="The address of that port."
)
@click.option("--reload", is_flag=True, help="Start anew when the code changes; for development.")
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="From which level on lines are shown.",
)
@json_option
def worker(words: tuple[str, ...], url: str | None, *, reload: bool, **options: Any) -> int:
    """Run a worker until SIGTERM or Ctrl-C.

    It then stops claiming, and running jobs have the grace to end; what is left is given back. A second signal stops
    at once, with exit code 1. It needs an APP, for tasks are code.
    """
    where, _ = split_words(words, url, least=0, most=0)
    if where is None and (url is not None or not os.environ.get(APP_VARIABLE)):
        raise ConfigurationError("a worker needs an APP, as module:attribute: its tasks are code, which no URL names")
    if reload:
        return _reloading(where)
    return _work(where, url, **options)


def _reloading(where: str | None) -> int:
    """Run this very command without --reload, anew at each change."""
    from millrace.cli.reload import folders_of, run_reloading

    app = where or os.environ[APP_VARIABLE]
    arguments = [each for each in sys.argv[1:] if each != "--reload"]
    return run_reloading([sys.executable, "-m", "millrace", *arguments], folders_of(app))


def _work(where: str | None, url: str | None, **options: Any) -> int:
    from millrace import Worker

    with opened(where, url) as app:
        _refuse_unknown(app, options["tasks"])
        made = Worker(
            app,
            queues=options["queues"] or None,
            tasks=options["tasks"] or None,
            concurrency=options["concurrency"],
            reserved=dict(options["reserve"]),
            prefetch=options["prefetch"],
            burst=options["burst"],
            grace=options["grace"],
        )
        with _log(options["log_level"], made, as_json=options["as_json"]) as tell, ending_with_parent():
            began = time.monotonic()
            code = _run(app, made, options, tell)
            tell(f"worker {os.getpid()} was up for {seconds_text(time.monotonic() - began)}; exit code {code}")
        return code


def _run(app: Millrace, made: Worker, options: Mapping[str, Any], tell: Callable[[str], None]) -> int:
    """Run the worker, or several; what they measure is told while they run."""
    from millrace.cli.metrics import metrics_of

    several = options["processes"] > 1
    with metrics_of(app, made, options["metrics_host"], options["metrics_port"], several=several) as metrics:
        tell(_beginning(app, options))
        if metrics.url is not None:
            tell(f"metrics on {metrics.url}/metrics, health on {metrics.url}/healthz")
        return _run_several(app, options, metrics.gathering) if several else made.run()


def _run_several(app: Millrace, options: Mapping[str, Any], gathering: Gathering | None) -> int:
    """Run this very command in several processes; this one, which has seen that all is well, only looks after them."""
    from millrace.worker import supervise

    app.close()
    return supervise(
        [sys.executable, "-m", "millrace", *_without(sys.argv[1:], *_OWN), "--processes", "1"],
        options["processes"],
        grace=options["grace"],
        burst=options["burst"],
        environment=child_environment(),
        gathering=gathering,
    )


def _without(arguments: Sequence[str], *options: str) -> list[str]:
    """Leave some options and their values out of a command line."""
    kept: list[str] = []
    skipped = False
    for each in arguments:
        if skipped:
            skipped = False
        elif each in options:
            skipped = True
        elif each.partition("=")[0] not in options:
            kept.append(each)
    return kept


def _refuse_unknown(app: Millrace, tasks: Sequence[str]) -> None:
    for name in tasks:
        if name not in app.registry:
            from millrace.cli.near import did_you_mean

            raise UnknownTask(f"--task {name}: the app has no such task{did_you_mean(name, app.registry.names)}")


def _beginning(app: Millrace, options: Mapping[str, Any]) -> str:
    """Say what the worker works on, in one line."""
    queues, tasks = options["queues"], options["tasks"] or sorted(app.registry.names)
    where = f"{plural(len(queues), 'queue')} ({_some(queues)})" if queues else "all queues"
    what = f"{plural(len(tasks), 'task')} ({_some(tasks)})" if tasks else "no task, so nothing will be claimed"
    reserved = "".join(f", {number} of them for {queue}" for queue, number in options["reserve"])
    return (
        f"worker {os.getpid()} on {app.store.url}: {where}, {what}, "
        f"{plural(options['concurrency'], 'job')} at once{reserved}, {_processes(options['processes'])}"
    )


def _processes(number: int) -> str:
    return "1 process" if number == 1 else f"{number} processes"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMES_SHOWN]) + (", …" if len(names) > _NAMES_SHOWN else "")


@contextmanager
def _log(level: str, made: Worker, *, as_json: bool) -> Generator[Callable[[str], None], None, None]:
    """Send the log to stderr; give a function that says something there in any case.

    An app that has set up logging itself keeps it: its handlers get all lines, and only what is said in any case is
    ours.
    """
    from millrace.cli.flow import Flow
    from millrace.cli.lines import JsonLines, PlainLines

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if as_json else PlainLines(colour=sys.stderr.isatty()))

    def tell(text: str) -> None:
        handler.emit(logging.LogRecord(_LOGGER.name, logging.INFO, __file__, 0, text, (), None))

    root = logging.getLogger()
    if root.handlers:
        yield tell
        return
    number = logging.getLevelNamesMapping()[level.upper()]
    flow = Flow(number, _LOGGER, completed=lambda: made.summary.outcomes.get(OutcomeKind.COMPLETED, 0))
    handler.addFilter(flow)
    root.addHandler(handler)
    root.setLevel(number)
    try:
        yield tell
    finally:
        flow.close()
        root.removeHandler(handler)
