"""Bad words and options: one line on stderr, exit code 2, no traceback, nothing stored. And the help itself."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version

import click
import pytest

from millrace.cli.command import Command
from millrace.cli.group import COMMANDS, millrace
from tests.cli.conftest import Shop

ID = "01a20f03-ba98-71c8-bf2d-fe9bd6462754"


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("jbos",), "no command 'jbos'; did you mean 'jobs'"),
        (("jobs", "--foo"), "no such option '--foo'"),
        (("jobs", "shop:app", "--state", "gone"), "invalid value for '--state': 'gone' is not one of"),
        (("jobs", "shop:app", "--limit", "0"), "invalid value for '--limit': 0 is not in the range"),
        (("jobs", "shop:app", "--limit", "ten"), "invalid value for '--limit': 'ten' is not a valid integer"),
        (("jobs", "shop:app", "--queue", ""), "queue '' has 0 bytes; give 1 to 200"),
        (("job", "shop:app"), "nothing follows APP 'shop:app'"),
        (("job", "shop:app", "12"), "'12' is not a job's id"),
        (("job", "shop:app", ID), f"no job {ID} in sqlite:///jobs.db"),
        (("enqueue",), "no task is named"),
        (("enqueue", "shop:app"), "no task follows APP 'shop:app'"),
        (("enqueue", "shop:app", "shop.add", "{}", "more"), "'{}' is one word too many"),
        (("enqueue", "--url", "memory://", "shop:app", "x"), "APP 'shop:app' and --url exclude each other"),
        (("enqueue", "shop:app", "shop.add", "{a:1}"), "'{a:1}' is not JSON"),
        (("enqueue", "shop:app", "shop.add", "[1]"), "'[1]' is not a JSON object"),
        (("enqueue", "shop:app", "shop.add", "--arg", "a"), "'a' is not NAME=VALUE; write a=1"),
        (("enqueue", "shop:app", "shop.add", "{}"), "missing required field `a`"),
        (("enqueue", "shop:app", "shop.add", '{"a": "x"}'), "Expected `int`, got `str`"),
        (("enqueue", "shop:app", "shop.add", '{"a": 1, "c": 2}'), "unknown field `c`"),
        (("enqueue", "shop:app", "shop.add", '{"a": 1}', "--priority", "99999"), "priority 99999 is out of range"),
        (("enqueue", "shop:app", "shop.add", '{"a": 1}', "--priority", "high"), "'high' is not a valid integer"),
        (("enqueue", "shop:app", "shop.add", '{"a": 1}', "--delay", "-4"), "'-4' is not a duration"),
        (("enqueue", "shop:app", "shop.add", '{"a": 1}', "--delay", "3 moons"), "'3 moons' is not a duration"),
        (("enqueue", "shop:app", "shop.add", '{"a": 1}', "--delay", "99999999999"), "over a hundred years"),
        (("enqueue", "shop:app", "shop.add", '{"a": 1}', "--run-at", "noon"), "'noon' is not a time"),
        (("enqueue", "shop:app", "shop.add", '{"a": 1}', "--run-at", "2030-01-01T00:00"), "has no timezone"),
        (
            ("enqueue", "shop:app", "shop.add", '{"a": 1}', "--run-at", "2030-01-01T00:00Z", "--delay", "5"),
            "--delay and --run-at exclude each other",
        ),
        (("enqueue", "shop:app", "shop.add", '{"a": 1}', "--max-attempts", "0"), "max_attempts 0 is not acceptable"),
        (("enqueue", "shop:app", "shop.add", '{"a": 1}', "--tag", "x" * 201), "has 201 bytes; give 1 to 200"),
        (("pause", "shop:app"), "nothing follows APP 'shop:app'"),
        (("pause", "shop:app", "one", "two"), "'two' is one word too many"),
        (("purge", "shop:app"), "missing option '--older-than'"),
        (("purge", "shop:app", "--older-than", "old"), "'old' is not a duration"),
        (("purge", "shop:app", "--older-than", "1d", "--state", "pending"), "'pending' is not one of"),
        (("demo", "--workers", "1"), "1 is not in the range"),
    ],
)
def test_a_mistake_is_told_in_one_line_with_code_2_and_stores_nothing(
    shop: Shop, words: tuple[str, ...], part: str
) -> None:
    answer = shop.millrace(*words)

    assert (answer.code, answer.out) == (2, ""), answer
    assert answer.err.startswith("millrace: ")
    assert answer.err.count("\n") == 1
    assert part in answer.err
    with shop.open() as app:
        assert sum(app.counts().values()) == 0


def test_the_help_lists_every_command_with_its_summary_and_examples(shop: Shop) -> None:
    text = shop.good("--help")

    longest = max(map(len, COMMANDS))
    for name, entry in COMMANDS.items():
        assert f"  {name:<{longest}}  {entry.summary}" in text
    assert "Examples:\n  millrace demo\n" in text


def test_no_words_at_all_are_answered_with_the_help(shop: Shop) -> None:
    answer = shop.millrace()

    assert (answer.code, answer.err) == (2, "")
    assert answer.out.startswith("Usage: millrace [OPTIONS] [COMMAND]")


def test_the_version_is_told(shop: Shop) -> None:
    assert shop.good("--version") == f"millrace {version('millrace')}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_examples_that_it_understands(shop: Shop, name: str) -> None:
    text = shop.good(name, "--help")
    command = millrace.get_command(click.Context(millrace), name)

    assert isinstance(command, Command)
    assert f"Usage: millrace {name}" in text
    assert max(map(len, text.splitlines())) <= 100
    examples = command.examples.splitlines()
    assert examples
    for example in examples:
        assert example in text
        known = {option for parameter in command.params for option in parameter.opts}
        used = {word for word in example.split() if word.startswith("--")}
        assert example.startswith(f"millrace {name}")
        assert used <= known, example


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"completion", "dashboard", "demo", "worker"}))
def test_every_command_that_looks_or_changes_can_print_json(name: str) -> None:
    command = millrace.get_command(click.Context(millrace), name)

    assert command is not None
    assert "--json" in {option for parameter in command.params for option in parameter.opts}


def test_help_loads_no_command_and_nothing_heavy() -> None:
    program = (
        "import sys, json; from millrace.cli.run import run; run(['--help']);"
        "print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    )

    said = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stderr

    loaded = set(json.loads(said))
    heavy = {"rich", "watchfiles", "sqlite3", "asyncio", "millrace.worker", "millrace.demo", "millrace.stores"}
    commands = {f"millrace.cli.{entry.module}" for entry in COMMANDS.values()}
    assert loaded & (heavy | commands) == set()


def test_it_runs_as_a_module_too() -> None:
    told = subprocess.run([sys.executable, "-m", "millrace", "--version"], check=True, capture_output=True, text=True)

    assert told.stdout == f"millrace {version('millrace')}\n"


def test_a_reader_that_has_seen_enough_draws_no_traceback(shop: Shop) -> None:
    with shop.open() as app:
        ping = app.task(name="ping")(lambda: None)
        app.enqueue_many([ping.job() for _ in range(2000)])
    command = [sys.executable, "-m", "millrace", "jobs", "shop:app", "--limit", "2000"]

    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith("ID")
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1
