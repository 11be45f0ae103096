"""Finding a task again in another process. Owns which modules may hold it, and the search in them once imported.

Only what the user's own modules register is found; a name from the store is never imported.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from millrace.errors import ConfigurationError
from millrace.registry import Registry, TaskSpec

__all__ = ["Homes", "find_task", "homes_of", "load"]

#: The modules that may hold a task, and the script behind the first of them, where that is `__main__`.
Homes = tuple[tuple[str, ...], str | None]


def homes_of(spec: TaskSpec, host: object) -> Homes:
    """Return where a child process finds a task: the module of its function, then those that hold the app.

    Raises:
        ConfigurationError: It stands in no file, but in an interactive session.
    """
    names = [spec.function.__module__]
    names += [name for name, module in list(sys.modules.items()) if _holds(module, host)]
    names = list(dict.fromkeys(names))
    if "__main__" not in names:
        return tuple(names), None
    main = sys.modules["__main__"]
    rest = [name for name in names if name != "__main__"]
    main_spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    if main_spec is not None:
        return (main_spec.name, *rest), None
    if file is not None and Path(file).is_file():
        return (Path(file).stem, *rest), str(Path(file).resolve())
    if rest:
        return tuple(rest), None
    raise ConfigurationError(
        f"task {spec.name!r} stands in no file, so a child process cannot load it; put it into a module, or leave "
        "run_in='process' out"
    )


def _holds(module: ModuleType | None, host: object) -> bool:
    try:
        return any(value is host for value in list(vars(module).values())) if module is not None else False
    except (TypeError, RuntimeError):  # something else that a program has put among the modules
        return False


def load(name: str, file: str | None) -> ModuleType:
    """Import a module by its name, or a script from its file under its own name, not as `__main__`."""
    if file is None or name in sys.modules:
        return import_module(name)
    spec = spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} cannot be loaded as a module")
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def find_task(task: str, homes: Homes) -> tuple[TaskSpec, Any]:
    """Import the modules in turn and return the task, and the app it was found in, None where that is not known.

    Raises:
        ConfigurationError: None of them registers it; the message names what was looked through, and why one failed.
    """
    names, file = homes
    failures: list[str] = []
    for place, name in enumerate(names):
        try:
            module = load(name, file if place == 0 else None)
        except Exception as error:  # noqa: BLE001 - a module's own code may raise anything
            failures.append(f"{name}: {type(error).__name__}: {error}")
            continue
        found = _search(module, task)
        if found is not None:
            return found
    why = "; ".join(failures) or "no app there has registered it"
    raise ConfigurationError(
        f"a child process cannot find task {task!r} in {', '.join(names)} ({why}); register it in a module that can be "
        "imported"
    )


def _search(module: ModuleType, task: str) -> tuple[TaskSpec, Any] | None:
    for value, registry in _registries(module):
        known = registry.get(task)
        if known is not None:
            return known, value
    for value in list(vars(module).values()):
        spec = _attribute(value, "spec")
        if isinstance(spec, TaskSpec) and spec.name == task:
            return spec, _attribute(value, "app")
    return None


def _registries(module: ModuleType) -> Iterator[tuple[Any, Registry]]:
    for value in list(vars(module).values()):
        registry = _attribute(value, "registry")
        if isinstance(registry, Registry):
            yield value, registry


def _attribute(value: object, name: str) -> object:
    try:
        return getattr(value, name, None)
    except Exception:  # noqa: BLE001 - an object's own __getattr__ may do anything
        return None
