"""Where a driver or another distribution may be imported, and when. Owns that list; what it does not name fails."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tests.architecture.rules.files import Source
from tests.architecture.rules.imports import ROOT_NAME, Import, imports, within


@dataclass(frozen=True, slots=True)
class Permit:
    """The rooms that may import a module, and whether only inside a function there (or for types)."""

    rooms: tuple[str, ...]
    lazily: bool = False


ANYWHERE = ("",)

# The core's three, the extras, and what the tests' surfaces need. `sqlite3` is a driver too, though Python brings it.
PERMITS: dict[str, Permit] = {
    "msgspec": Permit(ANYWHERE),
    "cronsim": Permit(("timetable",)),
    "click": Permit(("cli", "demo")),
    "sqlite3": Permit(("stores.sqlite",)),
    "apsw": Permit(("stores.sqlite",), lazily=True),
    "psycopg": Permit(("stores.postgres",)),
    "psycopg_pool": Permit(("stores.postgres",)),
    "redis": Permit(("stores.redis",)),
    "hiredis": Permit(("stores.redis",)),
    "rich": Permit(("cli", "demo"), lazily=True),
    "watchfiles": Permit(("cli",), lazily=True),
    "starlette": Permit(("dashboard", "contrib")),
    "jinja2": Permit(("dashboard",)),
    "uvicorn": Permit(("dashboard", "cli"), lazily=True),
    "prometheus_client": Permit(("contrib",)),
    "opentelemetry": Permit(("contrib",)),
    "django": Permit(("contrib",)),
    "fastapi": Permit(("contrib",)),
    "sqlalchemy": Permit(("contrib",)),
    "pytest": Permit(("testing", "conformance")),
    "hypothesis": Permit(("testing", "conformance")),
}

# Rooms that are heavy as a whole because their driver or the web is imported on top: outside them, only lazily.
HEAVY_ROOMS = ("stores.postgres", "stores.redis", "dashboard", "contrib", "conformance", "demo")


def misplaced(sources: Iterable[Source]) -> list[str]:
    """Name the imports of other distributions that stand where they may not, or run too early."""
    files = tuple(sources)
    modules = frozenset(source.module for source in files)
    return [
        complaint
        for source in files
        for item in imports(source, modules)
        for complaint in (_heavy(source, item) if item.own else _foreign(source, item))
    ]


def _foreign(source: Source, item: Import) -> Iterator[str]:
    where = f"{source.path}:{item.line} imports {item.target}"
    permit = PERMITS.get(item.top)
    if permit is None:
        if item.top not in sys.stdlib_module_names:
            yield f"{where}, which is no dependency of ours; see PERMITS in tests/architecture/rules/drivers.py"
    elif not _inside(source.module, permit.rooms):
        yield f"{where}, which only {', '.join(permit.rooms)} may"
    elif permit.lazily and not item.lazy:
        yield f"{where} when it is loaded itself; import it in the function that needs it"


def _heavy(source: Source, item: Import) -> Iterator[str]:
    for room in HEAVY_ROOMS:
        if _inside(item.target, (room,)) and not item.lazy and not _inside(source.module, (room,)):
            yield f"{source.path}:{item.line} imports {item.target} when it is loaded itself; that room is heavy"


def _inside(module: str, rooms: tuple[str, ...]) -> bool:
    return any(within(module, f"{ROOT_NAME}.{room}" if room else ROOT_NAME) for room in rooms)
