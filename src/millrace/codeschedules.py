"""The schedules that stand in the code: `@app.cron` and `@app.every`. Owns their table, and how the store learns of it.

They are written where work begins: by a worker at its start, and by a drain. What the code no longer has is paused, and
goes on once it is there again. Code of a lower `release` than wrote a schedule leaves it alone.
"""

from __future__ import annotations

import inspect
import logging
import threading
from typing import TYPE_CHECKING, Any, TypeVar, cast

from msgspec.structs import replace

from millrace import checks
from millrace.clock import SECOND
from millrace.errors import ConfigurationError
from millrace.schedule import Spec, spec_of
from millrace.schedules import ScheduleOptions, changed, make_spec, make_times, resumed, written
from millrace.scheduling import ScheduleRow, Scheduling
from millrace.task import Task

if TYPE_CHECKING:
    from millrace.app import Millrace

__all__ = ["CodeSchedules"]

T = TypeVar("T", bound=Task[..., Any])

_log = logging.getLogger("millrace")
_ALIVE = 60 * SECOND  # a worker that was seen since then may still have what this code no longer has


class CodeSchedules:
    """What stands in the code of one app.

    Args:
        app: The app.
    """

    def __init__(self, app: Millrace) -> None:
        self._app = app
        self._given: dict[str, tuple[Task[..., Any], ScheduleOptions]] = {}
        self._settling = threading.Lock()
        self._settled = False

    def add(self, task: T, name: str | None, given: ScheduleOptions) -> T:
        """Note that a task is to run by a schedule, and return it.

        Raises:
            ConfigurationError: It is no task, or one that cannot run without arguments, or the name is taken.
            ScheduleError: The times are not understood.
        """
        if not isinstance(cast("object", task), Task):
            raise ConfigurationError(f"{task!r} is not a task; put the schedule above @app.task")
        if task.app is not self._app:
            raise ConfigurationError(f"task {task.name!r} is another app's; put it on a schedule of that app")
        name = checks.name("schedule", task.name if name is None else name)
        if name in self._given:
            raise ConfigurationError(f"two schedules are named {name!r}; give one of them name='…'")
        _check_callable(task)
        make_times(given)
        self._given[name] = task, given
        self._settled = False
        return task

    def settle(self) -> None:
        """Write what is new or changed, and pause what is gone; does nothing where the store knows all.

        Raises:
            StoreUnavailable: The store cannot be used.
        """
        store: object = self._app.store
        if self._settled or not isinstance(store, Scheduling):
            return
        with self._settling:
            self._settled = True
            try:
                for name, (task, given) in list(self._given.items()):
                    self._write(name, task, given)
                self._pause_orphans(store)
            except BaseException:
                self._settled = False
                raise

    def _write(self, name: str, task: Task[..., Any], given: ScheduleOptions) -> None:
        spec = replace(make_spec(self._app, task.job(), given), origin="code", release=self._release)

        def settled(row: ScheduleRow | None, now: int) -> ScheduleRow:
            old = spec_of(row)
            if row is None or old is None:
                return changed(name, row, spec, now)
            if old.origin == "user" or old.release > self._release:
                return row  # somebody has put it at run time, or newer code has
            after = changed(name, row, spec, now)
            return resumed(after, spec, now) if old.orphaned else after

        written(self._app, name, settled)

    def _pause_orphans(self, book: Scheduling) -> None:
        elsewhere: frozenset[str] | None = None
        for row in book.schedules():
            spec = spec_of(row)
            if spec is None or row.paused or row.name in self._given or not self._is_ours(spec):
                continue
            if elsewhere is None:
                elsewhere = self._known_elsewhere()
            if not self._lacks(spec.task, elsewhere):
                continue
            paused = replace(row, paused=True, spec=replace(spec, orphaned=True).encode())
            if book.put_schedule(paused):  # else somebody is at it, and the next who starts looks again
                _log.warning("schedule %r is paused: the code of this release has it no longer", row.name)

    def _is_ours(self, spec: Spec) -> bool:
        return spec.origin == "code" and spec.release <= self._release

    def _lacks(self, task: str, elsewhere: frozenset[str]) -> bool:
        """Tell whether the code that had a schedule is here without it (its task, or its module), or is nowhere."""
        names = self._app.registry.names
        module = task.rpartition(".")[0]
        here = task in names or (bool(module) and any(name.rpartition(".")[0] == module for name in names))
        return here or task not in elsewhere

    def _known_elsewhere(self) -> frozenset[str]:
        store = self._app.store
        living = store.workers(seen_after=store.now() - _ALIVE)
        return frozenset[str]().union(*(worker.tasks for worker in living))

    @property
    def _release(self) -> int:
        return self._app.code_release or 0


def _check_callable(task: Task[..., Any]) -> None:
    parameters = list(inspect.signature(task.function).parameters.values())[int(task.spec.takes_context) :]
    needed = [
        each.name
        for each in parameters
        if each.default is each.empty and each.kind not in {each.VAR_POSITIONAL, each.VAR_KEYWORD}
    ]
    if needed:
        raise ConfigurationError(
            f"{task.name} needs {', '.join(needed)}, which a schedule in the code does not give; give defaults, or "
            "app.schedules.put(…, job=task.job(…))"
        )
