"""Arguments and results as JSON. Owns the typed round trip and its refusals; knows no store and no task options.

Arguments are bound to a function's signature and stored as one JSON object of named parameters, without defaults. The
annotations are compiled into one msgspec Struct a function, so that what was given comes back as the same types:
dates, UUIDs, Decimals, enums, bytes, dataclasses, Structs, pydantic models, paths, and containers of them. Encoders
turn NaN into null without a word, so a payload that holds a null is searched for one.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from itertools import takewhile
from operator import attrgetter
from pathlib import PurePath
from typing import Any, cast, get_type_hints

import msgspec

from millrace.errors import PayloadError
from millrace.outcome import printable

__all__ = [
    "MAX_DEPTH",
    "MAX_RESULT_BYTES",
    "Arguments",
    "encode_plain",
    "encode_result",
    "parameter_names",
    "resolved",
    "result_reader",
]

MAX_DEPTH = 100
MAX_RESULT_BYTES = 1_048_576

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')
_IMMUTABLE = (type(None), bool, int, float, str, bytes, frozenset)
_SAME_IN_JSON = (bool, int, float, str)  # of exactly these types a value is read back as it was
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _to_json(value: object) -> object:
    """Translate what msgspec does not know: pydantic models and paths."""
    dump = getattr(value, "model_dump", None)
    if dump is not None:
        return dump(mode="json")
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(f"a value of type {type(value).__qualname__} has no form in JSON")


def _from_json(kind: type, value: object) -> object:
    """Build what msgspec does not know from plain JSON values."""
    validate = getattr(kind, "model_validate", None)
    if validate is not None:
        return validate(value)
    if issubclass(kind, PurePath) and isinstance(value, str):
        return kind(value)
    if isinstance(value, kind):
        return value
    raise TypeError(
        f"{kind.__qualname__} cannot be read back from JSON; annotate a dataclass, a Struct or a pydantic model"
    )


_encode = msgspec.json.Encoder(enc_hook=_to_json).encode
_encode_sorted = msgspec.json.Encoder(enc_hook=_to_json, order="deterministic").encode


class Arguments:
    """The codec of one function: binds, encodes and checks a call's arguments, and reads them back.

    Args:
        function: Whose signature and annotations count.
        name: How error messages name it.
        skip: How many leading parameters are not arguments (1 where the first is the `JobContext`).

    >>> def add(a: int, b: int = 1) -> int: ...
    >>> codec = Arguments(add, "add")
    >>> codec.encode((2,), {}, 1000)
    b'{"a":2}'
    >>> codec.decode(b'{"a":2}')
    ((2, 1), {})
    """

    def __init__(self, function: Callable[..., Any], name: str, *, skip: int = 0) -> None:
        self.name = name
        signature = inspect.signature(function)
        parameters = list(signature.parameters.values())[skip:]
        self._signature = signature.replace(parameters=parameters)
        self._parameters = parameters
        kinds = {p.kind for p in parameters}
        self._variadic = bool(kinds & set(_VARIADIC))
        positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        self._positional = tuple(p.name for p in positional)
        self._required = sum(p.default is p.empty for p in positional)
        self._keyword_only = tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)
        self._all_by_position = not self._variadic and not self._keyword_only
        self._exact: tuple[Any, ...] = ()  # types of the first positional ones, as far as JSON has the type itself
        self._decoder = self._compile(function)
        self._read = _reader(self._positional)

    @property
    def names(self) -> tuple[str, ...]:
        """All parameters, in order."""
        return tuple(p.name for p in self._parameters)

    @property
    def required(self) -> tuple[str, ...]:
        """The parameters that have no default."""
        return tuple(p.name for p in self._parameters if p.default is p.empty and p.kind not in _VARIADIC)

    @property
    def struct(self) -> type[msgspec.Struct]:
        """The Struct of all parameters, for schemas and forms."""
        return self._struct

    def encode(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], limit: int) -> bytes:
        """Bind a call and return its arguments as JSON of at most `limit` bytes.

        Raises:
            PayloadError: They do not fit the signature, its types, JSON or the limit.
        """
        if not kwargs and self._all_by_position and self._required <= len(args) <= len(self._positional):
            named: dict[str, Any] = dict(zip(self._positional, args, strict=False))
            if tuple(map(type, args)) == self._exact[: len(args)]:
                return _checked_json(self.name, named, limit)  # they come back as what they are
        else:
            try:
                named = self._signature.bind(*args, **kwargs).arguments
            except TypeError as error:
                raise PayloadError(f"{self.name}(): {error}; it takes {self._signature}") from None
        return self.encode_named(named, limit)

    def encode_named(self, named: Mapping[str, Any], limit: int) -> bytes:
        """Encode and check arguments given by name, as `NewJob(args=…)` has them.

        Raises:
            PayloadError: As for `encode`.
        """
        return self._checked(self._decoder, named, limit)

    def encode_without(self, missing: str, named: Mapping[str, Any], limit: int) -> bytes:
        """Encode and check arguments of which one will be known only later."""
        rest = [field for field in self._fields if field[0] != missing]
        kind = msgspec.defstruct("Arguments", rest, kw_only=True, forbid_unknown_fields=True)
        return self._checked(msgspec.json.Decoder(kind, dec_hook=_from_json), named, limit)

    def _checked(self, decoder: msgspec.json.Decoder[Any], named: Mapping[str, Any], limit: int) -> bytes:
        data = _checked_json(self.name, named, limit)
        try:
            decoder.decode(data)
        except (msgspec.ValidationError, TypeError, ValueError, RecursionError) as error:
            raise PayloadError(f"{self.name}(): {error}; it takes {self._signature}") from None
        return data

    def decode(self, data: bytes) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Read stored arguments back as (positional, keyword), ready for the call.

        Raises:
            PayloadError: They do not fit the function as it is now.
        """
        values = self._values(data)
        args = self._read(values)
        if self._all_by_position:
            return args, {}
        kwargs = {name: getattr(values, name) for name in self._keyword_only}
        for parameter in self._parameters:
            if parameter.kind is parameter.VAR_POSITIONAL:
                args = (*args, *getattr(values, parameter.name))
            elif parameter.kind is parameter.VAR_KEYWORD:
                kwargs.update(getattr(values, parameter.name))
        return args, kwargs

    def canonical(self, data: bytes, names: Collection[str]) -> bytes:
        """Return some of the stored arguments, defaults included, as JSON that is equal where their values are.

        Raises:
            PayloadError: They do not fit the function, or a default has no form in JSON.
        """
        values = self._values(data)
        try:
            return _encode_sorted([[name, getattr(values, name)] for name in self.names if name in names])
        except (TypeError, ValueError) as error:
            raise PayloadError(f"{self.name}(): a default has no form in JSON: {error}") from None

    def _values(self, data: bytes) -> Any:
        try:
            return self._decoder.decode(data)
        except (msgspec.MsgspecError, TypeError, ValueError, RecursionError) as error:
            raise PayloadError(f"the stored arguments do not fit {self.name}{self._signature}: {error}") from None

    def _compile(self, function: Callable[..., Any]) -> msgspec.json.Decoder[Any]:
        hints = _hints(function)
        known = (hints.get(name) for name in self._positional)
        self._exact = tuple(takewhile(_SAME_IN_JSON.__contains__, known))
        fields: list[Any] = []
        for parameter in self._parameters:
            kind = hints.get(parameter.name, Any)
            if parameter.kind is parameter.VAR_POSITIONAL:
                fields.append((parameter.name, list.__class_getitem__(kind), msgspec.field(default_factory=list)))
            elif parameter.kind is parameter.VAR_KEYWORD:
                fields.append(
                    (parameter.name, dict.__class_getitem__((str, kind)), msgspec.field(default_factory=dict))
                )
            elif parameter.default is parameter.empty:
                fields.append((parameter.name, kind))
            else:
                fields.append((parameter.name, kind, _default(parameter.default)))
        self._fields = fields
        self._struct = msgspec.defstruct("Arguments", fields, kw_only=True, forbid_unknown_fields=True)
        try:
            return msgspec.json.Decoder(self._struct, dec_hook=_from_json)
        except TypeError as error:
            raise PayloadError(
                f"{self.name}{self._signature} has annotations that cannot be checked: {error}; "
                "annotate one of them, use tagged Structs, or leave the annotation out"
            ) from None
        except Exception as error:  # evaluating the annotations of a class in a class runs the user's code
            raise PayloadError(
                f"{self.name}{self._signature} has annotations that cannot be read: {error}; define what they name"
            ) from error


