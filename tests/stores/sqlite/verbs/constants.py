"""The SQL constants of the verbs, found in their modules, with their lists filled in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module

from millrace.stores.sqlite.remove import CHILDREN
from millrace.stores.sqlite.sql import Texts

MODULES = (
    "attempts",
    "caller",
    "claim",
    "counting",
    "finish",
    "follow",
    "insert",
    "keys",
    "lanes",
    "leases",
    "limited",
    "listing",
    "queues",
    "register",
    "remove",
    "retention",
    "rows",
    "transfer",
    "turns",
    "verbs",
)
LIST = 4  #: items in each list


def constants() -> Iterator[tuple[str, str]]:
    """Give the name (`module.NAME`) and the template of every public SQL constant."""
    for module in MODULES:
        for name, value in vars(import_module(f"millrace.stores.sqlite.{module}")).items():
            if name.startswith("_") or not name.isupper():
                continue
            if isinstance(value, str) and "{p}" in value:
                yield f"{module}.{name}", value
    for number, template in enumerate(CHILDREN):
        yield f"remove.CHILDREN[{number}]", template


def filled(template: str, prefix: str = "millrace_") -> str:
    """Fill prefix and list in; rows have as many columns as the statement names."""
    inserted = re.search(r"\(([^)]*)\)\s+VALUES \{rows\}", template)
    if inserted is not None:
        columns = inserted[1].count(",") + 1
    else:
        columns = max((int(number) for number in re.findall(r"column(\d+)", template)), default=1)
    return Texts(prefix).sized(template, LIST, columns)


def marks(text: str) -> int:
    """Count the arguments that a statement takes."""
    numbered = [int(number) for number in re.findall(r"\?(\d+)", text)]
    return max(numbered) if numbered else text.count("?")
