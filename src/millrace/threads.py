"""A blocking call that is awaited, in a thread of its own. Owns that thread from its start to its end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from asyncio import Future

__all__ = ["in_thread"]

T = TypeVar("T")


async def in_thread(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Call a function that may take long in a thread of its own, and await what it returns or raises.

    Cancelling stops the waiting, not the call.

    >>> import asyncio
    >>> asyncio.run(in_thread(max, 2, 3))
    3
    """
    from asyncio import get_running_loop

    loop = get_running_loop()
    future: Future[T] = loop.create_future()

    def settle(set_outcome: Callable[[Any], None], outcome: object) -> None:
        if not future.done():
            set_outcome(outcome)

    def run() -> None:
        try:
            told = partial(settle, future.set_result, function(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - it belongs to the task that awaits
            told = partial(settle, future.set_exception, error)
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(told)

    threading.Thread(target=run, name="millrace-call", daemon=True).start()
    return await future
