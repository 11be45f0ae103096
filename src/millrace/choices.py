"""What a caller chooses for a task or for one job. Owns the two lists of options and the sentences that refuse others.

`TaskChoices` are the options of `@app.task`, `JobChoices` those of `using` and `NewJob`. Nothing here stores or runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal, TypedDict

import msgspec
from msgspec import UNSET, UnsetType

from millrace import checks
from millrace.errors import ConfigurationError
from millrace.followups import OnParent
from millrace.ids import as_id
from millrace.job import HELD
from millrace.limits import Limit, Rate
from millrace.messages import NewRow
from millrace.options import Hold, JobOptions, at_least
from millrace.registry import TaskSpec
from millrace.retry import RetryPolicy
from millrace.unique import Unique

__all__ = [
    "Choices",
    "JobChoices",
    "TaskChoices",
    "checked_unique",
    "laid_over",
    "read_choices",
    "refuse_strangers",
    "template",
    "unique_rule",
]

Seconds = float | timedelta


class TaskChoices(TypedDict, total=False):
    """The options of `@app.task`. Durations are seconds or `timedelta`.

    >>> options: TaskChoices = {"queue": "mail", "max_attempts": 8}
    """

    name: str | None  #: what its jobs call it; default `module.qualname`
    queue: str  #: default "default"
    priority: int  #: -32768 to 32767, higher runs sooner; default 0
    max_attempts: int  #: tries before a job is dead; default 5
    max_crashes: int  #: lost leases before a job is dead; default 3
    retry: RetryPolicy  #: a Backoff, None (dead at once), or a dict of exception types to these
    timeout: Seconds | None  #: of one attempt, from the handler's start; default none
    lease: Seconds  #: how long a silent worker keeps a job; default 30
    retention: Seconds | None  #: how long a completed or cancelled job is kept; None for ever; default the app's
    run_in: Literal["thread", "loop", "process"] | None  #: default "thread" for `def`, "loop" for `async def`
    tags: Iterable[str] | None  #: default none
    unique: Unique | None  #: which of its jobs are the same
    concurrency: Limit | int | None  #: how many of its jobs may run at once, over all workers
    rate: Rate | str | None  #: how many may begin in a time
    fair: str | None  #: a template such as "{tenant}": its keys take turns


class JobChoices(TypedDict, total=False):
    """The options of `using` and `NewJob`. None means the task's own, but for `timeout` and `retention`.

    >>> options: JobChoices = {"priority": 5, "delay": 60}
    """

    queue: str | None
    priority: int | None
    delay: Seconds | None  #: from now
    run_at: datetime | None  #: aware; in the past it is due now
    max_attempts: int | None
    max_crashes: int | None
    timeout: Seconds | None  #: None: no timeout
    lease: Seconds | None
    retention: Seconds | None  #: 0: deleted at the finish; None: kept for ever
    unique: Unique | None  #: which jobs are the same
    unique_key: str | None  #: one live job of the key in the whole store; wins over the task's `unique`
    key: str | None  #: stands for every filled key of the task's limits
    tags: Iterable[str] | None
    after: Iterable[Any] | None  #: the jobs, or their ids, that must have completed before it may begin
    on_parent: OnParent | None  #: when one of those ends dead or cancelled: "wait" (the default), "cancel" or "run"
    into: str | None  #: the parameter that is given the result of the first of `after`; what `task.then` uses
    connection: Any  #: the caller's own connection, in whose transaction the job is written


TASK_OPTIONS = frozenset(TaskChoices.__annotations__)
JOB_OPTIONS = frozenset(JobChoices.__annotations__)
MAX_PARENTS = 1000  #: that one job may wait for


class Choices(msgspec.Struct, frozen=True):
    """The options of one job, checked; None (or UNSET) is left to the task. `delay` and `due` are microseconds.

    >>> Choices(priority=3).queue is None
    True
    """

    queue: str | None = None
    priority: int | None = None
    delay: int = 0
    due: int | None = None
    max_attempts: int | None = None
    max_crashes: int | None = None
    timeout: float | UnsetType | None = UNSET
    lease: float | UnsetType = UNSET
    retention: float | UnsetType | None = UNSET
    unique: Unique | None = None
    unique_key: str | None = None
    tags: tuple[str, ...] | None = None
    connection: Any = None
    key: str | None = None
    after: tuple[bytes, ...] = ()
    on_parent: OnParent | None = None
    into: str | None = None


NO_CHOICES = Choices()

_DEFAULTS = NewRow(id=b"", task="", queue="default", args=b"")  # for a task that the app does not know


def refuse_strangers(where: str, given: Mapping[str, object], known: frozenset[str]) -> None:
    """Refuse options that are not `known`.

    Raises:
        ConfigurationError: There is no such option.

    >>> refuse_strangers("using", {"priority": 1}, JOB_OPTIONS)
    """
    for option in given.keys() - known:
        import difflib

        near = difflib.get_close_matches(option, known, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ConfigurationError(f"{where}() has no option {option!r}; {hint}It knows {', '.join(sorted(known))}")


def read_choices(where: str, given: Mapping[str, Any]) -> Choices:
    """Check the options of one job.

    Raises:
        ConfigurationError: One is unknown or out of range, or two exclude each other.

    >>> read_choices("using", {"delay": 2, "priority": 5}).delay
    2000000
    """
    if not given:
        return NO_CHOICES
    refuse_strangers(where, given, JOB_OPTIONS)
    delay, due = checks.due_time(given.get("delay"), given.get("run_at"))
    queue, priority, lease = given.get("queue"), given.get("priority"), given.get("lease")
    attempts, crashes = given.get("max_attempts"), given.get("max_crashes")
    key, tags, unique = given.get("unique_key"), given.get("tags"), checked_unique(given.get("unique"))
    if key is not None and unique is not None:
        raise ConfigurationError(f"unique_key={key!r} and unique={unique!r} exclude each other; give one of them")
    return Choices(
        queue=None if queue is None else checks.name("queue", queue),
        priority=None if priority is None else checks.priority(priority),
        delay=delay,
        due=due,
        max_attempts=None if attempts is None else checks.count("max_attempts", attempts),
        max_crashes=None if crashes is None else checks.count("max_crashes", crashes),
        timeout=checks.optional_duration("timeout", given["timeout"], positive=True) if "timeout" in given else UNSET,
        lease=UNSET if lease is None else checks.duration("lease", lease, positive=True),
        retention=checks.optional_duration("retention", given["retention"]) if "retention" in given else UNSET,
        unique=unique,
        unique_key=None if key is None else checks.name("unique_key", key),
        tags=None if tags is None else checks.tag_names(tags),
        connection=given.get("connection"),
        key=None if given.get("key") is None else checks.name("key", given["key"]),
        after=_parents(given.get("after")),
        on_parent=_rule(given.get("on_parent")),
        into=None if given.get("into") is None else checks.name("into", given["into"]),
    )


def _parents(after: object) -> tuple[bytes, ...]:
    """Read the jobs that a job waits for."""
    if after is None:
        return ()
    ids: list[bytes] = []
    for parent in checks.items("after", after, "jobs or their ids"):
        if getattr(parent, "id", parent) is None:
            raise ConfigurationError(f"after: {parent!r} has no id yet; enqueue it, or give it one: NewJob(…, id=…)")
        ids.append(as_id(parent))
    if len(ids) > MAX_PARENTS:
        raise ConfigurationError(f"a job may wait for {MAX_PARENTS} others, not {len(ids)}; wait for one that does")
    return tuple(dict.fromkeys(ids))


def _rule(on_parent: Any) -> OnParent | None:
    if on_parent in (None, "wait", "cancel", "run"):
        rule: OnParent | None = on_parent
        return rule
    raise ConfigurationError(f'on_parent={on_parent!r} is no rule; give "wait", "cancel" or "run"')


def laid_over(before: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Lay options over those that were given before; of what excludes each other the last choice wins.

    >>> laid_over({"delay": 60, "priority": 1}, {"run_at": "later"})
    {'priority': 1, 'run_at': 'later'}
    """
    given = dict(before)
    for apart in (("unique", "unique_key"), ("delay", "run_at")):
        if any(options.get(option) is not None for option in apart):
            for option in apart:
                given.pop(option, None)
    return {**given, **options}


