"""Imports as facts: who imports what, and whether only when it is needed. Owns the reading of import statements."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from tests.architecture.rules.files import Source

ROOT_NAME = "millrace"


@dataclass(frozen=True, slots=True)
class Import:
    """One import: the module it names, its line, and whether it waits until a function runs (or only types need it)."""

    target: str
    line: int
    lazy: bool

    @property
    def own(self) -> bool:
        """Whether it is a module of this package."""
        return within(self.target, ROOT_NAME)

    @property
    def top(self) -> str:
        """The first name of the target: the distribution's module."""
        return self.target.partition(".")[0]


def within(module: str, room: str) -> bool:
    """Whether a module is the room or lies in it.

    >>> within("millrace.stores.sqlite.gate", "millrace.stores"), within("millrace.storeshed", "millrace.stores")
    (True, False)
    """
    return module == room or module.startswith(room + ".")


def imports(source: Source, modules: Collection[str]) -> Iterator[Import]:
    """Yield every import of a file, those inside functions too; `modules` tells submodules from names."""
    lazy_lines = _lazy_lines(source.tree)
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, node.lineno in lazy_lines)
        elif isinstance(node, ast.ImportFrom):
            base = _base(source, node)
            for alias in node.names:
                named = f"{base}.{alias.name}"
                yield Import(named if named in modules else base, node.lineno, node.lineno in lazy_lines)


def _base(source: Source, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    is_package = source.path.endswith("__init__.py")
    parts = source.module.split(".")
    kept = parts[: len(parts) - node.level + is_package]
    return ".".join([*kept, *filter(None, [node.module])])


def _lazy_lines(tree: ast.Module) -> set[int]:
    """Lines that do not run when the module is imported: bodies of functions and of `if TYPE_CHECKING`."""
    lines: set[int] = set()
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                lines.update(_span(node.body))
            case ast.If(test=ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING")):
                lines.update(_span(node.body))
            case _:
                pass
    return lines


def _span(body: list[ast.stmt]) -> range:
    return range(body[0].lineno, (body[-1].end_lineno or body[-1].lineno) + 1)
