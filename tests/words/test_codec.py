"""Arguments and results survive the round trip as their types, or are refused before anything is stored."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import math
import pathlib
import uuid
from collections.abc import Sequence
from typing import Any

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.codec import MAX_DEPTH, MAX_RESULT_BYTES, Arguments, encode_plain, encode_result
from millrace.errors import PayloadError

LIMIT = 1_048_576


class Colour(enum.Enum):
    RED = "red"


class Point(msgspec.Struct):
    x: int
    y: int


@dataclasses.dataclass
class Order:
    id: uuid.UUID
    tags: set[str]


class Opaque:
    """Nothing that JSON could hold."""


class Person(pydantic.BaseModel):
    name: str
    born: dt.date


def everything(
    when: dt.datetime,
    price: decimal.Decimal,
    colour: Colour,
    point: Point,
    order: Order,
    person: Person,
    path: pathlib.PurePosixPath,
    *rest: int,
    wait: dt.timedelta = dt.timedelta(days=1),
    blob: bytes = b"",
    **more: float,
) -> None:
    """Take one of each."""


def round_trip(function: Any, *args: Any, **kwargs: Any) -> Any:
    codec = Arguments(function, function.__name__)
    return codec.decode(codec.encode(args, kwargs, LIMIT))


def test_each_annotated_type_comes_back_as_itself() -> None:
    now = dt.datetime(2026, 11, 24, 12, 0, tzinfo=dt.UTC)
    given_args = (
        now,
        decimal.Decimal("1.10"),
        Colour.RED,
        Point(1, 2),
        Order(uuid.uuid4(), {"a"}),
        Person(name="Ada", born=dt.date(1815, 12, 10)),
        pathlib.PurePosixPath("/etc"),
        1,
        2,
    )
    args, kwargs = round_trip(everything, *given_args, wait=dt.timedelta(seconds=5), z=1.5)
    assert (given_args, {"wait": dt.timedelta(seconds=5), "blob": b"", "z": 1.5}) == (args, kwargs)


def test_defaults_are_not_stored_and_come_from_the_function_as_it_is_now() -> None:
    def old(a: int, b: list[int] = [1]) -> None: ...  # noqa: B006

    def new(a: int, b: list[int] = [2], c: str = "x") -> None: ...  # noqa: B006

    data = Arguments(old, "old").encode((7,), {}, LIMIT)
    assert data == b'{"a":7}'
    assert Arguments(new, "new").decode(data) == ((7, [2], "x"), {})


def test_a_skipped_first_parameter_is_not_an_argument() -> None:
    def handler(context: object, a: int) -> None: ...

    assert Arguments(handler, "handler", skip=1).encode((1,), {}, LIMIT) == b'{"a":1}'


def test_positional_only_parameters_are_stored_by_name_and_passed_by_position() -> None:
    def handler(a: int, b: int = 5, /) -> None: ...

    codec = Arguments(handler, "handler")
    assert codec.decode(codec.encode((1,), {}, LIMIT)) == ((1, 5), {})


@pytest.mark.parametrize(
    ("args", "kwargs", "part"),
    [
        ((1,), {}, "missing a required argument: 'b'"),
        ((1, 2, 3), {}, "too many positional arguments"),
        ((1, 2), {"c": 3}, "unexpected keyword argument 'c'"),
        (("x", 2), {}, "Expected `int`, got `str` - at `$.a`"),
        ((1, None), {}, "Expected `int`, got `null`"),
        ((1, True), {}, "Expected `int`, got `bool`"),
    ],
)
def test_a_call_that_does_not_fit_is_refused_with_the_signature(args: Any, kwargs: Any, part: Any) -> None:
    def add(a: int, b: int) -> int:
        return a + b

    with pytest.raises(PayloadError, match=r"it takes \(a: .*int") as caught:
        Arguments(add, "add").encode(args, kwargs, LIMIT)
    assert part in str(caught.value)


def nested(depth: int) -> list[object]:
    value: list[object] = []
    for _ in range(depth - 1):
        value = [value]
    return value


def within_itself() -> list[object]:
    value: list[object] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    ("value", "part"),
    [
        (math.nan, "nan has no form"),
        ({"a": [math.inf, None]}, "inf has no form"),
        ({math.nan: 1}, "the key nan has no form"),
        ([{"a": {-math.inf: [1]}}], "the key -inf has no form"),
        (object(), "type object has no form"),
        ("\ud800", "lone surrogate"),
        (nested(MAX_DEPTH + 1), f"deeper than {MAX_DEPTH}"),
        (nested(100_000), f"deeper than {MAX_DEPTH}"),
        (within_itself(), f"deeper than {MAX_DEPTH}"),
        ("x" * LIMIT, "over the limit of 1048576"),
    ],
    ids=["nan", "inf", "nan key", "inf key", "object", "surrogate", "deep", "very deep", "cycle", "large"],
)
def test_a_value_that_cannot_be_stored_is_refused(value: Any, part: Any) -> None:
    with pytest.raises(PayloadError, match=part):
        encode_plain("task", {"value": value}, LIMIT)


def test_nesting_counts_brackets_of_values_and_not_of_texts() -> None:
    # the object around it is the first of the hundred levels
    assert encode_plain("task", {"value": nested(MAX_DEPTH - 1)}, LIMIT)
    assert encode_plain("task", {"value": "[{" * 500, "quote": '"' + "[" * 200}, LIMIT)


def test_a_key_that_reads_like_one_is_text() -> None:
    assert encode_plain("task", {"nan": {"inf": 1, "x": {1.5: 2}}}, LIMIT) == b'{"nan":{"inf":1,"x":{"1.5":2}}}'
    assert encode_plain("task", {"inf": "nan", "-inf": None}, LIMIT) == b'{"inf":"nan","-inf":null}'


def test_a_null_beside_a_number_is_no_nan() -> None:
    assert encode_plain("task", {"a": None, "b": 1.5}, LIMIT) == b'{"a":null,"b":1.5}'


def test_arguments_by_name_must_be_a_mapping_of_texts() -> None:
    with pytest.raises(PayloadError, match="not a mapping"):
        encode_plain("task", {1: 2}, LIMIT)  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]


def test_a_type_that_cannot_be_read_back_is_told_at_enqueue() -> None:
    def handler(value: Opaque) -> None: ...

    with pytest.raises(PayloadError, match="Opaque cannot be read back"):
        Arguments(handler, "handler").encode_named({"value": 1}, LIMIT)


def test_an_abstract_annotation_takes_what_is_an_instance_of_it() -> None:
    def handler(values: Sequence[int]) -> None: ...

    assert round_trip(handler, [1, 2]) == (([1, 2],), {})


def test_stored_arguments_that_no_longer_fit_say_so() -> None:
    def handler(a: int) -> None: ...

    with pytest.raises(PayloadError, match="do not fit handler"):
        Arguments(handler, "handler").decode(b'{"b":1}')


def test_an_annotation_that_only_type_checkers_know_goes_unchecked() -> None:
    def handler(a: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821  # pyright: ignore[reportUndefinedVariable, reportUnknownParameterType]

    assert round_trip(handler, {"any": 1}) == (({"any": 1},), {})  # pyright: ignore[reportUnknownArgumentType]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), json_values, max_size=5))
def test_any_json_object_comes_back_equal(value: Any) -> None:
    assert value == msgspec.json.decode(encode_plain("task", value, LIMIT))


@given(json_values)
def test_an_unannotated_parameter_takes_any_json_value(value: Any) -> None:
    def handler(value: Any) -> None: ...

    args, _ = round_trip(handler, value)
    assert [value] == list(args)


def test_a_result_escapes_lone_surrogates_and_refuses_nan() -> None:
    assert encode_result("\ud800") == b'"\\\\ud800"'
    assert encode_result({"\ud800": ["\udfff"]}) == b'{"\\\\ud800":["\\\\udfff"]}'
    with pytest.raises(PayloadError, match="nan"):
        encode_result([math.nan])


def test_a_result_over_a_mebibyte_is_refused() -> None:
    with pytest.raises(PayloadError, match=str(MAX_RESULT_BYTES)):
        encode_result("x" * MAX_RESULT_BYTES)
