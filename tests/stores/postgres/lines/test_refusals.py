"""Why a server lets nobody in: each cause has its own sentence, its own next step, and the class that fits it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import psycopg
import pytest

from millrace.errors import ConfigurationError, MillraceError, StoreUnavailable
from millrace.stores.postgres import PostgresStore
from millrace.stores.postgres.trouble import unreachable
from millrace.stores.postgres.url import read_url
from tests.servers.cluster import OWNER, QUICK, Cluster
from tests.servers.installations import newest
from tests.stores.postgres.lines.conftest import until

SECRET = "open-sesame"  # noqa: S105 - of a test's server
DOOR = f"""\
host all ann  127.0.0.1/32 scram-sha-256
host all shut 127.0.0.1/32 reject
host all lost,ben,many,deaf,{OWNER} 127.0.0.1/32 trust
"""


@pytest.fixture(scope="module")
def guarded() -> Iterator[Cluster]:
    """A server that asks some for a password, lets others in, and knows no third."""
    with Cluster(newest(), QUICK) as server:
        with server.connect() as connection:
            connection.execute(f"create role ann login password '{SECRET}'".encode())
            connection.execute("create role ben login")
            connection.execute("create role cyd login")
            connection.execute("create role shut login")
            connection.execute("create role many login connection limit 1")
            connection.execute("create role deaf nologin")
            connection.execute("create database closed")
            connection.execute("revoke connect on database closed from public")
        (server.data / "pg_hba.conf").write_text(DOOR)
        server.run("select pg_reload_conf()")
        until(lambda: "no pg_hba.conf entry" in told_by(server.url(user="cyd")))
        yield server


def told_by(url: str) -> str:
    """Return what a store says of its server; nothing where it is let in."""
    with closing(PostgresStore(url)) as store:
        try:
            store.now()
        except MillraceError as error:
            return f"{type(error).__name__}: {error}"
    return ""


def refusal(server: Cluster, user: str, *, password: str = "", database: str = "postgres") -> str:
    """Return what a store says to a user, without the URL, in which no password may stand."""
    secret = f":{password}" if password else ""
    url = server.url(user=user + secret).replace("/postgres", f"/{database}")
    said = told_by(url)
    shown = url.replace(secret, ":***") if password else url
    assert password == "" or password not in said
    assert said.count(shown) == 1, said
    return said.replace(shown, "URL")


def test_a_wrong_password_is_told_as_that(guarded: Cluster) -> None:
    assert refusal(guarded, "ann", password=SECRET + "!") == (
        'ConfigurationError: URL does not take this user and password (password authentication failed for user "ann"); '
        "see to them in the URL, in PGPASSWORD or in the password file"
    )
    assert told_by(guarded.url(user=f"ann:{SECRET}")).startswith("SchemaMismatch"), "it is let in, and may not migrate"


def test_a_password_that_was_not_given_is_told_as_that(guarded: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGPASSWORD", raising=False)
    monkeypatch.setenv("PGPASSFILE", "/nowhere/pgpass")
    assert refusal(guarded, "ann").startswith("ConfigurationError: URL does not take this user and password (")
    assert "no password supplied" in refusal(guarded, "ann")


@pytest.mark.parametrize(
    ("user", "said"),
    [
        ("lost", 'role "lost" does not exist'),
        ("deaf", 'role "deaf" is not permitted to log in'),
        (
            "shut",
            'pg_hba.conf rejects connection for host "127.0.0.1", user "shut", database "postgres", no encryption',
        ),
        ("cyd", 'no pg_hba.conf entry for host "127.0.0.1", user "cyd", database "postgres", no encryption'),
    ],
)
def test_a_user_who_is_not_let_in_is_told_who_can_mend_it(guarded: Cluster, user: str, said: str) -> None:
    assert refusal(guarded, user) == (
        f"ConfigurationError: URL does not let this user in ({said}); name another one in the URL, or let its "
        "administrator see to the role and to pg_hba.conf"
    )


def test_a_database_that_is_not_there_is_told_with_how_to_make_it(guarded: Cluster) -> None:
    assert refusal(guarded, "ben", database="shop") == (
        'ConfigurationError: URL has no such database (database "shop" does not exist); name another one in the URL, '
        "or create it with `createdb`"
    )


def test_a_database_that_the_role_may_not_enter_is_told_as_that(guarded: Cluster) -> None:
    assert refusal(guarded, "ben", database="closed") == (
        'ConfigurationError: URL does not let this user in (permission denied for database "closed"); let its owner '
        "grant it connect on the database"
    )


def test_a_role_with_too_many_connections_is_told_what_to_raise(guarded: Cluster) -> None:
    with guarded.connect(user="many"):
        assert refusal(guarded, "many") == (
            'StoreUnavailable: URL takes no more connections: too many connections for role "many"; close some, raise '
            "max_connections or the limit of this role or database, or use a pooler"
        )


def test_a_server_that_is_full_is_told_as_that_and_is_worth_another_try() -> None:
    few = {**QUICK, "max_connections": "6", "superuser_reserved_connections": "1", "max_wal_senders": "0"}
    with Cluster(newest(), few) as server, ExitStack() as stack:
        server.run("create role ben login")
        held: list[psycopg.Connection[Any]] = []
        said: list[str] = []

        def is_full() -> bool:
            """Take one more; where none is left, ask a store. A session that has just ended may leave one free yet."""
            try:
                held.append(stack.enter_context(closing(server.connect())))
            except psycopg.OperationalError:
                said.append(told_by(server.url()))
            return bool(said and said[-1])

        until(is_full)
        assert said[-1].startswith(
            f"StoreUnavailable: {server.url()} takes no more connections: sorry, too many clients"
        )
        held.pop().close()
        spare = f"StoreUnavailable: {server.url(user='ben')} takes no more connections: remaining connection slots are"
        until(lambda: told_by(server.url(user="ben")).startswith(spare))


def test_of_several_hosts_that_refuse_one_that_may_yet_let_us_in_counts() -> None:
    settings = read_url("postgresql://ann@one,two/jobs")
    wrong = 'connection to server at "one", port 5432 failed: FATAL:  password authentication failed for user "ann"'
    starting = 'connection to server at "two", port 5432 failed: FATAL:  the database system is starting up'

    told = unreachable(
        settings, psycopg.OperationalError(f"{wrong}\n- host: 'one': {wrong}\n- host: 'two': {starting}")
    )

    assert isinstance(told, StoreUnavailable)
    assert "is not ready (the database system is starting up); nothing was written, try again" in str(told)
    assert isinstance(unreachable(settings, psycopg.OperationalError(wrong)), ConfigurationError)


def test_a_server_that_is_not_there_is_still_told_as_out_of_reach(guarded: Cluster) -> None:
    told = told_by(guarded.url(port=1))
    assert told.startswith("StoreUnavailable: ")
    assert "cannot be reached: " in told
    assert told.endswith("; see that it runs, and that the URL is right")
