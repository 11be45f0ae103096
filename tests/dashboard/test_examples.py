"""Every example in the docstrings of the dashboard runs, and its templates hold nothing that the policy forbids."""

from __future__ import annotations

import doctest
import pkgutil
import re
from importlib import import_module
from importlib.resources import files

import pytest

from millrace import dashboard

MODULES = [f"{dashboard.__name__}.{each.name}" for each in pkgutil.iter_modules(dashboard.__path__)]
TEXTS = {
    entry.name: entry.read_text(encoding="utf-8")
    for folder in ("templates", "static")
    for entry in files("millrace.dashboard").joinpath(folder).iterdir()
}
FORBIDDEN = r"\|\s*safe|autoescape|Markup|<script(?! src=)|\son\w+=|\sstyle=|javascript:|https?:|@import"


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_hold(name: str) -> None:
    assert doctest.testmod(import_module(name)).failed == 0


@pytest.mark.parametrize("name", TEXTS)
def test_no_file_turns_escaping_off_or_loads_from_elsewhere(name: str) -> None:
    assert re.findall(FORBIDDEN, TEXTS[name].replace('xmlns="http://www.w3.org/2000/svg"', "")) == []
