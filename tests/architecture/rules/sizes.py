"""The size of rooms: a file holds one noun, a function reads in one look. Owns the limits and the counting."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Iterator

from tests.architecture.rules.files import Source

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60

# `path` or `path::function` that may be larger, each with its reason beside it. Empty, and meant to stay so.
EXCEPTIONS: frozenset[str] = frozenset()


def oversized(sources: Iterable[Source], exceptions: Collection[str] = EXCEPTIONS) -> list[str]:
    """Name the files and functions over the limits. A docstring does not count for its function, but for its file."""
    return [complaint for source in sources for complaint in _oversized(source, exceptions)]


def _oversized(source: Source, exceptions: Collection[str]) -> Iterator[str]:
    lines = len(source.text.splitlines())
    if lines > MAX_FILE_LINES and source.path not in exceptions:
        yield f"{source.path} has {lines} lines of at most {MAX_FILE_LINES}; which noun moves out?"
    for node in ast.walk(source.tree):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        length = function_lines(node)
        if length > MAX_FUNCTION_LINES and f"{source.path}::{node.name}" not in exceptions:
            yield f"{source.path}:{node.lineno} {node.name} has {length} lines of at most {MAX_FUNCTION_LINES}"


def function_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the lines from `def` to the last, less the docstring."""
    return _length(node) - (_length(node.body[0]) if ast.get_docstring(node, clean=False) is not None else 0)


def _length(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1
