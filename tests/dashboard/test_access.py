"""Who comes in, what they may do, and from where: the door is shut unless something opens it."""

from __future__ import annotations

from base64 import b64encode

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request

from millrace import JobState
from millrace.errors import ConfigurationError
from tests.dashboard.conftest import HOME, OURS, House

BEARER = {"Authorization": "Bearer sesame"}


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(f"{user}:{password}".encode()).decode()}


@pytest.mark.parametrize("base", [HOME, "http://127.0.0.1:8080", "http://[::1]:8080", "http://127.8.8.8"])
def test_without_a_token_whoever_is_on_this_machine_comes_in_by_a_loopback_name(house: House, base: str) -> None:
    assert house.visitor(base=base).get("/").status_code == 200


@pytest.mark.parametrize(
    ("base", "peer", "headers", "part"),
    [
        ("http://evil.example", "127.0.0.1", {}, "a loopback name such as 127.0.0.1, not 'evil.example'"),
        ("http://0.0.0.0", "127.0.0.1", {}, "a loopback name"),
        ("http://localhost.evil.example", "127.0.0.1", {}, "a loopback name"),
        (HOME, "10.0.0.7", {}, "it answers on this machine alone"),
        (HOME, "::ffff:10.0.0.7", {}, "it answers on this machine alone"),
        (HOME, "127.0.0.1", {"X-Forwarded-For": "10.0.0.7"}, "through a proxy"),
        (HOME, "127.0.0.1", {"Forwarded": "for=10.0.0.7"}, "through a proxy"),
    ],
)
def test_without_a_token_nobody_comes_in_from_elsewhere(
    house: House, base: str, peer: str, headers: dict[str, str], part: str
) -> None:
    answer = house.visitor(base=base, peer=peer, headers=headers).get("/")

    assert answer.status_code == 403
    assert part in answer.text.replace("&#39;", "'")
    assert "shop" not in answer.text


@pytest.mark.parametrize(
    "headers", [BEARER, {"Authorization": "bearer sesame"}, basic("ada", "sesame"), basic("", "sesame")]
)
def test_the_token_opens_from_anywhere(house: House, headers: dict[str, str]) -> None:
    visitor = house.visitor(site=house.app.dashboard(token="sesame"), base="http://jobs.example", peer="10.0.0.7")

    assert visitor.get("/", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer Sesame"},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer " + "s" * 5000},
        {"Authorization": "Digest sesame"},
        {"Authorization": "Basic sesame"},
        {"Authorization": "Basic " + b64encode(b"sesame").decode()},
        basic("sesame", ""),
    ],
)
def test_all_else_is_asked_for_the_token(house: House, headers: dict[str, str]) -> None:
    answer = house.visitor(site=house.app.dashboard(token="sesame")).get("/jobs", headers=headers)

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="Millrace", charset="UTF-8"'
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")


def test_a_token_may_hold_any_letter(house: House) -> None:
    visitor = house.visitor(site=house.app.dashboard(token="Öffne:dich"))

    assert visitor.get("/", headers=basic("ada", "Öffne:dich")).status_code == 200


