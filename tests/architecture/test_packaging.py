"""What the package promises its installers: few dependencies, all locked with hashes, from whichever index they use."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import entry_points, version

import pytest

from tests.architecture.rules.files import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCKS = ("runtime", "dev", "docs")


def listed(name: str) -> set[str]:
    """Give the requirements of an .in file, without comments and includes."""
    lines = (ROOT / "requirements" / f"{name}.in").read_text(encoding="utf-8").splitlines()
    return {line for line in lines if line and not line.startswith(("#", "-r"))}


def locked(name: str) -> dict[str, str]:
    """Give the pinned versions of a lock file by distribution, where one is pinned twice the last."""
    text = (ROOT / "requirements" / f"{name}.lock").read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9-]+)==([^ ;\\]+)", text, flags=re.MULTILINE))


def test_the_core_has_three_dependencies_and_the_lock_is_made_from_them() -> None:
    assert {"click", "cronsim", "msgspec"} == {re.split("[<>=]", line)[0] for line in PROJECT["dependencies"]}
    assert listed("runtime") == set(PROJECT["dependencies"])


def test_all_holds_every_extra_but_the_newer_sqlite() -> None:
    extras = PROJECT["optional-dependencies"]

    (everything,) = extras["all"]

    assert set(extras) - {"all", "apsw"} == set(re.findall(r"[a-z]+", everything)) - {"millrace"}


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_file_pins_what_was_asked_for_with_hashes_and_names_no_host(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.lock").read_text(encoding="utf-8")
    asked = {re.split(r"[\[<>=; ]", line)[0] for line in listed(name)}

    assert asked <= set(locked(name))
    assert re.findall(r"(?m)^[a-z0-9-]+==.*[^\\]$", text) == []  # each pin goes on to its hashes
    assert re.findall(r"://|--index|--extra-index|--find-links", text) == []


def test_the_locks_agree_on_the_runtime() -> None:
    development = locked("dev")

    assert {name: development.get(name) for name in locked("runtime")} == locked("runtime")


def test_the_installed_package_is_this_version_with_its_entry_points() -> None:
    scripts = entry_points(group="console_scripts", name="millrace")
    plugins = entry_points(group="pytest11", name="millrace")

    assert version("millrace") == PROJECT["version"]
    assert [script.value for script in scripts] == ["millrace.cli:main"]
    assert [plugin.value for plugin in plugins] == ["millrace.testing.plugin"]
    assert [plugin.load().__name__ for plugin in plugins] == ["millrace.testing.plugin"]
