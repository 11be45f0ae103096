"""The same as JSON: what scripts read and do, with the same door, roles and redaction."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from millrace import JobState
from millrace.dashboard.api import VIEWS
from tests.dashboard.conftest import OURS, House

BEARER = {"Authorization": "Bearer sesame"}


@pytest.fixture
def script(house: House) -> TestClient:
    return house.visitor(site=house.app.dashboard(token="sesame"), headers=BEARER, base="http://jobs.example")


def dead(house: House) -> str:
    id = str(house.send.using(unique_key="k-1").enqueue("ada", password="hunter2").id)
    house.app.drain()
    return id


def test_jobs_are_told_page_by_page(house: House, script: TestClient) -> None:
    jobs = [str(house.add.enqueue(n).id) for n in range(5)]
    house.send.enqueue("ada")
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = script.get("/api/jobs", params={"task": "shop.add", "limit": "2", "cursor": cursor}).json()
        seen += [job["id"] for job in page["jobs"]]
        cursor = page["next_cursor"]

    assert seen == jobs[::-1]


def test_a_job_is_told_with_attempts_and_log_and_without_secrets(house: House, script: TestClient) -> None:
    answer = script.get(f"/api/jobs/{dead(house)}")
    job: dict[str, Any] = answer.json()

    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert (job["state"], job["args"]) == ("dead", {"to": "ada", "password": "•••"})
    assert [each["outcome"] for each in job["attempts"]] == ["failed", "dead"]
    assert [each["data"] for each in job["logs"]] == [{"to": "ada", "api_key": "•••"}] * 2
    assert "hunter2" not in answer.text


def test_readers_are_told_no_values_and_may_not_act(house: House) -> None:
    id = dead(house)
    reader = house.visitor(site=house.app.dashboard(authorize=lambda _: "read"))

    job = reader.get(f"/api/jobs/{id}").json()

    assert (job["args"], job["unique_key"]) == ({"to": "text", "password": "text"}, None)
    answer = reader.post(f"/api/jobs/{id}/retry", headers=OURS)
    assert (answer.status_code, answer.json()) == (403, {"error": "nothing was changed: you may look, and not act"})
    assert house.app.get(id).state is JobState.DEAD


def test_a_script_acts_on_jobs_and_queues(house: House, script: TestClient) -> None:
    id = dead(house)

    assert script.post(f"/api/jobs/{id}/retry").json()["state"] == "pending"
    assert script.post(f"/api/jobs/{id}/cancel").json()["state"] == "cancelled"
    assert script.post(f"/api/jobs/{id}/delete").json()["id"] == id
    later = house.add.using(delay=3600).enqueue(1)
    assert script.post(f"/api/jobs/{later.id}/run").status_code == 200
    assert script.post("/api/queues/pause", data={"name": "mail"}).json()["paused"] is True
    assert script.post("/api/queues/resume", data={"name": "mail"}).json()["paused"] is False
    assert script.post("/api/queues/resume", data={"name": "nobody's"}).json()["name"] == "nobody's"


def test_the_rest_is_told_too(house: House, script: TestClient) -> None:
    dead(house)
    house.app.schedules.put("tidy", every=60, job=house.add.job(7))

    overview = script.get("/api/overview").json()

    assert (overview["counts"]["dead"], overview["depth"]) == (1, 0)
    assert {"text": "1 job is dead: no tries are left", "grave": True} in overview["concerns"]
    assert [each["name"] for each in script.get("/api/queues").json()] == ["mail"]
    assert [(each["name"], each["args"]) for each in script.get("/api/schedules").json()] == [("tidy", {"a": 7})]
    assert script.get("/api/workers").json() == []


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/jobs/7", 404),
        ("GET", "/api/jobs?cursor=x", 400),
        ("GET", "/api/jobs?limit=x", 400),
        ("GET", "/api/jobs?state=gone", 400),
        ("POST", "/api/jobs/00000000-0000-0000-0000-000000000007/retry", 404),
        ("POST", "/api/jobs/00000000-0000-0000-0000-000000000007/burn", 404),
        ("POST", "/api/queues/pause", 400),
    ],
)
def test_what_goes_wrong_is_told_as_json(script: TestClient, method: str, path: str, status: int) -> None:
    answer = script.request(method, path)

    assert answer.status_code == status
    assert list(answer.json()) == ["error"]


def test_without_the_token_or_from_elsewhere_nothing_is_told_or_done(house: House) -> None:
    id = dead(house)
    stranger = house.visitor(site=house.app.dashboard(token="sesame"))

    assert (stranger.get("/api/jobs").status_code, list(stranger.get("/api/jobs").json())) == (401, ["error"])
    assert house.visitor().post(f"/api/jobs/{id}/retry").status_code == 403
    assert house.visitor().post(f"/api/jobs/{id}/retry", headers={"Origin": "http://evil.example"}).status_code == 403
    assert house.app.get(id).state is JobState.DEAD


def test_every_address_is_described_in_openapi_and_answers(house: House) -> None:
    """What the description names is there: a read answers, an action is refused for the job that there is not."""
    site = Starlette(routes=[Mount("/ops", house.app.dashboard(token="sesame"))])
    script = house.visitor(site=site, headers=BEARER)

    described = script.get("/ops/api/openapi.json").json()

    assert (described["openapi"], described["servers"]) == ("3.1.0", [{"url": "/ops"}])
    paths = described["paths"]
    assert {path for path in VIEWS if path not in paths} == set()
    assert sorted(path.rsplit("/", 1)[1] for path, each in paths.items() if "post" in each) == [
        "cancel", "delete", "pause", "resume", "retry", "run",
    ]  # fmt: skip
    for path, methods in paths.items():
        filled = path.replace("{id}", "00000000-0000-0000-0000-000000000007")
        for method, operation in methods.items():
            assert operation["summary"]
            status = script.request(method, f"/ops{filled}").status_code
            assert status == (404 if "{id}" in path else 200 if method == "get" else 400), path
