"""Limits as users write them: on tasks and queues, keys filled from arguments, and what is refused at its line."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from millrace import ConfigurationError, Limit, Millrace, NewJob, PayloadError, Rate
from millrace.context import JobContext
from millrace.groups import Group, read_group
from millrace.limits import limits_of
from millrace.stores import MemoryStore
from millrace.testing.clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def app(clock: ManualClock) -> Iterator[Millrace]:
    with Millrace(MemoryStore(clock=clock)) as app:
        yield app


def sync(tenant: str, region: str = "eu", *, depth: int = 1) -> None:
    """Do nothing."""


def groups(app: Millrace) -> list[Group | None]:
    """Claim all that may be, and return the group of each."""
    rows = [app.row_of(job.id) for job in app.claim(1000)]
    return [None if row.group is None else read_group(row.group) for row in rows]


# -- keys


@pytest.mark.parametrize(
    ("template", "key"),
    [
        ("{tenant}", "acme"),
        ("{region}", "eu"),
        ("{tenant}/{depth}", "acme/2"),
        ("all", "all"),
        ("{{{tenant}}}", "{acme}"),
    ],
)
def test_a_key_is_filled_from_the_arguments_with_defaults(app: Millrace, template: str, key: str) -> None:
    task = app.task(concurrency=Limit(9, key=template), rate=Rate(9, key=template))(sync)
    task.enqueue("acme", depth=2)

    (group,) = groups(app)

    assert group is not None
    assert (group.limit, group.limit_key, group.rate_key, group.fair) == (9, key, key, None)


def test_every_way_to_enqueue_fills_the_key(app: Millrace) -> None:
    task = app.task(name="sync", fair="{tenant}")(sync)
    ways: list[Callable[[], Any]] = [
        lambda: task.enqueue("a"),
        lambda: asyncio.run(task.aenqueue("b")),
        lambda: app.enqueue(NewJob("sync", {"tenant": "c"})),
        lambda: app.enqueue_many([task.job("d"), NewJob("sync", {"tenant": "e"})]),
        lambda: task.using(priority=0, unique_key="own").enqueue("f"),
        lambda: (app.schedules.put("daily", cron="@daily", job=task.job("g")), app.schedules.run_now("daily")),
    ]
    for enqueue in ways:
        enqueue()

    assert sorted(group.fair or "" for group in groups(app) if group is not None) == list("abcdefg")


def test_key_stands_for_every_key_of_the_job(app: Millrace) -> None:
    task = app.task(name="sync", concurrency=Limit(1), rate=Rate(9, key="{tenant}"), fair="{tenant}")(sync)
    task.using(key="own").enqueue("acme")
    app.enqueue(NewJob("sync", {"tenant": "acme"}, key="other"))

    first, *_ = groups(app)

    assert first is not None
    assert (first.limit_key, first.rate_key, first.fair) in {("", "own", "own"), ("", "other", "other")}


def test_a_first_parameter_that_is_the_context_is_no_argument(app: Millrace) -> None:
    @app.task(concurrency=Limit(1, key="{tenant}"))
    def work(context: JobContext, tenant: str) -> None: ...

    work.enqueue("acme")
    assert len(app.claim(5)) == 1


def test_values_that_are_no_text_are_written_as_json(app: Millrace) -> None:
    @app.task(fair="{value}")
    def work(value: Any) -> None: ...

    for value in (1, True, None, [1, 2], {"b": 1, "a": 2}):
        work.enqueue(value)

    keys = {group.fair for group in groups(app) if group is not None}
    assert keys == {"1", "true", "null", "[1,2]", '{"a":2,"b":1}'}


@pytest.mark.parametrize(("tenant", "told"), [("x" * 201, "has 201 bytes, of at most 200"), ("a\0b", "NUL character")])
def test_a_key_that_will_not_do_is_refused_at_enqueue(app: Millrace, tenant: str, told: str) -> None:
    task = app.task(fair="{tenant}")(sync)

    with pytest.raises(PayloadError, match=told):
        task.enqueue(tenant)
    assert app.depth() == 0


# -- what holds


def test_a_number_alone_limits_the_task_as_a_whole(app: Millrace) -> None:
    task = app.task(concurrency=2)(sync)
    app.enqueue_many([task.job(str(n)) for n in range(5)])

    first = app.claim(5)

    assert len(first) == 2
    app.complete(first[0])
    assert len(app.claim(5)) == 1


def test_a_rate_gives_its_tokens_back_with_time(app: Millrace, clock: ManualClock) -> None:
    task = app.task(rate=Rate(2, per=timedelta(minutes=1), key="{tenant}"))(sync)
    app.enqueue_many([task.job("acme") for _ in range(4)])

    assert len(app.claim(5)) == 2
    clock.advance(29)
    assert app.claim(5) == []
    clock.advance(1)
    assert len(app.claim(5)) == 1


def test_the_rate_of_a_queue_is_set_and_told(app: Millrace, clock: ManualClock) -> None:
    app.set_queue("default", rate="2/m", concurrency=9)
    task = app.task(sync)
    app.enqueue_many([task.job("acme") for _ in range(5)])

    assert len(app.claim(5)) == 2
    assert app.queues()[0].rate == "2/m"
    clock.advance(30)
    assert len(app.claim(5)) == 1
    app.set_queue("default", rate=Rate(3, per=7))
    assert app.queues()[0].rate == "3/7s"
    app.set_queue("default")
    assert app.queues()[0].rate is None
    assert len(app.claim(5)) == 2


def test_a_drain_runs_what_limits_allow_and_waits_for_no_token(app: Millrace) -> None:
    ran: list[str] = []
    limited = app.task(name="one", concurrency=Limit(1, key="{tenant}"))(_noter(ran))
    rated = app.task(name="two", rate=Rate(2, per=3600))(_noter(ran))
    app.enqueue_many([limited.job(tenant) for tenant in "aabb"] + [rated.job("r") for _ in range(5)])

    app.drain()

    assert sorted(ran) == ["a", "a", "b", "b", "r", "r"]


def _noter(ran: list[str]) -> Callable[[str], None]:
    def note(tenant: str) -> None:
        ran.append(tenant)

    return note


# -- what is refused


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"concurrency": Limit(1, key="{nobody}")}, r"names 'nobody', but .*sync takes tenant, region, depth"),
        ({"rate": Rate(1, key="{self}")}, "names 'self'"),
        ({"fair": "{owner}"}, "names 'owner'"),
        ({"fair": "tenant"}, "fair='tenant' names no parameter"),
        ({"fair": 3}, "fair=3 names no parameter"),
        ({"concurrency": "2"}, "concurrency='2' is no limit"),
        ({"concurrency": True}, "concurrency=True is no limit"),
        ({"concurrency": 0}, r"Limit\(count\) 0 is not acceptable"),
        ({"rate": 3}, "rate=3 is no rate"),
        ({"rate": "3 a second"}, "rate '3 a second' cannot be read"),
    ],
)
def test_an_option_that_will_not_do_is_refused_where_the_task_is_made(
    app: Millrace, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigurationError, match=told):
        app.task(**options)(sync)
    assert len(app.registry) == 0


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Limit(0), r"Limit\(count\) 0"),
        (lambda: Limit(2, key=""), r"Limit\(key=''\) is no template"),
        (lambda: Limit(2, key="{tenant"), "is no template: expected '}'"),
        (lambda: Limit(2, key="{tenant.id}"), "may hold names of parameters alone"),
        (lambda: Limit(2, key="{tenant!r}"), "may hold names of parameters alone"),
        (lambda: Limit(2, key="{}"), "may hold names of parameters alone"),
        (lambda: Rate(0), r"Rate\(count\) 0"),
        (lambda: Rate(1, per=0), "not positive"),
        (lambda: Rate(1, per=0.0001), "under a millisecond"),
        (lambda: Rate(999_983, per=86_399.999_999), "cannot be reckoned exactly"),
        (lambda: Rate.read("1/w"), "rate '1/w' cannot be read"),
        (lambda: Rate.read("0/s"), r"Rate\(count\) 0"),
    ],
)
def test_a_limit_that_will_not_do_is_refused_where_it_is_made(make: Callable[[], object], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        make()


def test_rates_are_read_shown_and_compared() -> None:
    assert [Rate.read(text).per for text in ("1/s", "1/m", "1/h", "1/d")] == [1.0, 60.0, 3600.0, 86_400.0]
    assert Rate(5, key="{a}") == Rate(5, 1.0, "{a}") != Rate(5)
    assert len({Rate(5), Rate(5), Limit(5), Limit(5)}) == 2
    assert repr(Limit(2, key="{a}")) == "Limit(2, key='{a}')"
    assert repr(Rate(2, 60)) == "Rate(2, per=60.0)"
    assert limits_of(None, None, None) is None
