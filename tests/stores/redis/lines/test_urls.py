"""What a URL says, and what is shown of it."""

from __future__ import annotations

from typing import Any

import pytest

from millrace.errors import ConfigurationError
from millrace.stores.redis.url import masked, read_url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://", {"host": "localhost", "port": 6379, "db": 0, "user": None, "password": None, "tls": False}),
        ("redis://db.example:7000/3", {"host": "db.example", "port": 7000, "db": 3}),
        ("redis://ann:a%2Fb%3F@host", {"user": "ann", "password": "a/b?", "host": "host"}),
        ("redis://:s3cret@host/", {"user": None, "password": "s3cret", "db": 0}),
        ("redis://[::1]:7000/1", {"host": "::1", "port": 7000, "db": 1}),
        ("valkey://host", {"host": "host", "tls": False}),
        ("rediss://host", {"tls": True, "ssl_verify": True}),
        (
            "valkeys://host?ssl_ca_certs=/ca.pem&ssl_cert_reqs=none",
            {"tls": True, "ssl_ca_certs": "/ca.pem", "ssl_verify": False},
        ),
        ("unix:///run/redis.sock?db=2", {"path": "/run/redis.sock", "db": 2}),
        ("unix://ann:s3cret@/run/redis.sock", {"path": "/run/redis.sock", "user": "ann", "password": "s3cret"}),
        (
            "redis://host?prefix=shop&deadline=1.5&read_deadline=2&connect_deadline=3",
            {"prefix": "shop", "deadline": 1.5, "read_deadline": 2.0, "connect_deadline": 3.0},
        ),
        ("redis://host?wait=2&listen=off", {"wait": 2, "listen": False}),
        (
            "redis://host?wait=fsync&allow_eviction=1&allow_server=any",
            {"wait": "fsync", "allow_eviction": True, "allow_server": True},
        ),
    ],
)
def test_what_is_written_is_read(url: str, expected: dict[str, Any]) -> None:
    settings = read_url(url)

    assert expected == {name: getattr(settings, name) for name in expected}


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://host?colour=red", "'colour' is not known; known are prefix, wait, listen, allow_eviction"),
        ("redis://host?listen=perhaps", "give on or off"),
        ("redis://host?deadline=soon", "give seconds"),
        ("redis://host?deadline=0", "give seconds"),
        ("redis://host?read_deadline=inf", "give seconds"),
        ("redis://host?wait=-1", "a number of replicas"),
        ("redis://host?wait=disk", "a number of replicas, or fsync"),
        ("redis://host?allow_server=some", "give any"),
        ("redis://host?prefix=", "cannot be ours"),
        ("redis://host?prefix=a%7Bb", "cannot be ours"),
        ("redis://host?prefix=a&prefix=b", "given twice"),
        ("redis://host?shard=task", "give queue"),
        ("redis://host?db=1", "the database is the path"),
        ("redis://host/shop", "'shop' is no number of a database"),
        ("redis://one,two/0", "several hosts"),
        ("redis://host:port/0", "host and port are not understood"),
        ("redis://host:0", "port 0 is none"),
        ("redis://host/0#1", "write it as %23"),
        ("redis://host?ssl_ca_certs=/ca.pem", "rediss://"),
        ("unix://run/redis.sock", "names no socket"),
        ("mysql://host", "write redis://"),
    ],
)
def test_what_is_not_understood_is_refused_with_what_to_write(url: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        read_url(url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://ann:s3cret@host/0", "redis://ann:***@host/0"),
        ("redis://:s3cret@host/0", "redis://:***@host/0"),
        ("redis://ann:a/b@host/0", "redis://ann:***@host/0"),
        ("redis://ann:a?b@host/0", "redis://ann:***@host/0"),
        ("redis://ann@host/0?prefix=a", "redis://ann@host/0?prefix=a"),
        ("redis://host:7000/0?prefix=a:b", "redis://host:7000/0?prefix=a:b"),
        ("unix://ann:s3cret@/run/redis.sock", "unix://ann:***@/run/redis.sock"),
        ("redis://host/0?password=s3cret&prefix=a", "redis://host/0?password=***&prefix=a"),
    ],
)
def test_no_password_is_shown(url: str, shown: str) -> None:
    assert masked(url) == shown


@pytest.mark.parametrize(
    "rest", ["host/shop", "host?colour=red", "host?deadline=soon", "one,two", "host/0#1", "host?password=s3cret"]
)
def test_no_refusal_shows_a_password(rest: str) -> None:
    with pytest.raises(ConfigurationError) as told:
        read_url(f"redis://ann:s3cret@{rest}")
    assert "s3cret" not in str(told.value)


def test_the_settings_do_not_show_a_password_either() -> None:
    assert "s3cret" not in repr(read_url("redis://ann:s3cret@host/0"))
