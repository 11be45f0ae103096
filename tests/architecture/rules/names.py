"""The public names of a module: listed, sorted, and each told to its user. Owns what `documented` means."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

EXAMPLE_MARKS = (">>>", "```", "::\n")


def undocumented(module: ModuleType) -> list[str]:
    """Name what is wrong with a module's `__all__`: missing, unsorted, a name without docstring or example."""
    return list(_undocumented(module))


def _undocumented(module: ModuleType) -> Iterator[str]:
    listed: list[str] = list(getattr(module, "__all__", ()))
    if not listed:
        yield f"{module.__name__} has no __all__"
    if listed != sorted(listed):
        wrong = next(name for name, right in zip(listed, sorted(listed), strict=True) if name != right)
        yield f"{module.__name__}.__all__ is not sorted, from {wrong!r} on"
    for name in listed:
        if name != "__version__":
            yield from _about(name, getattr(module, name))


def _about(name: str, value: object) -> Iterator[str]:
    text = own_docstring(value)
    if not text:
        yield f"{name} has no docstring of its own"
    elif not any(mark in text for mark in EXAMPLE_MARKS):
        yield f"{name} has no example in its docstring"


def own_docstring(value: object) -> str:
    """Give the docstring that was written for this value: not its parent's, not the signature a dataclass makes up."""
    text = value.__dict__.get("__doc__") if isinstance(value, type) else getattr(value, "__doc__", None)
    if not isinstance(text, str):
        return ""
    made_up = isinstance(value, type) and text.startswith(f"{value.__name__}(")
    return "" if made_up else text
