"""The headers of every answer. Owns the policy for browsers: only our own files, no inline code, no frames."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import Message, Send

__all__ = ["POLICY", "with_headers"]

#: Nothing may be loaded but from here; what is inline, in whatever text it got into a page, is never run.
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # `no-referrer` would make browsers tell `Origin: null` with our own forms
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Robots-Tag": "noindex, nofollow",
}


def with_headers(send: Send) -> Send:
    """Add the headers to whatever is sent; only a cache rule that is there already stays."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return sent
