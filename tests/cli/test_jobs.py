"""`jobs`, `job` and `enqueue`: what they store, find and show."""

from __future__ import annotations

import json
import warnings
from datetime import UTC, datetime

import pytest

from millrace import JobState, NewJob
from tests.cli.conftest import Shop


def unreachable(why: str) -> None:
    raise ConnectionError(why)


def test_an_enqueued_job_is_listed_and_shown(shop: Shop) -> None:
    told = shop.good("enqueue", "shop:app", "shop.add", '{"a": 2, "b": 3}')
    id = told.split()[0]

    assert told == f"{id}  pending  shop.add in queue default\n"
    assert [line.split()[:3] for line in shop.good("jobs", "shop:app").splitlines()] == [
        ["ID", "STATE", "TASK"],
        [id, "pending", "shop.add"],
    ]
    assert 'args        {"a":2,"b":3}' in shop.good("job", "shop:app", id).splitlines()


@pytest.mark.parametrize(
    "words",
    [
        ("enqueue", "shop:app", "shop.add", "--arg", "a=2", "--arg", "b=3"),
        ("enqueue", "shop.app", "shop.add", '{"a": 2}', "--arg", "b=3"),
        ("enqueue", "--url", "sqlite:///jobs.db", "shop.add", '{"a": 2, "b": 3}'),
    ],
)
def test_arguments_and_app_may_be_given_in_several_ways(shop: Shop, words: tuple[str, ...]) -> None:
    job = shop.json(*words)

    assert (job["task"], job["args"], job["state"]) == ("shop.add", {"a": 2, "b": 3}, "pending")


def test_an_app_without_tasks_takes_no_name_and_a_url_alone_takes_any(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shop.folder / "bare.py").write_text(
        "from millrace import Millrace\n\napp = Millrace('sqlite:///jobs.db')\n", encoding="utf-8"
    )
    refused = (2, "", "millrace: the app has no task 'anything', nor any other; name its modules in imports=[…]\n")

    assert shop.millrace("enqueue", "bare:app", "anything") == refused
    monkeypatch.setenv("MILLRACE_APP", "bare:app")
    assert shop.millrace("enqueue", "anything") == refused
    assert shop.json("enqueue", "--url", "sqlite:///jobs.db", "anything")["task"] == "anything"
    monkeypatch.delenv("MILLRACE_APP")
    monkeypatch.setenv("MILLRACE_URL", "sqlite:///jobs.db")
    assert shop.json("enqueue", "anything")["task"] == "anything"


def test_an_argument_that_is_not_json_is_text(shop: Shop) -> None:
    assert shop.json("enqueue", "shop:app", "shop.send", "--arg", "to=ada=1")["args"] == {"to": "ada=1"}


def test_options_of_a_job_reach_the_store(shop: Shop) -> None:
    job = shop.json(
        "enqueue", "shop:app", "shop.add", '{"a": 1}', "--queue", "slow", "--priority", "-5", "--tag", "x",
        "--tag", "y", "--unique-key", "daily", "--max-attempts", "9", "--run-at", "2100-01-01T00:00:00+01:00",
    )  # fmt: skip

    chosen = {name: job[name] for name in ("queue", "priority", "tags", "unique_key", "max_attempts", "state")}
    assert chosen == {
        "queue": "slow", "priority": -5, "tags": ["x", "y"], "unique_key": "daily", "max_attempts": 9,
        "state": "scheduled",
    }  # fmt: skip
    assert datetime.fromisoformat(job["scheduled_at"]) == datetime(2099, 12, 31, 23, tzinfo=UTC)


def test_a_delay_is_told(shop: Shop) -> None:
    told = shop.good("enqueue", "shop:app", "shop.add", '{"a": 1}', "--delay", "1h30m")

    assert ", due " in told
    with shop.open() as app:
        (job,) = app.list()
        assert job.scheduled_at is not None
        assert 5390 < (job.scheduled_at - job.created_at).total_seconds() <= 5400


