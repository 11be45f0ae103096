"""How APP, --url and the two variables are read, and how every mistake in them is told: one line, exit code 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Shop

DEPTH = "2 wait for a worker"
NAME_ONE = "give APP as module:attribute, or --url sqlite:///jobs.db, or set MILLRACE_APP or MILLRACE_URL"
KNOWN = "memory://, postgres://, postgresql://, redis://, rediss://, sqlite://, unix://, valkey://, valkeys://"
LOOKED = "looked in the working directory and on sys.path"
SEE = "see millrace jobs --help"


@pytest.fixture
def full(shop: Shop) -> Shop:
    for _ in range(2):
        shop.good("enqueue", "shop:app", "shop.add", '{"a": 1}')
    return shop


@pytest.mark.parametrize("words", [("shop:app",), ("shop.app",), ("--url", "sqlite:///jobs.db")])
def test_an_app_is_named_by_word_or_url(full: Shop, words: tuple[str, ...]) -> None:
    assert DEPTH in full.good("stats", *words)


@pytest.mark.parametrize(
    ("variable", "value"),
    [("MILLRACE_APP", "shop:app"), ("MILLRACE_APP", "shop.app"), ("MILLRACE_URL", "sqlite:///jobs.db")],
)
def test_an_app_is_named_by_a_variable(full: Shop, monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)

    assert DEPTH in full.good("stats")
    assert full.good("pause", "mail").startswith("queue mail is paused")


def test_what_is_typed_wins_over_the_variables_and_the_app_over_the_url(
    full: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLRACE_APP", "shop:app")
    monkeypatch.setenv("MILLRACE_URL", "sqlite:///other.db")

    assert DEPTH in full.good("stats")
    assert "nothing waits" in full.good("stats", "--url", "sqlite:///third.db")
    monkeypatch.setenv("MILLRACE_APP", "nowhere:app")
    assert DEPTH in full.good("stats", "shop:app")


def test_an_app_within_a_package_is_found_either_way(shop: Shop) -> None:
    package = shop.folder / "depot"
    package.mkdir()
    (package / "__init__.py").write_text("", encoding="utf-8")
    (package / "jobs.py").write_text(
        "from millrace import Millrace\nclass Holder:\n    app = Millrace('memory://')\napp = Holder.app\n",
        encoding="utf-8",
    )

    for where in ("depot.jobs:app", "depot.jobs.app", "depot.jobs:Holder.app"):
        assert "memory://: no jobs" in shop.good("stats", where)


def test_the_modules_that_the_app_imports_are_loaded(shop: Shop) -> None:
    (shop.folder / "spread.py").write_text(
        "from millrace import Millrace\napp = Millrace('memory://', imports=['spreadtasks'])\n", encoding="utf-8"
    )
    (shop.folder / "spreadtasks.py").write_text(
        "from spread import app\n\n@app.task(name='far')\ndef far() -> None: ...\n", encoding="utf-8"
    )

    assert shop.good("enqueue", "spread:app", "far").split()[1:3] == ["pending", "far"]


BROKEN = {
    "missing_import": ("import nonsense\n", "ModuleNotFoundError: No module named 'nonsense' at {}:1"),
    "syntax": ("x = 1\ndef f(:\n", "SyntaxError: invalid syntax at {}:2"),
    "raises": ("def f():\n    return 1 / 0\n\nf()\n", "ZeroDivisionError: division by zero at {}:2"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_module_that_cannot_be_imported_is_told_with_the_place(shop: Shop, kind: str) -> None:
    text, told = BROKEN[kind]
    (shop.folder / f"broken_{kind}.py").write_text(text, encoding="utf-8")

    answer = shop.millrace("jobs", f"broken_{kind}:app")

    expected = f"millrace: module broken_{kind} cannot be imported: {told.format(f'broken_{kind}.py')}\n"
    assert answer == (2, "", expected)


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("command", ["worker", "jobs", "health"])
def test_a_module_in_imports_that_cannot_be_imported_is_told_in_one_line(shop: Shop, kind: str, command: str) -> None:
    text, told = BROKEN[kind]
    (shop.folder / f"part_{command}_{kind}.py").write_text(text, encoding="utf-8")
    (shop.folder / f"whole_{command}_{kind}.py").write_text(
        f"from millrace import Millrace\n\napp = Millrace('memory://', imports=['part_{command}_{kind}'])\n",
        encoding="utf-8",
    )

    answer = shop.millrace(command, f"whole_{command}_{kind}:app")

    why = told.format(f"part_{command}_{kind}.py")
    assert answer == (2, "", f"millrace: imports names 'part_{command}_{kind}', which cannot be imported: {why}\n")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), f"no app is named: {NAME_ONE}"),
        (("nope:app",), f"no module named 'nope' for APP 'nope:app'; {LOOKED}"),
        (("shop.deeper:app",), f"no module named 'shop.deeper' for APP 'shop.deeper:app'; {LOOKED}"),
        (("shop:nope",), "module shop has no 'nope'; did you mean shop:app?"),
        (("shop:add",), "'add' in shop is a Task, not a Millrace app; did you mean shop:app?"),
        (("shop",), "'shop' names a module, not an app in it; did you mean shop:app?"),
        (("json:dumps",), "'dumps' in json is a function, not a Millrace app; make one with app = Millrace(…)"),
        (("sqlite:///jobs.db",), "'sqlite:///jobs.db' is not an APP; write module:attribute, such as tasks:app"),
        (("--url", "mysql:///x"), f"no store is known for mysql://; known are {KNOWN}"),
        (("--url", "jobs.db"), "'jobs.db' is not a store URL; a file is written as sqlite:///jobs.db"),
        (("shop:app", "--url", "sqlite:///x.db"), f"APP 'shop:app' and --url exclude each other; {SEE}"),
        (("shop:app", "more"), f"'more' is one word too many; {SEE}"),
    ],
)  # fmt: skip
def test_an_app_that_is_named_wrongly_is_told_in_one_line(shop: Shop, words: tuple[str, ...], sentence: str) -> None:
    assert shop.millrace("jobs", *words) == (2, "", f"millrace: {sentence}\n")


def test_a_folder_that_is_not_there_is_told_in_one_line(shop: Shop) -> None:
    answer = shop.millrace("jobs", "--url", "sqlite:////nowhere/jobs.db")

    assert (answer.code, len(answer.err.splitlines())) == (2, 1)
    assert "the folder /nowhere of /nowhere/jobs.db does not exist" in answer.err


def test_a_file_that_is_no_database_is_a_failure(shop: Shop) -> None:
    Path(shop.folder / "notes.txt").write_text("not a database, " * 100, encoding="utf-8")

    answer = shop.millrace("jobs", "--url", "sqlite:///notes.txt")

    assert (answer.code, len(answer.err.splitlines())) == (1, 1)
    assert "is not an SQLite database" in answer.err
