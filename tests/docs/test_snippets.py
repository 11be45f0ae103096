"""Every code block of the README and of the docs runs and prints what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.snippets import ROOT, Reader, blocks

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_what_a_document_shows_works(path: Path, tmp_path: Path) -> None:
    assert Reader(tmp_path).follow(path) == len(blocks(path))


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
