"""What a handler raises to end in another way than by returning or failing. Owns the four signals, no policy."""

from __future__ import annotations

from datetime import timedelta

from millrace.checks import duration

__all__ = ["CancelJob", "RetryAfter", "Signal", "SkipRetry", "Snooze"]


class Signal(Exception):
    """The common base of the four signals; catch it to tell them from failures.

    >>> issubclass(Snooze, Signal)
    True
    """


class Snooze(Signal):
    """Put the job back for a while. The attempt does not count as a try.

    Args:
        seconds: How long from now, in seconds or as a `timedelta`; not negative.

    >>> Snooze(30).seconds
    30.0
    """

    def __init__(self, seconds: float | timedelta) -> None:
        self.seconds = duration("Snooze", seconds)
        super().__init__(f"snoozed for {self.seconds:g} s")

    def __reduce__(self) -> tuple[type[Snooze], tuple[float]]:
        return type(self), (self.seconds,)


class RetryAfter(Signal):
    """Fail this attempt and try again after so many seconds, whatever the task's policy says.

    Counts as a try: when the tries are used up the job is dead.

    >>> RetryAfter(1.5).seconds
    1.5
    """

    def __init__(self, seconds: float | timedelta, why: str = "") -> None:
        self.seconds = duration("RetryAfter", seconds)
        super().__init__(why or f"retry after {self.seconds:g} s")

    def __reduce__(self) -> tuple[type[RetryAfter], tuple[float, str]]:
        return type(self), (self.seconds, str(self))


class SkipRetry(Signal):
    """Give up at once: the job is dead with reason `skip-retry`, tries left or not.

    >>> str(SkipRetry("no such user"))
    'no such user'
    """

    def __init__(self, why: str = "the handler asked not to be retried") -> None:
        super().__init__(why)


class CancelJob(Signal):
    """End the job as cancelled, from inside its handler.

    >>> str(CancelJob("order withdrawn"))
    'order withdrawn'
    """

    def __init__(self, why: str = "the handler cancelled the job") -> None:
        super().__init__(why)
