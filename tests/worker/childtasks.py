"""Tasks that run in child processes; imported by the test's process and again by each child."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sqlite3
import threading
import time
from pathlib import Path

from millrace import Backoff, JobContext, Millrace, SkipRetry, Snooze, current_job

app = Millrace("memory://")

once = Backoff.fixed(0)


@app.task(run_in="process")
def pid() -> int:
    """Tell which process this is."""
    return os.getpid()


@app.task(run_in="process")
async def apid() -> int:
    """Do the same on an event loop."""
    await asyncio.sleep(0)
    return os.getpid()


@app.task(run_in="process")
def everything(context: JobContext, path: Path) -> dict[str, object]:
    """Use all of a context but `complete`."""
    same = current_job() is context
    context.log.info("hello", path=path, number=1)
    context.progress(0.5, "halfway")
    context.set_result({"partial": True})
    context.extend(60)
    context.check_cancelled()
    return {"same": same, "attempt": context.attempt, "name": path.name, "cancelled": context.cancelled}


@app.task(run_in="process", max_attempts=1)
def leave(code: int) -> None:
    """End the process without a word."""
    os._exit(code)


@app.task(run_in="process", max_attempts=1)
def segfault() -> None:
    """Crash as C code may."""
    ctypes.string_at(0)


@app.task(run_in="process", max_attempts=1)
def fail(kind: str) -> object:
    """End in one of the ways that are no success."""
    match kind:
        case "exit":
            raise SystemExit(3)
        case "interrupt":
            raise KeyboardInterrupt
        case "skip":
            raise SkipRetry("enough")
        case "snooze":
            raise Snooze(3600)
        case "recursion":
            return fail.function("recursion")
        case "result":
            return object()
        case _:
            raise ValueError(kind)


@app.task(run_in="process", max_attempts=1)
def sleep(folder: Path, *, deaf: bool = False) -> str:
    """Sleep for an hour, and write down how it was woken."""
    try:
        (folder / "began").write_text(str(os.getpid()), encoding="utf-8")  # within: the signal may come at once
        if deaf:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            (folder / "deaf").touch()
        time.sleep(3600)
    finally:
        (folder / "cleaned").touch()
    return "slept"


@app.task(run_in="process", max_attempts=1)
async def asleep(folder: Path) -> None:
    """Do the same on an event loop."""
    try:
        (folder / "began").write_text(str(os.getpid()), encoding="utf-8")
        await asyncio.sleep(3600)
    finally:
        (folder / "cleaned").touch()


@app.task(run_in="process")
def stubborn(folder: Path) -> str:
    """Return in spite of SIGTERM."""
    try:
        (folder / "began").write_text(str(os.getpid()), encoding="utf-8")
        time.sleep(3600)
    except SystemExit:
        return "done all the same"
    return "slept"


@app.task(run_in="process", max_attempts=1)
def leave_an_heir(folder: Path) -> None:
    """Die, leaving a process behind that holds every descriptor."""
    heir = os.fork()
    if not heir:
        threading.Event().wait(3600)
    (folder / "heir").write_text(str(heir), encoding="utf-8")
    os._exit(7)


@app.task(run_in="process", max_attempts=1)
def insert_and_complete(path: Path, *, commit: bool) -> str:
    """Complete in a transaction of one's own."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT INTO effects VALUES (1)")
    current_job().complete({"own": True}, connection=connection)
    connection.execute("COMMIT" if commit else "ROLLBACK")
    connection.close()
    return "not stored"
