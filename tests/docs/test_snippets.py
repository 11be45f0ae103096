"""Every code block of the README and of the docs runs and prints what it says."""

from __future__ import annotations

from contextlib import closing
from operator import attrgetter
from pathlib import Path

import pytest

from tests.docs.snippets import REDIS, ROOT, SERVER, Reader, blocks
from tests.servers.cluster import Cluster
from tests.servers.databases import Database
from tests.servers.redisspaces import RedisSpace

NAME = attrgetter("name")
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def naming(*servers: str) -> list[Path]:
    """Return the documents that name any of these, or where none is given those that name no server at all."""
    texts = {path: path.read_text() for path in DOCUMENTS}
    if servers:
        return [path for path, text in texts.items() if any(server in text for server in servers)]
    return [path for path, text in texts.items() if SERVER not in text and REDIS not in text]


@pytest.mark.parametrize("path", naming(), ids=NAME)
def test_what_a_document_shows_works(path: Path, tmp_path: Path) -> None:
    assert Reader(tmp_path).follow(path) == len(blocks(path))


@pytest.mark.parametrize("path", naming(SERVER), ids=NAME)
def test_what_a_document_shows_on_a_server_works(path: Path, tmp_path: Path, cluster: Cluster) -> None:
    with closing(Database(cluster.url(), "millrace")):  # a reader begins without a schema
        assert Reader(tmp_path, {SERVER: cluster.url()}).follow(path) == len(blocks(path))


@pytest.mark.parametrize("path", naming(REDIS), ids=NAME)
def test_what_a_document_shows_on_redis_works(path: Path, tmp_path: Path, main_redis: RedisSpace) -> None:
    assert Reader(tmp_path, {REDIS: main_redis.url()}).follow(path) == len(blocks(path))


def test_the_readme_has_blocks_of_both_kinds() -> None:
    assert {"python", "console"} == {block.language for block in blocks(ROOT / "README.md")}


@pytest.mark.parametrize(
    "text",
    ["```python\nassert 1 == 2\n```\n", "```console\n$ echo one\ntwo\n```\n", "```console\n$ false\n```\n"],
    ids=["a failing script", "another output", "a failing command"],
)
def test_a_document_that_is_wrong_is_found(text: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(AssertionError, match=r"page\.md"):
        Reader(tmp_path).follow(page)


def test_every_file_that_the_readme_names_as_proof_is_there() -> None:
    rows = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("|") and "`" in line]
    named = {
        part.strip("`")
        for line in rows
        for part in line.replace(",", " ").split()
        if part.startswith(("`tests/", "`conformance/"))
    }
    assert named
    for name in named:
        assert (ROOT / name).exists() or (ROOT / "src/millrace" / name).exists(), f"the README names {name}"
