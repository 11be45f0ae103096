"""Every public name is listed in order and told to its user, with an example."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

import millrace
from tests.architecture.rules.names import own_docstring, undocumented


def sample(**names: object) -> ModuleType:
    module = ModuleType("sample")
    vars(module).update(names)
    return module


def good() -> None:
    """Do nothing.

    >>> good()
    """


def test_the_public_names_are_listed_sorted_and_documented() -> None:
    assert undocumented(millrace) == []


def test_a_module_without_a_list_is_found() -> None:
    assert undocumented(sample()) == ["sample has no __all__"]


def test_a_list_out_of_order_is_found() -> None:
    module = sample(__all__=["a", "c", "b"], a=good, b=good, c=good)

    assert undocumented(module) == ["sample.__all__ is not sorted, from 'c' on"]


def test_a_name_without_docstring_or_example_is_found() -> None:
    def bare() -> None: ...

    def plain() -> None:
        """Do nothing."""

    module = sample(__all__=["bare", "good", "plain"], bare=bare, good=good, plain=plain)

    assert undocumented(module) == ["bare has no docstring of its own", "plain has no example in its docstring"]


def test_a_docstring_that_was_inherited_or_made_up_does_not_count() -> None:
    class Parent:
        """A parent.

        >>> Parent()
        """

    class Child(Parent):
        pass

    @dataclass
    class Record:
        value: int

    assert own_docstring(Parent)
    assert own_docstring(Child) == ""
    assert own_docstring(Record) == ""
