"""Ways in which stored bytes could become running code. Owns the list of what the package must never use."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from tests.architecture.rules.files import Source
from tests.architecture.rules.imports import imports

# Formats that run code, or may, when they are read.
CODE_CARRIERS = frozenset({"cloudpickle", "cPickle", "dbm", "dill", "joblib", "marshal", "pickle", "shelve", "yaml"})
RUNNERS = frozenset({"__import__", "compile", "eval", "exec"})
SHELLS = frozenset({("os", "system"), ("os", "popen"), ("subprocess", "getoutput"), ("subprocess", "getstatusoutput")})


def dangerous(sources: Iterable[Source]) -> list[str]:
    """Name imports of code-carrying formats, calls that run text as code, and calls of a shell."""
    return [complaint for source in sources for complaint in _dangerous(source)]


def _dangerous(source: Source) -> Iterator[str]:
    for item in imports(source, frozenset()):
        if item.top in CODE_CARRIERS:
            yield f"{source.path}:{item.line} imports {item.target}, which may run what it reads; payloads are JSON"
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call):
            for what in _in_call(node):
                yield f"{source.path}:{node.lineno} {what}"


def _in_call(node: ast.Call) -> Iterator[str]:
    match node.func:
        case ast.Name(id=name) | ast.Attribute(value=ast.Name(id="builtins"), attr=name) if name in RUNNERS:
            yield f"calls {name}, which runs text as code"
        case ast.Attribute(value=ast.Name(id=module), attr=name) if (module, name) in SHELLS:
            yield f"calls {module}.{name}, which runs a shell"
        case _:
            pass
    for keyword in node.keywords:
        if keyword.arg == "shell" and not (isinstance(keyword.value, ast.Constant) and keyword.value.value is False):
            yield "asks for a shell"
