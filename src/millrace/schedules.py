"""The schedules of an app: put, read, pause, resume, delete, run now. Owns these verbs, and that none undoes another.

A change is written only over what it was made from; where somebody else was quicker it is made again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

import msgspec
from msgspec.structs import replace

from millrace import checks
from millrace.clock import micros
from millrace.errors import ConfigurationError, NotSupported, ScheduleError, StoreUnavailable, UnknownTask
from millrace.ids import new_id
from millrace.job import Job
from millrace.messages import NewRow
from millrace.newjob import NewJob
from millrace.schedule import Overlap, Schedule, Spec, read_spec, spec_of
from millrace.scheduling import ScheduleRow, Scheduling
from millrace.ticking import CatchUp
from millrace.timetable import Cron, Interval

if TYPE_CHECKING:
    from millrace.app import Millrace

__all__ = [
    "ScheduleChoices",
    "ScheduleOptions",
    "Schedules",
    "book_of",
    "changed",
    "interval",
    "make_spec",
    "make_times",
    "resumed",
    "schedule_options",
    "written",
]

T = TypeVar("T")

_log = logging.getLogger("millrace")

_TRIES = 50  # others are as quick as we are: more than so often nobody is in between


class ScheduleChoices(TypedDict, total=False):
    """The options of `@app.cron` and `@app.every`; see `Schedules.put`.

    >>> options: ScheduleChoices = {"catch_up": "skip", "jitter": 30}
    """

    catch_up: CatchUp
    overlap: Overlap
    jitter: float | timedelta
    start: datetime | None
    end: datetime | None


class ScheduleOptions(ScheduleChoices, total=False):
    """All that `Schedules.put` takes beside the name and the job.

    >>> options: ScheduleOptions = {"cron": "@daily", "timezone": "Europe/Berlin"}
    """

    cron: str | None
    every: float | timedelta | None
    timezone: str


class Schedules:
    """Schedules at run time: `app.schedules`.

    Args:
        app: Whose store keeps them.

    >>> from millrace import Millrace
    >>> app = Millrace("memory://")
    >>> tidy = app.task(name="tidy")(lambda: None)
    >>> made = app.schedules.put("tidy", every=300, job=tidy.job())
    >>> made.words, [each.name for each in app.schedules.list()]
    ('Every 5 minutes', ['tidy'])
    """

    def __init__(self, app: Millrace) -> None:
        self._app = app

    def put(
        self,
        name: str,
        *,
        job: NewJob,
        cron: str | None = None,
        every: float | timedelta | None = None,
        timezone: str = "UTC",
        catch_up: CatchUp = "latest",
        overlap: Overlap = "allow",
        jitter: float | timedelta = 0.0,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> Schedule:
        """Write a schedule, new or known. A known one keeps what has been seen to, and whether it is paused.

        Args:
            name: Of the schedule.
            job: What each tick enqueues.
            cron: When it ticks: five fields, six with seconds first, or `@daily` and its kin. Or else:
            every: The distance of two ticks, a second at least, counted from the first put of it.
            timezone: In which `cron` is meant, by its IANA name.
            catch_up: What becomes of ticks that nobody was there for: "latest", the newest of them is made up for;
                "skip", none; "all", each, up to 1,000.
            overlap: "skip": a tick makes no job while the job of the last one has not ended.
            jitter: Each job is put off by up to so long.
            start: No tick before it; an aware datetime.
            end: No tick after it.

        Raises:
            ScheduleError: The times are not understood.
            ConfigurationError: Another argument is not acceptable.
        """
        name = checks.name("schedule", name)
        options: ScheduleOptions = {
            "cron": cron, "every": every, "timezone": timezone, "catch_up": catch_up, "overlap": overlap,
            "jitter": jitter, "start": start, "end": end,
        }  # fmt: skip
        spec = make_spec(self._app, job, options)
        return Schedule.of(written(self._app, name, lambda row, now: changed(name, row, spec, now)))

    def list(self) -> list[Schedule]:
        """Read all schedules, by name; one that this Millrace cannot read is told to the log, and left out."""
        found: list[Schedule] = []
        for row in book_of(self._app).schedules():
            try:
                found.append(Schedule.of(row))
            except ScheduleError as error:
                _log.warning("%s", error)
        return found

    def get(self, name: str) -> Schedule:
        """Read one.

        Raises:
            ScheduleError: There is none of that name.
        """
        return Schedule.of(self._known(name))

    def pause(self, name: str) -> Schedule:
        """Let a schedule tick no more until it is resumed; jobs that it has made stay.

        Raises:
            ScheduleError: There is none of that name.
        """
        return Schedule.of(written(self._app, name, lambda row, _: replace(self._there(name, row), paused=True)))

    def resume(self, name: str) -> Schedule:
        """Let a schedule tick again; what it has missed meanwhile is not made up for.

        Raises:
            ScheduleError: There is none of that name.
        """

        def change(row: ScheduleRow | None, now: int) -> ScheduleRow:
            row = self._there(name, row)
            return resumed(row, replace(read_spec(name, row.spec), orphaned=False), now) if row.paused else row

        return Schedule.of(written(self._app, name, change))

    def delete(self, name: str) -> None:
        """Delete a schedule; jobs that it has made stay.

        Raises:
            ScheduleError: There is none of that name.
        """
        if not book_of(self._app).delete_schedule(name):
            raise self._unknown(name)

    def run_now(self, name: str) -> Job[Any]:
        """Enqueue a schedule's job now; its ticks come as before.

        Raises:
            ScheduleError: There is none of that name.
        """
        spec = read_spec(name, self._known(name).spec)
        producer = self._app.producer
        return producer.put(producer.changed_row(spec.job_now(new_id())))

    def _known(self, name: str) -> ScheduleRow:
        return self._there(name, book_of(self._app).schedule(name))

    def _there(self, name: str, row: ScheduleRow | None) -> ScheduleRow:
        if row is None:
            raise self._unknown(name)
        return row

    def _unknown(self, name: str) -> ScheduleError:
        known = ", ".join(row.name for row in book_of(self._app).schedules()[:10]) or "none"
        return ScheduleError(f"no schedule {name!r} in {self._app.store.url}; known are: {known}")


def schedule_options(
    choices: ScheduleChoices, *, cron: object = None, every: timedelta | None = None, timezone: str = "UTC"
) -> ScheduleOptions:
    """Return the options of a schedule in the code.

    Raises:
        ConfigurationError: There is no such option.
        ScheduleError: The cron expression is no text, as where `@app.cron` stands without its parentheses.
    """
    unknown = sorted(choices.keys() - ScheduleChoices.__annotations__.keys())
    if unknown:
        raise ConfigurationError(
            f"a schedule has no option {unknown[0]!r}; it has {', '.join(sorted(ScheduleChoices.__annotations__))}"
        )
    if every is not None:
        return {**choices, "cron": None, "every": every, "timezone": "UTC"}
    return {**choices, "cron": _text("cron", cron), "every": None, "timezone": timezone}


def interval(**parts: float) -> timedelta:
    """Add up the distance of two ticks.

    Raises:
        ScheduleError: A part is no number, or too large.

    >>> interval(minutes=5).total_seconds()
    300.0
    """
    try:
        return timedelta(**parts)
    except (TypeError, OverflowError, ValueError) as error:
        given = ", ".join(f"{name}={value!r}" for name, value in parts.items() if value)
        raise ScheduleError(f"every({given}) is no distance of two ticks: {error}; give numbers") from None


def make_spec(app: Millrace, job: NewJob, options: ScheduleOptions) -> Spec:
    """Check what a schedule is to do."""
    table, begin, finish = make_times(options)
    row = _job_row(app, job)
    return Spec(
        table,
        row.task,
        msgspec.Raw(row.args),
        row.queue,
        row.priority,
        row.max_attempts,
        row.max_crashes,
        row.unique_key,
        row.tags,
        msgspec.Raw(row.options or b"null"),
        _one_of("catch_up", options.get("catch_up", "latest"), ("latest", "skip", "all")),
        _one_of("overlap", options.get("overlap", "allow"), ("allow", "skip")),
        micros(checks.duration("jitter", options.get("jitter", 0.0))),
        begin,
        finish,
        on_conflict=row.on_conflict,
        group=row.group,
    )


def make_times(options: ScheduleOptions) -> tuple[Cron | Interval, int | None, int | None]:
    """Check when a schedule is to tick: its timetable, its start and its end."""
    cron, every = options.get("cron"), options.get("every")
    if (cron is None) is (every is None):
        raise ScheduleError("a schedule is given either cron= or every=; give one of them")
    table: Cron | Interval
    if cron is not None:
        table = Cron(_text("cron", cron), _text("timezone", options.get("timezone", "UTC")))
    else:
        table = Interval(micros(checks.duration("every", every, positive=True)))
    start, end = options.get("start"), options.get("end")
    begin, finish = _time("start", start), _time("end", end)
    if begin is not None and finish is not None and finish < begin:
        raise ScheduleError(f"the schedule ends at {end}, before it starts at {start}; it would never tick")
    return table, begin, finish


def changed(name: str, row: ScheduleRow | None, spec: Spec, now: int) -> ScheduleRow:
    """Return a schedule as it shall be: what has been seen to stays so, and an interval counts from where it did.

    One that is stored in a way that cannot be read, of a newer version or broken, is replaced.
    """
    old = spec_of(row)
    goes_on = old is not None and spec.same_times(old)
    if old is not None and goes_on:
        spec = replace(spec, timetable=old.timetable)
    elif isinstance(spec.timetable, Interval):
        spec = replace(spec, timetable=replace(spec.timetable, since=now))
    if row is None:
        return ScheduleRow(name, spec.encode(), now, spec.rule.next(now))
    watermark = row.watermark if goes_on else max(row.watermark, now)
    return replace(row, spec=spec.encode(), watermark=watermark, next=spec.rule.next(watermark))


def resumed(row: ScheduleRow, spec: Spec, now: int) -> ScheduleRow:
    """Return a schedule as it goes on from now: what it has missed is not made up for."""
    watermark = max(row.watermark, now)
    return replace(row, spec=spec.encode(), paused=False, watermark=watermark, next=spec.rule.next(watermark))


def written(app: Millrace, name: str, change: Callable[[ScheduleRow | None, int], ScheduleRow]) -> ScheduleRow:
    """Change a schedule: read it, and write what becomes of it unless somebody else has changed it meanwhile.

    Args:
        app: Whose store keeps it.
        name: Of the schedule.
        change: Given what is stored, or None, and the store's time.
    """
    book = book_of(app)
    for _ in range(_TRIES):
        before = book.schedule(name)
        after = change(before, app.store.now())
        if after == before:
            return after
        if book.put_schedule(after):
            return replace(after, rev=after.rev + 1)
    raise StoreUnavailable(f"schedule {name!r} is changed all the time by others; nothing was written, try again")


def book_of(app: Millrace) -> Scheduling:
    """Return an app's store as one that keeps schedules.

    Raises:
        NotSupported: It keeps none.
    """
    store: object = app.store
    if isinstance(store, Scheduling):
        return store
    raise NotSupported(
        f"{app.store.url} keeps no schedules: its store lacks what millrace.scheduling.Scheduling asks for"
    )


def _time(what: str, at: datetime | None) -> int | None:
    return None if at is None else checks.moment(what, at)


def _text(what: str, value: object) -> str:
    if isinstance(value, str):
        return value
    if what == "cron":
        raise ScheduleError(f"cron={value!r} is no text; write minute, hour, day, month and weekday, or @daily")
    raise ScheduleError(f"timezone={value!r} is no text; give an IANA name such as 'Europe/Berlin' or 'UTC'")


def _one_of(what: str, value: T, known: tuple[T, ...]) -> T:
    if value not in known:
        raise ConfigurationError(
            f"{what}={value!r} is not known; give {', '.join(map(repr, known[:-1]))} or {known[-1]!r}"
        )
    return value


def _job_row(app: Millrace, job: object) -> NewRow:
    """Check the job of a schedule: of a task that is known here, and due when its tick comes."""
    if not isinstance(job, NewJob):
        raise ConfigurationError(f"job={job!r} is not a NewJob; give task.job(…) or NewJob(name, args)")
    if job.task not in app.registry:
        raise UnknownTask(
            f"this app has no task {job.task!r}, whose jobs would wait for ever; it has "
            f"{', '.join(sorted(app.registry.names)[:10]) or 'none'}"
        )
    if job.choices.after:
        raise ConfigurationError("a schedule's job waits for its tick and for no other job; leave after out")
    if job.choices.delay or job.choices.due is not None or job.key is not None:
        raise ConfigurationError(
            "a schedule's job is due when its tick comes, each with an id of its own; leave delay, run_at and id out"
        )
    return app.producer.row_of(job)
