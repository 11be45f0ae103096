"""Pages over more jobs than one window holds, by every way that a search may go."""

from __future__ import annotations

import pytest

from millrace.conformance.bench import Bench
from millrace.errors import ConfigurationError
from millrace.messages import JobFilter
from millrace.states import DELETABLE, JobState
from millrace.store import Store
from millrace.stores.sqlite import listing


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "_WINDOW", 5)


@pytest.fixture
def jobs(bench: Bench) -> list[bytes]:
    """Jobs of every state, four rounds of them, with gaps between the rounds."""
    ids: list[bytes] = []
    for number in range(4):
        for state in JobState:
            tags = ("even", "all") if number % 2 == 0 else ("all",)
            fields = {"queue": f"q-{state}-{number}", "task": f"t{number}", "tags": tags}
            ids.append(bench.bring(state, unique_key=f"key-{state}-{number}", **fields))
        bench.store.delete(bench.add_some(20, queue="gap", delay=1), DELETABLE)
    return ids[::-1]


FILTERS = [
    JobFilter(),
    *(JobFilter(states=frozenset({state})) for state in JobState),
    JobFilter(states=frozenset({JobState.DEAD, JobState.PENDING, JobState.RUNNING})),
    JobFilter(states=frozenset({JobState.COMPLETED, JobState.PENDING})),
    JobFilter(states=frozenset()),
    JobFilter(task="t2"),
    JobFilter(queue="q-dead-1"),
    JobFilter(queue="nowhere"),
    JobFilter(tag="even"),
    JobFilter(tag="even", task="t0", states=frozenset({JobState.DEAD, JobState.FAILED})),
    JobFilter(unique_key="key-completed-1"),
    JobFilter(unique_key="key-pending-1", states=frozenset({JobState.PENDING})),
    JobFilter(unique_key="key-pending-1", states=frozenset({JobState.DEAD})),
    JobFilter(error="Broken"),
    JobFilter(error="Broken", tag="even"),
    JobFilter(error="Broken", task="t3", states=frozenset({JobState.DEAD})),
    JobFilter(error="Other"),
]


def matches(bench: Bench, where: JobFilter, id: bytes) -> bool:
    row = bench.job(id)
    return (
        (where.states is None or row.state in where.states)
        and (where.queue is None or row.queue == where.queue)
        and (where.task is None or row.task == where.task)
        and (where.tag is None or where.tag in row.tags)
        and (where.unique_key is None or row.unique_key == where.unique_key)
        and (where.error is None or (row.error or "").startswith(where.error + ":"))
    )


@pytest.mark.parametrize("where", FILTERS, ids=str)
@pytest.mark.parametrize("limit", [1, 3, 1000])
def test_pages_hold_what_matches_newest_first_each_job_once(
    bench: Bench, store: Store, jobs: list[bytes], where: JobFilter, limit: int
) -> None:
    expected = [id for id in jobs if matches(bench, where, id)]
    found: list[bytes] = []
    selected: list[bytes] = []
    cursor = None
    while True:
        rows, following = store.page(where, limit=limit, cursor=cursor)
        found += [row.id for row in rows]
        ids, same = store.select(where, limit=limit, cursor=cursor)
        selected += ids
        assert following == same
        assert len(rows) <= limit
        cursor = following
        if cursor is None:
            break

    assert expected == found
    assert expected == selected


@pytest.mark.parametrize(
    "cursor", ["", "sqlite-", "sqlite-0", "sqlite-zz", "sqlite--1", "memory-5", "sqlite-" + "f" * 20]
)
def test_a_cursor_of_another_hand_is_refused(bench: Bench, store: Store, cursor: str) -> None:
    bench.add()
    with pytest.raises(ConfigurationError, match="begin again"):
        store.page(JobFilter(), limit=1, cursor=cursor)


def test_a_filter_by_more_lanes_than_a_list_holds_finds_all(bench: Bench, store: Store) -> None:
    rows = [bench.row(task=f"task{number}") for number in range(1100)]
    store.insert(rows)
    bench.end("completed", bench.take())

    ids, _ = store.select(JobFilter(queue="default"), limit=1000)
    assert [row.id for row in rows][:-1001:-1] == ids
