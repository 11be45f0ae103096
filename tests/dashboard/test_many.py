"""Acting on many: those selected, all that match, all of one error; and jobs with other arguments, and new ones."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest

from millrace import JobState, Millrace
from millrace.dashboard.failures import place_of
from tests.dashboard.conftest import OURS, House
from tests.dashboard.markup import Markup

Data = dict[str, str | list[str]]


def press(house: House, path: str, data: Data, status: int = 303) -> str:
    """Send a form; return where it leads, or what it says."""
    answer = house.visitor().post(path, data=data, headers=OURS)
    assert answer.status_code == status, answer.text
    return answer.headers["Location"] if status == 303 else Markup(answer.text).text


def failed(house: House, *names: str) -> list[UUID]:
    """Enqueue mails that end dead."""
    jobs = [house.send.enqueue(name, password="hunter2").id for name in names]
    house.app.drain()
    return jobs


def test_selected_jobs_are_retried_and_others_stay(house: House) -> None:
    first, second, third = failed(house, "ada", "bob", "eve")
    pending = house.add.enqueue(1).id

    where = press(
        house, "/jobs/selected", {"verb": "retry", "id": [str(first), str(third), str(pending)], "state": "dead"}
    )

    assert where == "/jobs?state=dead&done=retry-many&number=2"
    assert [house.app.get(id).state.value for id in (first, second, third)] == ["pending", "dead", "pending"]
    assert "Pending again: 2 jobs." in house.visitor().get(where).text


def test_selected_jobs_are_cancelled_and_deleted_as_far_as_their_states_allow(house: House) -> None:
    (dead,) = failed(house, "ada")
    pending = house.add.enqueue(1).id
    running = house.add.using(priority=9).enqueue(2).id
    house.app.claim(1)
    ids = [str(dead), str(pending), str(running), str(UUID(int=7))]

    assert press(house, "/jobs/selected", {"verb": "cancel", "id": ids}) == "/jobs?done=cancel-many&number=2"
    assert press(house, "/jobs/selected", {"verb": "delete", "id": ids}) == "/jobs?done=delete-many&number=2"
    assert [job.id for job in house.app.list()] == [running]


@pytest.mark.parametrize(
    ("data", "status", "part"),
    [
        ({"verb": "retry"}, 400, "no job is selected"),
        ({"id": str(UUID(int=7))}, 400, "the field 'verb' is missing"),
        ({"verb": "burn", "id": str(UUID(int=7))}, 404, "there is no action 'burn'"),
        ({"verb": "retry", "id": "7"}, 400, "'7' is not a job id"),
        ({"verb": "retry", "id": [str(UUID(int=n)) for n in range(201)]}, 400, "201 jobs are too many"),
    ],
)
def test_a_selection_that_makes_no_sense_is_refused(house: House, data: Data, status: int, part: str) -> None:
    assert part in press(house, "/jobs/selected", data, status)


def test_everything_that_matches_is_retried_on_all_pages(house: House) -> None:
    failed(house, *map(str, range(60)))
    other = house.app.cancel(house.add.enqueue(1)).id

    where = press(house, "/jobs/matching", {"verb": "retry", "state": "dead", "queue": "mail", "sure": "yes"})

    assert where == "/jobs?state=dead&queue=mail&done=retry-many&number=60"
    counts = house.app.counts()
    assert (counts[JobState.PENDING], counts[JobState.DEAD], counts[JobState.CANCELLED]) == (60, 0, 1)
    press(house, "/jobs/matching", {"verb": "cancel", "task": "shop.send", "sure": "yes"})
    assert house.app.counts()[JobState.CANCELLED] == 61
    press(house, "/jobs/matching", {"verb": "delete", "state": "cancelled", "tag": "sums", "sure": "yes"})
    assert house.app.counts()[JobState.CANCELLED] == 60
    assert other not in {job.id for job in house.app.iter()}


@pytest.mark.parametrize(
    ("data", "status", "part"),
    [
        ({"verb": "retry", "state": "dead"}, 400, "tick that you are sure"),
        ({"verb": "retry", "queue": "mail", "sure": "yes"}, 400, "choose the states first"),
        ({"verb": "delete", "sure": "yes"}, 400, "choose the states first"),
        ({"verb": "cancel", "sure": "yes"}, 400, "choose the states first"),
        ({"verb": "burn", "state": "dead", "sure": "yes"}, 404, "there is no action 'burn'"),
        ({"verb": "retry", "state": "gone", "sure": "yes"}, 400, "'gone' is not a valid JobState"),
    ],
)
def test_everything_is_never_changed_by_mistake(house: House, data: Data, status: int, part: str) -> None:
    (dead,) = failed(house, "ada")

    assert part in press(house, "/jobs/matching", data, status)
    assert house.app.get(dead).state is JobState.DEAD


def test_readers_and_jobs_without_a_filter_have_no_buttons_for_many(house: House) -> None:
    failed(house, "ada")
    reader = house.visitor(site=house.app.dashboard(read_only=True))

    assert "/jobs/selected" in house.visitor().get("/jobs").text
    assert "/jobs/matching" not in house.visitor().get("/jobs").text
    assert "/jobs/matching" in house.visitor().get("/jobs?state=dead").text
    for path in ("/jobs?state=dead", "/failures", "/queues", "/"):
        assert Markup(reader.get(path).text).of("button") == ([{}] if path.startswith("/jobs") else [])  # its filter
    assert reader.get("/enqueue").status_code == 403


def test_failures_are_grouped_by_error_and_task_with_their_place(house: House) -> None:
    @house.app.task(name="shop.count", max_attempts=1)
    def count(word: str) -> int:
        return int(word)

    failed(house, "ada", "bob")
    count.enqueue("x")
    house.app.drain()

    text = re.sub(r"\s+", " ", Markup(house.visitor().get("/failures").text).text)

    assert re.search(r"ConnectionError shop\.send 2 0 conftest\.py:\d+ in send", text)
    assert re.search(r"ValueError shop\.count 1 0 test_many\.py:\d+ in count", text)
    assert press(house, "/failures/retry", {"error": "ValueError", "task": "shop.count"}) == (
        "/failures?done=retry-many&number=1"
    )
    assert press(house, "/failures/delete", {"error": "ConnectionError", "task": "shop.send"}) == (
        "/failures?done=delete-many&number=2"
    )
    assert [job.state for job in house.app.list()] == [JobState.PENDING]
    assert "Nothing has failed" in house.visitor().get("/failures").text
    press(house, "/failures/burn", {"error": "ValueError", "task": "shop.count"}, 404)


def test_a_traceback_that_names_no_place_is_no_trouble() -> None:
    assert place_of("ValueError: no") is None


def test_a_job_is_retried_with_other_arguments_and_what_was_hidden_stays(house: House) -> None:
    (id,) = failed(house, "ada")
    page = house.visitor().get(f"/jobs/{id}").text
    shown = Markup(page).text
    assert "hunter2" not in page
    assert '{"to": "ada", "password": "•••"}' in shown

    press(house, f"/jobs/{id}/edit", {"args": '{"to": "bob", "password": "•••"}'})

    assert house.app.get(id).args == {"to": "bob", "password": "hunter2"}
    assert house.app.get(id).state is JobState.PENDING


@pytest.mark.parametrize(
    ("args", "part"),
    [
        ("{", "is not JSON"),
        ("[1]", "is not a JSON object"),
        ('{"too": "bob"}', "unknown field"),
        ('{"to": 7}', "got `int`"),
    ],
)
def test_arguments_that_do_not_fit_change_nothing(house: House, args: str, part: str) -> None:
    (id,) = failed(house, "ada")

    assert part in press(house, f"/jobs/{id}/edit", {"args": args}, 422)
    assert house.app.get(id).state is JobState.DEAD


def test_a_job_is_enqueued_from_the_form_of_its_task(house: House) -> None:
    @house.app.task(name="shop.plan", queue="plans")
    def plan(what: str, on: date, *, copies: int = 2, sure: bool = False, note: str | None = None) -> None: ...

    page = Markup(house.visitor().get("/enqueue?task=shop.plan").text)
    names = [each["name"] for each in page.of("input", "select") if each.get("name", "").startswith("arg.")]
    assert names == ["arg.what", "arg.on", "arg.copies", "arg.sure", "arg.note"]

    where = press(house, "/enqueue", {
        "task": "shop.plan", "arg.what": "42", "arg.on": "2030-01-31", "arg.copies": "3", "arg.sure": "true",
        "arg.note": "", "queue": "", "priority": "-5", "delay": "2h",
    })  # fmt: skip

    job = house.app.get(where.removeprefix("/jobs/").removesuffix("?done=enqueued"))
    assert job.args == {"what": "42", "on": "2030-01-31", "copies": 3, "sure": True}
    assert (job.queue, job.priority, job.state) == ("plans", -5, JobState.SCHEDULED)
    assert job.scheduled_at is not None
    assert job.scheduled_at > datetime.now(UTC) + timedelta(hours=1)
    again = press(house, "/enqueue", {"task": "shop.plan", "arg.on": "2030-01-31", "queue": "others"})
    job = house.app.get(again.removeprefix("/jobs/").removesuffix("?done=enqueued"))
    assert (job.args, job.queue) == ({"what": "", "on": "2030-01-31"}, "others")


@pytest.mark.parametrize(
    ("data", "status", "part"),
    [
        ({"task": "shop.gone"}, 404, "the app has no task 'shop.gone'"),
        ({"task": "shop.add"}, 422, "missing required field `a`"),
        ({"task": "shop.add", "arg.a": "many"}, 422, "got `str`"),
        ({"task": "shop.add", "arg.a": "1", "priority": "high"}, 422, "'high' is not a whole number"),
        ({"task": "shop.add", "arg.a": "1", "priority": "99999"}, 400, "out of range"),
        ({"task": "shop.add", "arg.a": "1", "delay": "soon"}, 422, "'soon' is not a duration"),
    ],
)
def test_what_cannot_be_enqueued_is_told_and_not_stored(house: House, data: Data, status: int, part: str) -> None:
    assert part in press(house, "/enqueue", data, status)
    assert sum(house.app.counts().values()) == 0


@pytest.mark.filterwarnings("ignore:.*elsewhere.run")
def test_a_dashboard_of_a_store_alone_enqueues_by_name(house: House) -> None:
    with Millrace("memory://") as app:
        visitor = house.visitor(site=app.dashboard())
        page = Markup(visitor.get("/enqueue?task=elsewhere.run").text)
        assert [each["name"] for each in page.of("textarea")] == ["args"]

        answer = visitor.post("/enqueue", data={"task": "elsewhere.run", "args": '{"a": [1]}'}, headers=OURS)

        assert answer.status_code == 303
        (job,) = app.list()
        assert (job.task, job.args) == ("elsewhere.run", {"a": [1]})
        assert visitor.post("/enqueue", data={"task": "elsewhere.run", "args": "[]"}, headers=OURS).status_code == 422


def test_prometheus_is_told_what_waits(house: House) -> None:
    house.add.enqueue(1)

    answer = house.visitor().get("/metrics")

    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert 'millrace_queue_depth{queue="default"} 1' in answer.text
    assert house.visitor(site=house.app.dashboard(token="sesame")).get("/metrics").status_code == 401
