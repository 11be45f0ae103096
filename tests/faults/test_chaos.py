"""Chaos on one store, and what the history checker says of it; a store without its fence must not get past it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from tests.faults.chaos import Chaos
from tests.faults.company import open_company
from tests.faults.history import Report, check
from tests.faults.redis.keys import disagreements
from tests.servers.databases import Database
from tests.servers.redisserver import RedisServer

SECONDS = 10.0
TRIES = 4  # a run in which the faults did not hit proves nothing: it is done again, with more of them
MUTANT_TRIES = 12  # on a busy machine few of a short run's pauses hold an attempt at its end

NewUrl = Callable[[], str | None]
prefixes = count(1)


@pytest.fixture(params=["sqlite", "postgres", "redis"])
def new_url(request: pytest.FixtureRequest, postgres: Database, redis_server: RedisServer) -> NewUrl:
    """An empty store of each kind, as often as it is asked for; None is a file in the folder of the run."""
    return {"sqlite": lambda: None, "postgres": emptied(postgres), "redis": unused(redis_server)}[request.param]


def emptied(postgres: Database) -> NewUrl:
    """Empty the database each time."""

    def url() -> str:
        postgres.empty()
        return postgres.url()

    return url


def unused(server: RedisServer) -> NewUrl:
    """Take another prefix each time: it flushes every second, and nobody kills it here."""
    return lambda: server.url(prefix=f"chaos_{next(prefixes)}")


def rage(
    folder: Path, url: str | None, *, seed: int, seconds: float, pauses: float, mutant: str | None = None
) -> Report:
    """Let chaos rage on an empty store; return what the checker found, and print what happened."""
    folder.mkdir()
    with open_company(folder, url, mutant) as company:
        chaos = Chaos(company, seed, seconds, pauses)
        chaos.run()
        report = check(company.events(), company.rows())
        if company.url.startswith("redis") and mutant is None:
            report.violations += disagreements(company.url)
    print(  # noqa: T201 - shown where it fails, and by -s
        f"\nseed {seed}: {chaos.kills} kills, {chaos.stops} pauses, healed in {chaos.healed_after:.1f} s; {report}"
    )
    return report


@pytest.mark.timeout(180)
def test_nothing_is_lost_doubled_or_out_of_order_in_chaos(tmp_path: Path, new_url: NewUrl) -> None:
    for seed in range(1, TRIES + 1):
        report = rage(tmp_path / str(seed), new_url(), seed=seed, seconds=SECONDS, pauses=seed)
        assert report.violations == [], f"seed {seed}"
        assert report.enqueued > 0
        if report.rescues and report.refused:
            return
    pytest.fail("void: in no run was a lease rescued and a late outcome refused, so the faults have not hit")


@pytest.mark.timeout(400)
def test_a_store_that_does_not_fence_its_finishes_is_found_out(tmp_path: Path, new_url: NewUrl) -> None:
    found: list[str] = []
    for seed in range(1, MUTANT_TRIES + 1):
        report = rage(tmp_path / str(seed), new_url(), seed=seed, seconds=5.0, pauses=2.0, mutant="unfenced finish")
        found = report.violations
        if found:
            break
    assert any(violation.startswith(("fence", "one completion")) for violation in found), found
