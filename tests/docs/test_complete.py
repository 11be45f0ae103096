"""Every option, error, command and state is in the docs: the docs are held against the registries of the code."""

from __future__ import annotations

import re

import pytest

from millrace import errors, events
from millrace.choices import JOB_OPTIONS, TASK_OPTIONS
from millrace.cli.group import COMMANDS
from millrace.states import TRANSITIONS, JobState, Reason
from millrace.stores.postgres.url import OPTIONS as POSTGRES_OPTIONS
from millrace.stores.redis.url import OPTIONS as REDIS_OPTIONS
from millrace.stores.sqlite.url import OPTIONS as SQLITE_OPTIONS
from tests.docs.snippets import ROOT


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("tasks.md", TASK_OPTIONS),
        ("tasks.md", JOB_OPTIONS),
        ("errors.md", frozenset(errors.__all__)),
        ("cli.md", frozenset(f"millrace {command}" for command in COMMANDS)),
        ("sqlite.md", frozenset(SQLITE_OPTIONS)),
        ("postgres.md", frozenset(POSTGRES_OPTIONS)),
        ("redis.md", frozenset(REDIS_OPTIONS)),
        ("events.md", frozenset(name for name in events.__all__ if not name.endswith("End"))),
        ("states.md", frozenset(str(reason) for reason in Reason)),
    ],
    ids=[
        "options of a task",
        "options of a job",
        "errors",
        "commands",
        "options of SQLite",
        "options of PostgreSQL",
        "options of Redis",
        "events",
        "reasons",
    ],
)
def test_the_docs_name_all(name: str, words: frozenset[str]) -> None:
    assert [] == sorted(word for word in words if f"`{word}`" not in page(name))


def test_the_table_of_states_is_the_one_in_the_code() -> None:
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([a-z, ]+) \|$", page("states.md"), re.MULTILINE)
    told = {JobState(state): frozenset(map(JobState, leaves.split(", "))) for state, leaves in rows}
    assert told == dict(TRANSITIONS)
