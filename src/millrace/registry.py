"""The tasks that a process knows. Owns the record of one task and their table by name; runs nothing, stores nothing.

A stored job names a task; only a name in this table is ever run. `TaskSpec` is what the worker needs to run one,
`task.Task` in the face is what users hold.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, Literal

from millrace.codec import Arguments, result_reader
from millrace.errors import ConfigurationError
from millrace.limits import Limits
from millrace.options import Terms, read_options
from millrace.unique import Unique

__all__ = ["Registry", "RunIn", "TaskSpec"]

RunIn = Literal["thread", "loop", "process"]


class TaskSpec:
    """One task as a worker runs it and a producer fills it in. Frozen by convention; made by `@app.task`.

    Args:
        name: The name stored with its jobs.
        function: The plain function, sync or `async def`.
        run_in: "thread" (sync), "loop" (`async def`) or "process" (either, in a child process).
        takes_context: Whether its first parameter is the `JobContext`.
        terms: Timeout, lease, retentions and retry policy.
        queue, priority, max_attempts, max_crashes, tags, unique: What its jobs get at enqueue unless told otherwise.
        limits: What its jobs fall under.

    >>> def add(a: int, b: int) -> int:
    ...     return a + b
    >>> TaskSpec("add", add, run_in="thread").arguments.required
    ('a', 'b')
    """

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        *,
        run_in: RunIn,
        takes_context: bool = False,
        terms: Terms | None = None,
        queue: str = "default",
        priority: int = 0,
        max_attempts: int = 5,
        max_crashes: int = 3,
        tags: tuple[str, ...] = (),
        unique: Unique | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.name = name
        self.function = function
        self.run_in: RunIn = run_in
        self.takes_context = takes_context
        self.terms = terms or Terms()
        self.queue = queue
        self.priority = priority
        self.max_attempts = max_attempts
        self.max_crashes = max_crashes
        self.tags = tags
        self.unique = unique
        self.limits = limits

    @cached_property
    def arguments(self) -> Arguments:
        """The codec of its arguments, compiled at first use, when every name in its annotations exists."""
        return Arguments(self.function, self.name, skip=int(self.takes_context))

    @cached_property
    def read_result(self) -> Callable[[bytes], Any]:
        """Reads a stored result back as the type that the function is annotated to return."""
        return result_reader(self.function)

    def terms_of(self, options: bytes | None) -> Terms:
        """Return what holds for one job: its own stored options over the task's terms."""
        return self.terms if options is None else self.terms.over(read_options(options))


class Registry:
    """Tasks by name. Safe to read from any thread while others register.

    >>> registry = Registry()
    >>> registry.add(TaskSpec("add", print, run_in="thread"))
    >>> "add" in registry, registry.names
    (True, frozenset({'add'}))
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._specs: dict[str, TaskSpec] = {}
        self.names: frozenset[str] = frozenset()  #: all names; a new object after each change

    def add(self, spec: TaskSpec) -> None:
        """Register a task.

        Raises:
            ConfigurationError: Another task has the name.
        """
        with self._lock:
            held = self._specs.get(spec.name)
            if held is not None:
                raise ConfigurationError(
                    f"two tasks are named {spec.name!r}: {held.function.__module__}.{held.function.__qualname__} and "
                    f"{spec.function.__module__}.{spec.function.__qualname__}; give one of them name='…'",
                )
            self._specs[spec.name] = spec
            self.names = frozenset(self._specs)

    def get(self, name: str) -> TaskSpec | None:
        """Return the task of a name, or None."""
        return self._specs.get(name)

    def __contains__(self, name: object) -> bool:
        return name in self._specs

    def __iter__(self) -> Iterator[TaskSpec]:
        return iter(list(self._specs.values()))

    def __len__(self) -> int:
        return len(self._specs)
