"""Lines of `logging` in a handler reach its job's log, in every runner, and nothing else about logging changes."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextvars import copy_context
from typing import Any

import pytest

from millrace import ConfigurationError, JobContext, Millrace
from millrace.worker import capture
from tests.worker import hookedtasks
from tests.worker.conftest import Hire
from tests.worker.waiting import PATIENCE, await_event

LOGGER = logging.getLogger("shop")


@pytest.fixture(autouse=True)
def let_through() -> Iterator[None]:
    """Let the test's own logger pass all there is."""
    LOGGER.setLevel(logging.DEBUG)
    yield
    LOGGER.setLevel(logging.NOTSET)


def lines(app: Millrace, job: Any) -> list[tuple[int, str]]:
    return [(line.level, line.message) for line in app.logs(job)]


def test_lines_of_a_handler_are_kept_with_their_attempt_and_sent_on(
    app: Millrace, hire: Hire, caplog: pytest.LogCaptureFixture
) -> None:
    def helper() -> None:
        LOGGER.warning("odd: %s", "x")

    @app.task(max_attempts=2, retry={ValueError: None, KeyError: None})
    def sync() -> None:
        LOGGER.info("parsed %d of %d", 3, 4)
        helper()

    hire(app)
    job = sync.enqueue().wait(PATIENCE)

    assert lines(app, job) == [(20, "parsed 3 of 4"), (30, "odd: x")]
    assert {(1, "shop")} == {(line.attempt, line.data["logger"]) for line in app.logs(job)}
    assert "parsed 3 of 4" in caplog.text


def test_an_async_handler_and_what_it_awaits_are_told_apart(app: Millrace, hire: Hire) -> None:
    @app.task
    async def awaited(name: str) -> None:
        LOGGER.info("%s begins", name)
        await asyncio.sleep(0)
        await asyncio.to_thread(LOGGER.info, "%s in a thread", name)
        await asyncio.create_task(deeper(name))

    async def deeper(name: str) -> None:
        await asyncio.sleep(0)
        LOGGER.info("%s ends", name)

    hire(app, concurrency=3)
    jobs = {name: awaited.enqueue(name) for name in "abc"}

    for name, job in jobs.items():
        job.wait(PATIENCE)
        assert lines(app, job) == [(20, f"{name} begins"), (20, f"{name} in a thread"), (20, f"{name} ends")]


async def test_a_drain_keeps_them_too(memory_app: Millrace) -> None:
    @memory_app.task
    async def awaited() -> None:
        LOGGER.info("awaited")

    @memory_app.task
    def sync() -> None:
        LOGGER.info("sync")

    jobs = [await awaited.aenqueue(), await sync.aenqueue()]
    await memory_app.aio.drain()

    assert [[(20, "awaited")], [(20, "sync")]] == [lines(memory_app, job) for job in jobs]


def test_a_child_process_sends_its_lines_and_its_worker_sends_none_of_them_on(
    hire: Hire, caplog: pytest.LogCaptureFixture
) -> None:
    with hookedtasks.app as app:
        hire(app, concurrency=1)
        with caplog.at_level(logging.INFO, "millrace.job"):
            job = hookedtasks.chatter.enqueue().wait(PATIENCE)
        first, second, own, *after = app.logs(job)

    assert (first.level, first.message, first.data) == (30, "parsed a.csv", {"logger": "shop.parser"})
    assert second.level == 40
    assert second.message.startswith("xxx")
    assert "ValueError: invalid literal" in second.message
    assert len(second.message.encode()) <= 8 * 1024
    assert (own.message, own.data, after) == ("done", {}, [])
    assert ["done"] == [record.getMessage() for record in caplog.records if record.name == "millrace.job"]


def test_a_line_of_the_jobs_own_log_is_kept_once(memory_app: Millrace, caplog: pytest.LogCaptureFixture) -> None:
    @memory_app.task
    def both(context: JobContext) -> None:
        context.log.info("own")
        LOGGER.info("other")

    job = both.enqueue()
    with caplog.at_level(logging.DEBUG):
        memory_app.drain()

    assert lines(memory_app, job) == [(20, "own"), (20, "other")]
    assert ["own"] == [record.getMessage() for record in caplog.records if record.name == "millrace.job"]


def test_a_traceback_is_kept_and_arguments_that_do_not_fit_are_told(memory_app: Millrace) -> None:
    class Rude:
        def __str__(self) -> str:
            LOGGER.info("while another line is kept")
            raise RuntimeError("no")

    @memory_app.task
    def work() -> None:
        try:
            int("no number")
        except ValueError:
            LOGGER.exception("failed")
        logging.raiseExceptions = False  # else `logging` itself prints what follows
        try:
            LOGGER.info("%d", "x")
            LOGGER.info("%s", Rude())
        finally:
            logging.raiseExceptions = True

    job = work.enqueue()
    memory_app.drain()

    failed, unfit, rude, *others = memory_app.logs(job)
    assert failed.message.startswith("failed\nTraceback")
    assert failed.message.endswith("with base 10: 'no number'\n")
    assert "its arguments do not fit: TypeError" in unfit.message
    assert "its arguments do not fit: RuntimeError: no" in rude.message
    assert {"while another line is kept"} >= {line.message for line in others}


