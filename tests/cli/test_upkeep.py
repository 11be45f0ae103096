"""`stats`, `queues`, `pause`, `resume`, `workers`, `purge`, `migrate`, `doctor`: what operators look at and turn."""

from __future__ import annotations

import json
import platform
import sqlite3
from contextlib import closing
from importlib.metadata import version
from unittest.mock import Mock

import pytest

from millrace import JobState, Millrace
from millrace.clock import SECOND
from millrace.messages import ClaimRequest, Finding
from millrace.records import WorkerRow
from millrace.stores.sqlite import SQLiteStore
from millrace.stores.sqlite.migrations import VERSION
from tests.cli.conftest import Shop


def enqueue(shop: Shop, number: int, task: str = "shop.add", args: str = '{"a": 1}') -> None:
    for _ in range(number):
        shop.good("enqueue", "shop:app", task, args)


def register(shop: Shop, id: int, name: str, seen: int = 0, **info: object) -> None:
    with shop.open() as app:
        app.store.register(WorkerRow(id, name, 0, seen, json.dumps(info).encode()))


def test_stats_count_by_state_and_queue(shop: Shop) -> None:
    enqueue(shop, 3)
    enqueue(shop, 2, "shop.send", '{"to": "ada"}')
    with shop.open() as app:
        app.complete(app.claim(queues=["mail"])[0])

    lines = shop.good("stats", "shop:app").splitlines()

    assert lines[0] == "sqlite:///jobs.db: 5 jobs, no workers alive"
    assert lines[1].startswith("4 wait for a worker, the oldest for ")
    assert [line.split() for line in lines[2:11] if line.split()[1:] != ["0"]] == [
        ["STATE", "JOBS"], ["pending", "4"], ["completed", "1"],
    ]  # fmt: skip
    assert [line.split()[:3] for line in lines[12:]] == [
        ["QUEUE", "SCHEDULED", "PENDING"], ["default", "0", "3"], ["mail", "0", "1"],
    ]  # fmt: skip


def test_stats_in_json_have_all_eight_states(shop: Shop) -> None:
    enqueue(shop, 1)

    stats = shop.json("stats", "shop:app")

    assert stats["counts"] == {state.value: int(state is JobState.PENDING) for state in JobState}
    assert (stats["depth"], stats["workers"], stats["queues"]["default"]["pending"]) == (1, 0, 1)


def test_a_queue_is_paused_and_resumed(shop: Shop) -> None:
    assert shop.good("pause", "shop:app", "mail") == "queue mail is paused; millrace resume lets it go on\n"
    assert [line.split()[:2] for line in shop.good("queues", "shop:app").splitlines()] == [
        ["QUEUE", "STATUS"], ["mail", "paused"],
    ]  # fmt: skip
    assert shop.json("resume", "shop:app", "mail")["paused"] is False
    assert [(queue["name"], queue["paused"]) for queue in shop.json("queues", "shop:app")] == [("mail", False)]


def test_a_queue_shows_its_limit_and_its_priority(shop: Shop) -> None:
    with shop.open() as app:
        app.set_queue("mail", priority=3, concurrency=2)

    assert shop.good("queues", "shop:app").splitlines()[1].split()[:4] == ["mail", "open", "3", "2"]


def test_no_queues_and_no_workers_say_so(shop: Shop) -> None:
    assert shop.good("queues", "--url", "memory://") == "no queues in memory://\n"
    assert shop.good("workers", "--url", "memory://").startswith("no worker reports to memory://; start one with ")


def test_workers_are_listed_with_what_they_say_of_themselves(shop: Shop) -> None:
    register(shop, 255, "host:42", queues=["mail"], concurrency=4, tasks=["shop.add", "shop.send"], pid=42)

    (line,) = shop.good("workers", "shop:app").splitlines()[1:]
    (worker,) = shop.json("workers", "shop:app")

    assert line.split()[:6] == ["00000000000000ff", "host:42", "alive", "mail", "4", "shop.add,shop.send"]
    assert (worker["id"], worker["name"], worker["info"]["pid"]) == ("00000000000000ff", "host:42", 42)


