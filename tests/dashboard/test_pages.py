"""What the pages show, and what their buttons do."""

from __future__ import annotations

import re
import threading
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from millrace import JobState, Millrace
from millrace.records import QueueInfo
from millrace.stores import MemoryStore
from tests.dashboard.conftest import HOME, OURS, House
from tests.dashboard.markup import Markup

WITHIN_LABELS = {"hidden", "checkbox"}  #: a checkbox stands within its label
PAGES = ("/", "/jobs", "/failures", "/queues", "/workers", "/schedules", "/enqueue")


def furnished(house: House) -> dict[str, UUID]:
    """Fill the house: one job of each kind that a page treats in its own way."""
    dead = house.send.enqueue("ada@example.com", password="hunter2")
    done = house.add.enqueue(2, 3)
    house.app.drain()
    later = house.add.using(delay=3600, tags=("late", "sums")).enqueue(5)
    (running,) = [*house.app.enqueue_many([house.add.job(1)])]
    house.app.claim(1)
    pending = house.add.enqueue(6)
    house.app.pause("mail")
    house.app.schedules.put("tidy", every=300, job=house.add.job(7))
    house.app.schedules.put("nightly", cron="0 3 * * *", timezone="Europe/Berlin", job=house.add.job(8))
    return {"dead": dead.id, "done": done.id, "later": later.id, "running": running.id, "pending": pending.id}


def test_every_page_is_whole_labelled_and_loads_only_what_is_ours(house: House) -> None:
    visitor = house.visitor()
    ids = furnished(house)

    for path in (
        *PAGES,
        *(f"/jobs/{id}" for id in ids.values()),
        "/jobs?state=dead&limit=1",
        "/enqueue?task=shop.send",
        "/jobs/none",
    ):
        answer = visitor.get(path)
        page = Markup(answer.text)
        labels = {each.get("for") for each in page.of("label")}
        fields = [
            each for each in page.of("input", "select", "textarea") if each.get("type") not in {"hidden", "checkbox"}
        ]
        named = [each["id"] for _, each in page.tags if "id" in each]

        assert answer.status_code == (404 if path == "/jobs/none" else 200), path
        assert page.unclosed == []
        assert len(page.of("h1")) == len(page.of("main")) == 1
        assert [each for each in fields if each.get("id") not in labels] == [], path
        assert len(named) == len(set(named)), path
        assert page.of("html") == [{"lang": "en"}]
        assert [each for each in page.of("form") if each["method"] not in {"get", "post"}] == []
        for tag, attributes in page.tags:
            for name, value in attributes.items():
                assert not name.startswith("on"), (path, tag)
                assert name != "style", (path, tag)
                if name in {"href", "src", "action", "formaction"}:
                    assert value.startswith(("/", "#")), (path, tag, value)
        for each in page.of("link"):
            assert visitor.get(each["href"]).status_code == 200


def test_every_answer_carries_the_policy(house: House) -> None:
    visitor = house.visitor()
    style = Markup(visitor.get("/").text).of("link")[1]["href"]

    for path in (*PAGES, "/healthz", "/nothing", "/jobs/none", style):
        headers = visitor.get(path).headers
        assert headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'self'; script-src 'self'")
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert (headers["X-Content-Type-Options"], headers["X-Frame-Options"]) == ("nosniff", "DENY")
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["Cache-Control"] == ("public, max-age=31536000, immutable" if path == style else "no-store")


def test_the_overview_says_first_what_needs_attention(house: House) -> None:
    visitor = house.visitor()
    assert "no worker is alive" in visitor.get("/").text
    furnished(house)

    text = Markup(visitor.get("/").text).text

    assert "1 job is dead: no tries are left" in text
    assert "queue mail is paused, 0 pending in it" in text
    assert re.search(r"1\s+dead", text)
    assert re.search(r"1\s+completed", text)
    assert re.search(r"5 in all, 1 due and waiting for a worker, the oldest for .+ in queue default", text)
    assert "ConnectionError: no route to ada@example.com" in text


