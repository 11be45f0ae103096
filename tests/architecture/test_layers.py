"""An import goes only downward. The checkers are proven on small bad samples first, then put to the package."""

from __future__ import annotations

import pytest

from tests.architecture.rules.files import PACKAGE, package, parse
from tests.architecture.rules.layers import layer_of, unplaced, upward


def test_every_file_of_the_package_belongs_to_a_layer() -> None:
    assert unplaced(package()) == []


def test_no_import_of_the_package_goes_upward_or_across() -> None:
    assert upward(package()) == []


def test_the_package_was_really_read() -> None:
    assert len(package()) == len(list(PACKAGE.rglob("*.py")))
    assert "millrace.store" in {source.module for source in package()}


def test_a_file_that_the_map_does_not_know_is_named() -> None:
    (complaint,) = unplaced([parse("", module="millrace.attic.box")])

    assert complaint.startswith("millrace/attic/box.py belongs to no layer; add it to ROOMS")


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("millrace.job", "from millrace.store import Store"),
        ("millrace.job", "import millrace.app"),
        ("millrace.job", "from millrace import app"),
        ("millrace.job", "from millrace import Job"),
        ("millrace.job", "from . import app"),
        ("millrace.store", "from millrace.stores.memory import MemoryStore"),
        ("millrace.stores.sqlite.gate", "from millrace.worker.leases import Leases"),
        ("millrace.stores.sqlite.gate", "from ...worker import leases"),
        ("millrace.stores.sqlite.gate", "from millrace.stores.memory import MemoryStore"),
        ("millrace.worker.leases", "from millrace.stores import SQLiteStore"),
        ("millrace.worker.leases", "def late():\n    from millrace.stores.sqlite import SQLiteStore"),
        ("millrace.worker.leases", "if TYPE_CHECKING:\n    from millrace.app import Millrace"),
        ("millrace.app", "from millrace.cli import main"),
        ("millrace.app", "from millrace.attic import box"),
        ("millrace.app", "from millrace.dashboard import Dashboard"),
        ("millrace.task", "def late():\n    from millrace.dashboard import Dashboard"),
    ],
)
def test_an_import_that_goes_upward_or_across_is_found(module: str, text: str) -> None:
    others = [parse("", module=name) for name in ("millrace.app", "millrace.worker.leases")]

    complaints = upward([parse(text, module=module), *others])

    assert len(complaints) == 1
    assert complaints[0].startswith(module.replace(".", "/") + ".py:")


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("millrace.job", "from millrace.states import JobState"),
        ("millrace.store", "from millrace.job import JobRow"),
        ("millrace.stores.sqlite.gate", "from millrace.stores.sqlite.schema import TABLES"),
        ("millrace.stores.sqlite.gate", "from millrace.stores.rows import read"),
        ("millrace.stores", "from millrace.stores.memory import MemoryStore"),
        ("millrace.worker.leases", "from millrace.store import Store"),
        ("millrace.app", "from millrace.worker.worker import Worker"),
        ("millrace.app", "def late():\n    from millrace.dashboard import Dashboard"),
        ("millrace.cli.jobs", "from millrace import Millrace"),
        ("millrace.cli.jobs", "import json"),
    ],
)
def test_an_import_that_goes_downward_is_allowed(module: str, text: str) -> None:
    assert upward([parse(text, module=module)]) == []


def test_a_module_is_placed_by_its_room_not_by_how_its_name_begins() -> None:
    assert layer_of("millrace.store") == "store"
    assert layer_of("millrace.stores.memory") == "stores"
    assert layer_of("millrace.storefront") is None
