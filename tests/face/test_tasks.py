from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from millrace import Backoff, ConfigurationError, JobContext, Millrace, PayloadError, Task
from millrace.detached import detached_context
from millrace.options import read_options

if TYPE_CHECKING:
    from millrace.context import JobContext as OnlyForCheckers


@pytest.fixture
def app() -> Iterator[Millrace]:
    with Millrace("memory://") as app:
        yield app


def add(a: int, b: int = 1) -> int:
    """Add."""
    return a + b


async def fetch(url: str) -> str:
    return url


def test_a_task_is_called_as_the_plain_function_it_is(app: Millrace) -> None:
    task = app.task(add)

    assert task(2, b=3) == 5
    assert asyncio.run(app.task(fetch)("x")) == "x"
    assert (task.__name__, task.__doc__, task.__wrapped__, task.function) == ("add", "Add.", add, add)
    assert app.depth() == 0


def test_the_default_name_is_module_and_qualname(app: Millrace) -> None:
    assert app.task(add).name == f"{__name__}.add"


@pytest.mark.parametrize(
    ("command", "name"), [(["jobs/tasks.py"], "tasks.add"), (["-m", "jobs.tasks"], "jobs.tasks.add")]
)
def test_in_a_script_run_directly_its_own_name_stands_for_main(tmp_path: Path, command: list[str], name: str) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "tasks.py").write_text(
        "from millrace import Millrace\napp = Millrace('memory://')\n"
        "@app.task\ndef add(): ...\nif __name__ == '__main__': print(add.name)\n",
        encoding="utf-8",
    )

    output = subprocess.run([sys.executable, *command], cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    assert output.strip() == name


def test_two_tasks_of_one_name_are_refused_with_both_their_places(app: Millrace) -> None:
    app.task(name="same")(add)

    with pytest.raises(ConfigurationError, match=r"two tasks are named 'same': .*\.add and .*\.fetch"):
        app.task(name="same")(fetch)


def test_options_of_a_task_are_what_its_jobs_and_its_worker_get(app: Millrace) -> None:
    task = app.task(
        name="mail", queue="mail", priority=7, max_attempts=8, max_crashes=2, retry=Backoff.fixed(9), timeout=30,
        lease=timedelta(minutes=1), retention=60, run_in="process", tags=["a", "b"],
    )(add)  # fmt: skip

    job = task.enqueue(1)

    assert (job.task, job.queue, job.priority, job.max_attempts, job.max_crashes) == ("mail", "mail", 7, 8, 2)
    assert job.tags == ("a", "b")
    terms = task.spec.terms
    assert (terms.timeout, terms.lease, terms.retention, terms.retry) == (30.0, 60.0, 60.0, Backoff.fixed(9))
    assert (task.spec.run_in, job.row.options) == ("process", None)


def test_a_task_without_options_has_the_defaults_of_the_contract_and_the_apps_retentions() -> None:
    with Millrace("memory://", retention=5, dead_retention=None) as app:
        spec = app.task(add).spec

    assert (spec.queue, spec.priority, spec.max_attempts, spec.max_crashes, spec.tags) == ("default", 0, 5, 3, ())
    assert (spec.terms.timeout, spec.terms.lease, spec.terms.retry) == (None, 30.0, Backoff())
    assert (spec.terms.retention, spec.terms.dead_retention, spec.run_in) == (5.0, None, "thread")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"queue": ""}, "queue '' has 0 bytes"),
        ({"queue": 3}, "queue must be text"),
        ({"name": "a\0b"}, "holds a NUL"),
        ({"priority": 32768}, "priority 32768 is out of range"),
        ({"priority": True}, "priority True is out of range"),
        ({"max_attempts": 0}, "max_attempts 0 is not acceptable"),
        ({"max_crashes": -1}, "max_crashes -1 is not acceptable"),
        ({"timeout": 0}, "timeout 0 is not positive"),
        ({"timeout": "5"}, "timeout '5' is not a duration"),
        ({"lease": None}, "lease None is not a duration"),
        ({"lease": -1}, "lease -1 is negative|lease -1 is not positive"),
        ({"retention": -1}, "retention -1 is negative"),
        ({"retry": 5}, "retry=5 is no policy"),
        ({"run_in": "cloud"}, "run_in='cloud' is no runner; give 'thread', 'loop' or 'process'"),
        ({"run_in": "loop"}, "is no async function and would block the loop"),
        ({"tags": "one"}, r"tags is a list of names.*give \['one'\]"),
        ({"colour": "red"}, "task\\(\\) has no option 'colour'; It knows|has no option 'colour'; .*max_attempts"),
        ({"qeue": "mail"}, "has no option 'qeue'; did you mean 'queue'\\?"),
    ],
)
def test_an_option_that_is_not_acceptable_is_refused_at_the_decorator(
    app: Millrace, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        app.task(**options)(add)

    assert len(app.registry) == 0


def test_what_cannot_be_a_task_is_refused(app: Millrace) -> None:
    def numbers() -> Iterator[int]:
        yield 1

    anything: Any = app.task
    with pytest.raises(ConfigurationError, match="yields; a task returns its result"):
        anything(numbers)
    with pytest.raises(ConfigurationError, match="cannot be a task"):
        anything(int)
    with pytest.raises(ConfigurationError, match="3 cannot be a task"):
        anything(3)
    with pytest.raises(ConfigurationError, match="is a task already"):
        anything(app.task(add))
    with pytest.raises(ConfigurationError, match="is async and runs on the loop"):
        anything(run_in="thread")(fetch)


def test_a_first_context_is_left_out_by_callers(app: Millrace) -> None:
    @app.task(name="plain")
    def plain(_context: JobContext, path: str) -> str:
        return path

    def renamed(_context: OnlyForCheckers, path: str) -> str:
        return path

    def text(_context: Any, path: str) -> str:
        return path

    text.__annotations__["_context"] = "millrace.JobContext"
    assert plain.enqueue("x").args == {"path": "x"}
    assert app.task(name="text")(text).spec.takes_context
    assert not app.task(renamed).spec.takes_context  # a name of its own that only type checkers know: nothing to go by


def test_a_task_with_a_context_is_called_plainly_too(app: Millrace, caplog: pytest.LogCaptureFixture) -> None:
    @app.task(name="told", max_attempts=3)
    def told(context: JobContext, path: str) -> tuple[int, bool, str]:
        context.log.info("opening", path=path)
        context.progress(0.5)
        context.set_result(1)
        context.extend(5)
        context.check_cancelled()
        return context.attempt, context.cancelled, f"{context.job.task} {path}"

    @app.task(name="commits")
    def commits(context: JobContext) -> None:
        context.complete(5, connection="mine")

    with caplog.at_level("INFO"):
        assert told("x") == (1, False, "told x")
    assert caplog.messages == ["told: opening {'path': 'x'}"]
    with pytest.raises(ConfigurationError, match="was called as a plain function, so there is no job to complete"):
        commits()
    assert app.depth() == 0


def test_a_context_given_by_hand_is_passed_on(app: Millrace) -> None:
    seen: list[Any] = []

    def told(context: JobContext) -> None:
        seen.append(context)

    task: Any = app.task(name="told")(told)
    given = detached_context(task.spec)
    task(given)

    assert seen == [given]


def test_a_context_that_is_not_first_is_refused(app: Millrace) -> None:
    def late(path: str, context: JobContext) -> str:
        return f"{path} {context}"

    with pytest.raises(ConfigurationError, match="takes its JobContext as 'context'; it must be the first parameter"):
        app.task(late)


def test_arguments_that_do_not_fit_are_refused_and_nothing_is_stored(app: Millrace) -> None:
    task: Any = app.task(name="add")(add)

    def awaited(*args: Any, **kwargs: Any) -> Any:
        return asyncio.run(task.aenqueue(*args, **kwargs))

    calls: list[Any] = [task.enqueue, task.job, awaited]
    for call in calls:
        for args, kwargs in [((), {}), ((1, 2, 3), {}), ((1,), {"c": 2}), (("one",), {}), ((float("nan"),), {})]:
            with pytest.raises(PayloadError, match="add"):
                call(*args, **kwargs)
    assert app.depth() == 0


def test_arguments_over_the_limit_are_refused() -> None:
    with Millrace("memory://", max_payload=100) as app:
        echo = app.task(name="echo")(lambda text: text)

        with pytest.raises(PayloadError, match="over the limit of 100"):
            echo.enqueue("x" * 100)


def test_an_enqueued_job_is_as_the_store_has_it(app: Millrace) -> None:
    task = app.task(add)

    for job in (task.enqueue(1), asyncio.run(task.aenqueue(1)), task.using(delay=60, tags=["t"]).enqueue(1)):
        assert app.get(job.id) == job
        assert job.refresh() == job
        assert asyncio.run(job.arefresh()) == job


def test_typed_arguments_are_stored_as_json(app: Millrace) -> None:
    @app.task
    def remind(day: date) -> None: ...

    assert remind.enqueue(date(2026, 1, 2)).args == {"day": "2026-01-02"}


def test_using_gives_the_same_task_with_other_options(app: Millrace) -> None:
    task = app.task(name="add", queue="sums", tags=["a"])(add)
    other = task.using(
        queue="mail", priority=-5, max_attempts=1, max_crashes=1, unique_key="k", tags=("b",), timeout=None, lease=5,
        retention=0,
    )  # fmt: skip

    job = other.enqueue(1)

    assert isinstance(other, Task)
    assert (job.queue, job.priority, job.max_attempts, job.max_crashes) == ("mail", -5, 1, 1)
    assert (job.unique_key, job.tags) == ("k", ("b",))
    options = read_options(job.row.options or b"{}")
    assert (options.timeout, options.lease, options.retention) == (None, 5.0, 0.0)
    assert task.enqueue(1).queue == "sums"


def test_using_keeps_what_was_chosen_before(app: Millrace) -> None:
    task = app.task(add).using(priority=1, delay=60).using(queue="q")

    job = task.using(run_at=datetime(2100, 1, 1, tzinfo=UTC)).enqueue(1)

    assert (job.priority, job.queue, job.scheduled_at) == (1, "q", datetime(2100, 1, 1, tzinfo=UTC))
    assert repr(task) == f"<Task {__name__}.add using priority=1, delay=60, queue='q'>"


def test_a_delay_counts_from_the_enqueue(app: Millrace) -> None:
    job = app.task(add).using(delay=timedelta(hours=1)).enqueue(1)

    assert job.state == "scheduled"
    assert job.scheduled_at == job.created_at + timedelta(hours=1)


def test_a_time_in_the_past_is_due_now(app: Millrace) -> None:
    then = datetime(2020, 1, 1, tzinfo=timezone(timedelta(hours=2)))

    job = app.task(add).using(run_at=then).enqueue(1)

    assert (job.state, job.scheduled_at) == ("pending", then)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"delay": -1}, "delay -1 is negative"),
        ({"delay": 1, "run_at": datetime(2100, 1, 1, tzinfo=UTC)}, "exclude each other"),
        ({"run_at": datetime(2100, 1, 1)}, "has no timezone"),  # noqa: DTZ001 - that is the point
        ({"run_at": "tomorrow"}, "'tomorrow' is not a datetime"),
        ({"priority": 40000}, "priority 40000 is out of range"),
        ({"max_attempts": 0}, "max_attempts 0"),
        ({"unique_key": "x" * 201}, "has 201 bytes"),
        ({"tags": [f"t{n}" for n in range(21)]}, "20 tags, not 21"),
        ({"name": "x"}, "using\\(\\) has no option 'name'"),
    ],
)
def test_an_option_of_using_that_is_not_acceptable_is_refused(
    app: Millrace, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        app.task(name="add")(add).using(**options)


def test_a_unique_key_brings_the_holder_back_as_a_duplicate(app: Millrace) -> None:
    task = app.task(name="add")(add).using(unique_key="one")
    first = task.enqueue(1)

    again: list[Callable[[], Any]] = [
        lambda: task.enqueue(2),
        lambda: asyncio.run(task.aenqueue(2)),
        lambda: app.enqueue_many([task.job(2)])[0],
    ]
    for enqueue in again:
        holder = enqueue()
        assert (holder.id, holder.duplicate, holder.args) == (first.id, True, {"a": 1})
    assert not first.duplicate
    assert app.depth() == 1