def test_the_holder_of_a_unique_key_is_shown(shop: Shop) -> None:
    words = ("enqueue", "shop:app", "shop.add", '{"a": 1}', "--unique-key", "daily")
    first = shop.json(*words)
    second = shop.json(*words)

    assert (second["id"], first["duplicate"], second["duplicate"]) == (first["id"], False, True)
    assert "holds the key 'daily' already; nothing was stored" in shop.good(*words)


def test_jobs_are_filtered_and_newest_come_first(shop: Shop) -> None:
    with shop.open() as app, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # this app has no tasks
        jobs = app.enqueue_many(
            [NewJob("shop.add", {"a": n}, queue="even" if n % 2 == 0 else "odd", tags=[f"t{n}"]) for n in range(5)]
        )
        app.cancel(jobs[4])

    def listed(*words: str) -> list[int]:
        return [job["args"]["a"] for job in shop.json("jobs", "shop:app", *words)]

    assert listed() == [4, 3, 2, 1, 0]
    assert listed("--queue", "odd") == [3, 1]
    assert listed("--state", "cancelled") == [4]
    assert listed("--state", "cancelled", "--state", "pending", "--queue", "even") == [4, 2, 0]
    assert listed("--tag", "t2") == [2]
    assert listed("--task", "shop.add", "--limit", "2") == [4, 3]
    assert listed("--task", "shop.send") == []


def test_a_list_that_was_cut_says_so(shop: Shop) -> None:
    for _ in range(3):
        shop.good("enqueue", "shop:app", "shop.add", '{"a": 1}')

    answer = shop.millrace("jobs", "shop:app", "--limit", "2")

    assert (len(answer.out.splitlines()), answer.err) == (3, "the newest 2; there are more, see --limit\n")
    assert shop.millrace("jobs", "shop:app", "--limit", "3").err == ""


def test_an_empty_list_says_where_it_looked(shop: Shop) -> None:
    assert shop.good("jobs", "--url", "sqlite:///other.db") == "no jobs in sqlite:///other.db\n"
    assert (
        shop.good("jobs", "--url", "sqlite:///other.db", "--state", "dead") == "no jobs match in sqlite:///other.db\n"
    )


def test_a_dead_job_is_shown_with_its_tries_and_its_traceback(shop: Shop) -> None:
    id = shop.json("enqueue", "shop:app", "shop.send", '{"to": "ada"}', "--max-attempts", "1")["id"]
    with shop.open() as app:
        (claimed,) = app.claim()
        with pytest.raises(ConnectionError) as caught:
            unreachable("no route\x1b[2J to\nada")
        app.fail(claimed, caught.value)

    lines = shop.good("job", "shop:app", id).splitlines()

    assert "state       dead (exhausted)" in lines
    assert "tries       1 of 1" in lines
    assert r"error       ConnectionError: no route\x1b[2J to ada" in lines
    assert [line.split()[:2] for line in lines if "dead  " in line] == [["1", "dead"]]
    assert lines[lines.index("traceback of try 1:") + 1] == "  Traceback (most recent call last):"
    assert "\x1b" not in "".join(lines)


def test_a_page_in_json_has_attempts_and_log(shop: Shop) -> None:
    id = shop.json("enqueue", "shop:app", "shop.add", '{"a": 1}')["id"]
    with shop.open() as app:
        app.complete(app.claim()[0], {"sum": 2})

    job = shop.json("job", "shop:app", id)

    assert (job["state"], job["result"], job["logs"]) == ("completed", {"sum": 2}, [])
    assert [(each["attempt"], each["outcome"]) for each in job["attempts"]] == [(1, "completed")]


def test_a_name_that_the_app_does_not_know_is_refused_with_near_ones(shop: Shop) -> None:
    answer = shop.millrace("enqueue", "shop:app", "add", '{"a": 1}')

    assert answer == (2, "", "millrace: the app has no task 'add'; did you mean 'shop.add'?\n")
    with shop.open() as app:
        assert app.counts()[JobState.PENDING] == 0


def test_a_url_alone_takes_any_name(shop: Shop) -> None:
    answer = shop.millrace("enqueue", "--url", shop.url, "elsewhere.task", "--json")

    assert (answer.code, answer.err, json.loads(answer.out)["task"]) == (0, "", "elsewhere.task")
