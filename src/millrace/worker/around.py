"""A handler with middleware around it. Owns how it is entered and left, by a sync handler and by an async one.

It stands here because the frames of this folder are left out where a traceback begins.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, AsyncExitStack, ExitStack
from typing import Any, cast

from millrace.context import JobContext, current_job
from millrace.errors import ConfigurationError
from millrace.hooks import Around, name_of

__all__ = ["wrapped"]


def wrapped(function: Callable[..., Any], arounds: tuple[Around, ...]) -> Callable[..., Any]:
    """Return a handler with middleware around it; the handler itself where there is none.

    It finds the running job as a handler does, so it may be called wherever that may.
    """
    if not arounds:
        return function
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def await_within(*args: Any, **kwargs: Any) -> Any:
            context, value = current_job(), None  # which stays where one of them swallows what is raised
            async with AsyncExitStack() as stack:
                for around in arounds:
                    manager = around(context)
                    if isinstance(manager, AbstractAsyncContextManager):
                        await stack.enter_async_context(manager)
                    else:
                        stack.enter_context(_checked(manager, around, context))
                value = await function(*args, **kwargs)
            return value  # noqa: RET504 - None where the block was left by an error that one of them swallowed

        return await_within

    @functools.wraps(function)
    def call_within(*args: Any, **kwargs: Any) -> Any:
        context, value = current_job(), None  # as above
        with ExitStack() as stack:
            for around in arounds:
                stack.enter_context(_checked(around(context), around, context))
            value = function(*args, **kwargs)
        return value  # noqa: RET504 - as above

    return call_within


def _checked(manager: object, around: Around, context: JobContext) -> AbstractContextManager[Any]:
    if isinstance(manager, AbstractContextManager):
        return cast("AbstractContextManager[Any]", manager)
    if isinstance(manager, AbstractAsyncContextManager):
        raise ConfigurationError(
            f"{name_of(around)} gives an asynchronous context manager, and {context.job.task} is not async; give a "
            "plain one for it"
        )
    raise ConfigurationError(
        f"{name_of(around)} gives {manager!r}, which is no context manager; put @contextmanager above it, and yield"
    )
