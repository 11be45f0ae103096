"""The limits that one job falls under, as they are stored with it, and the reckoning of rates. Pure, no I/O.

A `Group` is what jobs have in common that are limited alike: the numbers and the filled keys, fixed at enqueue. Stores
keep it as a text, count the running jobs of a key, and hold a bucket of tokens for each key that has a rate.
"""

from __future__ import annotations

from functools import lru_cache
from math import gcd

import msgspec

__all__ = ["MOST_DEBT", "Bucket", "Group", "Pace", "bucket_name", "counter_name", "encode_group", "read_group"]

_UNITS = {1_000_000: "s", 60_000_000: "m", 3_600_000_000: "h", 86_400_000_000: "d"}
MOST_DEBT = 1 << 53  #: a double, which is what Lua reckons in, holds whole numbers up to here


_shared = lru_cache(maxsize=1024)(gcd)


class Pace(msgspec.Struct, frozen=True, array_like=True):
    """A rate as stores know it: so many tokens in so many microseconds.

    Tokens come back evenly and are reckoned in units of which `flow` come back each microsecond and a token costs
    `cost`, both whole: nothing is lost to rounding.

    >>> Pace(100, 60_000_000).cost, Pace(100, 60_000_000).flow, Pace(100, 60_000_000).most
    (600000, 1, 60000000)
    """

    count: int
    per: int

    @property
    def text(self) -> str:
        """How people write it.

        >>> Pace(5, 1_000_000).text, Pace(5, 2_500_000).text
        ('5/s', '5/2.5s')
        """
        return f"{self.count}/{_UNITS.get(self.per) or f'{self.per / 1e6:g}s'}"

    @property
    def flow(self) -> int:
        """Units that come back in a microsecond."""
        return self.count // _shared(self.count, self.per)

    @property
    def cost(self) -> int:
        """Units of one token."""
        return self.per // _shared(self.count, self.per)

    @property
    def most(self) -> int:
        """Units of a full bucket."""
        return self.count * self.cost


class Bucket(msgspec.Struct):
    """What was taken from a bucket and has not come back: `debt` units at the time `at`. A full one has no debt.

    >>> bucket, pace = Bucket(), Pace(2, 1_000_000)
    >>> bucket.tokens(pace, 0)
    2
    >>> bucket.spend(pace, 0, 2)
    >>> bucket.tokens(pace, 499_999), bucket.tokens(pace, 500_000), bucket.next_token(pace)
    (0, 1, 500000)
    """

    debt: int = 0
    at: int = 0

    def owed(self, pace: Pace, now: int) -> int:
        """Return the units that have not come back; at a time before the last one, those of that time."""
        return max(0, self.debt - max(0, now - self.at) * pace.flow)

    def tokens(self, pace: Pace, now: int) -> int:
        """Return how many tokens may be taken now."""
        return max(0, pace.most - self.owed(pace, now)) // pace.cost

    def spend(self, pace: Pace, now: int, number: int) -> None:
        """Take tokens."""
        self.debt = self.owed(pace, now) + number * pace.cost
        self.at = max(self.at, now)

    def next_token(self, pace: Pace) -> int:
        """Return from when on there is a token."""
        return self.at + max(0, -((pace.most - self.debt - pace.cost) // pace.flow))

    def full_at(self, pace: Pace) -> int:
        """Return from when on nothing is owed, so that it may be forgotten."""
        return self.at - (-self.debt // pace.flow)


class Group(msgspec.Struct, frozen=True, array_like=True):
    """The limits of one job, its keys filled.

    Attributes:
        limit: At most so many running jobs of the task and `limit_key`; None is no limit.
        limit_key: The key of that limit, empty for the task as a whole.
        rate: At most so many claims of the task and `rate_key`; None is no rate.
        rate_key: The key of that rate.
        fair: The key that takes turns with others; None takes part as one key together with all that have none.

    >>> read_group(encode_group(Group(limit=2, limit_key="acme"))).limit_key
    'acme'
    """

    limit: int | None = None
    limit_key: str = ""
    rate: Pace | None = None
    rate_key: str = ""
    fair: str | None = None


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Group)


def encode_group(group: Group) -> str:
    """Return the text that stores keep.

    >>> encode_group(Group(rate=Pace(5, 1_000_000), fair="acme"))
    '[null,"",[5,1000000],"","acme"]'
    """
    return _encoder.encode(group).decode()


@lru_cache(maxsize=4096)
def read_group(text: str) -> Group:
    """Read it."""
    return _decoder.decode(text)


def counter_name(task: str, key: str) -> str:
    """Name what the running jobs of a task and a key are counted under, within their queue."""
    return f"{task}\0{key}"


def bucket_name(queue: str, pace: Pace, task: str = "", key: str = "") -> str:
    """Name a bucket: of a queue, or of a task and key in it. Another rate has another bucket, which begins full.

    >>> bucket_name("mail", Pace(1, 2), "send", "acme")
    '["mail","send","acme",1,2]'
    """
    return _encoder.encode((queue, task, key, pace.count, pace.per)).decode()
