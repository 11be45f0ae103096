"""What a visitor has filled in: the body of a POST, or a query. Owns reading it within bounds."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from urllib.parse import parse_qsl

from starlette.requests import Request

from millrace.dashboard.trouble import Trouble

__all__ = ["Form", "read_form"]

_KIND = "application/x-www-form-urlencoded"
_MOST_BYTES = 4 * 1024 * 1024
_MOST_FIELDS = 1000


class Form:
    """Fields by name; one that was left empty counts as not given.

    >>> form = Form([("state", "dead"), ("state", "failed"), ("queue", "")])
    >>> form.many("state"), form.one("queue"), form.one("task")
    (['dead', 'failed'], None, None)
    """

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._fields: dict[str, list[str]] = {}
        for name, value in pairs:
            if value:
                self._fields.setdefault(name, []).append(value)

    def many(self, name: str) -> list[str]:
        """Return all values of a field."""
        return self._fields.get(name, [])

    def one(self, name: str) -> str | None:
        """Return the last value of a field, or None."""
        values = self._fields.get(name)
        return values[-1] if values else None

    def need(self, name: str) -> str:
        """Return the value of a field that must be there.

        Raises:
            Trouble: It is not.
        """
        value = self.one(name)
        if value is None:
            raise Trouble(HTTPStatus.BAD_REQUEST, f"the field {name!r} is missing")
        return value

    def number(self, name: str, default: int, *, most: int) -> int:
        """Return a whole number from 1 on; above `most` it is `most`.

        Raises:
            Trouble: It is none.
        """
        text = self.one(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdecimal()) or not text.strip("0"):
            raise Trouble(HTTPStatus.BAD_REQUEST, f"{name}={text!r} is not a number from 1 to {most}")
        return most if len(text) > len(str(most)) else min(int(text), most)


async def read_form(request: Request) -> Form:
    """Read the body of a POST.

    Raises:
        Trouble: It is too large, or no form.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_BYTES:
            raise Trouble(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the form has more than {_MOST_BYTES} bytes")
    if not body:
        return Form()
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _KIND:
        raise Trouble(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"a form is sent as {_KIND}")
    try:
        return Form(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS))
    except ValueError:
        raise Trouble(
            HTTPStatus.BAD_REQUEST, f"the form cannot be read: UTF-8, at most {_MOST_FIELDS} fields"
        ) from None
