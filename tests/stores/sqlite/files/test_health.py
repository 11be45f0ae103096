"""What `doctor` is told, and how a URL is read."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from millrace.errors import ConfigurationError
from millrace.messages import Finding
from millrace.stores.sqlite import files, health
from millrace.stores.sqlite.connection import Driver
from millrace.stores.sqlite.database import Database
from millrace.stores.sqlite.url import read_url
from tests.stores.sqlite.files.conftest import Opener
from tests.stores.sqlite.files.rows import add_more


def findings(database: Database, subject: str) -> list[tuple[str, str]]:
    return [(found.level, found.text) for found in database.check() if found.subject == subject]


def levels(database: Database) -> dict[str, str]:
    """Return the worst level by subject."""
    order = ["ok", "note", "warning", "error"]
    worst: dict[str, str] = {}
    for found in database.check():
        worst[found.subject] = max(found.level, worst.get(found.subject, "ok"), key=order.index)
    return worst


def test_a_sound_file_with_a_sound_sqlite_has_nothing_to_complain_of(path: str, opener: Opener) -> None:
    database = opener(path, driver="apsw")
    database.write(add_more)

    assert levels(database) == dict.fromkeys(
        ["sqlite", "integrity", "journal", "synchronous", "modes", "wal", "pages", "disk", "place"], "ok"
    )


def test_an_sqlite_before_the_mended_one_is_one_warning_and_a_note_on_other_programs(
    path: str, driver: Driver, opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(_driver: Driver) -> tuple[int, ...]:
        return 3, 51, 2

    monkeypatch.setattr(health, "library_version", version)

    found = findings(opener(path, driver=driver), "sqlite")

    assert [level for level, _ in found] == ["warning", "note"]
    assert found[0][1].startswith(f"SQLite 3.51.2 by {driver} can lose a commit while another connection checkpoints")
    assert "wal_autocheckpoint=0" in found[1][1]


def test_a_damaged_page_is_found_though_the_file_opens(path: str, opener: Opener) -> None:
    first = Database(path)
    for _ in range(300):
        first.write(add_more)
    first.close()
    leaf = Path(path).read_bytes().index(b"row 0299") // 4096
    with Path(path).open("r+b") as file:
        file.seek(leaf * 4096 + 8)
        file.write(b"\xff" * 32)

    found = [finding for finding in opener(path).check() if finding.level == "error"]

    assert "is damaged" in found[0].text


def test_a_file_that_cannot_be_opened_is_a_finding_too(path: str, opener: Opener) -> None:
    Path(path).write_text("no database at all, and that at some length " * 20)

    (found,) = opener(path).check()

    assert found == Finding(
        "error", "file", f"{path} is not an SQLite database; name another file, this one was not touched"
    )


def test_normal_is_noted(path: str, opener: Opener) -> None:
    assert findings(opener(path, synchronous="normal"), "synchronous") == [
        ("note", "normal: the last commits may be lost in a power cut, as was asked for")
    ]


def test_pragmas_that_somebody_has_changed_are_errors(database: Database) -> None:
    database.read(lambda connection: connection.rows("PRAGMA synchronous=OFF"))

    assert findings(database, "synchronous") == [("error", "synchronous is off, not full as was asked for")]


def test_a_journal_that_is_no_log_is_an_error() -> None:
    class Other:
        def rows(self, sql: str) -> list[tuple[Any, ...]]:
            return [("delete",)] if "journal" in sql else [(2,)]

    other: Any = Other()
    settings = Database("jobs.db").settings
    found = list(health._pragmas(settings, other))  # pyright: ignore[reportPrivateUsage]

    assert found[0].level == "error"
    assert found[0].text == "the journal mode is 'delete', not 'wal'; another program has changed it"


def test_a_file_that_others_may_read_is_a_warning(database: Database, path: str) -> None:
    database.open()
    Path(path).chmod(0o644)

    assert findings(database, "modes") == [("warning", f"{path} has mode 644, others may use it; chmod 600")]


def test_a_log_that_cannot_be_cut_is_a_warning(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    database.write(add_more)
    monkeypatch.setattr(health, "WAL_LIMIT", 100)

    ((level, text),) = findings(database, "wal")

    assert level == "warning"
    assert "a transaction that stays open to read keeps it so" in text


def test_many_free_pages_are_noted(database: Database) -> None:
    database.write(lambda c, _: c.execute("INSERT INTO millrace_results(value) VALUES(zeroblob(8000000))"))
    database.write(lambda c, _: c.execute("DELETE FROM millrace_results"))

    ((level, text),) = findings(database, "pages")

    assert level == "note"
    assert "pages are free; an idle worker gives them back" in text


def test_little_room_is_a_warning(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def little(_path: str) -> int:
        return 5 << 20

    monkeypatch.setattr(health, "free_bytes", little)

    assert [level for level, _ in findings(database, "disk")] == ["warning"]


def test_a_network_file_system_that_was_allowed_is_still_an_error(
    path: str, opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mounted(_path: str) -> tuple[str, str]:
        return "nfs4", "/srv"

    monkeypatch.setattr(health, "network_mount", mounted)

    assert [level for level, _ in findings(opener(path, network="allow"), "place")] == ["error"]


def test_where_mounts_cannot_be_seen_that_is_noted(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "MOUNTS", Path("/proc/no-such-table"))
    monkeypatch.setattr(files, "MOUNTS", Path("/proc/no-such-table"))

    assert [level for level, _ in findings(database, "place")] == ["note"]


def test_a_check_changes_nothing(database: Database, path: str) -> None:
    database.write(add_more)
    before = Path(f"{path}-wal").stat().st_size
    database.check()

    assert Path(f"{path}-wal").stat().st_size == before
    own = sqlite3.connect(path)
    assert own.execute("SELECT count(*) FROM millrace_locks").fetchall() == [(1,)]
    own.close()


@pytest.mark.parametrize(
    ("url", "path", "options"),
    [
        ("sqlite:///jobs.db", "jobs.db", {}),
        ("sqlite:////var/lib/jobs.db", "/var/lib/jobs.db", {}),
        ("sqlite:///a%20b%23c.db", "a b#c.db", {}),
        ("sqlite:///jobs.db?synchronous=normal&prefix=acme_", "jobs.db", {"synchronous": "normal", "prefix": "acme_"}),
        ("sqlite:///jobs.db?synchronous=NORMAL", "jobs.db", {"synchronous": "normal"}),
        ("sqlite:///jobs.db?deadline=2.5&reserve=off", "jobs.db", {"deadline": 2.5, "reserve": False}),
        ("sqlite:///jobs.db?reserve=1&network=allow", "jobs.db", {"reserve": True, "network": "allow"}),
        ("sqlite:///jobs.db?driver=apsw", "jobs.db", {"driver": "apsw"}),
    ],
)
def test_a_url_is_a_path_and_options(url: str, path: str, options: dict[str, object]) -> None:
    assert read_url(url) == (path, options)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("sqlite://", "names no SQLite file; write sqlite:///relative/path.db or sqlite:////absolute/path.db"),
        ("sqlite:///", "names no SQLite file"),
        ("sqlite://host/jobs.db", "names no SQLite file"),
        ("sqlite:///a#b.db", "names no SQLite file"),
        ("postgresql:///jobs", "names no SQLite file"),
        ("sqlite:///jobs.db?sync=full", "option 'sync' is not known; there are synchronous, prefix, deadline, reserve"),
        ("sqlite:///jobs.db?prefix=a&prefix=b", "option 'prefix' is given twice; give it once"),
        ("sqlite:///jobs.db?deadline=soon", "deadline='soon' is not understood; give seconds"),
        ("sqlite:///jobs.db?reserve=maybe", "reserve='maybe' is not understood; give 1 or 0"),
    ],
)
def test_a_url_that_is_not_understood_is_refused(url: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_url(url)

    assert sentence in str(caught.value)
