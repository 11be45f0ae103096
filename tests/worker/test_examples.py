"""Every example in the docstrings of the worker runs; public members of `Worker` and methods of `Job` have one."""

from __future__ import annotations

import doctest
import inspect
import pkgutil
from importlib import import_module
from types import FunctionType

import pytest

from millrace import Job, worker
from millrace.worker import Worker

#: Not `child`: to import it is to be a child process.
MODULES = [f"millrace.worker.{each.name}" for each in pkgutil.iter_modules(worker.__path__) if each.name != "child"]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_hold(name: str) -> None:
    assert doctest.testmod(import_module(name)).failed == 0


@pytest.mark.parametrize(
    ("kind", "what"), [(Worker, (FunctionType, property)), (Job, FunctionType)], ids=["Worker", "Job"]
)
def test_every_public_member_has_an_example(kind: type, what: type | tuple[type, ...]) -> None:
    members = [
        (name, value) for name, value in vars(kind).items() if not name.startswith("_") and isinstance(value, what)
    ]

    assert members
    assert [] == [name for name, value in members if ">>>" not in (inspect.getdoc(value) or "")]
