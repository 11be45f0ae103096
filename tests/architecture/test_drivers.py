"""Drivers and other distributions stand only in their own rooms, and heavy ones wait until they are needed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.architecture.rules.drivers import misplaced
from tests.architecture.rules.files import package, parse

# Installed beside the package in development, and none of them needed by `import millrace`.
HEAVY = (
    "apsw",
    "hiredis",
    "hypothesis",
    "jinja2",
    "opentelemetry",
    "prometheus_client",
    "psycopg",
    "pydantic",
    "pytest",
    "redis",
    "rich",
    "starlette",
    "watchfiles",
)


def test_every_import_of_another_distribution_stands_where_it_may() -> None:
    assert misplaced(package()) == []


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("millrace.app", "import sqlite3"),
        ("millrace.app", "def late():\n    import sqlite3"),
        ("millrace.stores.memory", "import sqlite3"),
        ("millrace.stores.sqlite.apswire", "import apsw"),
        ("millrace.stores.sqlite.gate", "import psycopg"),
        ("millrace.worker.worker", "from redis import Redis"),
        ("millrace.cli.top", "from rich.live import Live"),
        ("millrace.cli.web", "import starlette"),
        ("millrace.cli.web", "from millrace.dashboard import serve"),
        ("millrace.stores", "from millrace.stores.postgres import PostgresStore"),
        ("millrace.job", "import numpy"),
        ("millrace.job", "import click"),
    ],
)
def test_an_import_in_the_wrong_room_or_too_early_is_found(module: str, text: str) -> None:
    rooms = [parse("", module=name) for name in ("millrace.dashboard", "millrace.stores.postgres")]

    complaints = misplaced([parse(text, module=module), *rooms])

    assert len(complaints) == 1
    assert complaints[0].startswith(module.replace(".", "/") + ".py:")


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("millrace.stores.sqlite.connection", "import sqlite3"),
        ("millrace.stores.sqlite.apswire", "def connect():\n    import apsw"),
        ("millrace.stores.postgres.store", "import psycopg\nfrom psycopg_pool import ConnectionPool"),
        ("millrace.stores", "def __getattr__(name):\n    from millrace.stores.postgres import PostgresStore"),
        ("millrace.cli.top", "def show():\n    from rich.live import Live"),
        ("millrace.cli.top", "if TYPE_CHECKING:\n    from rich.live import Live"),
        ("millrace.codec", "import msgspec, json"),
    ],
)
def test_an_import_in_its_own_room_is_allowed(module: str, text: str) -> None:
    rooms = [parse("", module="millrace.stores.postgres")]

    assert misplaced([parse(text, module=module), *rooms]) == []


def test_importing_millrace_loads_none_of_the_heavy_modules() -> None:
    """Whatever the files say: what counts is what a fresh interpreter has loaded."""
    program = "import json, sys, millrace; print(json.dumps(sorted(sys.modules)))"

    loaded = json.loads(subprocess.run([sys.executable, "-c", program], check=True, capture_output=True).stdout)

    assert "millrace" in loaded
    assert sorted(set(HEAVY) & set(loaded)) == []
