"""From a function to a task. Owns what `@app.task` accepts: the options, the function's kind, its name, its context.

The overloads are what makes a type checker see the parameters of `enqueue`: a first `JobContext` is left out, and the
result of an `async def` is what it returns when awaited. A function whose first parameter takes anything could be meant
either way: its arguments go unchecked.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, cast, overload

from millrace import checks
from millrace.choices import TASK_OPTIONS, checked_unique, refuse_strangers
from millrace.codec import parameter_names, resolved
from millrace.context import JobContext
from millrace.errors import ConfigurationError, PayloadError
from millrace.limits import Limits, limits_of
from millrace.options import DEFAULT_LEASE, Terms
from millrace.producer import Producer
from millrace.registry import Registry, RunIn, TaskSpec
from millrace.retry import DEFAULT_BACKOFF, check_policy
from millrace.task import AsyncTask, Task

__all__ = ["TaskMaker", "Unannotated", "make_task"]

P = ParamSpec("P")
R = TypeVar("R")

_RUNNERS: tuple[RunIn, ...] = ("thread", "loop", "process")


class Unannotated:
    """Stands for no type. Only a first parameter that takes anything takes it, and so is told from a `JobContext`."""


class TaskMaker(Protocol):
    """What `@app.task(...)` gives: a decorator that makes the function a task."""

    @overload
    def __call__(
        self, function: Callable[Concatenate[Unannotated, ...], Coroutine[Any, Any, R]], /
    ) -> AsyncTask[..., R]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[Unannotated, ...], R], /) -> Task[..., R]: ...
    @overload
    def __call__(
        self, function: Callable[Concatenate[JobContext, P], Coroutine[Any, Any, R]], /
    ) -> AsyncTask[P, R]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[JobContext, P], R], /) -> Task[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Task[P, R]: ...


def make_task(
    function: object, registry: Registry, producer: Producer, terms: Terms, options: Mapping[str, Any]
) -> Task[..., Any]:
    """Check a function and its options, register it, and return its task.

    Args:
        function: What was decorated.
        registry: Where the task is entered under its name.
        producer: Through which its jobs are stored.
        terms: The app's own terms, for what the options leave open.
        options: As `TaskChoices` lists them.

    Raises:
        ConfigurationError: The function cannot be a task, an option is not acceptable, or the name is taken.
        NotSupported: An option belongs to a later version.
    """
    refuse_strangers("task", options, TASK_OPTIONS)
    plain = _checked(function)
    run_in = _runner(plain, options.get("run_in"))
    name = options.get("name")
    spec = TaskSpec(
        default_name(plain) if name is None else checks.name("task name", name),
        plain,
        run_in=run_in,
        takes_context=_takes_context(plain),
        terms=Terms(
            timeout=checks.optional_duration("timeout", options.get("timeout"), positive=True),
            lease=checks.duration("lease", options.get("lease", DEFAULT_LEASE), positive=True),
            retention=checks.optional_duration("retention", options.get("retention", terms.retention)),
            dead_retention=terms.dead_retention,
            retry=check_policy(options.get("retry", DEFAULT_BACKOFF)),
        ),
        queue=checks.name("queue", options.get("queue", "default")),
        priority=checks.priority(options.get("priority", 0)),
        max_attempts=checks.count("max_attempts", options.get("max_attempts", 5)),
        max_crashes=checks.count("max_crashes", options.get("max_crashes", 3)),
        tags=() if options.get("tags") is None else checks.tag_names(options["tags"]),
        unique=checked_unique(options.get("unique")),
        limits=limits_of(options.get("concurrency"), options.get("rate"), options.get("fair")),
    )
    task: Task[..., Any] = (AsyncTask if inspect.iscoroutinefunction(plain) else Task)(producer, spec)
    _check_limits(spec)
    _check_annotations(spec)
    registry.add(spec)
    return task


def default_name(function: Callable[..., Any]) -> str:
    """Name a function as `module.qualname`; in a script run directly the script's own name stands for `__main__`.

    So a job that a script stores is found by a worker that imports the same file.

    >>> import textwrap
    >>> default_name(textwrap.dedent)
    'textwrap.dedent'
    """
    module = function.__module__
    if module == "__main__":
        main = sys.modules["__main__"]
        spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
        module = spec.name if spec is not None else Path(file).stem if file else module
    return checks.name("task name", f"{module}.{function.__qualname__}")


def _check_limits(spec: TaskSpec) -> None:
    limits: Limits | None = spec.limits
    if limits is not None:
        limits.check(spec.name, parameter_names(spec.function, int(spec.takes_context)))


def _check_annotations(spec: TaskSpec) -> None:
    """Refuse at its line what no job could ever pass; annotations of names that come later wait for the first job."""
    if not resolved(spec.function):
        return
    try:
        spec.arguments  # noqa: B018 - compiled here, and kept
    except PayloadError as error:
        if error.__cause__ is None:  # else a class in an annotation has fields of types that come later
            raise ConfigurationError(str(error)) from None


def _checked(function: object) -> Callable[..., Any]:
    if isinstance(function, Task):
        raise ConfigurationError(f"{function!r} is a task already; decorate a function once")
    if not callable(function) or isinstance(function, type) or not hasattr(function, "__qualname__"):
        raise ConfigurationError(f"{function!r} cannot be a task; decorate a function or an async function")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise ConfigurationError(f"{function.__qualname__} yields; a task returns its result, so return a list")
    return cast("Callable[..., Any]", function)


def _runner(function: Callable[..., Any], chosen: object) -> RunIn:
    awaitable = inspect.iscoroutinefunction(function)
    if chosen is None:
        return "loop" if awaitable else "thread"
    if chosen not in _RUNNERS:
        raise ConfigurationError(f"run_in={chosen!r} is no runner; give 'thread', 'loop' or 'process'")
    if chosen == "loop" and not awaitable:
        raise ConfigurationError(
            f"{function.__qualname__} is no async function and would block the loop; make it async, or leave run_in out"
        )
    if chosen == "thread" and awaitable:
        raise ConfigurationError(f"{function.__qualname__} is async and runs on the loop; leave run_in out")
    return chosen


def _takes_context(function: Callable[..., Any]) -> bool:
    """Tell whether the first parameter is annotated `JobContext`; refuse one anywhere else."""
    parameters = list(inspect.signature(function).parameters.values())
    for parameter in parameters[1:]:
        if _is_context(parameter.annotation, function):
            raise ConfigurationError(
                f"{function.__qualname__} takes its JobContext as {parameter.name!r}; it must be the first parameter"
            )
    return bool(parameters) and _is_context(parameters[0].annotation, function)


def _is_context(annotation: object, function: Callable[..., Any]) -> bool:
    if not isinstance(annotation, str):
        return annotation is JobContext
    # Annotations may name what only type checkers know, so they are compared as text and never evaluated.
    name = annotation.strip("'\" ")
    return name.rpartition(".")[2] == "JobContext" or getattr(function, "__globals__", {}).get(name) is JobContext
