"""`millrace tail`: what it follows, how its lines look, and how it ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import click
import pytest

from millrace import JobContext, JobState, events
from millrace.cli.eventlines import EVENT_WORDS, event_line
from millrace.events import AttemptFailed, JobEnqueued, JobEvent, JobLogged
from millrace.states import Reason
from tests.cli.conftest import Shop
from tests.cli.terminal import Terminal, plain_text

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
ABOUT: dict[str, Any] = {"at": AT, "job_id": UUID(int=7), "task": "shop.add", "queue": "mail", "attempt": 1, "claim": 1}


def with_history(shop: Shop) -> str:
    """Run one job that tells of itself, and return its id."""
    with shop.open() as app:

        @app.task(name="shop.tell")
        def tell(context: JobContext) -> None:
            context.log.warning("paying", amount=3)
            context.progress(0.5, "asked\nthe bank")

        id = str(tell.enqueue().id)
        app.drain()
    return id


@contextmanager
def following(shop: Shop, *words: str) -> Generator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "millrace", "tail", *words]
    with subprocess.Popen(
        command, cwd=shop.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(stream: Any) -> str:
    line: str = stream.readline()
    return line.rstrip("\n")


def test_a_job_is_told_from_its_enqueue_to_its_end_which_ends_the_command(shop: Shop) -> None:
    id = with_history(shop)

    answer = shop.millrace("tail", "--url", shop.url, "--job", id)
    lines = answer.out.splitlines()

    assert (answer.code, answer.err) == (0, "")
    assert [line[64:75].strip() for line in lines] == ["enqueued", "started", "log", "progress", "completed"]
    assert all(line.split()[1] == id and "  shop.tell" in line for line in lines)
    assert lines[2].endswith("shop.tell  WARNING paying amount=3")
    assert lines[3].endswith("shop.tell  50% asked the bank")
    assert "\x1b" not in answer.out


def test_events_as_json_are_one_object_a_line(shop: Shop) -> None:
    id = with_history(shop)

    told = [json.loads(line) for line in shop.good("tail", "--url", shop.url, "--job", id, "--json").splitlines()]

    assert [each["event"] for each in told] == [
        "JobEnqueued", "JobStarted", "JobLogged", "JobProgress", "JobCompleted",
    ]  # fmt: skip
    assert {each["job_id"] for each in told} == {id}


def test_without_following_the_last_event_of_each_job_of_a_queue_is_told(shop: Shop) -> None:
    with_history(shop)
    shop.good("enqueue", "shop:app", "shop.send", '{"to": "ada"}')

    def told(*words: str) -> list[str]:
        out = shop.good("tail", "shop:app", "--no-follow", "--json", *words)
        return [json.loads(line)["event"] for line in out.splitlines()]

    assert told() == ["JobCompleted", "JobEnqueued"]
    assert told("--queue", "mail") == ["JobEnqueued"]
    assert told("--queue", "none") == []


def test_a_queue_is_followed_from_another_process_until_ctrl_c_which_is_no_failure(shop: Shop) -> None:
    with following(shop, "--url", shop.url, "--queue", "mail") as process:
        assert line_of(process.stderr) == f"following queue mail in {shop.url}; Ctrl-C ends it"
        shop.good("enqueue", "shop:app", "shop.add", '{"a": 1}')
        shop.good("enqueue", "shop:app", "shop.send", '{"to": "ada"}')
        with shop.open() as app:
            app.cancel_all()

        assert line_of(process.stdout).endswith("  enqueued     shop.send  in mail")
        assert line_of(process.stdout).endswith("  cancelled    shop.send")
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=30) == ("", "")
        assert process.returncode == 0


def test_a_terminal_gets_colours_the_time_of_day_and_the_end_of_the_id(shop: Shop) -> None:
    terminal = Terminal(shop.folder, "tail", "shop:app")
    try:
        terminal.see("Ctrl-C ends it")
        id = shop.json("enqueue", "shop:app", "shop.add", '{"a": 1}')["id"]
        seen = terminal.see("in default")
        assert f"  {id[-8:]}  enqueued" in plain_text(seen)
        assert id not in seen
        shop.good("cancel", "shop:app", id)
        assert "\x1b[90mcancelled" in terminal.see("cancelled")
        terminal.type("\x03")
        assert terminal.end() == 0
        assert "Traceback" not in terminal.shown
    finally:
        terminal.close()


def test_no_color_keeps_a_terminal_plain(shop: Shop) -> None:
    id = with_history(shop)
    terminal = Terminal(shop.folder, "tail", "--url", shop.url, "--job", id, environment={"NO_COLOR": "1"})
    try:
        assert terminal.end() == 0
        assert "completed" in terminal.shown
        assert "\x1b" not in terminal.shown
    finally:
        terminal.close()


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--job", "12"), "'12' is not a job's id"),
        (("--job", str(UUID(int=3))), f"no job {UUID(int=3)} in"),
        (("--job", str(UUID(int=3)), "--queue", "mail"), "--job and --queue exclude each other"),
        (("--queue", ""), "queue '' has 0 bytes"),
        (("more", "words"), "'more' is one word too many"),
    ],
)
def test_what_cannot_be_followed_is_refused(shop: Shop, words: tuple[str, ...], part: str) -> None:
    answer = shop.millrace("tail", "shop:app", *words)

    assert (answer.code, answer.out) == (2, "")
    assert part in answer.err


def test_every_event_of_a_job_has_a_word() -> None:
    records = [getattr(events, name) for name in events.__all__]
    of_jobs = {each for each in records if isinstance(each, type) and issubclass(each, JobEvent)}

    assert set(EVENT_WORDS) == of_jobs - {JobEvent, events.AttemptEnded}


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (JobEnqueued(**ABOUT, scheduled_at=AT), "in mail"),
        (JobEnqueued(**ABOUT, scheduled_at=AT + timedelta(hours=3)), "in mail, due in 3h"),
        (events.JobSnoozed(**ABOUT, scheduled_at=None), "due once other jobs have ended"),
        (events.JobStarted(**ABOUT, worker="00ff"), "try 1, worker 00ff"),
        (events.JobCompleted(**ABOUT, started_at=AT - timedelta(seconds=2)), "took 2 s"),
        (AttemptFailed(**ABOUT, error="E: a\nb", retry_at=AT + timedelta(seconds=9)), "try 1: E: a b; again in 9s"),
        (events.JobDead(**ABOUT, error="ValueError: \x1b[2J"), r"ValueError: \x1b[2J"),
        (events.JobDead(**ABOUT, error=None, reason=Reason.EXHAUSTED), "exhausted"),
        (
            events.LeaseLost(**ABOUT, worker="00ff", crashes=2, state=JobState.PENDING),
            "worker 00ff was lost; 2 so far, the job is pending",
        ),
        (JobLogged(**ABOUT, level=20, message="begun", data={"n": [1]}), "INFO begun n=[1]"),
        (events.JobDeleted(**ABOUT), ""),
    ],
)
def test_an_event_says_what_there_is_to_know(event: JobEvent, said: str) -> None:
    begin = f"2026-01-01T12:00:00.000Z  {UUID(int=7)}  {EVENT_WORDS[type(event)]:<11}  shop.add  "

    assert click.unstyle(event_line(event, terminal=False)) == f"{begin}{said}".rstrip()
