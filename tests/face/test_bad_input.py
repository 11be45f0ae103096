"""What callers give that cannot be: each is a clear error of Millrace's own tree, and nothing is stored."""

from __future__ import annotations

import asyncio
import dataclasses
import re
import sqlite3
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from millrace import (
    ConfigurationError,
    Job,
    Millrace,
    MillraceError,
    NewJob,
    NotSupported,
    PayloadError,
    Unique,
    Worker,
)

if TYPE_CHECKING:
    from decimal import Decimal as ComesLater
    from decimal import Decimal as NotYet


@pytest.fixture
def app() -> Iterator[Any]:
    """Give an app without its types: these tests give what a type checker would refuse."""
    with Millrace("memory://") as app:
        yield app


def ping(word: str = "pong") -> str:
    return word


def on_file(path: Path) -> Millrace:
    return Millrace(f"sqlite:///{path / 'jobs.db'}")


@pytest.mark.parametrize("given", [None, 5])
def test_enqueueing_many_of_what_is_no_list_is_refused(app: Any, given: object) -> None:
    with pytest.raises(ConfigurationError, match="jobs is a list of NewJobs, not"):
        app.enqueue_many(given)
    with pytest.raises(ConfigurationError, match="jobs is a list of NewJobs, not"):
        asyncio.run(app.aio.enqueue_many(given))
    assert app.depth() == 0


NUMBERS: list[tuple[str, Callable[[Any], object]]] = [
    ("queues", lambda app: app.claim(queues=5)),
    ("tasks", lambda app: app.claim(tasks=5)),
    ("queues", lambda app: app.drain(queues=5)),
    ("queues", lambda app: asyncio.run(app.aio.drain(queues=5))),
    ("queues", lambda app: app.run_worker(queues=5, burst=True)),
    ("tasks", lambda app: app.run_worker(tasks=5, burst=True)),
    ("queues", lambda app: Worker(app, queues=5)),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ("tasks", lambda app: Worker(app, tasks=5)),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ("imports", lambda _: Millrace("memory://", imports=5)),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ("Unique(by=)", lambda _: Unique(by=5)),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ("tags", lambda app: app.task(ping).using(tags=5)),
    ("tags", lambda _: NewJob("ping", tags=5)),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ("tags", lambda app: app.task(tags=5)(ping)),
]


@pytest.mark.parametrize(("what", "call"), NUMBERS)
def test_a_number_where_names_belong_is_refused(app: Any, what: str, call: Callable[[Any], object]) -> None:
    with pytest.raises(ConfigurationError, match=rf"{re.escape(what)} is a list of .*, not 5; give a list"):
        call(app)


WRONG_OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"queues": "mail"}, r"queues is a list of names, not the text 'mail'; give \['mail'\]"),
    ({"queues": [5]}, "queue must be text, not 5"),
    ({"tasks": []}, r"tasks=\[\] would claim nothing"),
    ({"tasks": [ping]}, "task must be text, not <function ping"),
    ({"concurrency": "5"}, "concurrency '5' is not acceptable; give an integer"),
    ({"concurrency": True}, "concurrency True is not acceptable; give an integer"),
    ({"reserved": ["high"]}, r"reserved=\['high'\] is no mapping"),
    ({"reserved": 0}, "reserved=0 is no mapping"),
    ({"reserved": {"high": "2"}}, r"reserved\['high'\] '2' is not acceptable; give an integer"),
    ({"reserved": {5: 2}}, "queue must be text, not 5"),
    ({"burst": "no"}, "burst 'no' is neither True nor False"),
    ({"burst": None}, "burst None is neither True nor False"),
    ({"grace": "5m"}, "grace '5m' is not a duration"),
    ({"grace": None}, "grace None is not a duration"),
    ({"prefetch": 1.5}, "prefetch 1.5 is not acceptable; give an integer"),
]


@pytest.mark.parametrize(("options", "told"), WRONG_OPTIONS)
def test_an_option_of_a_worker_of_the_wrong_kind_is_refused_where_it_is_made(
    app: Any, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"^{told}"):
        Worker(app, **options)