def test_the_token_comes_from_the_environment_too(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_DASHBOARD_TOKEN", "sesame")
    visitor = house.visitor()

    assert visitor.get("/").status_code == 401
    assert visitor.get("/", headers=BEARER).status_code == 200


def test_only_a_probe_needs_no_token_and_learns_no_more_than_that(house: House) -> None:
    visitor = house.visitor(site=house.app.dashboard(token="sesame"), base="http://jobs.example")

    assert (visitor.get("/healthz").status_code, visitor.get("/healthz").text) == (200, "ok\n")
    assert [visitor.get(path).status_code for path in ("/jobs/healthz", "/x/healthz", "/healthz/")] == [401, 401, 401]
    assert visitor.post(f"/jobs/{house.add.enqueue(1).id}/healthz", headers=OURS).status_code == 401
    house.app.close()
    answer = visitor.get("/healthz")
    assert (answer.status_code, answer.text) == (503, "the store cannot be used\n")


def test_the_host_app_decides_who_reads_and_who_operates(house: House) -> None:
    def authorize(request: Request) -> str | None:
        return request.headers.get("X-Role")

    visitor = house.visitor(site=house.app.dashboard(authorize=authorize), base="http://jobs.example")
    job = house.add.enqueue(1)

    assert visitor.get("/").status_code == 403
    assert visitor.get(f"/jobs/{job.id}", headers={"X-Role": "read"}).status_code == 200
    assert "Cancel" not in visitor.get(f"/jobs/{job.id}", headers={"X-Role": "read"}).text
    assert "Cancel" in visitor.get(f"/jobs/{job.id}", headers={"X-Role": "operate"}).text
    ours = {"Origin": "http://jobs.example"}
    refused = visitor.post(f"/jobs/{job.id}/cancel", headers={"X-Role": "read", **ours})
    assert refused.status_code == 403
    assert job.refresh().state is JobState.PENDING
    assert visitor.post(f"/jobs/{job.id}/cancel", headers={"X-Role": "operate", **ours}).status_code == 303
    assert job.refresh().state is JobState.CANCELLED


def test_a_check_may_be_async_and_may_answer_with_an_error_of_the_host_app(house: House) -> None:
    async def authorize(request: Request) -> str:
        if "ada" not in request.headers.get("Cookie", ""):
            raise HTTPException(307, headers={"Location": "/login"})
        return "read"

    visitor = house.visitor(site=house.app.dashboard(authorize=authorize))

    answer = visitor.get("/")
    assert (answer.status_code, answer.headers["Location"]) == (307, "/login")
    assert visitor.get("/", headers={"Cookie": "user=ada"}).status_code == 200


@pytest.mark.parametrize("verdict", ["admin", True, 7, KeyError("user")])
def test_a_check_that_fails_or_answers_something_else_lets_nobody_in(
    house: House, verdict: object, caplog: pytest.LogCaptureFixture
) -> None:
    def authorize(_: Request) -> str:
        if isinstance(verdict, Exception):
            raise verdict
        return verdict  # type: ignore[return-value]  # what a check must not do

    answer = house.visitor(site=house.app.dashboard(authorize=authorize)).get("/")

    assert answer.status_code == 500
    assert "authorize() of the dashboard has failed" in caplog.text


def test_beside_a_check_the_token_opens_too(house: House) -> None:
    site = house.app.dashboard(token="sesame", authorize=lambda _: None)
    visitor = house.visitor(site=site)

    assert visitor.get("/", headers=BEARER).status_code == 200
    assert visitor.get("/").status_code == 401


def test_read_only_lets_nobody_act(house: House) -> None:
    visitor = house.visitor(site=house.app.dashboard(token="sesame", read_only=True), headers=BEARER)
    job = house.add.enqueue(1)

    assert "Cancel" not in visitor.get(f"/jobs/{job.id}").text
    assert visitor.post(f"/jobs/{job.id}/cancel").status_code == 403
    assert visitor.post("/queues/pause", data={"name": "mail"}).status_code == 403
    assert (job.refresh().state, house.app.queues()[0].paused) == (JobState.PENDING, False)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:8080"},
        {"Origin": "ftp://localhost"},
        {"Origin": "http://[localhost"},
        {"Referer": f"{HOME}/jobs"},
        {**OURS, "Sec-Fetch-Site": "cross-site"},
        {**OURS, "Sec-Fetch-Site": "same-site"},
        {**OURS, "Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Authorization": "Bearer guess"},
    ],
)
def test_a_post_from_elsewhere_changes_nothing(house: House, headers: dict[str, str]) -> None:
    job = house.add.enqueue(1)

    answer = house.visitor().post(f"/jobs/{job.id}/cancel", headers=headers)

    assert answer.status_code == 403
    assert job.refresh().state is JobState.PENDING


@pytest.mark.parametrize("headers", [OURS, {**OURS, "Sec-Fetch-Site": "same-origin"}, {"Origin": "https://localhost"}])
def test_a_post_from_our_own_pages_is_heard(house: House, headers: dict[str, str]) -> None:
    job = house.add.enqueue(1)

    assert house.visitor().post(f"/jobs/{job.id}/cancel", headers=headers).status_code == 303
    assert job.refresh().state is JobState.CANCELLED


def test_over_tls_a_page_without_it_is_foreign(house: House) -> None:
    job = house.add.enqueue(1)

    answer = house.visitor(base="https://localhost").post(
        f"/jobs/{job.id}/cancel", headers={"Origin": "http://localhost"}
    )

    assert answer.status_code == 403


def test_a_script_with_the_token_as_bearer_needs_no_origin_and_one_with_basic_does(house: House) -> None:
    visitor = house.visitor(site=house.app.dashboard(token="sesame"))
    first, second = house.add.enqueue(1), house.add.enqueue(2)

    assert visitor.post(f"/jobs/{first.id}/cancel", headers=BEARER).status_code == 303
    assert visitor.post(f"/jobs/{second.id}/cancel", headers=basic("ada", "sesame")).status_code == 403


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH"])
def test_nothing_but_a_post_acts(house: House, method: str) -> None:
    job = house.add.enqueue(1)

    answer = house.visitor().request(method, f"/jobs/{job.id}/cancel", headers=OURS)

    assert answer.status_code == 405
    assert job.refresh().state is JobState.PENDING


@pytest.mark.parametrize("token", ["", "  "])
def test_an_empty_token_is_refused(house: House, token: str) -> None:
    with pytest.raises(ConfigurationError, match="token is empty"):
        house.app.dashboard(token=token)


def test_what_is_no_check_is_refused(house: House) -> None:
    with pytest.raises(ConfigurationError, match="cannot be called"):
        house.app.dashboard(authorize="operate")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