def test_jobs_are_filtered_by_state_queue_task_tag_and_key(house: House) -> None:
    visitor = house.visitor()
    ids = furnished(house)
    keyed = house.add.using(unique_key="k-1").enqueue(9).id

    def found(query: str) -> set[str]:
        links = {each["href"] for each in Markup(visitor.get(f"/jobs?{query}").text).of("a")}
        return {link.removeprefix("/jobs/") for link in links if re.fullmatch(r"/jobs/[0-9a-f-]{36}", link)}

    assert found("state=dead") == found("queue=mail") == found("task=shop.send") == {str(ids["dead"])}
    assert found("state=dead&state=completed") == {str(ids["dead"]), str(ids["done"])}
    assert found("tag=late") == found("state=scheduled&queue=&task=shop.add") == {str(ids["later"])}
    assert found("unique_key=k-1") == {str(keyed)}
    assert len(found("")) == 6
    assert "No jobs match." in visitor.get("/jobs?tag=none").text


def test_paging_goes_through_all_jobs_once_and_keeps_the_filter(house: House) -> None:
    visitor = house.visitor()
    jobs = [house.add.using(tags=("many",)).enqueue(n).id for n in range(7)]
    house.add.enqueue(99)
    seen: list[str] = []
    link: str | None = "/jobs?tag=many&limit=3"
    while link is not None:
        page = Markup(visitor.get(link).text)
        seen += [each["title"] for each in page.of("a") if "title" in each]
        link = next((each["href"] for each in page.of("a") if each.get("rel") == "next"), None)

    assert [UUID(each) for each in seen] == jobs[::-1]


def test_a_page_has_at_most_200_jobs(house: House) -> None:
    house.app.enqueue_many([house.add.job(n) for n in range(205)])

    page = Markup(house.visitor().get("/jobs?limit=100000000000000000000").text)

    assert len([each for each in page.of("a") if "title" in each]) == 200


@pytest.mark.parametrize(
    ("path", "status", "part"),
    [
        ("/jobs?cursor=x", 400, "cursor 'x' is not one that this store gave"),
        ("/jobs?limit=x", 400, "limit='x' is not a number from 1 to 200"),
        ("/jobs?limit=0", 400, "limit='0' is not a number"),
        ("/jobs?limit=-1", 400, "limit='-1' is not a number"),
        ("/jobs?state=gone", 400, "'gone' is not a valid JobState"),
        (f"/jobs?queue={'x' * 201}", 400, "has 201 bytes"),
        ("/jobs/12", 404, "'12' is not an id"),
        (f"/jobs/{UUID(int=7)}", 404, "no job 00000000-0000-0000-0000-000000000007"),
    ],
)
def test_what_cannot_be_shown_is_told(house: House, path: str, status: int, part: str) -> None:
    answer = house.visitor().get(path)

    assert answer.status_code == status
    assert part in Markup(answer.text).text


def test_a_store_that_is_away_is_told_on_the_page(house: House) -> None:
    visitor = house.visitor()
    house.app.close()

    assert visitor.get("/jobs").status_code == 503


def test_a_job_shows_its_attempts_with_errors_tracebacks_and_logs(house: House) -> None:
    visitor = house.visitor()
    ids = furnished(house)

    text = Markup(visitor.get(f"/jobs/{ids['dead']}").text).text

    assert re.search(r"shop\.send\s+dead", text)
    assert text.index("Try 2") < text.index("Try 1")
    assert text.count("Traceback (most recent call last)") == 2
    assert text.count("no route yet") == 2
    assert "exhausted" in text
    done = Markup(visitor.get(f"/jobs/{ids['done']}").text).text
    assert "adding" in done
    assert re.search(r"Result\s+5\s", done)
    assert "Try 1 running" in re.sub(r"\s+", " ", Markup(visitor.get(f"/jobs/{ids['running']}").text).text)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("dead", ["Retry", "Delete"]),
        ("done", ["Retry", "Delete"]),
        ("later", ["Cancel", "Run now", "Delete"]),
        ("pending", ["Cancel", "Delete"]),
        ("running", ["Cancel"]),
    ],
)
def test_a_job_has_the_buttons_that_its_state_allows(house: House, kind: str, words: list[str]) -> None:
    page = house.visitor().get(f"/jobs/{furnished(house)[kind]}").text

    assert [each for each in re.findall(r"<button[^>]*>([^<]+)</button>", page) if "these" not in each] == words
    assert ("Retry with these arguments" in page) == ("Retry" in words)


