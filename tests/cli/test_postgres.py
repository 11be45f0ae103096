"""Every command on a PostgreSQL store, by `--url` and by APP; no password is ever shown."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from millrace import JobState, Millrace
from millrace.cli.group import COMMANDS
from millrace.conformance.bench import Bench
from millrace.stores import SQLiteStore
from millrace.stores.postgres.migrations import VERSION
from millrace.testing.clock import ManualClock
from tests.cli.conftest import Shop
from tests.servers.cluster import free_port
from tests.servers.databases import Database

SECRET = "open-sesame"  # noqa: S105 - of a test's server, which asks for none
APP = """\
import os
from millrace import Millrace

app = Millrace(os.environ["SHOP_URL"])


@app.task
def add(a: int, b: int = 1) -> int:
    return a + b
"""


class Desk:
    """The shop's command line on a store of the server, watched for the password."""

    def __init__(self, shop: Shop, url: str) -> None:
        self.url = url
        self.ran = set[str]()
        self._shop = shop

    def good(self, *words: str) -> str:
        """Run a command that must go well, and give what it printed."""
        answer = self._shop.millrace(*words)
        self.ran.add(words[0])
        assert answer.code == 0, answer
        assert SECRET not in answer.out + answer.err
        return answer.out

    def json(self, *words: str) -> Any:
        """Run a command with --json."""
        return json.loads(self.good(*words, "--json"))

    def on_store(self, command: str, *words: str) -> str:
        """Run a command with --url."""
        return self.good(command, *words, "--url", self.url)


@pytest.fixture
def url(postgres: Database) -> str:
    """The store's URL, with a password."""
    return postgres.url().replace("@", f":{SECRET}@", 1)


@pytest.fixture
def desk(shop: Shop, url: str, monkeypatch: pytest.MonkeyPatch) -> Desk:
    (shop.folder / "pgshop.py").write_text(APP, encoding="utf-8")
    monkeypatch.setenv("SHOP_URL", url)
    return Desk(shop, url)


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Bench]:
    store = SQLiteStore(tmp_path / "from.db", synchronous="normal")
    yield Bench(store, ManualClock(store.now()))
    store.close()


