"""What went wrong, in our words: the errors of a server, of a connection and of a deadline. Owns those sentences.

A password never stands in one: a server may repeat what it was sent.
"""

from __future__ import annotations

from millrace.errors import ConfigurationError, MillraceError, SchemaMismatch, StoreUnavailable
from millrace.stores.redis.settings import Settings
from millrace.stores.redis.wire import Lost, Refused, Unconfirmed, WireError

__all__ = ["explained", "is_elsewhere", "is_passing", "unreachable"]

# Codes of the server. It is not ready, or no longer the one that writes; nothing of the command was done.
_PASSING = frozenset({"LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "READONLY"})

_TEXTS = {
    "LOADING": "{url} is still reading its data ({said}); nothing was written, try again",
    "MASTERDOWN": "{url} is a replica without its primary ({said}); nothing was written, try again",
    "CLUSTERDOWN": "the cluster of {url} is down ({said}); nothing was written, try again",
    "TRYAGAIN": "the cluster of {url} is moving our keys ({said}); nothing was written, try again",
    "MOVED": "the cluster of {url} moves our keys to and fro ({said}); nothing was written, try again",
    "ASK": "the cluster of {url} is moving our keys ({said}); nothing was written, try again",
    "READONLY": "{url} takes no writes ({said}); nothing was written. Name the primary, or an endpoint that follows it",
    "OOM": "the memory of {url} is full: maxmemory is reached; nothing was written. Raise maxmemory, or delete what "
    "is no longer needed, as `millrace purge` does; running jobs may still end",
    "MISCONF": "{url} refuses writes, as it cannot write its own files ({said}); nothing was written. Look at its disk",
    "NOREPLICAS": "{url} refuses writes, as too few replicas follow it ({said}); nothing was written",
    "BUSY": "{url} is busy with a script of somebody ({said}); nothing was written, try again",
    "UNKILLABLE": "{url} is busy with a script of somebody ({said}); nothing was written, try again",
}
_REFUSED = {
    "NOAUTH": "{url} wants a password ({said}); write redis://user:password@host",
    "WRONGPASS": "{url} does not take this user and password ({said}); see to them in the URL",
    "NOPERM": "{url} does not allow it to this user ({said}); grant what the documentation lists under Permissions",
    "DENIED": "{url} takes connections only from its own host ({said}); see protected-mode and bind in its "
    "configuration",
}
# With these it hangs up on who has just come, before anything was asked of it.
_FAREWELLS = frozenset({"CLIENTS", "DENIED"})
# What older servers, or a script, say without a code of its own: what to look for, and which code it is.
_SPOKEN = (
    ("max number of clients", "CLIENTS"),
    ("without any password", "WRONGPASS"),
    ("invalid password", "WRONGPASS"),
    ("user executing the script can't", "NOPERM"),
    ("no permission", "NOPERM"),
    ("ACL failure", "NOPERM"),
    ("DB index is out of range", "DATABASE"),
    ("SELECT is not allowed", "DATABASE"),
    ("WRONGTYPE", "WRONGTYPE"),
    ("wrong kind of value", "WRONGTYPE"),
    ("unknown command", "COMMAND"),
    ("Unknown Redis command", "COMMAND"),
)


def _code(error: Refused) -> str:
    if error.code != "ERR":
        return error.code
    return next((code for said, code in _SPOKEN if said.lower() in error.said.lower()), "ERR")


def is_passing(error: BaseException) -> bool:
    """Tell whether the server will do the same, or another one in its place, before long; nothing was done."""
    return isinstance(error, Refused) and _code(error) in _PASSING


def is_elsewhere(error: BaseException, settings: Settings) -> tuple[str, int] | None:
    """Return where in its cluster our keys are, if that is what the server says; nothing was done.

    A node that names no host means the one by which it is reached.
    """
    if not isinstance(error, Refused) or error.code != "MOVED":
        return None
    host, _, port = error.said.rpartition(" ")[2].rpartition(":")
    return (host or settings.host, int(port)) if port.isdecimal() else None


def unreachable(settings: Settings, error: BaseException) -> MillraceError:
    """Say that no connection can be had."""
    return StoreUnavailable(
        f"{settings.url} cannot be reached: {_said(settings, error)}; see that it runs, and that the URL is right"
    )


def explained(
    error: BaseException, settings: Settings, seconds: float, *, lost: bool, late: bool
) -> MillraceError | None:
    """Turn an error into one of ours; None where neither the server nor its state is to blame.

    Args:
        error: What was raised.
        settings: Whose server.
        seconds: The deadline of the call.
        lost: Whether the connection is gone with it, so that it is unknown whether the last command took effect.
        late: Whether it is gone because we have shut it down, the deadline being past.
    """
    if not isinstance(error, WireError):
        return None
    if isinstance(error, Unconfirmed):
        return StoreUnavailable(
            f"{settings.url} has taken the jobs, but ?wait={settings.wait} was not met ({_said(settings, error)}); "
            "whether they outlive a failure is unknown. To enqueue them again is harmless where they are given an id "
            "(NewJob with id=) or a unique key"
        )
    if isinstance(error, Lost) and error.last_words is not None and _code(error.last_words) in _FAREWELLS:
        error = error.last_words
    if isinstance(error, Refused):
        told = _told(error, settings)
        if told is not None:
            return told
    if late:
        return StoreUnavailable(
            f"{settings.url} did not answer within {seconds:.1f} s, and the connection was closed; whether the last "
            "command took effect is unknown"
        )
    if lost or isinstance(error, Lost):
        return StoreUnavailable(
            f"the connection to {settings.url} was lost ({_said(settings, error)}); whether the last command took "
            "effect is unknown"
        )
    return None


def _told(error: Refused, settings: Settings) -> MillraceError | None:
    """Say what the server itself has said, by its code; None where it blames the command."""
    url, said, code = settings.url, _said(settings, error), _code(error)
    if code in _TEXTS:
        return StoreUnavailable(_TEXTS[code].format(url=url, said=said))
    if code in _REFUSED:
        return ConfigurationError(_REFUSED[code].format(url=url, said=said))
    if code == "CLIENTS":
        return StoreUnavailable(f"{url} takes no more connections: {said}; raise maxclients")
    if code == "DATABASE":
        return ConfigurationError(f"{url} has no database {settings.db} ({said}); choose another one, or a ?prefix=")
    if code == "COMMAND":
        return ConfigurationError(f"{url} lacks a command that is needed: {said}; use Redis 6.2 or newer, or Valkey")
    if code == "WRONGTYPE":
        return SchemaMismatch(
            f"keys of prefix {settings.prefix!r} on {url} are not as Millrace made them ({said}); restore a backup, or "
            "choose another ?prefix="
        )
    return None


def _said(settings: Settings, error: BaseException) -> str:
    """Return what was said, without a password."""
    said = str(error) or type(error).__name__
    for secret in settings.secrets:
        said = said.replace(secret, "***")
    return said
