"""What goes wrong, as an answer: a status, a heading and a sentence. Owns which error is which status."""

from __future__ import annotations

from http import HTTPStatus
from typing import NamedTuple

from millrace.errors import (
    ConfigurationError,
    DuplicateJob,
    InvalidTransition,
    JobNotFound,
    MillraceError,
    NotSupported,
    PayloadError,
    ScheduleError,
    SchemaMismatch,
    StoreUnavailable,
    UnknownTask,
)

__all__ = ["Told", "Trouble", "refusal", "told"]

# The first that fits; what is not here is a fault of ours.
_STATUSES: tuple[tuple[type[MillraceError], HTTPStatus], ...] = (
    (JobNotFound, HTTPStatus.NOT_FOUND),
    (UnknownTask, HTTPStatus.NOT_FOUND),
    (ScheduleError, HTTPStatus.NOT_FOUND),
    (PayloadError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (ConfigurationError, HTTPStatus.BAD_REQUEST),
    (InvalidTransition, HTTPStatus.CONFLICT),
    (DuplicateJob, HTTPStatus.CONFLICT),
    (NotSupported, HTTPStatus.NOT_IMPLEMENTED),
    (StoreUnavailable, HTTPStatus.SERVICE_UNAVAILABLE),
    (SchemaMismatch, HTTPStatus.SERVICE_UNAVAILABLE),
)


class Told(NamedTuple):
    """An error as a visitor sees it."""

    status: HTTPStatus
    sentence: str


class Trouble(Exception):
    """A request that cannot be answered as it was meant.

    >>> Trouble(HTTPStatus.NOT_FOUND, "no such page").told.status.value
    404
    """

    def __init__(self, status: HTTPStatus, sentence: str) -> None:
        super().__init__(sentence)
        self.told = Told(status, sentence)


def refusal(verb: str) -> Trouble:
    """Make the trouble of an action that there is not.

    >>> refusal("burn").told.sentence
    "there is no action 'burn'"
    """
    return Trouble(HTTPStatus.NOT_FOUND, f"there is no action {verb!r}")


def told(error: Exception) -> Told | None:
    """Say what an error is to a visitor; None where it is a fault of ours, of which only the log tells.

    >>> told(JobNotFound("no job 7")).status.value, told(ZeroDivisionError())
    (404, None)
    """
    if isinstance(error, Trouble):
        return error.told
    for kind, status in _STATUSES:
        if isinstance(error, kind):
            return Told(status, str(error))
    return None