def parameter_names(function: Callable[..., Any], skip: int = 0) -> tuple[str, ...]:
    """List the parameters that are arguments, without compiling anything.

    >>> parameter_names(lambda a, b=1: a + b)
    ('a', 'b')
    """
    return tuple(inspect.signature(function).parameters)[skip:]


def resolved(function: Callable[..., Any]) -> bool:
    """Tell whether all names in the annotations exist already; running one may fail in any way.

    >>> def early(later: "Later") -> None: ...
    >>> resolved(early), resolved(resolved)
    (False, True)
    """
    try:
        get_type_hints(function, include_extras=True)
    except Exception:  # noqa: BLE001 - evaluating an annotation runs the user's code
        return False
    return True


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Read the annotations; one whose names only type checkers know is left out, and goes unchecked."""
    try:
        return get_type_hints(function, include_extras=True)
    except Exception:  # noqa: BLE001 - evaluating an annotation runs the user's code
        hints: dict[str, Any] = {}
    for name, annotation in getattr(function, "__annotations__", {}).items():

        def probe() -> None: ...

        probe.__annotations__ = {name: annotation}
        with suppress(Exception):
            hints |= get_type_hints(probe, getattr(function, "__globals__", {}), include_extras=True)
    return hints


def encode_plain(name: str, args: Mapping[str, Any], limit: int) -> bytes:
    """Encode arguments for a task that this app does not know: any JSON object.

    Raises:
        PayloadError: Not an object of JSON values, or over the limit.

    >>> encode_plain("elsewhere", {"a": 1}, 1000)
    b'{"a":1}'
    """
    given: Any = args  # a caller may pass anything
    if not isinstance(given, Mapping) or not all(
        isinstance(key, str) for key in cast("Mapping[object, object]", given)
    ):
        raise PayloadError(f"{name}: args {args!r} is not a mapping of parameter names to values")
    return _checked_json(name, args, limit)


def encode_result(value: object) -> bytes | None:
    """Encode what a handler returned; None stays None. Lone surrogates are escaped, NaN and the like refused.

    Raises:
        PayloadError: The value has no form in JSON, or more than 1 MiB of it.

    >>> encode_result({"n": 1}), encode_result(None)
    (b'{"n":1}', None)
    """
    if value is None:
        return None
    try:
        return _checked_json("the result", value, MAX_RESULT_BYTES)
    except PayloadError as error:
        if not isinstance(error.__cause__, UnicodeEncodeError):
            raise
    return _checked_json("the result", _escaped(msgspec.to_builtins(value, enc_hook=_to_json)), MAX_RESULT_BYTES)


def result_reader(function: Callable[..., Any]) -> Callable[[bytes], Any]:
    """Make the function that reads a stored result back as the type that `function` is annotated to return.

    A result that does not fit the annotation, or has none that can be read, comes as the plain JSON value.

    >>> def halves() -> tuple[int, int]: ...
    >>> result_reader(halves)(b"[1,2]")
    (1, 2)
    """
    plain: Callable[[bytes], Any] = msgspec.json.decode
    try:
        typed = msgspec.json.Decoder(_hints(function).get("return", Any), dec_hook=_from_json).decode
    except TypeError:
        return plain

    def read(data: bytes) -> Any:
        try:
            return typed(data)
        except Exception:  # noqa: BLE001 - a model's own code may raise anything; the stored value is still the result
            return plain(data)

    return read


def _checked_json(name: str, value: object, limit: int) -> bytes:
    try:
        data = _encode(value)
    except UnicodeEncodeError as error:
        raise PayloadError(f"{name}: a text holds a lone surrogate ({error}); give valid text") from error
    except RecursionError as error:
        raise PayloadError(f"{name}: nested deeper than {MAX_DEPTH} levels, or within itself") from error
    except Exception as error:  # a model's own code may raise anything
        raise PayloadError(f"{name}: {error}") from error
    if len(data) > limit:
        raise PayloadError(
            f"{name}: {len(data)} bytes of JSON are over the limit of {limit}; store a reference instead"
        )
    if b"null" in data or b'nan":' in data or b'inf":' in data:
        _refuse_nan(name, msgspec.to_builtins(value, enc_hook=_to_json))
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH and _depth(data) > MAX_DEPTH:
        raise PayloadError(f"{name}: nested deeper than {MAX_DEPTH} levels; flatten the value")
    return data


def _refuse_nan(name: str, value: Any) -> None:
    stack: list[Any] = [value]
    while stack:
        value = stack.pop()
        if isinstance(value, float) and not math.isfinite(value):
            raise PayloadError(f"{name}: {value!r} has no form in JSON; give a finite number or None")
        if isinstance(value, dict):
            for key, each in cast("dict[Any, Any]", value).items():
                if isinstance(key, float) and not math.isfinite(key):
                    raise PayloadError(f"{name}: the key {key!r} has no form in JSON; give a finite number or text")
                stack.append(each)
        elif isinstance(value, (list, tuple)):
            stack.extend(cast("Sequence[Any]", value))


def _depth(data: bytes) -> int:
    """Count the nesting of a JSON text that is known to be valid."""
    depth = deepest = 0
    for byte in _STRING.sub(b"", data):
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest


def _escaped(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {_escaped(key): _escaped(each) for key, each in cast("dict[Any, Any]", value).items()}
    if isinstance(value, (list, tuple)):
        return [_escaped(each) for each in cast("Sequence[Any]", value)]
    return value


def _default(value: Any) -> Any:
    """Give a parameter's default to the Struct as it is, shared as Python shares it."""
    given: Any = value
    if isinstance(value, _IMMUTABLE):
        return msgspec.field(default=given)
    return msgspec.field(default_factory=lambda: given)


def _reader(names: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    """Make the function that reads the positional values off a decoded Struct."""
    if not names:
        return lambda _: ()
    read = attrgetter(*names)
    if len(names) == 1:
        return lambda values: (read(values),)
    return read
