"""One run of the command line. Owns how errors become one line on stderr and an exit code: 0, 1 failure, 2 usage."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from millrace.cli.group import USAGE, millrace
from millrace.errors import (
    ConfigurationError,
    JobNotFound,
    MillraceError,
    NotSupported,
    PayloadError,
    ScheduleError,
    UnknownTask,
)

__all__ = ["run"]

FAILURE = 1

# What the caller gave was wrong; every other error of ours is a failure.
USAGE_ERRORS = (ConfigurationError, JobNotFound, NotSupported, PayloadError, ScheduleError, UnknownTask)


def run(arguments: Sequence[str]) -> int:
    """Run a command and return its exit code; what went wrong is told on stderr, in one line.

    >>> run(["--version"])
    millrace 0.1.0
    0
    """
    try:
        code: Any = millrace.main(list(arguments), prog_name="millrace", standalone_mode=False)
        sys.stdout.flush()
    except click.UsageError as error:
        return _complain(USAGE, _told(error))
    except click.ClickException as error:
        return _complain(error.exit_code, error.format_message())
    except click.Abort:
        return _complain(FAILURE, "interrupted")
    except USAGE_ERRORS as error:
        # the errors speak to programmers; here the same list has another name
        return _complain(USAGE, str(error).replace("app.list() shows", "millrace jobs shows"))
    except MillraceError as error:
        return _complain(FAILURE, str(error))
    except BrokenPipeError:
        # the reader, such as `head`, has seen enough; Python must not try to flush once more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILURE
    return code if isinstance(code, int) else 0


def _told(error: click.UsageError) -> str:
    """Say a usage error in one line, with where to read more."""
    message = error.format_message().rstrip(".")
    if message[1:2].islower():  # click begins with a capital, we do not; an APP keeps its own
        message = message[:1].lower() + message[1:]
    return f"{message}; see {error.ctx.command_path} --help" if error.ctx is not None else message


def _complain(code: int, message: str) -> int:
    from millrace.cli.output import complain

    complain(message)
    return code
