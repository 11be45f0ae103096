"""Workers keep to limits, start at once what a rate has room for, and do not look in vain meanwhile."""

from __future__ import annotations

import threading
import time
from collections import Counter
from itertools import pairwise

from millrace import JobState, Limit, Millrace, Rate, Worker
from tests.worker.conftest import Hire
from tests.worker.stages import Stage
from tests.worker.waiting import PATIENCE, eventually


def test_workers_together_run_no_more_jobs_of_a_key_than_its_limit(app: Millrace, hire: Hire) -> None:
    lock, now, most = threading.Lock(), Counter[str](), Counter[str]()

    @app.task(concurrency=Limit(2, key="{tenant}"))
    def work(tenant: str) -> None:
        with lock:
            now[tenant] += 1
            most[tenant] = max(most[tenant], now[tenant])
        threading.Event().wait(0.002)
        with lock:
            now[tenant] -= 1

    jobs = app.enqueue_many([work.job(tenant) for tenant in "ab" * 20])
    for _ in range(2):
        hire(app, concurrency=5)

    for job in jobs:
        assert job.wait(PATIENCE).state == "completed"
    assert set(most) == {"a", "b"}
    assert max(most.values()) <= 2


def test_an_idle_worker_begins_a_job_when_its_token_comes(app: Millrace, hire: Hire) -> None:
    began: list[float] = []
    third = threading.Event()

    @app.task(rate=Rate(1, per=0.4))
    def work() -> None:
        began.append(time.monotonic())
        if len(began) == 3:
            third.set()

    app.enqueue_many([work.job() for _ in range(3)])
    hire(app)

    assert third.wait(PATIENCE)
    gaps = [later - before for before, later in pairwise(began)]
    assert all(0.35 < gap < 0.65 for gap in gaps), gaps  # the next poll would come after 0.8 at the earliest


def test_a_worker_that_a_rate_holds_back_looks_seldom(staged: Millrace, stage: Stage, hire: Hire) -> None:
    @staged.task(rate=Rate(1, per=3600.0))
    def work() -> None: ...

    first, _ = staged.enqueue_many([work.job(), work.job()])
    worker = hire(staged)
    first.wait(PATIENCE)
    assert worker.notices.idle.wait(1, PATIENCE)
    idle, looks, began = worker.notices.idle.count, len(stage.claims), time.monotonic()

    assert worker.notices.idle.wait(idle + 3, PATIENCE)

    assert time.monotonic() - began > 1.0  # polls that come each second, and hints of what has just ended
    assert len(stage.claims) - looks <= 8


def test_a_worker_that_a_limit_holds_back_goes_on_when_another_ends(app: Millrace, hire: Hire) -> None:
    @app.task(concurrency=Limit(1))
    def work() -> None: ...

    app.enqueue_many([work.job(), work.job()])
    (held,) = app.claim(5)
    worker = hire(app)
    assert worker.notices.idle.wait(1, PATIENCE)
    assert app.counts()[JobState.COMPLETED] == 0

    app.complete(held)

    eventually(lambda: app.counts()[JobState.COMPLETED] == 2)


def test_a_burst_waits_for_the_tokens_of_what_is_due(app: Millrace) -> None:
    @app.task(rate=Rate(1, per=0.1))
    def work() -> None: ...

    app.enqueue_many([work.job() for _ in range(4)])

    Worker(app, burst=True).run()

    assert app.counts()[JobState.COMPLETED] == 4
