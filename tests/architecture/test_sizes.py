"""Rooms stay small enough to be read: 400 lines a file, 60 a function."""

from __future__ import annotations

import ast

from tests.architecture.rules.files import package, parse, suite
from tests.architecture.rules.sizes import EXCEPTIONS, function_lines, oversized


def test_every_file_and_function_of_the_package_is_small_enough() -> None:
    assert oversized(package()) == []


def test_every_file_and_function_of_the_tests_is_small_enough() -> None:
    assert oversized(suite()) == []


def test_there_is_no_exception() -> None:
    assert frozenset() == EXCEPTIONS


def test_a_file_of_400_lines_passes_and_one_more_is_found() -> None:
    assert oversized([parse("x = 1\n" * 400)]) == []
    assert oversized([parse("x = 1\n" * 401)]) == [
        "millrace/sample.py has 401 lines of at most 400; which noun moves out?"
    ]


def test_a_function_of_60_lines_passes_and_one_more_is_found() -> None:
    assert oversized([parse("def f():\n" + "    x = 1\n" * 59)]) == []
    assert oversized([parse("async def f():\n" + "    x = 1\n" * 60)]) == [
        "millrace/sample.py:1 f has 61 lines of at most 60"
    ]


def test_a_method_within_a_class_is_measured() -> None:
    assert len(oversized([parse("class C:\n    def f(self):\n" + "        x = 1\n" * 60)])) == 1


def test_a_docstring_does_not_count_for_its_function() -> None:
    node = ast.parse('def f():\n    """One.\n\n    Two.\n    """\n    return 1').body[0]

    assert isinstance(node, ast.FunctionDef)
    assert function_lines(node) == 2


def test_an_exception_lets_through_what_it_names_and_nothing_else() -> None:
    text = "def f():\n" + "    x = 1\n" * 60 + "def g():\n" + "    x = 1\n" * 60

    (complaint,) = oversized([parse(text)], exceptions={"millrace/sample.py::f"})

    assert " g has 61 lines" in complaint