def checked_unique(unique: object) -> Unique | None:
    """Check what was given as `unique`.

    >>> checked_unique(None) is None
    True
    """
    if unique is None or isinstance(unique, Unique):
        return unique
    raise ConfigurationError(
        f"unique={unique!r} is no rule; give Unique(by=…), or unique_key='…' for a key of your own"
    )


def unique_rule(spec: TaskSpec | None, chosen: Choices) -> Unique | None:
    """Say which rule of uniqueness holds for a job: its own; its own plain key is none; else its task's.

    >>> unique_rule(None, Choices(unique_key="mine")) is None
    True
    """
    if chosen.unique is not None or chosen.unique_key is not None or spec is None:
        return chosen.unique
    return spec.unique


def template(task: str, spec: TaskSpec | None, chosen: Choices) -> NewRow:
    """Make the row that a task's jobs are copies of but for id and arguments: what was chosen, else the task's own.

    >>> template("add", None, Choices(priority=3)).priority
    3
    """
    own = spec or _DEFAULTS

    def pick(choice: Any, default: Any) -> Any:
        return default if choice is None else choice

    rule = unique_rule(spec, chosen)
    options = JobOptions(
        timeout=chosen.timeout,
        lease=chosen.lease,
        retention=_kept(chosen.retention, rule),
        until=UNSET if rule is None or rule.until == "finished" else rule.until,
        after=_hold(chosen),
    )
    return NewRow(
        id=b"",
        task=task,
        queue=pick(chosen.queue, own.queue),
        args=b"",
        priority=pick(chosen.priority, own.priority),
        delay=0 if chosen.after else chosen.delay,
        due=HELD if chosen.after else chosen.due,
        max_attempts=pick(chosen.max_attempts, own.max_attempts),
        max_crashes=pick(chosen.max_crashes, own.max_crashes),
        unique_key=chosen.unique_key,
        tags=pick(chosen.tags, own.tags),
        options=options.encode(),
        on_conflict="return" if rule is None or rule.rejects else rule.on_conflict,
    )


def _hold(chosen: Choices) -> Hold | UnsetType:
    """Say for what a job waits. For how long it is kept where a parent cancels it is told when it is stored."""
    if not chosen.after:
        return UNSET
    parents = tuple(parent.hex() for parent in chosen.after)
    return Hold(parents, chosen.on_parent or "wait", due=chosen.due, delay=chosen.delay, into=chosen.into)


def _kept(retention: float | UnsetType | None, rule: Unique | None) -> float | UnsetType | None:
    """Raise a job's own retention to what its key is held for: a job that is gone holds nothing."""
    if retention is UNSET or rule is None or not isinstance(rule.until, float):
        return retention
    return at_least(rule.until, retention)
