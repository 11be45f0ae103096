"""The second step of an event loop. Owns the thread that does a step beside the claimer's own.

Where the store gains by two steps at once, hands in threads see to the second by themselves. An event loop must not
wait for one, so this thread does it. It decides nothing: whether a step is due, `Steps` tells.
"""

from __future__ import annotations

from threading import Thread

from millrace.worker.steps import Steps
from millrace.worker.telling import LOGGER

__all__ = ["Relief"]


class Relief:
    """The thread, asleep until `Steps.relieve` rings for it."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._closing = False
        self._thread = Thread(target=self._run, name="millrace-relief", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def close(self) -> None:
        """End the thread, after the step that it may be at."""
        self._closing = True
        self._steps.relief.ring()
        self._thread.join()

    def _run(self) -> None:
        steps = self._steps
        while True:
            steps.relief.wait(-1)
            if self._closing:
                return
            try:
                if steps.needed():
                    steps.lead()
                    steps.freed()
            except Exception:  # noqa: BLE001 - a fault must not end the thread; the claimer meets it again and waits
                LOGGER.exception("a step beside the claim loop failed")
