"""Traces: a span where a job is enqueued, one for each attempt on it, and the thread between them. Owns their form.

Needs `pip install millrace[opentelemetry]`, and the SDK and exporter of your choice. The trace is stored with the job,
in its options, as W3C writes it (`traceparent`, `tracestate`), so it reaches the handler through any store, and over
retries and restarts. Names and attributes follow the semantic conventions for messaging.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, Tracer, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from millrace.errors import ConfigurationError
from millrace.messages import NewRow
from millrace.options import JobOptions, read_options
from millrace.signals import CancelJob, Snooze

if TYPE_CHECKING:
    from millrace import JobContext, Millrace

__all__ = ["instrument"]

_SYSTEM = "millrace"
_ENQUEUE, _PROCESS = "enqueue", "process"  # the operations, as spans are named after them
_MOST_BAGGAGE = 8192  # bytes, as W3C has it; more is not carried


def instrument(app: Millrace, tracer_provider: TracerProvider | None = None, *, baggage: bool = False) -> None:
    """Make spans of an app's enqueues and attempts from now on, each attempt in the trace of its enqueue.

    Do so where the app is made: child processes of `run_in="process"` trace what the modules of the app set up.

    - `enqueue`, `aenqueue`, `app.enqueue` and on a caller's connection: a PRODUCER span `enqueue QUEUE` around the
      write; `enqueue_many`: one for all its jobs.
    - An attempt: a CONSUMER span `process QUEUE` around the handler, which is current in it. It is a child of the
      enqueue's span, and linked to it; so are those of retries. A job that was enqueued outside any instrumented app,
      or by a schedule, begins a trace of its own.

    An error that the handler raises is recorded, and the span's status; a snooze and a cancel are none.

    Args:
        app: The app.
        tracer_provider: Whose tracer; None: the global one, also where it is set later.
        baggage: Carry the baggage too. It is stored with each job in plain text, up to 8 KiB.

    Raises:
        ConfigurationError: The app is instrumented already.

    >>> from millrace import Millrace
    >>> app = Millrace("memory://")
    >>> instrument(app)
    """
    if app.producer.around is not None:
        raise ConfigurationError(f"{app!r} is instrumented already; call instrument(app) once")
    tracer = trace.get_tracer("millrace", tracer_provider=tracer_provider)
    carrier = _Carrier(baggage=baggage)
    app.producer.surround(_Enqueues(tracer, carrier))
    app.middleware(_Attempts(tracer, carrier))


class _Carrier:
    """Writes the trace of a moment into options, and reads it there."""

    def __init__(self, *, baggage: bool) -> None:
        self._propagators: list[TextMapPropagator] = [TraceContextTextMapPropagator()]
        if baggage:
            self._propagators.append(W3CBaggagePropagator())

    def written(self) -> dict[str, str]:
        """Return the current trace as text by name; empty where there is none."""
        found: dict[str, str] = {}
        carrier: Any = found  # of which the checkers, not the library, want to know more
        for propagator in self._propagators:
            propagator.inject(carrier)
        if len(found.get("baggage", "").encode()) > _MOST_BAGGAGE:
            del found["baggage"]
        return found

    def read(self, options: bytes | None) -> Context | None:
        """Return the context that a job was enqueued in, or None."""
        carried = None if options is None else read_options(options).trace
        if not carried:
            return None
        context = Context()
        for propagator in self._propagators:
            context = propagator.extract(carried, context)
        return context


class _Enqueues:
    """The spans of producers."""

    def __init__(self, tracer: Tracer, carrier: _Carrier) -> None:
        self._tracer = tracer
        self._carrier = carrier

    @contextmanager
    def __call__(self, rows: Sequence[NewRow]) -> Generator[Sequence[NewRow]]:
        """Give the rows with the trace in them, to be stored within its span."""
        queues = {row.queue for row in rows}
        queue = queues.pop() if len(queues) == 1 else None
        attributes = _attributes(_ENQUEUE, "send", queue)
        if len(rows) == 1:
            attributes["messaging.message.id"] = str(UUID(bytes=rows[0].id))
            attributes["millrace.task"] = rows[0].task
        else:
            attributes["messaging.batch.message_count"] = len(rows)
        name = _ENQUEUE if queue is None else f"{_ENQUEUE} {queue}"
        with (
            self._tracer.start_as_current_span(name, kind=SpanKind.PRODUCER, attributes=attributes) as span,
            _failing(span),
        ):
            carried = self._carrier.written()
            yield [_carrying(row, carried) for row in rows] if carried else rows


class _Attempts:
    """The spans of consumers, as middleware."""

    def __init__(self, tracer: Tracer, carrier: _Carrier) -> None:
        self._tracer = tracer
        self._carrier = carrier

    def around_attempt(self, context: JobContext) -> Generator[None]:
        """Run the handler within the span of its attempt."""
        job = context.job
        row = job.row
        before = self._carrier.read(row.options)
        parent = None if before is None else trace.get_current_span(before).get_span_context()
        attributes = _attributes(_PROCESS, _PROCESS, row.queue)
        attributes["messaging.message.id"] = str(job.id)
        attributes["millrace.task"] = row.task
        attributes["millrace.attempt"] = row.attempt
        attributes["millrace.claim"] = row.claim
        if job.worker is not None:
            attributes["messaging.client.id"] = job.worker
        span = self._tracer.start_span(
            f"{_PROCESS} {row.queue}",
            before if before is not None else Context(),
            kind=SpanKind.CONSUMER,
            attributes=attributes,
            links=[Link(parent)] if parent is not None and parent.is_valid else (),
        )
        token = contexts.attach(trace.set_span_in_context(span, before))
        try:
            with _failing(span):
                yield
        except (Snooze, CancelJob) as signal:
            span.set_attribute("millrace.signal", type(signal).__name__)
            raise
        except BaseException as error:
            span.record_exception(error)
            span.set_status(Status(StatusCode.ERROR, str(error)))
            raise
        finally:
            contexts.detach(token)
            span.end()


@contextmanager
def _failing(span: Span) -> Generator[None]:
    """Name the class of an error as the conventions want it; a snooze and a cancel are none."""
    try:
        yield
    except (Snooze, CancelJob):
        raise
    except BaseException as error:
        kind = type(error)
        prefix = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
        span.set_attribute("error.type", f"{prefix}{kind.__qualname__}")
        raise


def _attributes(operation: str, kind: str, queue: str | None) -> dict[str, str | int]:
    attributes: dict[str, str | int] = {
        "messaging.system": _SYSTEM,
        "messaging.operation.name": operation,
        "messaging.operation.type": kind,
    }
    if queue is not None:
        attributes["messaging.destination.name"] = queue
    return attributes


def _carrying(row: NewRow, carried: Mapping[str, str]) -> NewRow:
    options = JobOptions() if row.options is None else read_options(row.options)
    return msgspec.structs.replace(row, options=msgspec.structs.replace(options, trace=carried).encode())
