"""Tasks that run in child processes and enqueue others there, in the store that the environment names."""

from __future__ import annotations

from millrace import Millrace

app = Millrace()


@app.task
def another() -> None:
    """Do nothing."""


@app.task(run_in="process")
def enqueue_another() -> None:
    """Enqueue a job."""
    another.enqueue()


@app.task(run_in="process")
async def aenqueue_another() -> None:
    """Do so on an event loop."""
    await another.aenqueue()
