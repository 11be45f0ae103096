"""`cancel`, `retry` and `delete`, by ids and by filters, and what must be said before many are changed."""

from __future__ import annotations

import pytest

from millrace import Job, JobState
from tests.cli.conftest import Shop

UNKNOWN = "01a20f03-ba98-71c8-bf2d-fe9bd6462754"


def enqueue(shop: Shop, *words: str) -> str:
    id: str = shop.json("enqueue", "shop:app", "shop.add", '{"a": 1}', *words)["id"]
    return id


def state(shop: Shop, id: str) -> str:
    with shop.open() as app:
        return app.get(id).state.value


def fail_one(shop: Shop, error: Exception) -> Job[object]:
    """Let a job die of an error."""
    enqueue(shop, "--max-attempts", "1")
    with shop.open() as app:
        return app.fail(app.claim()[0], error)


def test_jobs_are_cancelled_retried_and_deleted_by_id(shop: Shop) -> None:
    first, second = enqueue(shop), enqueue(shop)

    assert shop.good("cancel", "shop:app", first, second) == (
        f"{first}  cancelled  shop.add\n{second}  cancelled  shop.add\n"
    )
    assert shop.good("retry", "--url", shop.url, first) == f"{first}  pending  shop.add\n"
    assert shop.good("delete", "shop:app", second) == f"{second}  deleted  shop.add\n"
    assert [job["id"] for job in shop.json("jobs", "shop:app")] == [first]


def test_a_retry_may_bring_new_arguments(shop: Shop) -> None:
    id = enqueue(shop)
    shop.good("cancel", "shop:app", id)

    (job,) = shop.json("retry", "shop:app", id, "--args", '{"a": 7}')

    assert (job["args"], job["state"]) == ({"a": 7}, "pending")


def test_all_that_match_may_be_retried_with_some_arguments_changed(shop: Shop) -> None:
    id = enqueue(shop)
    shop.good("cancel", "shop:app", id)

    told = shop.good("retry", "shop:app", "--all", "--state", "cancelled", "--args", '{"a": 7}')

    (job,) = shop.json("jobs", "shop:app")
    assert (told, job["args"], job["state"]) == ("retried 1 job\n", {"a": 7}, "pending")


def test_arguments_that_do_not_fit_are_refused_and_nothing_changes(shop: Shop) -> None:
    id = enqueue(shop)
    shop.good("cancel", "shop:app", id)

    answer = shop.millrace("retry", "shop:app", id, "--args", '{"a": "seven"}')

    assert (answer.code, len(answer.err.splitlines()), state(shop, id)) == (2, 1, "cancelled")
    assert "Expected `int`, got `str`" in answer.err


def test_one_unknown_id_does_not_stop_the_others_and_counts_in_the_end(shop: Shop) -> None:
    id = enqueue(shop)

    answer = shop.millrace("cancel", "shop:app", UNKNOWN, id)

    assert (answer.code, answer.out) == (2, f"{id}  cancelled  shop.add\n")
    assert answer.err.startswith(f"millrace: no job {UNKNOWN} in sqlite:///jobs.db")
    assert answer.err.endswith("millrace jobs shows what is there\n")


def test_a_state_that_does_not_allow_the_verb_is_a_failure_with_the_reason(shop: Shop) -> None:
    id = enqueue(shop)

    answer = shop.millrace("retry", "shop:app", id)

    assert answer.code == 1
    assert answer.err.startswith(f"millrace: job {id} is pending and retry does not apply")


def test_filters_change_what_matches_and_tell_how_many(shop: Shop) -> None:
    slow = [enqueue(shop, "--queue", "slow") for _ in range(3)]
    other = enqueue(shop)

    assert shop.good("cancel", "shop:app", "--all", "--queue", "slow") == "cancelled 3 jobs\n"
    assert [state(shop, id) for id in (*slow, other)] == ["cancelled"] * 3 + ["pending"]
    assert shop.json("retry", "shop:app", "--all", "--state", "cancelled") == {"changed": 3}
    assert shop.json("delete", "shop:app", "--all", "--state", "pending", "--queue", "slow") == {"changed": 3}
    assert [job["id"] for job in shop.json("jobs", "shop:app")] == [other]


def test_retry_of_all_takes_the_dead_ones_of_a_class_of_error(shop: Shop) -> None:
    late, wrong = fail_one(shop, TimeoutError("late")), fail_one(shop, ValueError("wrong"))
    cancelled = enqueue(shop)
    shop.good("cancel", "shop:app", cancelled)

    assert shop.good("retry", "shop:app", "--all", "--error", "TimeoutError") == "retried 1 job\n"
    assert [state(shop, str(id)) for id in (late.id, wrong.id, cancelled)] == ["pending", "dead", "cancelled"]


def test_delete_of_all_wants_states_or_a_yes(shop: Shop) -> None:
    enqueue(shop)
    enqueue(shop, "--delay", "60")

    refused = shop.millrace("delete", "shop:app", "--all")

    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith("millrace: delete --all needs --state, or --yes for jobs in whatever state; see ")
    assert shop.good("delete", "shop:app", "--all", "--yes") == "deleted 2 jobs\n"


def test_running_jobs_stay_where_all_are_deleted(shop: Shop) -> None:
    enqueue(shop)
    with shop.open() as app:
        (running,) = app.claim(lease=3600)

        assert shop.good("delete", "shop:app", "--all", "--yes") == "deleted no jobs\n"
        assert shop.millrace("delete", "shop:app", str(running.id)).code == 1
        assert app.get(running.id).state is JobState.RUNNING


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("cancel", "shop:app"), "no job is named; give IDs, or --all with filters"),
        (("cancel", "shop:app", "--queue", "mail"), "filters are for many jobs; add --all"),
        (("cancel", "shop:app", UNKNOWN, "--all"), f"IDs and --all exclude each other; '{UNKNOWN}' was given"),
        (("cancel", "shop:app", "12"), "'12' is not a job's id; millrace jobs shows them"),
        (("cancel", "12"), "'12' is not a job's id; millrace jobs shows them"),
        (("cancel", "shop:app", "--url", "sqlite:///jobs.db"), "APP 'shop:app' and --url exclude each other"),
        (
            ("retry", "shop:app", "--args", "{}", UNKNOWN, UNKNOWN),
            "--args is for one job, or for all that match; give one ID, or --all",
        ),
    ],
)
def test_what_is_asked_for_wrongly_is_told_in_one_line(shop: Shop, words: tuple[str, ...], sentence: str) -> None:
    answer = shop.millrace(*words)

    assert answer == (2, "", f"millrace: {sentence}; see millrace {words[0]} --help\n")
