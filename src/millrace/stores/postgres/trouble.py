"""What went wrong, in sentences: a driver's error as one of our own, with fact and next step. Decides nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence

import psycopg

from millrace.errors import ConfigurationError, MillraceError, SchemaMismatch, StoreUnavailable
from millrace.stores.postgres.settings import Settings

__all__ = ["explained", "is_read_only", "may_be_repeated", "no_longer_prepared", "unreachable"]

_DEADLOCK, _SERIALIZATION = "40P01", "40001"
_READ_ONLY = "25006"
_NO_STATEMENT, _STATEMENT_TWICE = "26000", "42P05"
_STALE_PLAN = "0A000"
_NOT_ALLOWED = "42501"

# By the server's own code, or by its class: the first two letters.
_TEXTS = {
    _READ_ONLY: "{url} cannot be written, it is a standby or read-only; name the primary, or several hosts with "
    "&target_session_attrs=read-write",
    _NOT_ALLOWED: "{url} does not allow it: {said}; let its owner run `millrace migrate`, and grant this role what the "
    "documentation lists under Grants",
    "57014": "{url} took longer than {seconds:.1f} s and was stopped ({said}); nothing of that was written",
    _DEADLOCK: "{url}: {said}, again and again; nothing was written, try again",
    _SERIALIZATION: "{url}: {said}, again and again; nothing was written, try again",
    "53": "{url} cannot write: {said}; nothing was written. Look at the server's disk and memory",
    "58": "{url} cannot write: {said}; nothing was written. Look at the server's disk",
    "08": "the connection to {url} was lost ({said}); whether the last statement took effect is unknown",
    "57": "the connection to {url} was lost ({said}); whether the last statement took effect is unknown",
}
_SCHEMA_LOST = frozenset({"42P01", "42703", "3F000", "42883", "42704"})

# Why a server lets nobody in, by its code. It will before long:
_BUSY = {
    "53300": "{url} takes no more connections: {said}; close some, raise max_connections or the limit of this role or "
    "database, or use a pooler",
    "57P03": "{url} is not ready ({said}); nothing was written, try again",
}
# It will not, until somebody mends something:
_CLOSED = {
    "28P01": "{url} does not take this user and password ({said}); see to them in the URL, in PGPASSWORD or in the "
    "password file",
    "28000": "{url} does not let this user in ({said}); name another one in the URL, or let its administrator see to "
    "the role and to pg_hba.conf",
    "3D000": "{url} has no such database ({said}); name another one in the URL, or create it with `createdb`",
    _NOT_ALLOWED: "{url} does not let this user in ({said}); let its owner grant it connect on the database",
}
# libpq does not pass on the code of an error at the door, only its words: of the server, of itself, or of PgBouncer. In
# another language than English they are not known, and stand in the sentence of a server that is out of reach.
_SPOKEN = (
    ("too many clients", "53300"),
    ("remaining connection slots are reserved", "53300"),
    ("too many connections for", "53300"),
    ("no more connections allowed", "53300"),
    ("the database system is", "57P03"),
    ("no password supplied", "28P01"),
    ("empty password", "28P01"),
    ("password authentication failed", "28P01"),
    ("SASL authentication failed", "28P01"),
    ("authentication failed for user", "28000"),
    ("no pg_hba.conf entry", "28000"),
    ("pg_hba.conf rejects", "28000"),
    ("is not permitted to log in", "28000"),
    ("no such user", "28000"),
    ("no such database", "3D000"),
    ("permission denied for database", _NOT_ALLOWED),
)
_NOT_THERE = re.compile(r'\b(role|database) ".*" does not exist')


def _line(error: BaseException) -> str:
    """Return the first line of what the server said."""
    if isinstance(error, psycopg.Error) and error.diag.message_primary:
        return error.diag.message_primary
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def is_read_only(error: BaseException) -> bool:
    """Tell whether the server has become a standby, or lets nobody write: look for another one."""
    return isinstance(error, psycopg.Error) and error.sqlstate == _READ_ONLY


def may_be_repeated(error: BaseException) -> bool:
    """Tell whether the server has rolled back for another's sake, so that the same will do next time."""
    return isinstance(error, psycopg.Error) and error.sqlstate in {_DEADLOCK, _SERIALIZATION}


