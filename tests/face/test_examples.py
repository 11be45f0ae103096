"""Every example in the docstrings of the words and of the face runs."""

from __future__ import annotations

import doctest
import pkgutil
from importlib import import_module

import pytest

import millrace

MODULES = [each.name for each in pkgutil.iter_modules(millrace.__path__) if not each.ispkg and each.name != "__main__"]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_hold(name: str) -> None:
    module = import_module(f"millrace.{name}")

    assert doctest.testmod(module).failed == 0
