"""The demo's input: the source files of the running Python's own standard library. Finds them; opens none."""

from __future__ import annotations

import sysconfig
from dataclasses import dataclass
from pathlib import Path

from millrace.errors import ConfigurationError

__all__ = ["Input", "find_input"]

_FOREIGN = frozenset({"site-packages", "dist-packages", "__pycache__", "lib-dynload"})
_STAND_INS = 5


@dataclass(frozen=True)
class Input:
    """The files to measure, relative to the library's folder.

    Attributes:
        paths: In order; the stand-ins at the end.
        stand_ins: How many of them are compiled modules that stand in for broken source.
    """

    paths: tuple[str, ...]
    stand_ins: int = 0


def find_input(root: Path | None = None, *, limit: int | None = None) -> Input:
    """Find the source files, the broken ones that the test tree has on purpose included.

    A Python that ships without its test tree has none of these; some compiled modules stand in for them then, for
    these are no source either and fail as truly.

    Args:
        root: The library's folder; None is the running Python's.
        limit: At most so many, evenly spread; None is all.

    Raises:
        ConfigurationError: There are no source files.
    """
    root = Path(sysconfig.get_path("stdlib")) if root is None else root
    paths = sorted(
        str(path.relative_to(root)) for path in root.rglob("*.py") if not _FOREIGN & set(path.relative_to(root).parts)
    )
    if not paths:
        raise ConfigurationError(f"no source files in {root}; the demo needs a Python that ships its library as source")
    if limit is not None and limit < len(paths):
        paths = [paths[number * len(paths) // limit] for number in range(limit)]
    if (root / "test").is_dir():
        return Input(tuple(paths))
    compiled = sorted(str(path.relative_to(root)) for path in root.rglob("*.pyc"))[:_STAND_INS]
    return Input((*paths, *compiled), len(compiled))
