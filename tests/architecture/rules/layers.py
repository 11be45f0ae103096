"""The layers and their order: words, store, then stores and worker side by side, face, surfaces. Owns the map of rooms.

A new file in the package is put here by its author; that is the moment to ask which layer it belongs to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tests.architecture.rules.files import Source
from tests.architecture.rules.imports import ROOT_NAME, Import, imports, within

WORDS, STORE, STORES, WORKER, FACE, SURFACES = "words", "store", "stores", "worker", "face", "surfaces"

# Modules directly under the package, by layer. A folder counts with all that is in it.
ROOMS: dict[str, tuple[str, ...]] = {
    WORDS: (
        "checks",
        "clock",
        "codec",
        "connections",
        "errors",
        "eventmaker",
        "events",
        "followups",
        "groups",
        "holding",
        "ids",
        "job",
        "limits",
        "messages",
        "metrics",
        "options",
        "outcome",
        "records",
        "registry",
        "retry",
        "schedule",
        "scheduling",
        "script",
        "signals",
        "states",
        "ticking",
        "timetable",
        "transfer",
        "unique",
        "verdict",
    ),
    STORE: ("backlog", "meteredstore", "store"),
    STORES: ("stores",),
    WORKER: ("context", "hooks", "worker"),
    FACE: (
        "__init__",
        "aio",
        "aioreader",
        "aioschedules",
        "app",
        "bridge",
        "chain",
        "changer",
        "choices",
        "client",
        "codeschedules",
        "consumer",
        "core",
        "crowd",
        "detached",
        "eager",
        "ending",
        "feed",
        "holder",
        "hooking",
        "importing",
        "lifespan",
        "loopside",
        "measuring",
        "middleware",
        "newjob",
        "producer",
        "queued",
        "reader",
        "ruled",
        "schedules",
        "storedjob",
        "task",
        "taskmaker",
        "threads",
        "trail",
        "waiter",
        "warned",
    ),
    SURFACES: ("__main__", "cli", "conformance", "contrib", "dashboard", "demo", "testing"),
}

# What each layer may import besides itself: all that lies below it. Stores and worker do not know each other.
BELOW: dict[str, frozenset[str]] = {
    WORDS: frozenset(),
    STORE: frozenset({WORDS}),
    STORES: frozenset({WORDS, STORE}),
    WORKER: frozenset({WORDS, STORE}),
    FACE: frozenset({WORDS, STORE, STORES, WORKER}),
    SURFACES: frozenset({WORDS, STORE, STORES, WORKER, FACE}),
}

# Doors: verbs of the app that open a surface, which is imported only when they are called.
DOORS = frozenset({(f"{ROOT_NAME}.app", f"{ROOT_NAME}.dashboard")})

# A concrete store knows no other one; what two of them share lies beside them under stores/.
CONCRETE_STORES = tuple(f"{ROOT_NAME}.stores.{name}" for name in ("memory", "sqlite", "postgres", "redis"))


def layer_of(module: str) -> str | None:
    """Name the layer of a module, or None where the map does not know it.

    >>> layer_of("millrace.stores.sqlite.gate"), layer_of("millrace"), layer_of("millrace.attic")
    ('stores', 'face', None)
    """
    room = "__init__" if module == ROOT_NAME else module.split(".")[1]
    return next((layer for layer, rooms in ROOMS.items() if room in rooms), None)


def unplaced(sources: Iterable[Source]) -> list[str]:
    """Name the files that belong to no layer."""
    return [
        f"{source.path} belongs to no layer; add it to ROOMS in tests/architecture/rules/layers.py"
        for source in sources
        if layer_of(source.module) is None
    ]


def upward(sources: Iterable[Source]) -> list[str]:
    """Name the imports that go up, or across from stores to worker or from one store to another."""
    files = tuple(sources)
    modules = frozenset(source.module for source in files)
    return [complaint for source in files for complaint in _upward(source, modules)]


def _upward(source: Source, modules: frozenset[str]) -> Iterator[str]:
    layer = layer_of(source.module)
    if layer is None:
        return
    for item in imports(source, modules):
        if not item.own:
            continue
        other = layer_of(item.target)
        where = f"{source.path}:{item.line} ({layer}) imports {item.target}"
        if other is None:
            yield f"{where}, which belongs to no layer"
        elif other != layer and other not in BELOW[layer] and not _door(source, item):
            yield f"{where} ({other}); {layer} may import {_names(BELOW[layer])}"
        elif other == STORES and layer == STORES and _foreign_store(source, item):
            yield f"{where}, another store; what both need lies beside them under stores/"


def _door(source: Source, item: Import) -> bool:
    return item.lazy and any(source.module == wall and within(item.target, room) for wall, room in DOORS)


def _foreign_store(source: Source, item: Import) -> bool:
    home = next((store for store in CONCRETE_STORES if within(source.module, store)), None)
    target = next((store for store in CONCRETE_STORES if within(item.target, store)), None)
    return home is not None and target is not None and home != target


def _names(layers: frozenset[str]) -> str:
    return ", ".join(sorted(layers)) or "nothing above the standard library"