@pytest.mark.parametrize(
    ("level", "kept"),
    [
        (logging.DEBUG, ["debug", "info", "warning"]),
        ("warning", ["warning"]),
        (None, []),
    ],
)
def test_the_level_is_the_apps_to_choose(memory_app: Millrace, level: int | str | None, kept: list[str]) -> None:
    memory_app.capture_logs(level)

    @memory_app.task
    def work() -> None:
        LOGGER.debug("debug")
        LOGGER.info("info")
        LOGGER.warning("warning")

    job = work.enqueue()
    memory_app.drain()

    assert kept == [line.message for line in memory_app.logs(job)]


def test_by_default_debug_is_left_out_and_so_is_what_its_logger_does_not_let_through(memory_app: Millrace) -> None:
    quiet = logging.getLogger("shop.quiet")
    quiet.setLevel(logging.ERROR)

    @memory_app.task
    def work() -> None:
        LOGGER.debug("debug")
        LOGGER.info("info")
        quiet.warning("quiet")

    job = work.enqueue()
    memory_app.drain()
    quiet.setLevel(logging.NOTSET)

    assert lines(memory_app, job) == [(20, "info")]


@pytest.mark.parametrize("level", ["LOUD", 1.5, True])
def test_a_level_that_is_none_is_refused(memory_app: Millrace, level: Any) -> None:
    with pytest.raises(ConfigurationError, match="level"):
        memory_app.capture_logs(level)


def test_a_line_written_after_the_attempt_has_ended_is_nobodys(memory_app: Millrace) -> None:
    written = threading.Event()
    go = threading.Event()

    def late() -> None:
        assert go.wait(PATIENCE)
        LOGGER.info("late")
        written.set()

    @memory_app.task
    def leave_something_behind() -> None:
        threading.Thread(target=copy_context().run, args=(late,)).start()
        LOGGER.info("here")

    job = leave_something_behind.enqueue()
    memory_app.drain()
    go.set()
    await_event(written)

    assert lines(memory_app, job) == [(20, "here")]


def test_a_thread_in_a_copy_of_the_context_is_part_of_the_handler(memory_app: Millrace) -> None:
    @memory_app.task
    def work() -> None:
        within = threading.Thread(target=copy_context().run, args=(LOGGER.info, "from a thread"))
        apart = threading.Thread(target=LOGGER.info, args=("from another",))
        for thread in (within, apart):
            thread.start()
            thread.join()

    job = work.enqueue()
    memory_app.drain()

    assert lines(memory_app, job) == [(20, "from a thread")]


def test_a_job_keeps_its_newest_1000_lines(memory_app: Millrace) -> None:
    @memory_app.task
    def flood() -> None:
        for number in range(1500):
            LOGGER.info("%d", number)

    job = flood.enqueue()
    memory_app.drain()

    assert [str(number) for number in range(500, 1500)] == [line.message for line in memory_app.logs(job)]


def test_lines_of_our_own_loggers_are_not_the_jobs(memory_app: Millrace) -> None:
    @memory_app.task
    def work() -> None:
        logging.getLogger("millrace.worker").error("of the worker")
        logging.getLogger("millrace").error("of the app")

    job = work.enqueue()
    memory_app.drain()

    assert lines(memory_app, job) == []


def test_records_are_made_as_before_once_nothing_runs_any_more(memory_app: Millrace, hire: Hire) -> None:
    before = logging.getLogRecordFactory()
    one, two = hire(memory_app), hire(memory_app)
    assert logging.getLogRecordFactory() is not before
    memory_app.drain()
    one.stop()
    assert logging.getLogRecordFactory() is not before
    two.stop()

    assert logging.getLogRecordFactory() is before


def test_what_others_have_wrapped_around_us_stays_and_keeps_each_line_once(memory_app: Millrace) -> None:
    before = logging.getLogRecordFactory()
    capture.begin()
    ours = logging.getLogRecordFactory()

    def theirs(*args: Any, **kwargs: Any) -> logging.LogRecord:
        return ours(*args, **kwargs)

    logging.setLogRecordFactory(theirs)
    capture.end()
    try:
        assert logging.getLogRecordFactory() is theirs
        job = memory_app.task(name="work")(lambda: LOGGER.info("once")).enqueue()
        memory_app.drain()

        assert lines(memory_app, job) == [(20, "once")]
    finally:
        logging.setLogRecordFactory(ours)
        capture.begin()
        capture.end()
    assert logging.getLogRecordFactory() is before


def test_a_process_that_has_not_set_up_logging_sees_warnings_as_ever() -> None:
    code = (
        "import logging\n"
        "from millrace import Millrace\n"
        "app = Millrace('memory://')\n"
        "app.task(name='work')(lambda: logging.getLogger('shop').warning('odd')).enqueue()\n"
        "app.drain()\n"
        "print(len(logging.getLogger().handlers), len(app.logs(app.list().jobs[0])))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)

    assert (done.stdout, done.stderr) == ("0 1\n", "odd\n")