def test_a_worker_that_is_silent_for_long_is_gone(shop: Shop) -> None:
    with shop.open() as app:
        now = app.store.now()
    register(shop, 255, "host:42", seen=now - 40 * SECOND)

    assert shop.good("workers", "shop:app").splitlines()[1].split()[:3] == ["00000000000000ff", "host:42", "gone"]
    assert shop.json("workers", "shop:app")[0]["alive"] is False
    assert shop.json("stats", "shop:app")["workers"] == 0


def test_purge_deletes_what_ended_long_ago(shop: Shop) -> None:
    enqueue(shop, 3)
    with shop.open() as app:
        for job in app.claim(limit=3):
            app.complete(job)

    assert shop.good("purge", "shop:app", "--older-than", "1h") == "deleted no jobs\n"
    assert shop.good("purge", "shop:app", "--older-than", "0", "--state", "dead") == "deleted no jobs\n"
    assert shop.json("purge", "shop:app", "--older-than", "0s") == {"deleted": 3}


def test_migrate_says_what_it_has_done_and_then_that_nothing_is_to_do(shop: Shop) -> None:
    assert shop.json("migrate", "--url", "sqlite:///new.db")["done"] != []
    assert shop.good("migrate", "--url", "sqlite:///new.db") == (
        "nothing to do: the schema of sqlite:///new.db is up to date\n"
    )


def test_doctor_tells_versions_and_findings(shop: Shop) -> None:
    enqueue(shop, 1)

    said = shop.good("doctor", "shop:app")
    report = shop.json("doctor", "shop:app")

    assert said.startswith(f"python {platform.python_version()}, millrace ")
    assert "store sqlite:///jobs.db, 2 tasks known here\n" in said
    assert any(line.split()[:2] == ["ok", "integrity"] for line in said.splitlines())
    assert (report["healthy"], report["versions"]["python"]) == (True, platform.python_version())
    assert {"level", "subject", "text"} == set(report["findings"][0])
    assert report["versions"]["hiredis"] == version("hiredis")
    assert "redis" not in report["versions"]


