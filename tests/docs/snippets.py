"""The code blocks of a document, run as a reader would: in an empty folder, from top to bottom.

A Python block whose first line is `# name.py` is a file the reader saves. All other Python blocks of a document are one
script, run at its end. In a console block each `$ ` line is typed into a shell, and what follows is what it prints,
with `...` for anything. Lines that set up the machine itself (`make`, `pip install`) are not typed, only looked up.

What needs a server names that of the examples, `SERVER` or `REDIS`; where it is run, a real one is put there.
"""

from __future__ import annotations

import doctest
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from sybil import Document
from sybil.parsers.markdown.lexers import FencedCodeBlockLexer

ROOT = Path(__file__).resolve().parents[2]
SERVER = "postgresql://app@db.example/shop"  #: the servers of the examples
REDIS = "redis://cache.example:6379/0"
SET_UP = ("make ", "pip install ", "git ")
SAME = doctest.OutputChecker()
LENIENT = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, its text, the line it stands on."""

    language: str
    text: str
    line: int


def blocks(path: Path) -> list[Block]:
    """Read the Python and console blocks of a document, in order."""
    document = Document(path.read_text(), str(path))
    found: list[Block] = []
    for language in ("python", "console"):
        for region in FencedCodeBlockLexer(language)(document):
            text = str(region.lexemes["source"])
            found.append(Block(language, text, document.text.count("\n", 0, region.start) + 1))
    return sorted(found, key=lambda block: block.line)


@dataclass
class Reader:
    """Someone who follows a document in a folder of their own, with a server where it asks for one."""

    folder: Path
    servers: Mapping[str, str] = field(default_factory=dict[str, str])  #: real ones by those of the examples
    script: list[str] = field(default_factory=list[str])

    def follow(self, path: Path) -> int:
        """Do what the document shows; return how many blocks it had."""
        found = blocks(path)
        for block in map(self._own, found):
            if block.language == "console":
                self._type(path, block)
            elif block.text.startswith("# ") and block.text.split("\n", 1)[0].endswith(".py"):
                (self.folder / block.text.split("\n", 1)[0][2:]).write_text(block.text)
            else:
                padding = block.line - sum(part.count("\n") for part in self.script)
                self.script.append("\n" * max(padding, 0) + block.text)
        if self.script:
            (self.folder / "snippets_of_document.py").write_text("".join(self.script))
            code, text = self._run([sys.executable, "-W", "error", "snippets_of_document.py"])
            assert code == 0, f"{path.name}: its Python blocks fail (lines as in the document):\n{text}"
        return len(found)

    def _own(self, block: Block) -> Block:
        """Put the reader's servers in the place of those of the examples."""
        text = block.text
        for shown, real in self.servers.items():
            text = text.replace(shown, real)
        return replace(block, text=text)

    def _type(self, path: Path, block: Block) -> None:
        parts = block.text.split("$ ") if block.text.startswith("$ ") else []
        assert parts, f"{path.name}:{block.line}: a console block begins with '$ '"
        for part in parts[1:]:
            command, _, expected = part.partition("\n")
            command = command.split("   #")[0].strip()
            if command.startswith(SET_UP):
                _look_up(command)
                continue
            code, text = self._run(["sh", "-c", command])
            assert code == 0, f"{path.name}:{block.line}: $ {command}\nexits with {code}:\n{text}"
            assert SAME.check_output(expected, text, LENIENT), (
                f"{path.name}:{block.line}: $ {command}\nprints\n{text}\nand not\n{expected}"
            )

    def _run(self, command: list[str]) -> tuple[int, str]:
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(self.folder),
            "COLUMNS": "120",
        }
        for name in ("MILLRACE_URL", "MILLRACE_APP"):
            environment.pop(name, None)
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        return done.returncode, done.stdout + done.stderr


def _look_up(command: str) -> None:
    if command.startswith("make "):
        target = command.split()[1]
        assert f"\n{target}:" in (ROOT / "Makefile").read_text(), f"the Makefile has no target {target!r}"
