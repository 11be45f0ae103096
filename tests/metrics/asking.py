"""Asking a port over HTTP, as a probe or Prometheus would."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection


@dataclass(frozen=True)
class Told:
    """An answer."""

    status: int
    text: str
    kind: str | None
    length: str | None


def ask(url: str, path: str, method: str = "GET") -> Told:
    with closing(HTTPConnection(url.removeprefix("http://"), timeout=20)) as connection:
        connection.request(method, path)
        answer = connection.getresponse()
        headers = answer.headers
        return Told(answer.status, answer.read().decode(), headers["Content-Type"], headers["Content-Length"])
