"""Names and addresses of this machine: which are loopback. Pure."""

from __future__ import annotations

from ipaddress import ip_address

__all__ = ["is_loopback", "is_remote", "name_of"]


def name_of(host: str) -> str:
    """Take the port off a Host header.

    >>> name_of("localhost:8080"), name_of("[::1]:8080"), name_of("127.0.0.1")
    ('localhost', '::1', '127.0.0.1')
    """
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def is_loopback(name: str) -> bool:
    """Tell whether a name or an address stands for this machine alone, without asking a name server.

    >>> is_loopback("localhost"), is_loopback("127.0.0.2"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, True, False)
    """
    if name.lower() == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def is_remote(peer: str) -> bool:
    """Tell whether the peer of a connection is another machine; what is no address, as of a socket file, is none.

    >>> is_remote("10.0.0.7"), is_remote("127.0.0.1"), is_remote("")
    (True, False, False)
    """
    try:
        return not ip_address(peer).is_loopback
    except ValueError:
        return False
