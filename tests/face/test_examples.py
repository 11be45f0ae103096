"""Every example in the docstrings of the words and of the face runs."""

from __future__ import annotations

import asyncio
import doctest
import pkgutil
from importlib import import_module

import pytest

import millrace
from millrace import Millrace

MODULES = [each.name for each in pkgutil.iter_modules(millrace.__path__) if not each.ispkg and each.name != "__main__"]


AWAITABLE = {"aio", "aioreader", "aioschedules"}  #: whose examples share a beginning, as their docstrings say


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_hold(name: str) -> None:
    runner = doctest.DocTestRunner()
    for example in doctest.DocTestFinder().find(import_module(f"millrace.{name}")):
        with Millrace("memory://") as app:
            if name in AWAITABLE:
                example.globs |= {"app": app, "ping": app.task(name="ping")(lambda: "pong"), "run": asyncio.run}
            runner.run(example)

    assert runner.summarize(verbose=False).failed == 0
