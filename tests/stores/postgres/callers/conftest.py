"""An app on an empty schema that holds a table of the user's own, and a transaction in each library's way."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from millrace import Millrace
from tests.servers.databases import Database
from tests.stores.postgres.callers.ways import WAYS, Way


@pytest.fixture
def app(postgres: Database) -> Iterator[Millrace]:
    """An app whose schema has a table `orders` as well."""
    with Millrace(postgres.url()) as app:
        app.migrate()
        postgres.run("create table if not exists {s}.orders (item text)")
        yield app


@pytest.fixture(params=WAYS, ids=lambda way: way.__name__)
def way(request: pytest.FixtureRequest, app: Millrace, postgres: Database) -> Iterator[Way]:
    """A transaction in the way of one library, after another."""
    assert app.depth() == 0
    make: type[Way] = request.param
    way = make(postgres.server)
    yield way
    way.close()