def test_the_buttons_of_a_job_do_what_they_say(house: House) -> None:
    visitor, app = house.visitor(), house.app
    ids = furnished(house)

    def press(kind: str, verb: str) -> str:
        answer = visitor.post(f"/jobs/{ids[kind]}/{verb}", headers=OURS)
        assert answer.status_code == 303, answer.text
        return Markup(visitor.get(answer.headers["Location"]).text).text

    assert "The job is pending again." in press("dead", "retry")
    assert app.get(ids["dead"]).state is JobState.PENDING
    assert "The job is due now." in press("later", "run")
    assert app.get(ids["later"]).scheduled_at <= datetime.now(UTC) + timedelta(seconds=1)  # type: ignore[operator]  # pyright: ignore[reportOptionalOperand]
    assert "cancelled" in press("running", "cancel")
    assert app.get(ids["running"]).state is JobState.CANCELLING
    assert "The job is deleted." in press("done", "delete")
    assert visitor.get(f"/jobs/{ids['done']}").status_code == 404


@pytest.mark.parametrize(
    ("kind", "verb", "status"),
    [("pending", "retry", 409), ("running", "delete", 409), ("done", "run", 409), ("done", "x", 404)],
)
def test_what_a_state_does_not_allow_is_refused_and_told(house: House, kind: str, verb: str, status: int) -> None:
    id = furnished(house)[kind]
    before = house.app.get(id)

    answer = house.visitor().post(f"/jobs/{id}/{verb}", headers=OURS)

    assert answer.status_code == status
    assert house.app.get(id) == before


def test_a_retry_that_another_holder_of_the_key_forbids_is_told(house: House) -> None:
    first = house.app.cancel(house.add.using(unique_key="k").enqueue(1))
    house.add.using(unique_key="k").enqueue(2)

    answer = house.visitor().post(f"/jobs/{first.id}/retry", headers=OURS)

    assert answer.status_code == 409
    assert "holds its unique key" in answer.text


def test_queues_are_paused_and_resumed(house: House) -> None:
    visitor = house.visitor()
    house.send.enqueue("ada")
    house.app.set_queue("mail", priority=3, concurrency=2, rate="100/m")
    assert re.search(
        r"mail\s+open\s+1\s+0s ago\s+0\s+0\s+0\s+3\s+2\s+100/m\s+Pause", Markup(visitor.get("/queues").text).text
    )

    assert (
        visitor.post("/queues/pause", data={"name": "mail"}, headers=OURS).headers["Location"] == "/queues?done=paused"
    )
    assert house.app.queues()[0].paused
    assert "Resume" in visitor.get("/queues").text
    visitor.post("/queues/resume", data={"name": "mail"}, headers=OURS)
    assert not house.app.queues()[0].paused
    assert visitor.post("/queues/pause", headers=OURS).status_code == 400
    assert visitor.post("/queues/drop", data={"name": "mail"}, headers=OURS).status_code == 404


def test_schedules_show_their_next_ticks_and_are_paused_run_and_deleted(house: House) -> None:
    visitor, schedules = house.visitor(), house.app.schedules
    made = schedules.put("tidy", every=300, job=house.add.job(7))

    def press(verb: str) -> str:
        answer = visitor.post(f"/schedules/{verb}", data={"name": "tidy"}, headers=OURS)
        assert answer.status_code == 303, answer.text
        return answer.headers["Location"]

    assert made.next_at is not None
    for ahead in (0, 300, 600):
        assert f"{made.next_at + timedelta(seconds=ahead):%Y-%m-%d %H:%M:%S} UTC" in visitor.get("/schedules").text
    assert "Every 5 minutes" in visitor.get("/schedules").text
    assert press("pause") == "/schedules?done=schedule-paused"
    assert schedules.get("tidy").paused
    press("resume")
    assert not schedules.get("tidy").paused
    assert house.app.get(press("run").removeprefix("/jobs/").partition("?")[0]).args == {"a": 7}
    press("delete")
    assert schedules.list() == []
    assert visitor.post("/schedules/delete", data={"name": "tidy"}, headers=OURS).status_code == 404


