"""Where a request that changes something comes from: only from our own pages. Owns that check."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.requests import Request

__all__ = ["foreign"]


def foreign(request: Request) -> str | None:
    """Say why a request may not change anything: it does not come from our own origin; None where it does.

    Browsers tell the origin with every POST, and pages cannot change what they tell. Behind a proxy that ends TLS the
    scheme is not known here, so an origin with `https` is taken there too; the host must be the same in any case.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None and site != "same-origin":
        return f"the browser says that this comes from another site ({site})"
    origin = request.headers.get("origin")
    if origin is None:
        return "it says no Origin; a script sends its token as Bearer instead"
    host = request.headers.get("host", "").lower()
    try:
        parts = urlsplit(origin.lower())
    except ValueError:
        return "its Origin cannot be read"
    schemes = {"https"} if request.url.scheme == "https" else {"http", "https"}
    if not host or parts.scheme not in schemes or parts.netloc != host:
        return f"its Origin is not this host, {host}; a proxy in between must pass Host on as it is"
    return None
