"""A worker process that has a parent to look after it ends with it. Owns noticing that the parent is gone.

A parent that is killed cannot tell its workers, and they would work on, unseen by whoever stopped the service.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager

__all__ = ["PARENT_VARIABLE", "child_environment", "ending_with_parent"]

PARENT_VARIABLE = "MILLRACE_PARENT"
_LOOK_SECONDS = 1.0


def child_environment() -> Mapping[str, str]:
    """Give the environment for a worker process that shall end with this one.

    >>> child_environment()["MILLRACE_PARENT"] == str(os.getpid())
    True
    """
    return {**os.environ, PARENT_VARIABLE: str(os.getpid())}


@contextmanager
def ending_with_parent() -> Generator[None, None, None]:
    """Send this process a SIGTERM, as a service manager would, once the parent that it was told of is gone."""
    parent = os.environ.pop(PARENT_VARIABLE, "")  # not for what this process starts in its turn
    if not parent.isdecimal():
        yield
        return
    done = threading.Event()

    def look() -> None:
        while not done.wait(_LOOK_SECONDS):
            if os.getppid() != int(parent):
                os.kill(os.getpid(), signal.SIGTERM)
                return

    watch = threading.Thread(target=look, name="millrace-parent", daemon=True)
    watch.start()
    try:
        yield
    finally:
        done.set()
        watch.join()
