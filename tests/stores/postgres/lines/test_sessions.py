"""What verbs run on: texts with the schema filled in, arguments in binary, one trip for several statements."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millrace.stores.postgres.arrays import Array, Bigints, Booleans, Doubles, Strings, Uuid, Uuids
from millrace.stores.postgres.session import Session
from millrace.stores.postgres.texts import Texts
from millrace.testing import ManualClock
from tests.servers.databases import Database
from tests.stores.postgres.lines.conftest import Bare, Opener, ask

BIGINTS = st.integers(-(2**63), 2**63 - 1)
LISTS: dict[type[Array], st.SearchStrategy[Any]] = {
    Uuids: st.binary(min_size=16, max_size=16),
    Bigints: BIGINTS,
    Doubles: st.floats(allow_nan=False),
    Booleans: st.booleans(),
    Strings: st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
}


@pytest.mark.parametrize("kind", LISTS)
def test_a_list_arrives_as_it_was_sent(store: Bare, kind: type[Array]) -> None:
    @settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(LISTS[kind] | st.none(), max_size=20))
    def arrives(items: list[Any]) -> None:
        assert store.read(ask("select %(a)b", a=kind(items))) == items

    arrives()


def test_text_may_be_sent_as_bytes(store: Bare) -> None:
    assert store.read(ask("select %(a)b", a=Strings(["é", "é".encode()]))) == ["é", "é"]


@given(BIGINTS)
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_integer_is_a_bigint_however_small(store: Bare, value: int) -> None:
    assert store.read(lambda session: session.rows("select %(a)b, pg_typeof(%(a)b)::text", {"a": value})) == [
        (value, "bigint")
    ]


def test_an_id_is_a_uuid_there_and_16_bytes_here(store: Bare) -> None:
    id = bytes(range(16))
    assert store.read(ask("select %(a)b", a=Uuid(id))) == id
    assert store.read(ask("select pg_typeof(%(a)b)::text", a=Uuid(id))) == "uuid"


def test_a_template_names_the_schema_and_the_time() -> None:
    texts = Texts("jobs")
    text, timed = texts.fill("""select id
        from {s}.job where due <= {now} and {light}""")
    assert timed
    assert text.startswith('select id\nfrom "jobs".job where due <= coalesce(%(now)b::bigint, ')
    assert text.endswith("and true")
    assert texts.fill("select 1 from {s}.job") == ('select 1 from "jobs".job', False)


def test_the_time_is_the_callers_or_else_the_servers(store: Bare) -> None:
    assert store.read(ask("select {now}"), now=5) == 5
    before = store.read(ask("select (extract(epoch from clock_timestamp()) * 1000000)::bigint"))
    assert before <= store.read(ask("select {now}"))


def test_a_trip_is_one_transaction_and_answers_all(store: Bare) -> None:
    one = "select txid_current() where %(a)b > 0"
    first, second, third = store.write(
        lambda session: session.trip([(one, {"a": 1}), (one, {"a": 2}), (one, {"a": 0})])
    )
    assert first == second
    assert third == []


def test_an_error_in_a_trip_undoes_all_of_it_and_is_raised(store: Bare, postgres: Database) -> None:
    insert = "insert into {s}.queue (name) values (%(name)b) returning name"
    trip = [(insert, {"name": "a"}), (insert, {"name": "b"}), (insert, {"name": "a"}), (insert, {"name": "c"})]
    with pytest.raises(psycopg.errors.UniqueViolation):
        store.write(lambda session: session.trip(trip))
    assert postgres.run("select * from {s}.queue") == []
    assert store.write(ask(insert, name="a")) == "a"


def test_a_transaction_is_undone_where_its_block_raises(store: Bare, postgres: Database) -> None:
    def body(session: Session) -> None:
        with session.transaction():
            session.execute("insert into {s}.queue (name) values ('a')")
            raise LookupError

    with pytest.raises(LookupError):
        store.write(body)
    assert postgres.run("select * from {s}.queue") == []


def test_light_commits_do_not_wait_for_the_disk_and_others_do(opened: Opener, postgres: Database) -> None:
    setting = "select current_setting('synchronous_commit') from (select {light} as light offset 0) l where l.light"
    sure = {"options": "-c synchronous_commit=on"}
    assert opened(postgres.url(**sure)).write(ask(setting)) == "on"
    light = opened(postgres.url(**sure, claim_commit="off"))
    assert light.write(ask(setting)) == "off"
    assert light.write(ask("select current_setting('synchronous_commit')")) == "on"


def test_a_store_with_a_clock_gives_its_time_to_statements(postgres: Database, opened: Opener) -> None:
    clock = ManualClock()
    assert opened(postgres.url(), clock).write(ask("select {now}")) == clock.now()


# -- what is set of one


def test_nothing_of_ours_is_left_set_for_a_poolers_next_client(store: Bare) -> None:
    changed = "select count(*) from pg_settings where source = 'session' and name not like 'client_%%'"
    assert store.write(ask(changed)) == 0


def test_read_committed_whatever_the_role_says(postgres: Database, opened: Opener) -> None:
    postgres.run("alter role current_user set default_transaction_isolation = 'serializable'")
    try:
        assert opened(postgres.url()).write(ask("select current_setting('transaction_isolation')")) == "read committed"
    finally:
        postgres.run("alter role current_user reset default_transaction_isolation")