@pytest.mark.parametrize("given", [None, "tasks:app", "memory://", Millrace])
def test_a_worker_of_what_is_no_app_is_refused_where_it_is_made(given: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^a worker works for an app, not for .*; give a Millrace$"):
        Worker(given)


@pytest.mark.parametrize("error", [None, 5, ValueError])
def test_failing_a_job_for_what_is_no_error_is_refused(app: Any, error: object) -> None:
    app.task(name="ping")(ping).enqueue()
    (job,) = app.claim()

    with pytest.raises(ConfigurationError, match="is neither an exception nor text"):
        app.fail(job, error)
    with pytest.raises(ConfigurationError, match="is neither an exception nor text"):
        asyncio.run(app.aio.fail(job, error, 5))
    assert job.refresh().state == "running"


@pytest.mark.parametrize("job", [None, "0190163d-8694-739b-aea5-966c26f8ad91", 5])
@pytest.mark.parametrize("verb", ["complete", "fail", "release", "extend"])
def test_ending_what_is_no_job_is_refused(app: Any, verb: str, job: object) -> None:
    more = {"fail": ("broken",), "extend": (5,)}.get(verb, ())

    with pytest.raises(ConfigurationError, match=r"is not a Job; give the Job that app\.claim returned"):
        getattr(app, verb)(job, *more)
    with pytest.raises(ConfigurationError, match=r"is not a Job; give the Job that app\.claim returned"):
        asyncio.run(getattr(app.aio, verb)(job, *more))


def test_no_tags_are_none(app: Any) -> None:
    assert app.task(tags=None)(ping).enqueue().tags == ()


def test_a_closed_connection_is_refused(tmp_path: Path) -> None:
    with on_file(tmp_path) as app:
        task = app.task(name="ping")(ping)
        connection = sqlite3.connect(tmp_path / "jobs.db")
        connection.close()

        with pytest.raises(ConfigurationError, match="give one that is open"):
            task.using(connection=connection).enqueue()
        with pytest.raises(ConfigurationError, match="give one that is open"):
            app.enqueue_many([task.job()], connection=connection)
        assert app.depth() == 0


def test_a_connection_of_another_thread_is_refused(tmp_path: Path) -> None:
    with on_file(tmp_path) as app:
        task = app.task(name="ping")(ping)
        made: list[sqlite3.Connection] = []
        maker = threading.Thread(target=lambda: made.append(sqlite3.connect(tmp_path / "jobs.db")))
        maker.start()
        maker.join()

        with pytest.raises(ConfigurationError, match="give one that is open and of this thread"):
            task.using(connection=made[0]).enqueue()
        assert app.depth() == 0


def test_a_connection_that_is_none_is_refused_before_anything_is_stored(app: Any, tmp_path: Path) -> None:
    with on_file(tmp_path) as other:
        for each in (app, other):
            each.task(name="ping")(ping)
            job = NewJob("ping", connection="x")
            with pytest.raises((NotSupported, ConfigurationError)):
                each.enqueue(job)
            with pytest.raises((NotSupported, ConfigurationError)):
                each.enqueue_many([job])
            assert each.depth() == 0


def test_a_parameter_may_be_called_self(app: Any) -> None:
    def greet(self: str, other: str = "b") -> str:
        return self + other

    async def agreet(self: str) -> str:
        return self

    task, awaitable = app.task(name="greet")(greet), app.task(name="agreet")(agreet)

    jobs: list[Job[Any]] = [task.enqueue(self="a"), app.enqueue(task.job(self="c")), awaitable.enqueue(self="d")]
    jobs.append(asyncio.run(task.aenqueue(self="e", other="f")))
    app.drain()

    assert [app.result(job) for job in jobs] == ["ab", "cb", "d", "ef"]
    assert (task(self="x"), asyncio.run(awaitable(self="y"))) == ("xb", "y")


@pytest.mark.parametrize("given", ["x", 1, 0])
def test_a_switch_takes_true_and_false_only(app: Any, given: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"paused .* is neither True nor False"):
        app.set_queue("q", paused=given)
    with pytest.raises(ConfigurationError, match=r"eager .* is neither True nor False"):
        Millrace("memory://", eager=given)
    assert app.queues() == []


def test_a_rule_over_what_is_no_parameter_fails_at_the_decoration(app: Any) -> None:
    with pytest.raises(ConfigurationError, match="names 'nope', but ping takes word"):
        app.task(name="ping", unique=Unique(by=("nope",)))(ping)
    assert "ping" not in app.registry

    task = app.task(name="ping", unique=Unique(by=("word",)))(ping)
    with pytest.raises(ConfigurationError, match="names 'nope', but ping takes word"):
        task.using(unique=Unique(by=("nope",)))


@dataclasses.dataclass
class Cat:
    name: str


@dataclasses.dataclass
class Dog:
    name: str


@dataclasses.dataclass
class Box:
    inner: NotYet


def either(pet: Cat | Dog) -> None: ...


def moment_or_text(when: datetime | str) -> None: ...


def later(pet: Cat | Dog, other: ComesLater) -> None: ...


def boxed(box: Box) -> None: ...


@pytest.mark.parametrize("function", [either, moment_or_text])
def test_annotations_that_cannot_be_told_apart_are_refused_at_the_decoration(
    app: Any, function: Callable[..., None]
) -> None:
    with pytest.raises(ConfigurationError, match=r"annotate one of them, use tagged Structs, or leave the annotation"):
        app.task(function)
    assert len(app.registry) == 0


@pytest.mark.parametrize("function", [later, boxed])
def test_annotations_of_names_that_come_later_are_looked_at_with_the_first_job(
    app: Any, function: Callable[..., None]
) -> None:
    task = app.task(function)

    with pytest.raises(PayloadError):
        task.enqueue(Cat("Tom"), 1) if function is later else task.enqueue(1)
    assert app.depth() == 0


def test_the_last_choice_of_a_time_wins(app: Any) -> None:
    then = datetime(2100, 1, 1, tzinfo=UTC)
    task = app.task(name="ping")(ping)

    assert task.using(delay=5).using(run_at=then).enqueue().scheduled_at == then
    assert task.using(run_at=then).using(delay=5).enqueue().scheduled_at < then


def test_a_time_without_a_zone_is_named_as_the_parameter_that_it_is(app: Any) -> None:
    naive = datetime(2026, 1, 1)  # noqa: DTZ001 - what is to be refused

    with pytest.raises(ConfigurationError, match=r"^older_than .* has no timezone"):
        app.purge(older_than=naive)
    with pytest.raises(ConfigurationError, match=r"^run_at .* has no timezone"):
        app.reschedule(app.task(name="ping")(ping).enqueue(), naive)
    with pytest.raises(ConfigurationError, match=r"^run_at None is not a datetime"):
        app.reschedule("0190163d-8694-739b-aea5-966c26f8ad91", None)


def test_settings_of_a_queue_are_written_whole_and_pausing_keeps_them(app: Any) -> None:
    app.set_queue("mail", priority=5, concurrency=2)
    app.pause("mail")
    assert [(each.priority, each.concurrency, each.paused) for each in app.queues()] == [(5, 2, True)]

    app.set_queue("mail", priority=7)
    assert [(each.priority, each.concurrency, each.paused) for each in app.queues()] == [(7, None, True)]


def test_a_retry_with_other_arguments_keeps_the_key(app: Any) -> None:
    task = app.task(name="ping", unique=Unique())(ping)
    job = task.enqueue("old")
    app.cancel(job)

    again = app.retry(job, args={"word": "new"})

    assert (again.args, again.unique_key) == ({"word": "new"}, job.unique_key)
    assert task.enqueue("old").duplicate


def test_extending_counts_from_now_and_may_shorten(app: Any) -> None:
    app.task(name="ping")(ping).enqueue()
    (job,) = app.claim(lease=3600)

    shorter = app.extend(job, 5)

    assert shorter.lease_expires_at < job.lease_expires_at - timedelta(seconds=3000)


VERBS: list[Callable[[Any], object]] = [
    lambda app: app.enqueue(NewJob("ping")),
    lambda app: app.enqueue_many([NewJob("ping")]),
    lambda app: app.enqueue(NewJob("ping"), connection=object()),
    lambda app: app.list(),
    lambda app: app.depth(),
    lambda app: app.purge(5),
    lambda app: app.claim(),
    lambda app: app.wait("0190163d-8694-739b-aea5-966c26f8ad91", 1),
    lambda app: asyncio.run(app.aio.depth()),
    lambda app: asyncio.run(app.aio.enqueue(NewJob("ping"))),
    lambda app: asyncio.run(app.aio.enqueue_many([NewJob("ping")])),
]


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("store", ["memory", "sqlite"])
def test_every_verb_of_a_closed_app_says_how_to_open_it_again(
    tmp_path: Path, store: str, verb: Callable[[Any], object]
) -> None:
    app = Millrace("memory://") if store == "memory" else on_file(tmp_path)
    app.task(name="ping")(ping).enqueue()
    app.close()

    with pytest.raises(MillraceError, match=r"is closed; open it again with app\.open\(\)"):
        verb(app)
    assert str(app.store.url) in repr(app)

    app.open()
    verb_worked = app.depth()
    app.close()
    assert verb_worked == (0 if store == "memory" else 1)
