"""What a caller's own client knows of its server, for connections of ours to the same. Owns how it is read.

Any client made like redis-py's will do, blocking or not, also valkey's and that of a cluster. It is only looked at: our
connections have deadlines of their own and carry scripts in one trip, neither of which a borrowed one can promise.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final, TypedDict
from urllib.parse import urlencode

from millrace.errors import ConfigurationError
from millrace.stores.redis.settings import PORT, Account, Settings, Wait
from millrace.stores.redis.url import read_url

__all__ = ["RedisOptions", "of_client", "settings_of"]

_UNVERIFIED: Final = frozenset({"none", ssl.CERT_NONE})
_NAMES: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
# Of TLS, what we would have to leave out: then the connection would not be what the caller thinks it is.
_UNKNOWN: Final = ("ssl_ca_data", "ssl_ca_path", "ssl_password", "ssl_ciphers", "ssl_min_version")


class RedisOptions(TypedDict, total=False):
    """Our own options, as the query of a URL has them; see `Settings`."""

    prefix: str
    shard: bool
    wait: Wait
    listen: bool
    allow_eviction: bool
    allow_server: bool
    deadline: float
    read_deadline: float
    connect_deadline: float


def of_client(client: Any, options: RedisOptions) -> Settings:
    """Read where a client's server is, and who it is there.

    Raises:
        ConfigurationError: It is no such client, asks sentinels for its server, or has an option that we have not.

    >>> class Pool:
    ...     connection_kwargs = {"host": "db.example", "db": 2, "password": "secret"}
    >>> class Client:
    ...     connection_pool = Pool()
    >>> settings = of_client(Client(), {"prefix": "shop"})
    >>> settings.url, settings.password
    ('redis://:***@db.example:6379/2?prefix=shop', 'secret')
    """
    given = _known(client)
    for name in _UNKNOWN:
        if given.get(name) is not None:
            raise ConfigurationError(f"the client has {name}, which our own connections do not know; give a URL")
    tls = given.pop("encrypted")
    certificates: dict[str, Any] = {name: given.get(name) for name in _NAMES} if tls else {}
    place = _place(given)
    user, password = given.get("username"), given.get("password")
    provider = given.get("credential_provider")
    return Settings(
        url=_shown(place, options, user=user, secret=password or provider, tls=tls),
        user=user,
        password=password,
        account=None if provider is None else _account(provider),
        tls=tls,
        ssl_verify=not tls or given.get("ssl_cert_reqs", "required") not in _UNVERIFIED,
        **place,
        **certificates,
        **options,
    )


def settings_of(url: str | Settings | None, client: Any, options: RedisOptions) -> Settings:
    """Read what a store is made of: a URL, what one says, or a client; and options over what the URL says.

    Raises:
        ConfigurationError: None of them is given or several, or one will not do.

    >>> settings_of("redis://db.example?prefix=shop", None, {"listen": False}).listen
    False
    """
    if (url is None) is (client is None):
        raise ConfigurationError("a Redis store is given either a URL or client=; give one of them")
    if url is None:
        return of_client(client, options)
    return replace(read_url(url) if isinstance(url, str) else url, **options)


def _known(client: Any) -> dict[str, Any]:
    """Return the arguments of a client's connections, and whether these are encrypted."""
    pool = getattr(client, "connection_pool", None)
    if hasattr(pool, "sentinel_manager"):
        raise ConfigurationError(
            "the client asks sentinels for its server, which we do not; give the URL of what follows the master"
        )
    known: Any = getattr(pool, "connection_kwargs", None)
    if known is not None:
        kind = getattr(pool, "connection_class", None)
        return {**known, "encrypted": any("SSL" in base.__name__ for base in getattr(kind, "__mro__", ()))}
    nodes = getattr(client, "nodes_manager", None)
    shared: Any = getattr(nodes, "connection_kwargs", None)
    node: Any = getattr(nodes, "default_node", None)
    if shared is not None and node is not None:  # of a cluster: any of its nodes tells of the others
        return {**shared, "host": node.host, "port": node.port, "encrypted": bool(shared.get("ssl"))}
    raise ConfigurationError(f"client={client!r} is no client of redis-py or valkey; give one, or a URL")


def _place(given: Mapping[str, Any]) -> dict[str, Any]:
    database = {"db": int(given.get("db") or 0)}
    if given.get("path"):
        return {"path": str(given["path"]), **database}
    return {"host": given.get("host") or "localhost", "port": int(given.get("port") or PORT), **database}


def _account(provider: Any) -> Callable[[], Account]:
    """Ask a provider each time: what it gives may be good for minutes only."""

    def ask() -> Account:
        told = provider.get_credentials()
        user, password = told if len(told) == 2 else (None, *told)  # noqa: PLR2004 - a password alone is a pair with nobody
        return user, password

    return ask


def _shown(place: Mapping[str, Any], options: RedisOptions, *, user: str | None, secret: object, tls: bool) -> str:
    """Return a URL for people: it names what a person has to know, and no password."""
    account = f"{user or ''}{':***' if secret else ''}@" if user or secret else ""
    told = {name: options[name] for name in ("prefix",) if name in options}
    if "path" in place:
        return f"unix://{account}{place['path']}?{urlencode({'db': place['db'], **told})}"
    host = f"[{place['host']}]" if ":" in place["host"] else place["host"]
    query = f"?{urlencode(told)}" if told else ""
    return f"{'rediss' if tls else 'redis'}://{account}{host}:{place['port']}/{place['db']}{query}"
