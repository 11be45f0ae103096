"""The Lua scripts: read from their files once, each with the keys that its head names. Owns how they are put together.

A script's head says what it does, its arguments, its answer and what it costs, and has lines that are read here:

    --! keys: meta body line:
    --! include common
    --! durable

Each key stands in the script as a name in capitals, `META` for the first. One that ends with a colon, `LINE` here, is
not a key but what the names of such keys begin with: `LINE .. name`. All keys of a deployment carry one hash tag,
and so do those that a script makes of one of its keys and a name that only the data tell: they lie in one slot.
What is included stands where the line is, and once: what a script can answer before it costs nothing then.
What a durable script has written is acknowledged only once it is where the store's `wait` wants it too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

__all__ = ["Script", "script"]

_HEAD = "--! "


@dataclass(frozen=True)
class Script:
    """A script, as the server gets it.

    Attributes:
        name: Of its file.
        keys: The suffixes of its keys, in order.
        text: What is run.
        sha: The name under which the server keeps it.
        durable: Whether its answer waits for replicas, or for the disk, where the store is told to.
    """

    name: str
    keys: tuple[str, ...]
    text: bytes
    sha: bytes
    durable: bool = False


@cache
def script(name: str) -> Script:
    """Read a script.

    >>> script("insert").keys[0]
    'meta'
    """
    keys: list[str] = []
    lines: list[str] = []
    durable = False
    included: set[str] = set()

    def take(file: str) -> None:
        nonlocal durable
        for line in _read(file).splitlines():
            if not line.startswith(_HEAD):
                lines.append(line)
                continue
            word, _, rest = line.removeprefix(_HEAD).partition(" ")
            if word == "keys:":
                keys.extend(rest.split())
            elif word == "include":
                if rest not in included:
                    included.add(rest)
                    take(f"_{rest}")
            elif word == "durable":
                durable = True
            else:
                raise ValueError(f"{file}.lua has a line {line!r} that says nothing known")

    take(name)
    whole = "\n".join([*_named(keys), *lines]).encode()
    return Script(name, tuple(keys), whole, hashlib.sha1(whole, usedforsecurity=False).hexdigest().encode(), durable)


def _read(name: str) -> str:
    return files("millrace.stores.redis").joinpath("scripts", f"{name}.lua").read_text("utf-8")


def _named(keys: Sequence[str]) -> list[str]:
    """Give each key its name."""
    return [f"local {key.rstrip(':').upper()} = KEYS[{place}]" for place, key in enumerate(keys, 1)]
