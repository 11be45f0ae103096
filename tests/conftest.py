"""What holds for every test: it leaks nothing, its async code runs on asyncio, no property test has a stop-watch."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from multiprocessing import resource_tracker

import pytest
from hypothesis import HealthCheck, settings

from tests.leaks import Held, leaks_since
from tests.servers.databases import told
from tests.servers.fixtures import bouncer, cluster, each_database, main_database, park, postgres
from tests.servers.redisfixtures import (
    any_redis,
    any_redis_space,
    each_redis,
    each_redis_space,
    main_redis,
    main_redis_space,
    redis_park,
    redis_server,
)
from tests.servers.redisspaces import told_of_redis

__all__ = [
    "any_redis",
    "any_redis_space",
    "bouncer",
    "cluster",
    "each_database",
    "each_redis",
    "each_redis_space",
    "main_database",
    "main_redis",
    "main_redis_space",
    "park",
    "postgres",
    "redis_park",
    "redis_server",
]

# Time is measured in bench/, never asserted in a test: a loaded machine must not turn the suite red.
settings.register_profile("millrace", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("millrace")

FAILED = pytest.StashKey[bool]()


def pytest_sessionstart() -> None:
    """Start the helper that multiprocessing keeps until the process ends, so that no test is blamed for its pipe."""
    resource_tracker.ensure_running()


def pytest_report_header() -> list[str]:
    """Say what the tests run on, since that differs from machine to machine."""
    return [told(), told_of_redis()]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember that a test has failed: what it then leaves open is not the news."""
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


@pytest.fixture(autouse=True)
def no_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a thread or a file descriptor behind."""
    before = Held.now()
    yield
    node: pytest.Item = request.node
    if node.stash.get(FAILED, False):
        return
    leaks = leaks_since(before)
    if leaks:
        pytest.fail("the test left behind: " + ", ".join(leaks), pytrace=False)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run async tests on asyncio, the loop that workers use."""
    return "asyncio"
