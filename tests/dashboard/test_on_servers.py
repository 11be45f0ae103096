"""Every page and every action on a real file and on real servers."""

from __future__ import annotations

from pathlib import Path

from starlette.testclient import TestClient

from millrace import JobState, Millrace
from tests.dashboard.conftest import HOME, OURS
from tests.servers.databases import Database
from tests.servers.redisspaces import RedisSpace

PAGES = (
    "/", "/jobs?state=dead&state=pending&limit=1", "/failures", "/queues", "/workers", "/schedules", "/enqueue",
    "/api/overview",
)  # fmt: skip


def walk_through(url: str) -> None:
    """Look at each page, and press each button once."""
    with Millrace(url) as app, TestClient(app.dashboard(), base_url=HOME, headers=OURS) as visitor:

        @app.task(name="shop.divide", max_attempts=1, tags=("sums",))
        def divide(by: int) -> float:
            return 1 / by

        broken, fine = divide.enqueue(0).id, divide.enqueue(2).id
        app.drain()
        app.schedules.put("tidy", every=60, job=divide.job(4))

        def press(path: str, **data: str | list[str]) -> str:
            answer = visitor.post(path, data=data, follow_redirects=False)
            assert answer.status_code == 303, answer.text
            return answer.headers["Location"]

        for path in (*PAGES, f"/jobs/{broken}", f"/jobs/{fine}", f"/api/jobs/{broken}"):
            answer = visitor.get(path)
            assert answer.status_code == 200, path
        assert "ZeroDivisionError" in visitor.get("/failures").text
        press(f"/jobs/{broken}/edit", args='{"by": 5}')
        assert app.get(broken).args == {"by": 5}
        press(f"/jobs/{broken}/cancel")
        assert app.get(broken).state is JobState.CANCELLED
        press(f"/jobs/{broken}/retry")
        assert press("/jobs/matching", verb="cancel", state="pending", tag="sums", sure="yes").endswith("number=1")
        assert press("/jobs/selected", verb="delete", id=[str(broken), str(fine)]).endswith("number=2")
        press("/queues/pause", name="default")
        assert [each.paused for each in app.queues()] == [True]
        press("/queues/resume", name="default")
        press("/schedules/run", name="tidy")
        press("/schedules/pause", name="tidy")
        press("/schedules/resume", name="tidy")
        press("/schedules/delete", name="tidy")
        assert press("/enqueue", task="shop.divide", **{"arg.by": "8", "delay": "1h"}).endswith("done=enqueued")
        assert [(job.args, job.state.value) for job in app.list(state="scheduled")] == [({"by": 8}, "scheduled")]
        press(f"/jobs/{app.list(state='scheduled').jobs[0].id}/run")
        assert app.depth() == 2


def test_on_an_sqlite_file(tmp_path: Path) -> None:
    walk_through(f"sqlite:///{tmp_path / 'jobs.db'}?synchronous=normal")


def test_on_postgresql(postgres: Database) -> None:
    walk_through(postgres.url())


def test_on_redis(main_redis: RedisSpace) -> None:
    walk_through(main_redis.url())
