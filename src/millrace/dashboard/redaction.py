"""What is not shown of arguments, results and the data of log lines. Owns the names, and what stands instead."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from millrace import checks

__all__ = ["HIDDEN", "NAMES", "Redaction", "shape"]

HIDDEN = "•••"  #: stands where a value is hidden

#: What is hidden from everyone: names that hold one of these, whatever their case, dashes and underscores.
NAMES = (
    "accesskey", "apikey", "authorization", "cardnumber", "cookie", "credential", "cvc", "cvv", "passphrase", "passwd",
    "password", "privatekey", "pwd", "secret", "sessionid", "signature", "token",
)  # fmt: skip


class Redaction:
    """Hides values by the names that they stand under.

    Args:
        more: Names to hide beside `NAMES`.

    Raises:
        ConfigurationError: One of them is no name.

    >>> Redaction(["iban"]).shown({"to": "ada", "API-Key": "k", "bank": [{"iban": "DE0"}]})
    {'to': 'ada', 'API-Key': '•••', 'bank': [{'iban': '•••'}]}
    """

    def __init__(self, more: Iterable[str] = ()) -> None:
        given = checks.items("redact", more, "names of arguments")
        self._names = (*NAMES, *(_plain(checks.name("a name in redact", each)) for each in given))

    def hides(self, name: str) -> bool:
        """Tell whether what stands under a name is hidden.

        >>> Redaction().hides("DB_PASSWORD"), Redaction().hides("author")
        (True, False)
        """
        plain = _plain(name)
        return any(each in plain for each in self._names)

    def shown(self, value: Any) -> Any:
        """Return a JSON value with what is to be hidden taken out, at any depth."""
        if isinstance(value, Mapping):
            items = cast("Mapping[str, Any]", value).items()
            return {key: HIDDEN if self.hides(key) else self.shown(each) for key, each in items}
        if isinstance(value, list):
            return [self.shown(each) for each in cast("list[Any]", value)]
        return value

    def restored(self, given: Any, kept: Any) -> Any:
        """Return what was given, with values of before wherever a hidden one was left as it was shown.

        >>> Redaction().restored({"to": "bob", "token": "•••"}, {"to": "ada", "token": "t-1"})
        {'to': 'bob', 'token': 't-1'}
        """
        if isinstance(given, Mapping) and isinstance(kept, Mapping):
            before = cast("Mapping[str, Any]", kept)
            return {
                key: before[key]
                if each == HIDDEN and key in before and self.hides(key)
                else self.restored(each, before.get(key))
                for key, each in cast("Mapping[str, Any]", given).items()
            }
        if isinstance(given, list) and isinstance(kept, list):
            olds = cast("list[Any]", kept)
            news = cast("list[Any]", given)
            return [self.restored(each, olds[n] if n < len(olds) else None) for n, each in enumerate(news)]
        return cast("Any", given)


def shape(value: Any) -> Any:
    """Return what a reader sees of a JSON value: the names, and of what kind each value is.

    >>> shape({"to": "ada@example.com", "copies": 2, "when": None})
    {'to': 'text', 'copies': 'number', 'when': 'null'}
    """
    if isinstance(value, Mapping):
        return {key: shape(each) for key, each in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, list):
        return [shape(each) for each in cast("list[Any]", value)]
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, (int, float)):
        return "number"
    return "text" if isinstance(value, str) else "null"


def _plain(name: str) -> str:
    return name.casefold().replace("_", "").replace("-", "").replace(" ", "")
