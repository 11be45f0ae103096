"""What the worker's tests stand on: an app on each store, and workers that are stopped whatever the test does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from millrace import Millrace, Worker
from tests.worker.stages import Stage

Hire = Callable[..., Worker]


@pytest.fixture(params=["memory", "sqlite"])
def app(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Millrace]:
    """An app on a new store of each kind."""
    url = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'jobs.db'}?synchronous=normal"
    with Millrace(url) as app:
        yield app


@pytest.fixture
def memory_app() -> Iterator[Millrace]:
    """An app in memory, where the store makes no difference."""
    with Millrace("memory://") as app:
        yield app


@pytest.fixture
def stage() -> Stage:
    """A store that can be put out of reach and watched."""
    return Stage()


@pytest.fixture
def staged(stage: Stage) -> Iterator[Millrace]:
    """An app on the stage."""
    store: Any = stage
    with Millrace(store) as app:
        yield app


@pytest.fixture
def children() -> Iterator[Millrace]:
    """The app of the tasks that run in child processes, on an empty store."""
    from tests.worker.childtasks import app as children

    children.open()
    yield children
    children.close()


@pytest.fixture
def process_app(app: Millrace) -> Millrace:
    """The app of `app`, which knows the tasks that run in child processes as well."""
    from tests.worker.childtasks import app as children

    for spec in children.registry:
        app.registry.add(spec)
    return app


@pytest.fixture
def hire() -> Iterator[Hire]:
    """Start workers that are stopped at the end of the test."""
    hired: list[Worker] = []

    def start(app: Any, **options: Any) -> Worker:
        options.setdefault("grace", 10.0)
        worker = Worker(app, **options)
        hired.append(worker)
        worker.start()
        return worker

    yield start
    for worker in hired:
        worker.stop()
