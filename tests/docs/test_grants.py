"""The grants in the documentation are enough for a role that owns nothing, and no more than that."""

from __future__ import annotations

import re
from collections.abc import Iterator

import psycopg
import pytest

from millrace import JobState, Millrace
from millrace.errors import ConfigurationError
from millrace.messages import Finding
from tests.docs.snippets import ROOT
from tests.servers.cluster import Cluster

GRANTS = re.findall(r"```sql\n(.*?)```", (ROOT / "docs" / "postgres.md").read_text(), re.DOTALL)


@pytest.fixture
def owner(cluster: Cluster) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """The owner of a fresh schema, and a role `app` that has no right at all."""
    with cluster.connect() as connection:
        connection.execute("drop schema if exists millrace cascade")
        connection.execute("drop role if exists app")
        connection.execute("create role app login")
        with Millrace(cluster.url()) as app:
            app.migrate()
        yield connection
        connection.execute("drop schema millrace cascade")
        connection.execute("drop role app")


def grant(owner: psycopg.Connection[tuple[object, ...]]) -> None:
    """Do as the documentation says."""
    (text,) = GRANTS
    owner.execute(text.encode())


def told(app: Millrace, subject: str) -> list[Finding]:
    return [finding for finding in app.store.check() if finding.subject == subject]


def test_a_role_with_these_grants_can_do_all_that_an_app_does(
    cluster: Cluster, owner: psycopg.Connection[tuple[object, ...]]
) -> None:
    grant(owner)
    with Millrace(cluster.url(user="app")) as app:
        jobs = [app.task(name=f"task {number}")(lambda: "done").using(tags=["t"]).enqueue() for number in range(3)]
        app.set_queue("mail", concurrency=1)

        assert app.drain()[JobState.COMPLETED] == 3
        assert app.delete(jobs[0].id).id == jobs[0].id
        assert app.migrate() == []
        assert [each.level for each in told(app, "grants")] == ["ok"]
    with pytest.raises(psycopg.errors.InsufficientPrivilege), psycopg.connect(cluster.url(user="app")) as connection:
        connection.execute("drop table millrace.job")


def test_a_role_without_them_is_told_so(cluster: Cluster, owner: psycopg.Connection[tuple[object, ...]]) -> None:
    del owner
    with Millrace(cluster.url(user="app")) as app, pytest.raises(ConfigurationError, match="grant"):
        app.depth()


def test_doctor_names_the_grant_that_is_missing(
    cluster: Cluster, owner: psycopg.Connection[tuple[object, ...]]
) -> None:
    grant(owner)
    owner.execute("revoke delete on millrace.attempt from app")
    with Millrace(cluster.url(user="app")) as app:
        assert [(each.level, each.text) for each in told(app, "grants")] == [
            ("error", "this role lacks delete on millrace.attempt; its owner grants that")
        ]
