"""What went wrong, in sentences: a driver's error as one of our own, with fact and next step. Decides nothing."""

from __future__ import annotations

import psycopg

from millrace.errors import ConfigurationError, MillraceError, SchemaMismatch, StoreUnavailable
from millrace.stores.postgres.settings import Settings

__all__ = ["explained", "is_read_only", "may_be_repeated", "no_longer_prepared", "unreachable"]

_DEADLOCK, _SERIALIZATION = "40P01", "40001"
_READ_ONLY = "25006"
_NO_STATEMENT, _STATEMENT_TWICE = "26000", "42P05"
_STALE_PLAN = "0A000"


# By the server's own code, or by its class: the first two letters.
_TEXTS = {
    _READ_ONLY: "{url} cannot be written, it is a standby or read-only; name the primary, or several hosts with "
    "&target_session_attrs=read-write",
    "42501": "{url} does not allow it: {said}; let its owner run `millrace migrate`, and grant this role what the "
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
    """Say that no connection can be had."""
    state = error.sqlstate if isinstance(error, psycopg.Error) else None
    said = " / ".join(line.strip() for line in str(error).strip().splitlines() if line.strip()) or type(error).__name__
    if state is not None and state.startswith("53"):
        return StoreUnavailable(
            f"{settings.url} takes no more connections: {said}; raise max_connections, or use a pooler"
        )
    if "unsupported startup parameter" in said:
        return ConfigurationError(
            f"{settings.url} is a pooler that refuses our options ({said}); add ?prepare=off&listen=off to the URL"
        )
    return StoreUnavailable(f"{settings.url} cannot be reached: {said}; see that it runs, and that the URL is right")


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
    return None if text is None else StoreUnavailable(text.format(url=url, said=said, seconds=seconds))
