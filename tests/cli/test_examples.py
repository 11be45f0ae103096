"""Every example in the docstrings of the command line, the demo and the testing helpers runs."""

from __future__ import annotations

import doctest
import pkgutil
from importlib import import_module

import pytest

from millrace import cli, demo, testing

MODULES = [
    f"{room.__name__}.{each.name}" for room in (cli, demo, testing) for each in pkgutil.iter_modules(room.__path__)
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_hold(name: str) -> None:
    assert doctest.testmod(import_module(name)).failed == 0