def test_workers_are_shown_with_what_they_run(house: House) -> None:
    begun, go_on = threading.Event(), threading.Event()

    @house.app.task(name="shop.hold")
    def hold() -> None:
        begun.set()
        assert go_on.wait(30)

    from millrace import Worker

    visitor = house.visitor()
    assert "No worker has reported itself" in visitor.get("/workers").text
    with Worker(house.app, concurrency=3):
        hold.enqueue()
        assert begun.wait(30)
        text = Markup(visitor.get("/workers").text).text
        go_on.set()
    assert re.search(r"alive\s+all\s+3\s+shop\.hold for", text)


def test_a_job_claimed_by_hand_is_shown_though_its_worker_is_not_known(house: House) -> None:
    job = house.add.enqueue(1)
    house.app.claim(1)

    assert str(job.id) in house.visitor().get("/workers").text


def test_mounted_at_a_path_all_links_stay_below_it(house: House) -> None:
    furnished(house)
    site = Starlette(routes=[Mount("/ops/jobs", house.app.dashboard())])
    visitor = house.visitor(site=site)

    for path in PAGES:
        page = Markup(visitor.get(f"/ops/jobs{path}").text)
        links = [value for _, each in page.tags for name, value in each.items() if name in {"href", "action"}]
        assert [each for each in links if not each.startswith(("/ops/jobs/", "#"))] == []
        assert visitor.get(page.of("link")[1]["href"]).status_code == 200
    job = house.add.enqueue(1)
    answer = visitor.post(f"/ops/jobs/jobs/{job.id}/cancel", headers=OURS)
    assert answer.headers["Location"] == f"/ops/jobs/jobs/{job.id}?done=cancel"


def test_a_form_that_is_too_large_or_of_another_kind_is_refused(house: House) -> None:
    visitor = house.visitor()

    assert (
        visitor.post(
            "/queues/pause",
            content=b"name=" + b"x" * 5_000_000,
            headers={**OURS, "Content-Type": "application/x-www-form-urlencoded"},
        ).status_code
        == 413
    )
    assert visitor.post("/queues/pause", json={"name": "mail"}, headers=OURS).status_code == 415
    assert house.app.queues() == []


class Slow(MemoryStore):
    """A store whose `queues` waits until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = threading.Event()
        self.let_go = threading.Event()

    def queues(self) -> list[QueueInfo]:
        self.asked.set()
        assert self.let_go.wait(30)
        return super().queues()


async def test_a_slow_store_does_not_hold_up_other_requests() -> None:
    """Both requests are on one event loop; the second is answered while the first waits for its store."""
    import anyio

    store = Slow()
    answers: list[int] = []
    async with Millrace(store) as app:
        transport = httpx2.ASGITransport(app=app.dashboard())
        async with httpx2.AsyncClient(transport=transport, base_url=HOME) as client, anyio.create_task_group() as group:

            async def ask() -> None:
                answers.append((await client.get("/queues")).status_code)

            group.start_soon(ask)
            assert await anyio.to_thread.run_sync(store.asked.wait, 30)
            assert (await client.get("/healthz")).status_code == 200
            assert answers == []
            store.let_go.set()
    assert answers == [200]


def test_a_job_shows_for_whom_it_waits_and_who_waits_for_it(house: House) -> None:
    first, second = house.add.enqueue(1), house.add.using(delay=3600).enqueue(2)
    child = house.send.using(after=[first, second]).enqueue("ada")
    visitor = house.visitor()

    def shown(id: UUID) -> str:
        return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", visitor.get(f"/jobs/{id}").text))

    assert f"Wait for it …{str(child.id)[-12:]} shop.send scheduled" in shown(first.id)
    assert "when those have completed for which it waits" in shown(child.id)
    house.app.drain()
    house.app.delete(second)

    assert "Wait for it" not in shown(first.id)
    assert f"Waits for …{str(first.id)[-12:]} shop.add completed has counted" in shown(child.id)
    assert f"…{str(second.id)[-12:]} is gone" in shown(child.id)
    assert visitor.get(f"/jobs/{child.id}").text.count(f'href="/jobs/{first.id}"') == 1
