"""Who may come in, and what they may do there. Owns tokens, the host app's own check and the open house on loopback.

Without a token and without a check of the host app, the machine itself is the fence: the visitor must come from a
loopback address, through no proxy, and must have typed a loopback name: no page elsewhere can let its own name point
here.
"""

from __future__ import annotations

import hmac
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Awaitable, Callable
from enum import StrEnum
from inspect import isawaitable
from typing import NamedTuple

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from millrace.dashboard.hosts import is_loopback, is_remote, name_of
from millrace.errors import ConfigurationError

__all__ = ["Authorize", "Doorkeeper", "Refusal", "Role", "Visitor"]

_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
_MOST_CREDENTIALS = 4096  # bytes


class Role(StrEnum):
    """What a visitor is.

    >>> Role("read") is Role.READ
    True
    """

    READ = "read"  #: sees; arguments and results only as their shape
    OPERATE = "operate"  #: sees them too, and acts


Verdict = Role | str | None
Authorize = Callable[[Request], Verdict | Awaitable[Verdict]]  #: the host app's own check


class Visitor(NamedTuple):
    """One who has been let in.

    Attributes:
        role: What they are.
        acts: Whether they may change anything.
        by_bearer: They sent our token as Bearer, which no page elsewhere can make a browser do.
    """

    role: Role
    acts: bool
    by_bearer: bool = False

    @property
    def sees_values(self) -> bool:
        """Whether arguments and results are shown to them.

        >>> Visitor(Role.READ, acts=False).sees_values
        False
        """
        return self.role is Role.OPERATE


class Refusal(NamedTuple):
    """Why somebody is not let in; `challenge` asks the browser for a password."""

    status: int
    sentence: str
    challenge: bool = False


class Doorkeeper:
    """Decides who comes in.

    Args:
        token: Who sends it operates; None: there is none.
        authorize: The host app's check; None: there is none.
        read_only: Nobody may act, whatever their role.

    Raises:
        ConfigurationError: The token is empty, or `authorize` cannot be called.

    >>> Doorkeeper(token="", authorize=None, read_only=False)
    Traceback (most recent call last):
    millrace.errors.ConfigurationError: the dashboard's token is empty; give a long random one, or None
    """

    def __init__(self, *, token: str | None, authorize: Authorize | None, read_only: bool) -> None:
        if token is not None and not token.strip():
            raise ConfigurationError("the dashboard's token is empty; give a long random one, or None")
        if authorize is not None and not callable(authorize):
            raise ConfigurationError(f"authorize={authorize!r} cannot be called; give a function of the request")
        self._token = None if token is None else token.encode()
        self._authorize = authorize
        self._read_only = read_only

    @property
    def is_open(self) -> bool:
        """Whether every visitor of this machine may come in."""
        return self._token is None and self._authorize is None

    async def admit(self, request: Request) -> Visitor | Refusal:
        """Let a visitor in, or say why not."""
        scheme, secret = _credentials(request)
        if self._token is not None and secret is not None and hmac.compare_digest(secret, self._token):
            return self._visitor(Role.OPERATE, by_bearer=scheme == "bearer")
        if self._authorize is not None:
            role = await self._asked(self._authorize, request)
            if role is not None:
                return self._visitor(role)
        if self._token is not None:
            return Refusal(401, "this dashboard wants its token, as Bearer or as the password of Basic", challenge=True)
        if self._authorize is not None:
            return Refusal(403, "you may not see this dashboard")
        return self._at_home(request)

    def _visitor(self, role: Role, *, by_bearer: bool = False) -> Visitor:
        return Visitor(role, acts=role is Role.OPERATE and not self._read_only, by_bearer=by_bearer)

    async def _asked(self, authorize: Authorize, request: Request) -> Role | None:
        """Ask the host app; a plain function in a thread, since it may block."""
        verdict = await run_in_threadpool(authorize, request)
        if isawaitable(verdict):
            verdict = await verdict
        if verdict is None:
            return None
        try:
            return Role(verdict)
        except ValueError:
            raise ConfigurationError(
                f"authorize() of the dashboard returned {verdict!r}; it may return 'operate', 'read' or None"
            ) from None

    def _at_home(self, request: Request) -> Visitor | Refusal:
        host = name_of(request.headers.get("host", ""))
        if request.client is not None and is_remote(request.client.host):
            why = "it answers on this machine alone"
        elif any(name in request.headers for name in _FORWARDED):
            why = "it answers nobody who comes through a proxy"
        elif not is_loopback(host):
            why = f"it answers under a loopback name such as 127.0.0.1, not {host!r}"
        else:
            return self._visitor(Role.OPERATE)
        return Refusal(403, f"this dashboard has no token, so {why}; give it a token, or authorize=…")


def _credentials(request: Request) -> tuple[str, bytes | None]:
    """Read the scheme and the secret of an Authorization header."""
    scheme, _, rest = request.headers.get("authorization", "").partition(" ")
    scheme, rest = scheme.lower(), rest.strip()
    if not rest or len(rest) > _MOST_CREDENTIALS:
        return "", None
    if scheme == "bearer":
        return scheme, rest.encode("latin-1")  # as the bytes came
    if scheme == "basic":
        try:
            _, colon, password = b64decode(rest, validate=True).partition(b":")
        except (Base64Error, ValueError):
            return "", None
        return scheme, password if colon else None
    return "", None
