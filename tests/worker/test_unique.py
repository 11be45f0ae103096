"""Unique jobs beside a worker: what comes while one runs is done after it, once, and with the newest arguments."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from millrace import JobState, Millrace, Unique, Worker
from tests.worker.waiting import PATIENCE, await_event, eventually


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_what_comes_while_a_job_runs_is_done_once_more_with_the_newest_arguments(kind: str, tmp_path: Path) -> None:
    with Millrace("memory://" if kind == "memory" else f"sqlite:///{tmp_path / 'jobs.db'}") as app:
        begun, go = threading.Event(), threading.Event()
        seen: list[tuple[int, int]] = []

        @app.task(unique=Unique(by=["page"], until="started", on_conflict="replace"))
        def index(page: int, version: int) -> None:
            seen.append((page, version))
            begun.set()
            assert go.wait(PATIENCE)

        with Worker(app, concurrency=1, prefetch=0):
            first = index.enqueue(1, 1)
            await_event(begun)
            later = [index.enqueue(1, version) for version in (2, 3, 4)]
            go.set()
            eventually(lambda: app.counts()[JobState.COMPLETED] == 2)

        assert seen == [(1, 1), (1, 4)]
        assert {job.id for job in later} == {later[0].id} != {first.id}


def test_a_debounced_job_runs_when_it_is_due_anew() -> None:
    with Millrace("memory://") as app:
        ran = threading.Event()
        task = app.task(name="ping", unique=Unique(on_conflict="debounce"))(ran.set)

        with Worker(app):
            job = task.using(delay=3600).enqueue()
            assert task.enqueue().id == job.id
            await_event(ran)
            assert job.wait(PATIENCE).state == "completed"
