from __future__ import annotations

import asyncio
import multiprocessing
import os
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import millrace
from millrace import ConfigurationError, Millrace, StoreUnavailable
from millrace.stores import MemoryStore


def add(a: int = 1) -> int:
    return a


def test_the_url_comes_from_the_argument_the_environment_or_the_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MILLRACE_URL", raising=False)
    with Millrace() as app:
        assert app.store.url == "sqlite:///millrace.db"
    monkeypatch.setenv("MILLRACE_URL", "memory://from-environment")
    with Millrace() as app:
        assert app.store.url == "memory://from-environment"
    with Millrace("memory://given") as app:
        assert app.store.url == "memory://given"


def test_a_relative_file_is_relative_to_the_working_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    with Millrace("sqlite:///jobs.db") as app:
        app.task(add).enqueue()

    assert (tmp_path / "jobs.db").is_file()


def test_apps_of_one_memory_name_share_their_jobs_and_others_do_not() -> None:
    with Millrace("memory://shared") as one, Millrace("memory://shared") as two, Millrace("memory://") as three:
        job = one.task(add).enqueue()

        assert two.get(job.id).id == job.id
        assert three.depth() == 0


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("jobs.db",), {}, "not a store URL"),
        (("mongodb://x",), {}, "no store is known for mongodb://"),
        (("sqlite:///x.db?colour=red",), {}, "colour"),
        ((3,), {}, "3 is neither a URL nor a Store"),
        ((), {"retention": -1}, "retention -1 is negative"),
        ((), {"dead_retention": "1"}, "dead_retention '1' is not a duration"),
        ((), {"max_payload": 0}, "max_payload 0"),
        ((), {"release": -1}, "release -1"),
        ((), {"imports": "tasks"}, r"imports is a list of module names.*give \['tasks'\]"),
    ],
)
def test_a_setting_that_is_not_acceptable_is_refused(
    arguments: tuple[Any, ...], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Millrace(*arguments, **options)


def test_imports_are_loaded_when_they_are_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    (tmp_path / "loaded_by_the_app.py").write_text("seen = True\n", encoding="utf-8")
    with Millrace("memory://", imports=["loaded_by_the_app"]) as app:
        assert "loaded_by_the_app" not in sys.modules
        app.load()
        assert "loaded_by_the_app" in sys.modules
    with (
        Millrace("memory://", imports=["no_such_module"]) as app,
        pytest.raises(ConfigurationError, match="imports names 'no_such_module', which cannot be imported"),
    ):
        app.load()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x = 1\nint('x')\n", r"ValueError: invalid literal .* at .*{name}\.py:2"),
        ("def f(:\n", r"SyntaxError: .* at .*{name}\.py:1"),
        ("import no_such_module_at_all\n", r"ModuleNotFoundError: .*no_such_module_at_all.* at .*{name}\.py:1"),
        ("from millrace import Backoff\n\nBackoff(first=-1)\n", r"ConfigurationError: .* at .*{name}\.py:3"),
        ("raise KeyError\n", r"KeyError at .*{name}\.py:1"),
    ],
    ids=["value", "syntax", "import", "ours", "nothing said"],
)
def test_a_module_that_cannot_be_imported_is_told_with_place_and_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, told: str
) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    name = f"broken_{zlib.crc32(text.encode())}"
    (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    expected = f"imports names '{name}', which cannot be imported: {told.format(name=name)}$"
    with Millrace("memory://", imports=[name]) as app, pytest.raises(ConfigurationError, match=expected):
        app.load()


def test_a_closed_app_refuses_its_verbs_until_it_is_opened_again() -> None:
    app = Millrace("memory://")
    task = app.task(add)
    app.close()
    app.close()

    with pytest.raises(StoreUnavailable):
        task.enqueue()
    with pytest.raises(StoreUnavailable, match="closed; open it again"):
        asyncio.run(task.aenqueue())
    with app:
        assert task.enqueue().state == "pending"
        app.open()


def test_an_app_on_a_store_object_closes_it_and_cannot_open_it_again() -> None:
    store = MemoryStore()
    app = Millrace(store)
    app.close()

    with pytest.raises(StoreUnavailable):
        store.depth()
    with pytest.raises(ConfigurationError, match="was given as an object and is closed; make a new app"):
        app.open()


def test_an_app_says_what_it_is() -> None:
    with Millrace("memory://x") as app:
        app.task(add)

        assert repr(app) == "<Millrace memory://x with 1 tasks>"


@pytest.fixture
def file_app(tmp_path: Path) -> Iterator[Millrace]:
    with Millrace(f"sqlite:///{tmp_path}/jobs.db") as app:
        yield app


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_child_uses_the_app_as_its_own(file_app: Millrace) -> None:
    """Threads, locks and queued inserts stay with the parent; the child begins anew, and both go on."""
    task = file_app.task(name="add")(add)

    async def beside() -> None:
        await task.aenqueue(1)

    asyncio.run(beside())  # the store thread runs now
    parent = file_app.worker_id
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            task.enqueue(2)
            asyncio.run(beside())
            code = 0 if file_app.worker_id != parent else 2
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    task.enqueue(3)
    asyncio.run(beside())

    assert os.waitstatus_to_exitcode(status) == 0
    assert file_app.worker_id == parent
    assert file_app.depth() == 5


def test_a_spawned_child_shares_the_file(file_app: Millrace, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        assert pool.apply(put_into, (str(tmp_path / "jobs.db"),)) == "pending"
        pool.close()
        pool.join()

    assert file_app.depth() == 1


def put_into(file: str) -> str:
    with Millrace(f"sqlite:///{file}") as app:
        return app.task(add).enqueue().state.value


def test_importing_millrace_loads_neither_asyncio_nor_a_driver_nor_the_worker() -> None:
    """A script that only enqueues pays for none of them."""
    program = (
        "import sys; from millrace import Millrace; app = Millrace('memory://')\n"
        "print([name for name in ('asyncio', 'sqlite3', 'click', 'millrace.worker') if name in sys.modules])"
    )

    output = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout

    assert output.strip() == "[]"


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'millrace' has no attribute 'Nothing'"):
        getattr(millrace, "Nothing")  # noqa: B009 - a checker would refuse it
