"""Tasks of an instrumented app that run in child processes; each process writes its spans to a file, a line each."""

from __future__ import annotations

import os
from pathlib import Path

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

from millrace import Millrace
from millrace.contrib.opentelemetry import instrument

SPANS = "MILLRACE_TEST_SPANS"  #: names the file

app = Millrace("memory://")


class Append:
    """A file that is opened for each line, so that nothing stays open and nothing is lost with a process."""

    def write(self, text: str) -> int:
        where = os.environ.get(SPANS)
        if where is None:
            return 0
        with Path(where).open("a", encoding="utf-8") as file:
            return file.write(text)

    def flush(self) -> None: ...


def line_of(span: ReadableSpan) -> str:
    text: str = span.to_json(indent=None)
    return f"{text}\n"


provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(out=Append(), formatter=line_of)))  # type: ignore[arg-type]
instrument(app, provider)


def current() -> str:
    return format(trace.get_current_span().get_span_context().trace_id, "032x")


@app.task(run_in="process")
def sync() -> str:
    """Tell in which trace it runs."""
    return current()


@app.task(run_in="process")
async def awaited() -> str:
    """Do the same on an event loop."""
    return current()


@app.task(run_in="process", max_attempts=1)
def fail() -> None:
    """Fail."""
    raise ValueError("no")
