"""The files that pages load: style and icon. Owns them as bytes, under names that change with what is in them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from importlib.resources import files
from typing import NamedTuple

__all__ = ["Asset", "assets"]

_KINDS = {".css": "text/css; charset=utf-8", ".svg": "image/svg+xml", ".js": "text/javascript; charset=utf-8"}
_DIGITS = 12


class Asset(NamedTuple):
    """One file: its bytes, their type, and the first digits of their sum."""

    data: bytes
    kind: str
    digest: str


@lru_cache(maxsize=1)
def assets() -> Mapping[str, Asset]:
    """Read the files, once for each process.

    >>> assets()["style.css"].kind
    'text/css; charset=utf-8'
    """
    found: dict[str, Asset] = {}
    for entry in files("millrace.dashboard").joinpath("static").iterdir():
        kind = _KINDS.get(entry.name[entry.name.rfind(".") :])
        if kind is not None:
            data = entry.read_bytes()
            found[entry.name] = Asset(data, kind, sha256(data).hexdigest()[:_DIGITS])
    return found
