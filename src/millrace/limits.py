"""How much of a task may run at once, and how often. Owns `Limit`, `Rate`, and the filling of keys from arguments.

Stores know a filled `groups.Group`; what a worker is held back by is for them to count.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from string import Formatter
from typing import Any

import msgspec

from millrace import checks
from millrace.clock import micros
from millrace.codec import Arguments
from millrace.errors import ConfigurationError, PayloadError
from millrace.groups import MOST_DEBT, Group, Pace, encode_group

__all__ = ["Limit", "Limits", "Rate", "limits_of", "queue_rate"]

_MOST_COUNT = 1_000_000
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_TEXT = re.compile(r"([0-9]{1,7})/([smhd])")


class Limit:
    """At most so many running jobs of a task, over all workers and for each key.

    Running jobs are counted as they are, so one that is lost, released or snoozed holds no place. A task's jobs are
    counted within their queue.

    Args:
        count: How many may run at once, 1 to 1,000,000.
        key: Whose jobs count together: a template such as "{tenant}", filled from the job's arguments. Without one the
            jobs of the task count as a whole.

    Raises:
        ConfigurationError: An argument is not acceptable.

    >>> from millrace import Millrace
    >>> app = Millrace("memory://")
    >>> @app.task(concurrency=Limit(1, key="{tenant}"))
    ... def sync(tenant: str) -> None: ...
    >>> jobs = [sync.enqueue(tenant) for tenant in ("acme", "acme", "other")]
    >>> [job.args["tenant"] for job in app.claim(10)]
    ['acme', 'other']
    """

    __slots__ = ("count", "key")

    def __init__(self, count: int, key: str | None = None) -> None:
        self.count = checks.count("Limit(count)", count, most=_MOST_COUNT)
        self.key = _checked_template("Limit", key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Limit) and (self.count, self.key) == (other.count, other.key)

    def __hash__(self) -> int:
        return hash((self.count, self.key))

    def __repr__(self) -> str:
        return f"Limit({self.count}{'' if self.key is None else f', key={self.key!r}'})"


class Rate:
    """At most so many jobs of a task begin in a time, over all workers and for each key.

    A bucket that holds `count` tokens: each claim takes one, and they come back evenly. So after a pause `count` jobs
    may begin at once, and in the long run `count` in each `per` seconds.

    Args:
        count: How many tokens the bucket holds, 1 to 1,000,000.
        per: In how many seconds they come back, or a `timedelta`; at least a millisecond.
        key: Whose jobs share a bucket, as for `Limit`.

    Raises:
        ConfigurationError: An argument is not acceptable.

    >>> from millrace import Millrace
    >>> app = Millrace("memory://")
    >>> @app.task(rate=Rate(2, per=3600.0, key="{host}"))
    ... def fetch(host: str) -> None: ...
    >>> jobs = [fetch.enqueue("db.example") for _ in range(5)]
    >>> len(app.claim(10))
    2
    """

    __slots__ = ("count", "key", "pace", "per")

    def __init__(self, count: int, per: float | timedelta = 1.0, key: str | None = None) -> None:
        self.count = checks.count("Rate(count)", count, most=_MOST_COUNT)
        self.per = checks.duration("Rate(per=)", per, positive=True)
        self.key = _checked_template("Rate", key)
        self.pace = Pace(self.count, micros(self.per))  #: as stores know it
        if self.pace.per < 1000:  # noqa: PLR2004 - microseconds
            raise ConfigurationError(f"Rate(per={per!r}) is under a millisecond; give a smaller count in a longer time")
        if self.pace.most > MOST_DEBT:
            raise ConfigurationError(
                f"{count} in {self.per:g} seconds cannot be reckoned exactly; give rounder numbers"
            )

    @classmethod
    def read(cls, text: str) -> Rate:
        """Read a rate such as "10/s", "100/m", "5/h" or "1000/d".

        Raises:
            ConfigurationError: It is none.

        >>> Rate.read("100/m")
        Rate(100, per=60.0)
        """
        found = _TEXT.fullmatch(text)
        if found is None:
            raise ConfigurationError(f"rate {text!r} cannot be read; give such as '10/s', '100/m', '5/h', '1000/d'")
        return cls(int(found[1]), _UNITS[found[2]])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rate) and (self.pace, self.key) == (other.pace, other.key)

    def __hash__(self) -> int:
        return hash((self.pace, self.key))

    def __repr__(self) -> str:
        return f"Rate({self.count}, per={self.per!r}{'' if self.key is None else f', key={self.key!r}'})"


def queue_rate(value: object) -> Pace | None:
    """Check the rate of a queue: a text, a `Rate` without a key, or None.

    Raises:
        ConfigurationError: It is something else.

    >>> queue_rate("10/s")
    Pace(count=10, per=1000000)
    """
    if value is None:
        return None
    if isinstance(value, str):
        return Rate.read(value).pace
    if not isinstance(value, Rate):
        raise ConfigurationError(f"rate {value!r} is no rate; give such as '100/m', or Rate(100, per=60.0)")
    if value.key is not None:
        raise ConfigurationError(f"{value!r} has a key, which a queue cannot fill; give the rate to the task")
    return value.pace


class Limits:
    """The limits of one task, and how they become the group of a job.

    >>> Limits(Limit(2, key="{tenant}"), None, None).names
    {'tenant'}
    """

    __slots__ = ("_fair", "_limit", "_rate", "fair", "limit", "names", "rate")

    def __init__(self, limit: Limit | None, rate: Rate | None, fair: str | None) -> None:
        self.limit = limit
        self.rate = rate
        self.fair = fair
        self._limit = _parts("" if limit is None else limit.key)
        self._rate = _parts("" if rate is None else rate.key)
        self._fair = _parts(fair)
        found = (*self._limit, *self._rate, *self._fair)
        self.names = {name for _, name in found if name is not None}  #: the parameters that keys are filled from

    def check(self, task: str, names: Sequence[str]) -> None:
        """Check that the keys name parameters of a task that takes `names`.

        Raises:
            ConfigurationError: One does not.
        """
        for name in sorted(self.names.difference(names)):
            raise ConfigurationError(
                f"the key of a limit names {name!r}, but {task} takes {', '.join(names) or 'no arguments'}"
            )

    def group(self, arguments: Arguments, data: bytes, key: str | None = None) -> str:
        """Return the group of a job, from its stored arguments or from a key of its own.

        Raises:
            ConfigurationError: A template names what is no parameter of the task.
            PayloadError: A key comes out too long, or with a NUL character.
        """
        values: Mapping[str, str] = {}
        if self.names and key is None:
            self.check(arguments.name, arguments.names)
            told: list[tuple[str, Any]] = msgspec.json.decode(arguments.canonical(data, self.names))
            values = {name: _as_text(value) for name, value in told}

        def fill(parts: Sequence[tuple[str, str | None]]) -> str:
            if key is not None and parts:
                return key
            return _checked_key("".join([text + ("" if name is None else values[name]) for text, name in parts]))

        return encode_group(
            Group(
                None if self.limit is None else self.limit.count,
                fill(self._limit),
                None if self.rate is None else self.rate.pace,
                fill(self._rate),
                None if self.fair is None else fill(self._fair),
            )
        )


def limits_of(concurrency: object, rate: object, fair: object) -> Limits | None:
    """Check the three options of a task; None where it has none.

    Raises:
        ConfigurationError: One is not acceptable.

    >>> limits_of(None, None, None) is None
    True
    """
    if concurrency is None and rate is None and fair is None:
        return None
    if isinstance(concurrency, int) and not isinstance(concurrency, bool):
        concurrency = Limit(concurrency)
    if concurrency is not None and not isinstance(concurrency, Limit):
        raise ConfigurationError(f"concurrency={concurrency!r} is no limit; give Limit(2, key='{{tenant}}')")
    if isinstance(rate, str):
        rate = Rate.read(rate)
    if rate is not None and not isinstance(rate, Rate):
        raise ConfigurationError(f"rate={rate!r} is no rate; give Rate(100, per=60.0, key='{{tenant}}')")
    if fair is not None and not (isinstance(fair, str) and any(name is not None for _, name in _parts(fair))):
        raise ConfigurationError(f"fair={fair!r} names no parameter; give a template such as '{{tenant}}'")
    return Limits(concurrency, rate, fair)


def _checked_template(where: str, key: object) -> str | None:
    if key is None:
        return None
    if not isinstance(key, str) or not key:
        raise ConfigurationError(f"{where}(key={key!r}) is no template; give such as '{{tenant}}'")
    _parts(key)
    return key


def _parts(template: str | None) -> Sequence[tuple[str, str | None]]:
    """Cut a template into texts and the parameter behind each.

    Raises:
        ConfigurationError: It is none, or wants more than a parameter's value.
    """
    try:
        parsed = list(Formatter().parse(template or ""))
    except ValueError as error:
        raise ConfigurationError(f"key {template!r} is no template: {error}; give such as '{{tenant}}'") from None
    for _, name, form, conversion in parsed:
        if name is not None and (not name.isidentifier() or form or conversion):
            raise ConfigurationError(f"key {template!r} may hold names of parameters alone, such as '{{tenant}}'")
    return [(text, name) for text, name, _, _ in parsed]


_as_json: Callable[[Any], bytes] = msgspec.json.Encoder(order="sorted").encode


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else _as_json(value).decode()


def _checked_key(key: str) -> str:
    size = len(key.encode(errors="surrogatepass"))
    if size > checks.MAX_NAME_BYTES or "\0" in key:
        told = "holds a NUL character" if "\0" in key else f"has {size} bytes, of at most {checks.MAX_NAME_BYTES}"
        raise PayloadError(f"the key {key[:40]!r} of a limit {told}; fill it from another argument")
    return key
