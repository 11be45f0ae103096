"""What options take besides text and numbers: durations, times, JSON, pairs. Owns these click types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import click
import msgspec

from millrace.cli.times import parse_duration, parse_time
from millrace.states import JobState

__all__ = ["ARGUMENT", "DURATION", "MOMENT", "OBJECT", "SLOTS", "STATE", "json_object"]


if TYPE_CHECKING:
    ParamType = click.ParamType[Any]  # it takes a parameter in newer versions of click only
else:
    ParamType = click.ParamType


class _Kind(ParamType):
    """A type made of a function that returns the value or raises `ValueError` with a sentence."""

    def __init__(self, name: str, read: Any) -> None:
        self.name = name
        self._read = read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read one value."""
        if not isinstance(value, str):
            return value  # a default
        try:
            return self._read(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def json_object(text: str) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ValueError: It is none.

    >>> json_object('{"a": 1}')
    {'a': 1}
    """
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise ValueError(f"{text!r} is not JSON: {error}; write '{{\"a\": 1}}'") from None
    if not isinstance(value, dict):
        raise ValueError(  # noqa: TRY004 - one kind of refusal for all
            f"{text!r} is not a JSON object; name the arguments, as in '{{\"a\": 1}}'"
        )
    return cast("dict[str, Any]", value)


def _argument(text: str) -> tuple[str, Any]:
    """Read NAME=VALUE, the value as JSON where it is JSON, else as text."""
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise ValueError(f"{text!r} is not NAME=VALUE; write a=1")
    try:
        return name, msgspec.json.decode(value)
    except msgspec.DecodeError:
        return name, value


def _slots(text: str) -> tuple[str, int]:
    """Read QUEUE=N."""
    queue, _, number = text.rpartition("=")
    if not queue or not number.isdecimal() or not int(number):
        raise ValueError(f"{text!r} is not QUEUE=N; write high=2")
    return queue, int(number)


ARGUMENT = _Kind("name=value", _argument)
DURATION = _Kind("duration", parse_duration)
MOMENT = _Kind("time", parse_time)
OBJECT = _Kind("json", json_object)
SLOTS = _Kind("queue=n", _slots)
STATE = click.Choice([state.value for state in JobState])