def test_every_command_works_and_none_shows_the_password(desk: Desk, shop: Shop, url: str, postgres: Database) -> None:
    postgres.drop()
    assert desk.on_store("migrate").startswith("schema millrace_test version 1: create the tables of version 1\n")
    assert desk.on_store("migrate").startswith("nothing to do: the schema of postgresql://")
    assert desk.on_store("migrate", "--sql").startswith("-- version 1: ")
    ids = [desk.good("enqueue", "pgshop:app", "pgshop.add", f'{{"a": {n}}}').split()[0] for n in range(3)]
    assert len(desk.on_store("jobs").splitlines()) == 4
    assert ids[0] in desk.on_store("job", ids[0]).splitlines()[0]
    assert "3 jobs, no workers alive" in desk.on_store("stats")
    assert "cancelled" in desk.on_store("cancel", ids[0])
    assert "pending" in desk.on_store("retry", ids[0])
    assert "deleted" in desk.on_store("delete", ids[2])
    assert "paused" in desk.on_store("pause", "mail")
    assert "mail" in desk.on_store("resume", "mail")
    assert "default" in desk.on_store("queues")
    assert "no schedules in postgresql://" in desk.on_store("schedules")
    assert "no worker reports" in desk.on_store("workers")
    assert "postgresql://" in desk.on_store("top", "--once").splitlines()[0]
    assert "enqueued" in desk.on_store("tail", "--no-follow")
    worked = subprocess.run(
        [sys.executable, "-m", "millrace", "worker", "pgshop:app", "--burst"],
        cwd=shop.folder, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert SECRET not in worked.stdout + worked.stderr
    assert desk.on_store("stats", "--json").count('"completed": 2') == 2
    assert "deleted 2 jobs" in desk.on_store("purge", "--older-than", "0")
    assert shop.millrace("health", "--url", url).out == "no worker is alive; start one with millrace worker APP\n"
    assert "PostgreSQL" in shop.millrace("doctor", "--url", url).out
    assert "nothing to copy" in desk.good("copy", url, "sqlite:///back.db")
    others = {"demo", "completion", "dashboard"}  # on no store of the user's, on none at all, and until it is stopped
    assert desk.ran | {"worker", "health", "doctor"} | others == COMMANDS.keys()


@pytest.fixture
def reader(desk: Desk, url: str, postgres: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a role that may look at the app's schema, and change nothing."""
    desk.on_store("migrate")
    postgres.run("create role millrace_reader login")
    postgres.run("grant usage on schema {s} to millrace_reader")
    postgres.run("grant select on all tables in schema {s} to millrace_reader")
    theirs = "postgresql://millrace_reader:" + url.partition(":")[2].partition(":")[2]
    monkeypatch.setenv("SHOP_URL", theirs)
    yield theirs
    postgres.run("drop owned by millrace_reader")
    postgres.run("drop role millrace_reader")


@pytest.mark.parametrize("options", [[], ["--burst"], ["--processes", "2"]])
def test_a_worker_whose_role_may_only_look_ends_at_once_with_exit_code_2(
    shop: Shop, reader: str, options: list[str]
) -> None:
    worked = subprocess.run(
        [sys.executable, "-m", "millrace", "worker", "pgshop:app", *options],
        cwd=shop.folder, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert worked.returncode == 2
    told = [line for line in worked.stderr.splitlines() if line.startswith("millrace: ")]
    assert told != []
    shown = reader.replace(SECRET, "***")
    why = "permission denied for table worker"
    then = "let its owner run `millrace migrate`, and grant this role what the documentation lists under Grants"
    assert set(told) == {f"millrace: {shown} does not allow it: {why}; {then}"}


def test_health_does_not_call_a_store_out_of_reach_that_refuses(shop: Shop, reader: str, postgres: Database) -> None:
    postgres.run("revoke usage on schema {s} from millrace_reader")
    shown = reader.replace(SECRET, "***")

    answer = shop.millrace("health", "--url", reader)

    assert (answer.code, answer.err) == (1, "")
    assert answer.out.startswith(
        f"the store {shown} cannot be used: {shown} does not allow it: permission denied for schema millrace_test; "
    )


def test_health_calls_a_server_out_of_reach_that_is_not_there(shop: Shop) -> None:
    gone = f"postgresql://ada@127.0.0.1:{free_port()}/shop"

    answer = shop.millrace("health", "--url", gone)

    assert answer.code == 1
    assert answer.out.startswith(f"the store {gone} is out of reach: {gone} cannot be reached: ")


def test_doctor_tells_of_the_server(shop: Shop, url: str) -> None:
    with Millrace(url) as app:
        app.migrate()

    answer = shop.millrace("doctor", "--url", url, "--json")

    assert SECRET not in answer.out + answer.err
    levels = {each["subject"]: each["level"] for each in answer.json["findings"]}
    assert levels["version"] == levels["indexes"] == levels["grants"] == levels["transactions"] == "ok"
    assert {"durability", "connections", "clock", "bloat"} <= levels.keys()
    assert answer.code == int("error" in levels.values())


def test_the_printed_migrations_make_a_schema_that_the_store_takes_for_its_own(
    desk: Desk, url: str, postgres: Database
) -> None:
    postgres.drop()
    sql = desk.on_store("migrate", "--sql")
    assert postgres.run("select 1 from pg_namespace where nspname = 'millrace_test'") == []

    with postgres.connect() as connection:
        connection.execute(sql.encode())

    assert desk.on_store("migrate").startswith("nothing to do: ")
    assert desk.on_store("migrate", "--sql", "--since", str(VERSION)) == ""
    with Millrace(url) as app:
        app.task(name="ping")(lambda: "pong").enqueue()
        assert app.drain()[JobState.COMPLETED] == 1


def test_jobs_move_from_a_file_to_the_server_and_back(
    desk: Desk, source: Bench, url: str, postgres: Database, tmp_path: Path
) -> None:
    for state in JobState:
        source.bring(state, tags=("kept",))
    shown = postgres.url()

    said = desk.good("copy", "sqlite:///from.db", url).splitlines()
    assert said[0].startswith("copied 8 jobs from sqlite:///from.db to ")
    assert said[1] == "2 jobs ran in the source and are pending in the target, the try given back"
    assert f":***@{shown.partition('@')[2]}" in said[0]
    assert desk.json("copy", "sqlite:///from.db", url)["there"] == 8
    assert desk.json("copy", url, "sqlite:///back.db")["copied"] == 8

    back = SQLiteStore(tmp_path / "back.db", synchronous="normal")
    with Millrace(url) as app:
        jobs = list(app.iter(tag="kept"))
        assert [job.row.id for job in jobs] == [row.id for row in _newest(source.store)]
        assert [_plain(row) for row in _newest(back)] == [_plain(job.row) for job in jobs]
    back.close()


def _newest(store: Any) -> list[Any]:
    from millrace.messages import JobFilter

    rows: list[Any] = store.page(JobFilter(), limit=100)[0]
    return rows


def _plain(row: Any) -> Any:
    from msgspec.structs import replace

    return replace(row, ref=0)


def test_one_schema_under_two_names_is_refused(desk: Desk, shop: Shop, url: str, postgres: Database) -> None:
    del desk
    answer = shop.millrace("copy", url, postgres.url(application_name="other"))

    assert (answer.code, SECRET in answer.err) == (2, False)
    assert answer.err.endswith("are the same store; name another one to copy to\n")


@pytest.mark.parametrize(
    "form",
    [
        "postgresql://ada:{secret}@127.0.0.1:{port}/shop",
        "postgresql://ada:{secret}@127.0.0.1:{port}/shop?schema=2",
        "postgresql://ada:{secret}@127.0.0.1:{port}/shop?colour=red",
        "postgresql://ada@127.0.0.1:{port}/shop?password={secret}",
        "postgresql+psycopg://ada:{secret}@127.0.0.1:{port}/shop",
        "postgresq://ada:{secret}@127.0.0.1:{port}/shop",
        "postgresql:ada:{secret}@127.0.0.1:{port}/shop",
        "postgresql://ada:{secret}@127.0.0.1:port/shop",
        "redis://:{secret}@127.0.0.1:{port}/0",
    ],
)
@pytest.mark.parametrize("command", ["stats", "health", "doctor", "migrate"])
def test_what_is_wrong_with_a_url_is_told_without_its_password(shop: Shop, form: str, command: str) -> None:
    answer = shop.millrace(command, "--url", form.format(secret=SECRET, port=free_port()))

    assert answer.code in {1, 2}
    assert answer.out + answer.err != ""
    assert SECRET not in answer.out + answer.err
    assert len(answer.err.splitlines()) <= 1
