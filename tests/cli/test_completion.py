"""Completion in a real shell, and what it offers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from millrace.cli.group import COMMANDS
from tests.cli.conftest import Shop


def offered(shop: Shop, *words: str, **variables: str) -> list[str]:
    """Say what a shell would offer in place of the last word."""
    asked = {"_MILLRACE_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(["millrace", *words]), **variables}
    done = subprocess.run(
        [sys.executable, "-m", "millrace"],
        cwd=shop.folder,
        env={**os.environ, **asked, "COMP_CWORD": str(len(words))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


def with_queues(shop: Shop) -> None:
    with shop.open() as app:
        for name in ("mail", "main", "slow"):
            app.pause(name)


def test_commands_options_and_states_are_offered(shop: Shop) -> None:
    assert offered(shop, "") == list(COMMANDS)
    assert offered(shop, "re") == ["retry", "resume"]
    assert offered(shop, "jobs", "--st") == ["--state"]
    assert offered(shop, "jobs", "--state", "c") == ["cancelling", "completed", "cancelled"]


@pytest.mark.parametrize(
    "words",
    [
        ("jobs", "shop:app", "--queue", "ma"),
        ("tail", "--url", "sqlite:///jobs.db", "--queue", "ma"),
        ("retry", "shop:app", "--all", "--queue", "ma"),
        ("worker", "shop.app", "--queue", "ma"),
        ("pause", "shop:app", "ma"),
    ],
)
def test_queues_of_the_app_or_url_that_is_named_are_offered(shop: Shop, words: tuple[str, ...]) -> None:
    with_queues(shop)

    assert offered(shop, *words) == ["mail", "main"]


def test_queues_of_the_app_that_a_variable_names_are_offered(shop: Shop) -> None:
    with_queues(shop)

    assert offered(shop, "resume", "s", MILLRACE_APP="shop:app") == ["slow"]


def test_what_cannot_be_asked_offers_nothing_and_makes_no_store(shop: Shop) -> None:
    (shop.folder / "broken.py").write_text("print('hello')\nraise ValueError\n")

    assert offered(shop, "jobs", "--url", "sqlite:///none.db", "--queue", "") == []
    assert not (shop.folder / "none.db").exists()
    assert offered(shop, "jobs", "broken:app", "--queue", "") == []
    assert offered(shop, "jobs", "--queue", "") == []


def test_bash_completes_with_the_lines_that_the_command_prints(shop: Shop) -> None:
    with_queues(shop)
    script = """\
eval "$(millrace completion bash)"
COMP_WORDS=(millrace jobs shop:app --queue ma)
COMP_CWORD=4
_millrace_completion millrace
echo "${COMPREPLY[@]}"
"""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    done = subprocess.run(
        ["bash", "--norc", "-c", script],  # noqa: S607 - whichever bash there is
        cwd=shop.folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )

    assert (done.stdout, done.stderr) == ("mail main\n", "")


@pytest.mark.parametrize(("shell", "part"), [("zsh", "#compdef millrace"), ("fish", "complete --no-files --command")])
def test_other_shells_get_lines_of_their_own(shop: Shop, shell: str, part: str) -> None:
    text = shop.good("completion", shell)

    assert part in text
    assert "_MILLRACE_COMPLETE" in text


def test_a_shell_that_is_not_known_is_refused(shop: Shop) -> None:
    answer = shop.millrace("completion", "cmd")

    assert (answer.code, answer.out) == (2, "")
    assert "'cmd' is not one of 'bash', 'zsh', 'fish'" in answer.err
