"""A parsed source file, and where the project's own are found. Owns reading; judges nothing."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PACKAGE = ROOT / "src" / "millrace"


@dataclass(frozen=True, slots=True)
class Source:
    """One Python file: its name for messages, its dotted module, its text and tree."""

    path: str
    module: str
    text: str
    tree: ast.Module


def parse(text: str, *, module: str = "millrace.sample") -> Source:
    """Parse a text as if it were the file of that module."""
    return Source(path=module.replace(".", "/") + ".py", module=module, text=text, tree=ast.parse(text))


def read(path: Path, base: Path) -> Source:
    """Read a file; its module is its path below `base`."""
    parts = path.relative_to(base).with_suffix("").parts
    module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    text = path.read_text(encoding="utf-8")
    return Source(path=str(path.relative_to(ROOT)), module=module, text=text, tree=ast.parse(text))


@cache
def package() -> tuple[Source, ...]:
    """Every file of the package."""
    return tuple(read(path, PACKAGE.parent) for path in sorted(PACKAGE.rglob("*.py")))


@cache
def suite() -> tuple[Source, ...]:
    """Every file of the test suite."""
    return tuple(read(path, ROOT) for path in sorted((ROOT / "tests").rglob("*.py")))
