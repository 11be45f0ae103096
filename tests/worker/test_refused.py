"""A store that is there and refuses: nothing starts on it, and what runs already waits for the right to come back."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from millrace import ConfigurationError, JobState, Millrace, SchemaMismatch, StoreUnavailable, Worker
from millrace.errors import MillraceError
from millrace.worker.notice import Notices
from millrace.worker.outage import Outage
from tests.servers.databases import Database
from tests.servers.redisserver import RedisServer
from tests.worker.conftest import Hire
from tests.worker.stages import Stage
from tests.worker.waiting import PATIENCE, await_event, eventually

KINDS = [ConfigurationError, SchemaMismatch]


@pytest.fixture(autouse=True)
def lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "millrace.worker")


def whole(_: str) -> None:
    return None


def refusing(kind: type[MillraceError], verb: str) -> Callable[[str], MillraceError | None]:
    """Make one verb be refused."""

    def broken(called: str) -> MillraceError | None:
        return kind("not for you") if called == verb else None

    return broken


# -- at the start


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("verb", ["register", "watch", "promote"])
def test_a_worker_does_not_start_on_a_store_that_refuses_and_leaves_nothing_there(
    staged: Millrace, stage: Stage, verb: str, kind: type[MillraceError]
) -> None:
    job = staged.task(name="work")(lambda: None).enqueue()
    stage.broken = refusing(kind, verb)
    worker = Worker(staged, burst=True)

    with pytest.raises(kind, match="not for you"):
        worker.run()

    assert (worker.running, worker.notices.outages.count, staged.workers()) == (False, 0, [])
    stage.broken = whole
    assert (worker.run(), job.refresh().state) == (0, "completed")


def test_a_drain_raises_what_the_store_has_refused(staged: Millrace, stage: Stage) -> None:
    staged.task(name="work")(lambda: None).enqueue()
    stage.broken = refusing(ConfigurationError, "step")

    with pytest.raises(ConfigurationError, match="not for you"):
        staged.drain()

    stage.broken = whole
    assert staged.drain() == {"completed": 1}


# -- while it runs


@pytest.mark.parametrize("kind", KINDS)
def test_a_right_that_is_taken_from_a_running_worker_is_an_outage_and_costs_no_outcome(
    staged: Millrace, stage: Stage, hire: Hire, caplog: pytest.LogCaptureFixture, kind: type[MillraceError]
) -> None:
    began, go = threading.Event(), threading.Event()
    tried = set[str]()

    @staged.task
    def work() -> int:
        began.set()
        assert go.wait(PATIENCE)
        return 1

    def refuse(verb: str) -> MillraceError:
        tried.add(verb)
        return kind("not any more")

    worker = hire(staged, concurrency=1)
    job = work.enqueue()
    await_event(began)
    stage.broken = refuse
    go.set()
    eventually(lambda: {"step", "promote"} <= tried)
    assert worker.notices.outages.wait()
    stage.broken = whole

    ended = job.wait(PATIENCE)
    assert (ended.result, ended.attempt, ended.crashes) == (1, 1, 0)
    assert caplog.text.count("the store cannot be used: not any more") == worker.notices.outages.count
    assert not [record for record in caplog.records if record.exc_info], "a refusal is no fault of ours"


def test_what_keeps_a_worker_from_its_store_is_told_again_only_where_it_is_something_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    outage = Outage(Notices())
    for error in (StoreUnavailable("gone"), StoreUnavailable("gone"), ConfigurationError("no"), StoreUnavailable("-")):
        outage.hit(error)
    outage.over()
    outage.hit(ConfigurationError("no"))

    told = [record.getMessage().split(";")[0] for record in caplog.records if record.levelname == "ERROR"]
    assert told == [f"the store cannot be used: {why}" for why in ("gone", "no", "no")]


# -- on PostgreSQL

ROLE = "millrace_clerk"


@pytest.fixture
def clerk(postgres: Database) -> Iterator[str]:
    """The URL of a role that may look at all of the schema, and change nothing."""
    with Millrace(postgres.url()) as app:
        app.migrate()
    postgres.run(f"create role {ROLE} login")
    postgres.run(f"grant usage on schema {{s}} to {ROLE}")
    postgres.run(f"grant select on all tables in schema {{s}} to {ROLE}")
    yield postgres.url().replace("://", f"://{ROLE}@").replace(f"{ROLE}@millrace_owner", ROLE)
    postgres.run(f"drop owned by {ROLE}")
    postgres.run(f"drop role {ROLE}")


def test_a_worker_whose_role_may_only_look_does_not_start(clerk: str) -> None:
    with Millrace(clerk) as app:
        worker = Worker(app, burst=True)
        with pytest.raises(ConfigurationError, match=r"not allow it: permission denied for table worker; .*Grants"):
            worker.run()
        assert app.depth() == 0, "it may look"


@pytest.mark.parametrize("table", ["worker", "job"])
def test_a_worker_whose_role_may_write_but_for_one_table_does_not_start(
    clerk: str, postgres: Database, table: str
) -> None:
    postgres.run(f"grant insert, update, delete on all tables in schema {{s}} to {ROLE}")
    postgres.run(f"revoke update, insert on {{s}}.{table} from {ROLE}")
    with Millrace(clerk) as app:
        worker = Worker(app, burst=True)
        with pytest.raises(ConfigurationError, match=f"permission denied for table {table}"):
            worker.run()
        assert app.workers() == []


def test_grants_that_are_taken_from_a_running_worker_and_given_back_cost_no_outcome(
    clerk: str, postgres: Database, hire: Hire
) -> None:
    postgres.run(f"grant insert, update, delete on all tables in schema {{s}} to {ROLE}")
    with Millrace(clerk) as app:
        _survives(
            app,
            hire,
            lambda: postgres.run(f"revoke insert, update, delete on all tables in schema {{s}} from {ROLE}"),
            lambda: postgres.run(f"grant insert, update, delete on all tables in schema {{s}} to {ROLE}"),
        )


# -- on Redis

RIGHTS = ("+@read", "+@write", "+@scripting", "+@connection", "+publish", "+subscribe", "+time", "+wait")


@pytest.fixture
def reader(redis_server: RedisServer) -> Iterator[str]:
    """The URL of a user that may read, and change nothing."""
    redis_server.run("FLUSHALL")
    with Millrace(redis_server.url()) as app:
        app.migrate()
    rights = [right for right in RIGHTS if right != "+@write"]
    redis_server.run("ACL", "SETUSER", "clerk", "on", ">s3cret", "~{millrace}:*", "&{millrace}:*", *rights)
    yield redis_server.url(login="clerk:s3cret")
    redis_server.run("ACL", "DELUSER", "clerk")


def test_a_worker_whose_user_may_only_read_does_not_start(reader: str) -> None:
    with Millrace(reader) as app:
        worker = Worker(app, burst=True)
        with pytest.raises(ConfigurationError, match=r"does not allow it to this user .*Permissions"):
            worker.run()
        assert app.depth() == 0, "it may look"


def test_rights_that_are_taken_from_a_running_worker_and_given_back_cost_no_outcome(
    reader: str, redis_server: RedisServer, hire: Hire
) -> None:
    redis_server.run("ACL", "SETUSER", "clerk", "+@write")
    with Millrace(reader) as app:
        _survives(
            app,
            hire,
            lambda: redis_server.run("ACL", "SETUSER", "clerk", "-@write"),
            lambda: redis_server.run("ACL", "SETUSER", "clerk", "+@write"),
        )


def _survives(app: Millrace, hire: Hire, take: Callable[[], Any], give: Callable[[], Any]) -> None:
    """See that a job which ends while its worker has no right to write is completed by the same attempt."""
    began, go = threading.Event(), threading.Event()

    @app.task
    def work() -> int:
        began.set()
        assert go.wait(PATIENCE)
        return 1

    worker = hire(app, concurrency=1)
    job = work.enqueue()
    await_event(began)
    take()
    go.set()
    assert worker.notices.outages.wait()
    shift: Any = worker._shift  # pyright: ignore[reportPrivateUsage]
    eventually(lambda: shift.floor.done and not shift.floor.running)
    give()

    ended = job.wait(PATIENCE)
    assert (ended.state, ended.result, ended.attempt, ended.crashes) == (JobState.COMPLETED, 1, 1, 0)
    worker.stop()


# -- on SQLite

PARTED = """\
import os, sys
from pathlib import Path
from millrace.cli.run import run

for name in ("first", "second"):
    Path(f"{name}.py").write_text("from millrace import Millrace\\napp = Millrace('sqlite:///jobs.db')\\n")
assert run(["worker", "first:app", "--burst"]) == 0  # it makes the file, and loads all that another user may not
for each in Path().glob("jobs.db*"):
    each.chmod(0o444)
if os.geteuid() == 0:  # who may write whatever the mode says
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
sys.exit(run(["worker", "second:app", *sys.argv[1:]]))
"""


@pytest.mark.parametrize("options", [["--burst"], []])
def test_a_worker_on_a_file_that_it_may_not_write_ends_with_exit_code_2(options: list[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="millrace-") as folder:
        Path(folder).chmod(0o755)
        done = subprocess.run(
            [sys.executable, "-c", PARTED, *options],
            cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip

    *_, last = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (2, "")
    assert last.startswith("millrace: ")
    assert "jobs.db cannot be written: " in last
    assert "is not this user's to write" in last
    assert (os.getuid() == 0) is ("this process is user 65534" in last)
