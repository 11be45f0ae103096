"""The servers as fixtures. Owns nothing else; `tests/conftest.py` hands them to every test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.bouncer import Bouncer, bouncer_version
from tests.servers.cluster import Cluster
from tests.servers.databases import Database, Park, names, open_park, pooled
from tests.servers.installations import newest
from tests.servers.middle import middle_in_the_soak

__all__ = ["bouncer", "cluster", "each_database", "main_database", "park", "postgres"]

#: For servers that are crashed: they flush as they do for users.
DURABLE = {"fsync": "on"}


@pytest.fixture(scope="session")
def park() -> Iterator[Park]:
    """The servers of this run."""
    with open_park() as opened:
        yield opened


@pytest.fixture(scope="session")
def main_database(park: Park) -> Database:
    """The schema on the server that stands for all. Opened before any test counts what it holds."""
    return park.database(names()[-1])


@pytest.fixture(scope="session", params=[*middle_in_the_soak(names()), *pooled()])
def each_database(request: pytest.FixtureRequest, park: Park) -> Database:
    """The schema on each server in turn (those between the oldest and the newest in the soak), and behind PgBouncer."""
    return park.database(request.param)


@pytest.fixture
def postgres(main_database: Database) -> Database:
    """An empty schema on the server that stands for all."""
    main_database.empty()
    return main_database


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A server that the tests of one module may crash."""
    with Cluster(newest(), DURABLE) as started:
        yield started


@pytest.fixture
def bouncer(cluster: Cluster) -> Iterator[Bouncer]:
    """A PgBouncer before that server."""
    if bouncer_version() is None:
        pytest.skip("there is no PgBouncer here; on Debian: apt-get install pgbouncer")
    with Bouncer(cluster) as started:
        yield started
