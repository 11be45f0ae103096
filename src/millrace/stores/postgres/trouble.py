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

_GRANTS = "its owner runs `millrace migrate`, and grants this role what the documentation lists under Grants"
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


def explained(error: BaseException, settings: Settings, seconds: float, *, lost: bool) -> MillraceError | None:
    """Turn a driver's error into one of ours; None where neither the server nor its state is to blame.

    Args:
        error: What the driver raised.
        settings: Whose server.
        seconds: The deadline of the call.
        lost: Whether the connection is gone with it, so that it is unknown whether the last statement took effect.
    """
    if not isinstance(error, psycopg.Error):
        return None
    url, said, state = settings.url, _line(error), error.sqlstate or ""
    if state == _READ_ONLY:
        return StoreUnavailable(
            f"{url} cannot be written, it is a standby or read-only; name the primary, or several hosts with "
            "&target_session_attrs=read-write"
        )
    if state in _SCHEMA_LOST:
        return SchemaMismatch(
            f"schema {settings.schema!r} of {url} is not as Millrace made it ({said}); run `millrace migrate`, restore "
            "a backup, or choose another ?schema="
        )
    if state == "42501":
        return StoreUnavailable(f"{url} does not allow it: {said}; {_GRANTS}")
    if state in {_NO_STATEMENT, _STATEMENT_TWICE}:
        return ConfigurationError(
            f"{url} is a pooler that mixes up prepared statements ({said}); add ?prepare=off&listen=off to the URL"
        )
    if state == "57014":
        return StoreUnavailable(f"{url} took longer than {seconds:.1f} s and was stopped ({said}); nothing was written")
    if may_be_repeated(error):
        return StoreUnavailable(f"{url}: {said}, again and again; nothing was written, try again")
    if state[:2] in {"53", "58"}:
        return StoreUnavailable(
            f"{url} cannot write: {said}; nothing was written. Look at the server's disk and memory"
        )
    if lost or state[:2] in {"08", "57"}:
        return StoreUnavailable(
            f"the connection to {url} was lost ({said}); whether the last statement took effect is unknown"
        )
    return None
