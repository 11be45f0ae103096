"""A worker to be killed: its task writes an effect and completes itself in one transaction, and stops where it is told.

It says `reached` on its output where it stops, and never goes on.
"""

from __future__ import annotations

import os
import signal
import sys

import psycopg

from millrace import Millrace, current_job

app = Millrace(os.environ["MILLRACE_URL"])
server = app.store.url.partition("?")[0]


@app.task
def pay(stop: str) -> None:
    """Write the effect; `stop` says whether to stop before or after the commit, the first time it runs."""
    with psycopg.connect(server) as connection:
        connection.execute("insert into millrace_test.orders values ('paid')")
        current_job().complete("paid", connection=connection)
        if stop == "before":
            _stop()
        connection.commit()
        if stop == "after":
            _stop()


@app.task(run_in="process", max_attempts=1)
async def pay_apart(kept: str) -> None:
    """Do so in a child process, on an event loop; `kept` says whether the completion is awaited."""
    async with await psycopg.AsyncConnection.connect(server) as connection:
        await connection.execute("insert into millrace_test.orders values ('paid')")
        completion = current_job().complete("paid", connection=connection)
        if kept == "awaited":
            await completion


def _stop() -> None:
    if os.environ.get("EFFECTS_STOP"):
        sys.stdout.write("reached\n")
        sys.stdout.flush()
        signal.pause()
