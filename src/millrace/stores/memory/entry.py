"""One job as the memory store keeps it. Owns its fields and their form as a `JobRow`; decides nothing."""

from __future__ import annotations

from collections import deque

from millrace.groups import read_group
from millrace.holding import Scope, held, scope_of
from millrace.job import JobRow, Progress
from millrace.messages import NewRow
from millrace.outcome import ErrorRecord
from millrace.records import AttemptRow, LogRow
from millrace.states import FINAL, JobState, OutcomeKind, Reason
from millrace.store import MAX_ATTEMPT_ROWS, MAX_LOG_ROWS

__all__ = ["Entry"]


class Entry:
    """A job and all that belongs to it. `listed` is the state under which the shelf has it, None where it has not."""

    __slots__ = (
        "args", "attempt", "claim", "crashes", "created", "due", "error", "error_type", "expires", "finished",
        "group", "history", "id", "lease", "limits", "listed", "logs", "max_attempts", "max_crashes", "options",
        "priority", "progress", "queue", "reason", "ref", "result", "rev", "scope", "started", "state", "tags", "task",
        "unique_key", "worker",
    )  # fmt: skip

    def __init__(self, ref: int, new: NewRow, now: int) -> None:
        self.ref = ref
        self.id = bytes(new.id)
        self.task = new.task
        self.queue = new.queue
        self.args = bytes(new.args)
        self.priority = new.priority
        self.due = now + new.delay if new.due is None else new.due
        self.state = JobState.PENDING if self.due <= now else JobState.SCHEDULED
        self.created = now
        self.max_attempts = new.max_attempts
        self.max_crashes = new.max_crashes
        self.unique_key = new.unique_key
        self.tags = tuple(new.tags)
        self.options = new.options
        self.scope: Scope = scope_of(new.options)
        self.group = new.group
        self.limits = None if new.group is None else read_group(new.group)
        self.attempt = self.claim = self.crashes = self.rev = 0
        self.worker: int | None = None
        self.lease: int | None = None
        self.started: int | None = None
        self.finished: int | None = None
        self.expires: int | None = None
        self.reason: Reason | None = None
        self.progress: Progress | None = None
        self.result: bytes | None = None
        self.error: str | None = None
        self.error_type: str | None = None
        self.listed: JobState | None = None
        # most jobs never have either
        self.history: deque[AttemptRow] | None = None
        self.logs: deque[LogRow] | None = None

    def row(self) -> JobRow:
        """Return the job as it now is."""
        return JobRow(
            self.ref, self.id, self.task, self.queue, self.args, self.state, self.priority, self.due, self.created,
            self.attempt, self.max_attempts, self.claim, self.crashes, self.max_crashes, self.rev, self.worker,
            self.lease, self.started, self.finished, self.expires, self.reason, self.unique_key, self.tags,
            self.options, self.progress, self.result, self.error, group=self.group,
        )  # fmt: skip

    def holds(self, now: int) -> bool:
        """Tell whether it holds its key, see `holding.holds`, unless another job has taken it over."""
        if self.unique_key is None:
            return False
        return held(self.scope, live=self.state not in FINAL, started=self.started, created=self.created, now=now)

    def remember(self, kind: OutcomeKind, finished: int, error: ErrorRecord | None = None) -> None:
        """Write the attempt that has just ended into the history, before its try is given back."""
        if self.history is None:
            self.history = deque(maxlen=MAX_ATTEMPT_ROWS)
        text, traceback = (None, None) if error is None else (error.text, error.traceback)
        self.history.append(
            AttemptRow(self.attempt, self.claim, self.worker, self.started, finished, kind, text, traceback)
        )

    def note(self, line: LogRow) -> None:
        """Keep a log line of the attempt that runs."""
        if self.logs is None:
            self.logs = deque(maxlen=MAX_LOG_ROWS)
        self.logs.append(
            LogRow(self.ref, self.id, self.claim, line.at, line.level, line.message, line.data, self.attempt)
        )

    def attempts(self) -> list[AttemptRow]:
        """Return the ended attempts, oldest first, the success that the job itself tells included."""
        ended = [] if self.history is None else list(self.history)
        if self.state is JobState.COMPLETED and self.finished is not None:
            ended.append(
                AttemptRow(self.attempt, self.claim, self.worker, self.started, self.finished, OutcomeKind.COMPLETED)
            )
        return ended[-MAX_ATTEMPT_ROWS:]