def test_doctor_fails_where_something_is_wrong_and_tells_the_worst_first(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [Finding("ok", "disk", "room"), Finding("error", "integrity", "page 3 is torn"), Finding("note", "x", "y")]
    monkeypatch.setattr(SQLiteStore, "check", Mock(return_value=found))

    answer = shop.millrace("doctor", "shop:app")

    assert answer.code == 1
    assert [line.split()[0] for line in answer.out.splitlines()[2:]] == ["error", "note", "ok"]


# -- health


def test_a_store_without_jobs_and_with_a_worker_is_healthy(shop: Shop) -> None:
    register(shop, 1, "host:1", tasks=["shop.add"])

    assert shop.good("health", "shop:app") == ("healthy: 0 jobs wait for a worker in sqlite:///jobs.db\n")
    assert shop.json("health", "shop:app") == {"healthy": True, "problems": []}


def test_no_living_worker_is_a_problem(shop: Shop) -> None:
    answer = shop.millrace("health", "shop:app")

    assert answer == (1, "no worker is alive; start one with millrace worker APP\n", "")


def test_a_worker_that_was_seen_long_ago_does_not_count(shop: Shop) -> None:
    with shop.open() as app:
        now = app.store.now()
    register(shop, 1, "host:1", seen=now - 3600 * SECOND)

    assert shop.millrace("health", "shop:app").out.startswith("no worker is alive")


def test_a_job_that_has_waited_too_long_is_a_problem(shop: Shop) -> None:
    register(shop, 1, "host:1")
    with shop.open() as app:
        add = app.task(name="shop.add")(lambda a: a)
        add.enqueue(1)
        shop.good("pause", "shop:app", "default")

        assert shop.millrace("health", "shop:app", "--max-wait", "1h").code == 0
        answer = shop.millrace("health", "shop:app", "--max-wait", "0", "--json")

    (problem,) = answer.json["problems"]
    assert (answer.code, problem["about"]) == (1, "waiting")
    assert problem["text"].startswith("a due job of shop.add has waited ")
    assert problem["text"].endswith(" in queue default, longer than 0 ms; the queue is paused, see millrace resume")


def test_a_task_that_nobody_knows_is_a_problem_until_a_worker_knows_it(shop: Shop) -> None:
    register(shop, 1, "host:1", tasks=["shop.add"])
    shop.good("enqueue", "--url", shop.url, "gone.task")
    shop.good("enqueue", "--url", shop.url, "gone.task", "--queue", "mail")

    assert shop.millrace("health", "shop:app").out == "2 jobs wait for a task that nobody knows: 'gone.task'\n"
    register(shop, 2, "host:2", tasks=["gone.task"])
    assert shop.millrace("health", "shop:app").code == 0


def test_jobs_past_their_lease_are_a_problem(shop: Shop) -> None:
    register(shop, 1, "host:1")
    enqueue(shop, 2)
    with shop.open() as app:
        app.claim(limit=2, lease=0.001)
        late = app.store.now() - 60 * SECOND
        enqueue(shop, 1)
        (old,) = app.store.step(7, (), [ClaimRequest(1, lease=1)], now=late).claimed or (None,)

    answer = shop.millrace("health", "shop:app")

    assert old is not None
    assert answer.code == 1
    assert answer.out.startswith("1 job is past the lease, the oldest for 60 s; no worker takes them back\n")


@pytest.mark.parametrize(("past", "alive", "told"), [(0, False, True), (0, True, False), (4, True, True)])
def test_a_lease_that_passed_is_told_at_once_where_nobody_is_alive_and_else_after_three_seconds(
    shop: Shop, *, past: int, alive: bool, told: bool
) -> None:
    if alive:
        register(shop, 1, "host:1")
    enqueue(shop, 1)
    with shop.open() as app:
        app.store.step(7, (), [ClaimRequest(1, lease=1)], now=app.store.now() - past * SECOND)

    answer = shop.millrace("health", "shop:app", "--max-wait", "1h")

    assert ("past the lease" in answer.out) == told
    assert answer.code == int(told or not alive)


def test_a_store_that_cannot_be_used_is_a_problem_not_a_mistake(shop: Shop) -> None:
    answer = shop.millrace("health", "--url", "sqlite:////nowhere/jobs.db")

    assert (answer.code, answer.err) == (1, "")
    assert answer.out.startswith("the store sqlite:////nowhere/jobs.db cannot be used: the folder /nowhere ")


# -- migrate --sql


def test_the_printed_migrations_make_a_file_that_the_store_takes_for_its_own(shop: Shop) -> None:
    sql = shop.good("migrate", "--url", "sqlite:///new.db", "--sql")
    assert not (shop.folder / "new.db").exists()
    assert sql.startswith("-- version 1: create the tables of version 1\nBEGIN IMMEDIATE;\n")

    with closing(sqlite3.connect(shop.folder / "new.db", isolation_level=None)) as connection:
        connection.executescript(sql)

    assert shop.good("migrate", "--url", "sqlite:///new.db").startswith("nothing to do: ")
    with Millrace(f"sqlite:///{shop.folder / 'new.db'}") as app:
        assert app.enqueue(app.task(name="ping")(lambda: None).job()).state is JobState.PENDING


def test_the_printed_migrations_follow_the_prefix_and_begin_after_a_version(shop: Shop) -> None:
    assert "CREATE TABLE acme_jobs(" in shop.good("migrate", "--url", "sqlite:///new.db?prefix=acme_", "--sql")
    assert shop.good("migrate", "--url", "sqlite:///new.db", "--sql", "--since", str(VERSION)) == ""
    assert shop.json("migrate", "--url", "sqlite:///new.db", "--sql")["sql"][1] == "BEGIN IMMEDIATE;"


def test_a_store_without_sql_has_none_to_print(shop: Shop) -> None:
    answer = shop.millrace("migrate", "--url", "memory://", "--sql")

    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("millrace: memory:// has no schema that SQL could make")


def test_since_goes_with_sql(shop: Shop) -> None:
    assert shop.millrace("migrate", "--url", "memory://", "--since", "1").err.startswith(
        "millrace: --since goes with --sql"
    )
