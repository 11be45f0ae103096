"""What a URL says: our options, libpq's, and what is shown of it."""

from __future__ import annotations

import pytest
from psycopg.conninfo import conninfo_to_dict

from millrace.errors import ConfigurationError
from millrace.stores.postgres.settings import Settings
from millrace.stores.postgres.url import OPTIONS, masked, read_url


def test_our_options_are_ours_and_all_else_is_libpqs() -> None:
    settings = read_url(
        "postgresql://ann:s%40cret@one:5433,two/shop?schema=jobs&listen=off&notify=0&prepare=no&claim_commit=false"
        "&deadline=3&read_deadline=2.5&connect_deadline=1&target_session_attrs=read-write&sslmode=require"
    )
    told = conninfo_to_dict(settings.conninfo)
    assert {name: told[name] for name in ("host", "port", "user", "password", "dbname")} == {
        "host": "one,two", "port": "5433,", "user": "ann", "password": "s@cret", "dbname": "shop",
    }  # fmt: skip
    assert (told["target_session_attrs"], told["sslmode"]) == ("read-write", "require")
    assert settings.schema == "jobs"
    assert [settings.listen, settings.notify, settings.prepare, settings.claim_commit] == [False] * 4
    assert (settings.deadline, settings.read_deadline, settings.connect_deadline) == (3, 2.5, 1)


def test_a_question_mark_in_a_password_begins_no_query() -> None:
    settings = read_url("postgresql://ann:a?b@host/shop?schema=jobs")
    assert conninfo_to_dict(settings.conninfo)["password"] == "a?b"  # noqa: S105
    assert settings.schema == "jobs"


def test_every_setting_but_the_place_can_stand_in_a_url() -> None:
    assert set(Settings.__dataclass_fields__) - {"conninfo", "url", "pool", "made_in"} == set(OPTIONS)


def test_what_is_not_said_has_its_default() -> None:
    settings = read_url("postgresql:///shop")
    assert (settings.schema, settings.listen, settings.prepare, settings.deadline) == ("millrace", True, True, 10)
    assert conninfo_to_dict(settings.conninfo)["application_name"] == "millrace"
    assert conninfo_to_dict(read_url("postgresql:///?application_name=shop").conninfo)["application_name"] == "shop"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("listen=perhaps", "give on or off"),
        ("deadline=soon", "give seconds"),
        ("migrate=later", "give auto or manual"),
        ("deadline=0", "give seconds"),
        ("read_deadline=inf", "give seconds"),
        ("schema=jobs&schema=more", "given twice"),
        ("schema=pg_jobs", "cannot be ours"),
        ("schema=1st", "cannot be ours"),
        ("schema=a%22b", "cannot be ours"),
        ("colour=red", "colour.*our own options are schema, listen"),
    ],
)
def test_what_is_not_understood_is_refused_with_what_to_write(query: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        read_url(f"postgresql://ann:s3cret@host/shop?{query}")


def test_another_scheme_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="write postgresql://"):
        read_url("mysql://host/shop")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ann:s3cret@host/shop", "postgresql://ann:***@host/shop"),
        ("postgresql://host/shop?password=s3cret&user=ann", "postgresql://host/shop?password=***&user=ann"),
        ("postgresql://ann:a/b@host/shop", "postgresql://ann:***@host/shop"),
        ("postgresql://ann:a?b@host/shop", "postgresql://ann:***@host/shop"),
        ("postgresql://ann@host/shop?schema=a", "postgresql://ann@host/shop?schema=a"),
        ("postgresql://host:5433/shop?schema=a:b", "postgresql://host:5433/shop?schema=a:b"),
    ],
)
def test_no_password_is_shown(url: str, shown: str) -> None:
    assert masked(url) == shown


def test_the_settings_do_not_show_a_password_either() -> None:
    assert "s3cret" not in repr(read_url("postgresql://ann:s3cret@host/shop"))
