"""Stores by URL: the schemes, the entry points of other packages, and what is refused."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

import millrace.stores
from millrace.conformance.bench import Bench
from millrace.errors import ConfigurationError
from millrace.store import Store
from millrace.stores import MemoryStore, PostgresStore, RedisStore, SQLiteStore, open_store
from millrace.testing.clock import ManualClock

REDIS = ("redis://one", "rediss://one/1", "valkey://one", "valkeys://one", "unix:///run/redis.sock?prefix=jobs")


@pytest.fixture
def opened() -> Iterator[list[Store]]:
    """Stores that are closed when the test is over."""
    stores: list[Store] = []
    yield stores
    for store in stores:
        store.close()


def test_a_memory_url_without_a_name_is_a_new_store_each_time(opened: list[Store]) -> None:
    clock = ManualClock()
    one, two = open_store("memory://", clock=clock), open_store("memory://", clock=clock)
    opened += [one, two]
    assert isinstance(one, MemoryStore)
    Bench(one, clock).add()
    assert (one.depth(), two.depth()) == (1, 0)


def test_a_memory_url_with_a_name_is_one_store_in_the_process(opened: list[Store]) -> None:
    clock = ManualClock()
    one, two, other = (open_store(url, clock=clock) for url in ("memory://a", "memory://a", "memory://b"))
    opened += [one, two, other]
    id = Bench(one, clock).add()
    assert Bench(two, clock).take().id == id
    assert sum(other.counts().values()) == 0
    assert (one.url, other.url) == ("memory://a", "memory://b")


def test_a_name_in_a_url_is_decoded(opened: list[Store]) -> None:
    one, two = open_store("memory://caf%C3%A9"), MemoryStore("café")
    opened += [one, two]
    clock = ManualClock()
    Bench(one, clock).add()
    assert two.depth() == 1


@pytest.mark.parametrize("url", ["memory:///a", "memory://a/b", "memory://#a"])
def test_a_memory_url_that_names_no_store_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="memory://name"):
        open_store(url)


@pytest.mark.parametrize("url", ["memory://?size=1", "memory://a?size=1"])
def test_an_unknown_option_of_a_memory_store_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="'size'"):
        open_store(url)


def test_a_relative_sqlite_url_is_relative_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: list[Store]
) -> None:
    monkeypatch.chdir(tmp_path)
    store = open_store("sqlite:///jobs.db")
    opened.append(store)
    assert isinstance(store, SQLiteStore)
    assert store.depth() == 0
    assert (tmp_path / "jobs.db").exists()


def test_an_absolute_sqlite_url_has_four_slashes(tmp_path: Path, opened: list[Store]) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'abs.db'}?synchronous=normal")
    opened.append(store)
    assert store.depth() == 0
    assert (tmp_path / "abs.db").exists()


def test_a_sqlite_store_goes_by_the_clock_given(tmp_path: Path, opened: list[Store]) -> None:
    clock = ManualClock()
    store = open_store(f"sqlite:///{tmp_path / 'jobs.db'}", clock=clock)
    opened.append(store)
    assert store.now() == clock.now()


def test_an_unknown_option_of_a_sqlite_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="colour"):
        open_store(f"sqlite:///{tmp_path / 'jobs.db'}?colour=red")


@pytest.mark.parametrize("url", REDIS)
def test_a_url_of_redis_or_valkey_connects_to_nothing_yet(url: str, opened: list[Store]) -> None:
    store = open_store(url)
    opened.append(store)
    assert isinstance(store, RedisStore)
    assert store.url == url


def test_without_its_client_a_redis_store_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("millrace.stores.redis")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "hiredis", None)
    with pytest.raises(ConfigurationError, match=r"install millrace\[redis\]"):
        open_store("redis://localhost")


def test_an_unknown_scheme_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        ConfigurationError,
        match=r"nosuch://; known are memory://, postgres://, postgresql://, redis://, rediss://, sqlite://, unix://",
    ):
        open_store("nosuch://somewhere")


@pytest.mark.parametrize("text", ["jobs.db", "", "sqlite:jobs.db", "sqlite:/jobs.db"])
def test_a_text_that_is_no_url_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigurationError, match="sqlite:///"):
        open_store(text)


def test_no_refusal_shows_a_password() -> None:
    for url in ("nosuch://ann:s3cret@host/jobs", "postgresql://ann:s3cret@[host/jobs", "redis://ann:s3cret@[host/0"):
        with pytest.raises(ConfigurationError) as refused:
            open_store(url)
        assert "s3cret" not in str(refused.value)


def test_a_postgresql_url_opens_a_postgresql_store_and_connects_to_nothing(opened: list[Store]) -> None:
    for scheme in ("postgres", "postgresql", "PostgreSQL"):
        opened.append(open_store(f"{scheme}://ann:s3cret@nowhere.invalid/jobs"))
        assert isinstance(opened[-1], PostgresStore)
        assert opened[-1].url == f"{scheme}://ann:***@nowhere.invalid/jobs"


def test_a_scheme_with_a_driver_is_refused_with_the_one_to_write() -> None:
    with pytest.raises(ConfigurationError, match="write postgresql://"):
        open_store("postgresql+psycopg://nowhere.invalid/jobs")


def test_a_postgresql_url_without_psycopg_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in sys.modules if each.startswith(("psycopg", "millrace.stores.postgres"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigurationError, match=r"install millrace\[postgres\]"):
        open_store("postgresql://nowhere.invalid/jobs")


def test_the_case_of_a_scheme_does_not_matter(opened: list[Store]) -> None:
    opened.append(open_store("MEMORY://"))
    assert isinstance(opened[0], MemoryStore)


# -- other packages


def open_elsewhere(url: str, *, clock: Any = None) -> Store:
    """Stand for the function that another package brings."""
    return MemoryStore(url.partition("://")[2], clock=clock)


def entries(*found: EntryPoint) -> Any:
    """Stand for what is installed."""

    def installed(*, group: str) -> tuple[EntryPoint, ...]:
        return found if group == "millrace.stores" else ()

    return installed


def test_another_package_may_bring_a_scheme(monkeypatch: pytest.MonkeyPatch, opened: list[Store]) -> None:
    entry = EntryPoint("elsewhere", f"{__name__}:open_elsewhere", "millrace.stores")
    monkeypatch.setattr(millrace.stores, "entry_points", entries(entry))
    clock = ManualClock()
    store = open_store("elsewhere://there", clock=clock)
    opened.append(store)
    assert (store.url, store.now()) == ("memory://there", clock.now())
    with pytest.raises(
        ConfigurationError, match="known are elsewhere://, memory://, postgres://, postgresql://, redis://"
    ):
        open_store("nosuch://")


def test_nobody_replaces_a_store_that_is_built_in(monkeypatch: pytest.MonkeyPatch, opened: list[Store]) -> None:
    entry = EntryPoint("memory", "nowhere:nothing", "millrace.stores")
    monkeypatch.setattr(millrace.stores, "entry_points", entries(entry))
    opened.append(open_store("memory://"))
    assert isinstance(opened[0], MemoryStore)


@pytest.mark.parametrize("value", ["nowhere.at.all:open_it", f"{__name__}:missing"])
def test_a_package_that_cannot_be_loaded_is_named(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setattr(millrace.stores, "entry_points", entries(EntryPoint("broken", value, "millrace.stores")))
    with pytest.raises(ConfigurationError, match="cannot be loaded"):
        open_store("broken://")


def test_the_module_has_no_other_names() -> None:
    with pytest.raises(AttributeError, match="MongoStore"):
        millrace.stores.MongoStore  # noqa: B018
