"""Traces go from who enqueues to the handler: through each way of enqueueing, each runner, each store, over retries."""

from __future__ import annotations

import asyncio
import doctest
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

import millrace.contrib.opentelemetry
from millrace import (
    Backoff,
    CancelJob,
    ConfigurationError,
    DuplicateJob,
    JobState,
    Millrace,
    NewJob,
    Snooze,
    StoreUnavailable,
    Unique,
    Worker,
)
from millrace.contrib.opentelemetry import instrument
from millrace.options import read_options
from tests.worker.waiting import PATIENCE


class Spans:
    """The spans that have ended, in a provider of their own."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = self.provider.get_tracer("test")

    def of(self, kind: SpanKind) -> list[ReadableSpan]:
        return [span for span in self._exporter.get_finished_spans() if span.kind is kind]

    @property
    def producers(self) -> list[ReadableSpan]:
        return self.of(SpanKind.PRODUCER)

    @property
    def consumers(self) -> list[ReadableSpan]:
        return self.of(SpanKind.CONSUMER)


@pytest.fixture
def spans() -> Spans:
    return Spans()


@pytest.fixture(params=["memory", "sqlite"])
def app(request: pytest.FixtureRequest, tmp_path: Path, spans: Spans) -> Iterator[Millrace]:
    url = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'jobs.db'}?synchronous=normal"
    with Millrace(url) as app:
        instrument(app, spans.provider)
        yield app


def belongs(attempt: ReadableSpan, enqueue: ReadableSpan) -> bool:
    """Tell whether an attempt's span is the child of an enqueue's, and linked to it."""
    made, of = enqueue.get_span_context(), attempt.get_span_context()
    assert made is not None
    assert of is not None
    assert attempt.parent is not None
    links = [link.context.span_id for link in attempt.links]
    return (of.trace_id, attempt.parent.span_id, links) == (made.trace_id, made.span_id, [made.span_id])


def attributes_of(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def test_the_examples_hold() -> None:
    assert doctest.testmod(millrace.contrib.opentelemetry).failed == 0


def test_the_spans_are_named_and_filled_as_the_conventions_for_messaging_have_it(app: Millrace, spans: Spans) -> None:
    ping = app.task(name="ping", queue="mail")(lambda: None)
    job = ping.enqueue()
    app.drain()

    (enqueue,), (attempt,) = spans.producers, spans.consumers
    assert (enqueue.name, attempt.name) == ("enqueue mail", "process mail")
    shared = {
        "messaging.system": "millrace",
        "messaging.destination.name": "mail",
        "messaging.message.id": str(job.id),
        "millrace.task": "ping",
    }
    assert attributes_of(enqueue) == {
        **shared, "messaging.operation.name": "enqueue", "messaging.operation.type": "send",
    }  # fmt: skip
    assert attributes_of(attempt) == {
        **shared, "messaging.operation.name": "process", "messaging.operation.type": "process",
        "millrace.attempt": 1, "millrace.claim": 1, "messaging.client.id": job.refresh().worker,
    }  # fmt: skip
    assert belongs(attempt, enqueue)


@pytest.mark.parametrize("how", ["enqueue", "app.enqueue", "aenqueue", "app.aio.enqueue", "enqueue_many", "aio.many"])
def test_each_way_to_enqueue_carries_the_trace_of_its_caller(app: Millrace, spans: Spans, how: str) -> None:
    ping = app.task(name="ping")(lambda: None)

    async def of_a_loop() -> None:
        match how:
            case "aenqueue":
                await ping.aenqueue()
            case "app.aio.enqueue":
                await app.aio.enqueue(ping.job())
            case _:
                await app.aio.enqueue_many([ping.job()])

    with spans.tracer.start_as_current_span("caller") as caller:
        match how:
            case "enqueue":
                ping.enqueue()
            case "app.enqueue":
                app.enqueue(NewJob("ping"))
            case "enqueue_many":
                app.enqueue_many([ping.job()])
            case _:
                asyncio.run(of_a_loop())
    app.drain()

    (enqueue,), (attempt,) = spans.producers, spans.consumers
    assert enqueue.parent is not None
    assert enqueue.parent.span_id == caller.get_span_context().span_id
    assert belongs(attempt, enqueue)


def test_many_jobs_have_one_enqueue_and_an_attempt_each(app: Millrace, spans: Spans) -> None:
    ping, pong = app.task(name="ping", queue="a")(lambda: None), app.task(name="pong", queue="b")(lambda: None)
    app.enqueue_many([ping.job(), pong.job(), pong.job()])
    app.enqueue_many([])
    app.drain()

    (enqueue,) = spans.producers
    assert enqueue.name == "enqueue"
    assert attributes_of(enqueue)["messaging.batch.message_count"] == 3
    assert sorted(span.name for span in spans.consumers) == ["process a", "process b", "process b"]
    assert all(belongs(attempt, enqueue) for attempt in spans.consumers)


@pytest.mark.parametrize("many", [False, True])
def test_a_job_written_in_a_callers_transaction_carries_it_too(tmp_path: Path, spans: Spans, many: bool) -> None:  # noqa: FBT001
    with Millrace(f"sqlite:///{tmp_path / 'jobs.db'}") as app:
        instrument(app, spans.provider)
        ping = app.task(name="ping")(lambda: None)
        app.depth()
        connection = sqlite3.connect(tmp_path / "jobs.db", isolation_level=None)
        connection.execute("BEGIN")
        if many:
            app.enqueue_many([ping.job()], connection=connection)
        else:
            ping.using(connection=connection).enqueue()
        connection.execute("COMMIT")
        connection.close()
        app.drain()

    assert belongs(spans.consumers[0], spans.producers[0])


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_the_span_is_current_in_the_handler_and_gone_after_it(app: Millrace, spans: Spans, kind: str) -> None:
    def work() -> None:
        with spans.tracer.start_as_current_span("inside"):
            pass

    async def awork() -> None:
        await asyncio.sleep(0)
        with spans.tracer.start_as_current_span("inside"):
            await asyncio.sleep(0)

    if kind == "sync":
        app.task(name="work")(work)
    else:
        app.task(name="work")(awork)
    jobs = app.enqueue_many([NewJob("work") for _ in range(20)])
    with Worker(app, concurrency=4):
        for job in jobs:
            job.wait(PATIENCE)

    attempts = {span.context.span_id for span in spans.consumers if span.context is not None}
    inside = [span.parent.span_id for span in spans.of(SpanKind.INTERNAL) if span.parent is not None]
    assert len(attempts) == 20
    assert sorted(inside) == sorted(attempts)
    assert not trace.get_current_span().get_span_context().is_valid


def test_each_retry_has_a_span_of_its_own_in_the_same_trace(app: Millrace, spans: Spans) -> None:
    @app.task(name="flaky", max_attempts=3, retry=Backoff.fixed(0))
    def flaky() -> None:
        raise OSError("not yet")

    flaky.enqueue()
    app.drain()

    attempts = spans.consumers
    assert [attributes_of(span)["millrace.attempt"] for span in attempts] == [1, 2, 3]
    assert all(belongs(span, spans.producers[0]) for span in attempts)
    assert {span.status.status_code for span in attempts} == {StatusCode.ERROR}
    assert {attributes_of(span)["error.type"] for span in attempts} == {"OSError"}
    assert [event.name for span in attempts for event in span.events] == ["exception"] * 3


def test_what_a_handler_enqueues_goes_on_with_its_trace(app: Millrace, spans: Spans) -> None:
    second = app.task(name="second")(lambda: None)

    @app.task(name="first")
    def first() -> None:
        second.enqueue()

    first.enqueue()
    app.drain()

    assert len({span.context.trace_id for span in spans.producers + spans.consumers if span.context is not None}) == 1
    assert belongs(spans.consumers[1], spans.producers[1])


@pytest.mark.parametrize("signal", [Snooze(3600), CancelJob("enough")])
def test_a_snooze_and_a_cancel_are_no_errors(app: Millrace, spans: Spans, signal: Exception) -> None:
    @app.task(name="stop")
    def stop() -> None:
        raise signal

    stop.enqueue()
    app.drain()

    (attempt,) = spans.consumers
    assert attempt.status.status_code is StatusCode.UNSET
    assert attributes_of(attempt)["millrace.signal"] == type(signal).__name__
    assert "error.type" not in attributes_of(attempt)


def test_options_of_a_job_hold_beside_its_trace(app: Millrace) -> None:
    ping = app.task(name="ping")(lambda: None)
    job = ping.using(lease=7, timeout=None, priority=3, tags=["a"]).enqueue().refresh()

    options = read_options(job.row.options or b"")
    assert (options.lease, options.timeout, job.priority, job.tags) == (7.0, None, 3, ("a",))
    assert set(dict(options.trace or {})) == {"traceparent"}


def test_a_job_from_elsewhere_begins_a_trace_of_its_own(spans: Spans) -> None:
    with Millrace("memory://traces-from-elsewhere") as plain, Millrace("memory://traces-from-elsewhere") as app:
        instrument(app, spans.provider)
        app.task(name="ping")(lambda: None)
        job = plain.task(name="ping")(lambda: None).enqueue()
        with spans.tracer.start_as_current_span("who drains is not who enqueued"):
            app.drain()

    assert job.row.options is None
    (attempt,) = spans.consumers
    assert (attempt.parent, list(attempt.links)) == (None, [])


def test_an_app_that_is_not_instrumented_stores_no_options(spans: Spans) -> None:
    with Millrace("memory://") as app, spans.tracer.start_as_current_span("caller"):
        job = app.task(name="ping")(lambda: None).enqueue()

    assert job.row.options is None
    assert app.producer.around is None
    assert not app.producer.hooked


def test_without_an_sdk_nothing_is_stored_and_all_runs() -> None:
    with Millrace("memory://") as app:
        instrument(app, trace.NoOpTracerProvider())
        job = app.task(name="ping")(lambda: "pong").enqueue()
        app.drain()

        assert job.row.options is None
        assert job.refresh().result == "pong"


def test_an_enqueue_that_fails_is_told_in_its_span(spans: Spans) -> None:
    app = Millrace("memory://")
    instrument(app, spans.provider)
    ping = app.task(name="ping")(lambda: None)
    app.close()
    with pytest.raises(StoreUnavailable):
        ping.enqueue()

    (enqueue,) = spans.producers
    assert enqueue.status.status_code is StatusCode.ERROR
    assert attributes_of(enqueue)["error.type"] == "millrace.errors.StoreUnavailable"


def test_uniqueness_is_as_it_was(app: Millrace) -> None:
    one = app.task(name="one", unique=Unique(on_conflict="reject"))(lambda: None)
    one.enqueue()
    with pytest.raises(DuplicateJob):
        one.enqueue()


def test_baggage_comes_along_where_it_is_asked_for_and_only_there(spans: Spans) -> None:
    seen: list[object] = []
    for asked in (False, True):
        with Millrace("memory://") as app:
            instrument(app, spans.provider, baggage=asked)
            note = app.task(name="note")(lambda: seen.append(baggage.get_baggage("tenant")))
            token = context.attach(baggage.set_baggage("tenant", "Ä 7"))
            job = note.enqueue()
            context.detach(token)
            app.drain()
            assert ("baggage" in dict(read_options(job.row.options or b"").trace or {})) is asked

    assert seen == [None, "Ä 7"]


def test_too_much_baggage_is_left_behind(spans: Spans) -> None:
    with Millrace("memory://") as app:
        instrument(app, spans.provider, baggage=True)
        token = context.attach(baggage.set_baggage("much", "x" * 9000))
        job = app.task(name="ping")(lambda: None).enqueue()
        context.detach(token)

    assert set(dict(read_options(job.row.options or b"").trace or {})) == {"traceparent"}


def test_an_app_is_instrumented_once(app: Millrace) -> None:
    with pytest.raises(ConfigurationError, match="is instrumented already"):
        instrument(app)


def test_handlers_in_child_processes_run_within_spans_of_those(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.contrib import tracedtasks

    monkeypatch.setenv(tracedtasks.SPANS, str(tmp_path / "spans"))
    app = tracedtasks.app
    app.open()
    try:
        jobs = [tracedtasks.sync.enqueue(), tracedtasks.awaited.enqueue(), tracedtasks.fail.enqueue()]
        app.drain()
        ended = [job.refresh() for job in jobs]
    finally:
        app.close()

    told = [json.loads(line) for line in (tmp_path / "spans").read_text("utf-8").splitlines()]
    enqueues = {each["attributes"]["messaging.message.id"]: each for each in told if each["kind"].endswith("PRODUCER")}
    attempts = {each["attributes"]["messaging.message.id"]: each for each in told if each["kind"].endswith("CONSUMER")}
    assert [job.state for job in ended] == [JobState.COMPLETED, JobState.COMPLETED, JobState.DEAD]
    for job in ended:
        enqueue, attempt = enqueues[str(job.id)], attempts[str(job.id)]
        assert attempt["parent_id"] == enqueue["context"]["span_id"]
        assert attempt["context"]["trace_id"] == enqueue["context"]["trace_id"]
        if job.state is JobState.COMPLETED:
            assert f"0x{job.result}" == enqueue["context"]["trace_id"]
    assert attempts[str(ended[2].id)]["status"]["status_code"] == "ERROR"