def no_longer_prepared(error: BaseException) -> bool:
    """Tell whether a prepared statement no longer fits, because a migration has changed its table; nothing was run."""
    return (
        isinstance(error, psycopg.Error)
        and error.sqlstate == _STALE_PLAN
        and "cached plan" in (error.diag.message_primary or "")
    )


def unreachable(settings: Settings, error: BaseException) -> MillraceError:
    """Say that no connection can be had: the server is not there, or lets nobody in."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    state, said = _at_the_door(error, lines)
    if state in _BUSY:
        return StoreUnavailable(_BUSY[state].format(url=settings.url, said=said))
    if state in _CLOSED:
        return ConfigurationError(_CLOSED[state].format(url=settings.url, said=said))
    if "unsupported startup parameter" in said:
        return ConfigurationError(
            f"{settings.url} is a pooler that refuses our options ({said}); add ?prepare=off&listen=off to the URL"
        )
    return StoreUnavailable(f"{settings.url} cannot be reached: {said}; see that it runs, and that the URL is right")


def _at_the_door(error: BaseException, lines: Sequence[str]) -> tuple[str | None, str]:
    """Find why we were not let in: a code, and what was said. Of several hosts, one that may yet let us in counts."""
    if isinstance(error, psycopg.Error) and error.sqlstate is not None:
        return error.sqlstate, _line(error)
    for spoken, state in _SPOKEN:
        for line in lines:
            if spoken in line:
                return state, _without_address(line)
    for line in lines:
        if (found := _NOT_THERE.search(line)) is not None:
            return "28000" if found[1] == "role" else "3D000", _without_address(line)
    return None, " / ".join(lines)


def _without_address(line: str) -> str:
    """Leave out which host said it: the URL stands beside it."""
    return line.rpartition("FATAL:")[2].strip()


def explained(
    error: BaseException, settings: Settings, seconds: float, *, lost: bool, late: bool
) -> MillraceError | None:
    """Turn a driver's error into one of ours; None where neither the server nor its state is to blame.

    Args:
        error: What the driver raised.
        settings: Whose server.
        seconds: The deadline of the call.
        lost: Whether the connection is gone with it, so that it is unknown whether the last statement took effect.
        late: Whether it is gone because we have shut it down, the deadline being past.
    """
    if not isinstance(error, psycopg.Error):
        return None
    if error.sqlstate is not None:
        told = _told(error, error.sqlstate, settings, seconds)
        if told is not None:
            return told
    if late:
        return StoreUnavailable(
            f"{settings.url} did not answer within {seconds:.1f} s, and the connection was closed; whether the last "
            "statement took effect is unknown"
        )
    if lost:
        return StoreUnavailable(
            f"the connection to {settings.url} was lost ({_line(error)}); whether the last statement took effect is "
            "unknown"
        )
    return None


def _told(error: psycopg.Error, state: str, settings: Settings, seconds: float) -> MillraceError | None:
    """Say what the server itself has said, by its code; None where it blames the statement."""
    url, said = settings.url, _line(error)
    if state in _SCHEMA_LOST:
        return SchemaMismatch(
            f"schema {settings.schema!r} of {url} is not as Millrace made it ({said}); run `millrace migrate`, restore "
            "a backup, or choose another ?schema="
        )
    if state in {_NO_STATEMENT, _STATEMENT_TWICE}:
        return ConfigurationError(
            f"{url} is a pooler that mixes up prepared statements ({said}); add ?prepare=off&listen=off to the URL"
        )
    text = _TEXTS.get(state) or _TEXTS.get(state[:2])
    if text is None:
        return None
    kind = ConfigurationError if state == _NOT_ALLOWED else StoreUnavailable
    return kind(text.format(url=url, said=said, seconds=seconds))
