"""A disk that forgets: what is left of SQLite's files when the power goes. Owns the disk and its cuts.

The disk stands between SQLite and the real files as a VFS. Until a file is synced, each of its writes may be lost, be
there only in some of its sectors, or arrive behind a later one; a sector that was being written may hold noise.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import apsw

from millrace.stores.sqlite import hold
from millrace.stores.sqlite.connection import Connection

__all__ = ["Cut", "Disk", "plugged"]

_SECTOR = 512
_OFTEN = 30  # pages of WAL after which SQLite checkpoints: far fewer than at work, so that many cuts hit one
_REAL = "unix"


@dataclass
class Image:
    """A file as the platter has it, and what was written to it since its last sync: (offset, data), or (size, None)."""

    safe: bytearray
    pending: list[tuple[int, bytes | None]] = field(default_factory=list[tuple[int, bytes | None]])

    def sync(self) -> None:
        """Bring all that is pending onto the platter."""
        for offset, data in self.pending:
            _apply(self.safe, offset, data)
        self.pending.clear()

    def left(self, chance: random.Random) -> bytes:
        """Say what the platter holds if the power goes now."""
        pending = list(self.pending)
        if chance.random() < 0.5:
            chance.shuffle(pending)
        luck = chance.choice([0.0, 0.3, 0.7, 0.95, 1.0])  # how much of it got there
        content = bytearray(self.safe)
        for offset, data in pending:
            if data is None:
                if chance.random() < luck:
                    _apply(content, offset, None)
            elif chance.random() < luck:
                _apply(content, offset, data)
            else:
                _tear(content, offset, data, chance)
        return bytes(content)


def _apply(content: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        del content[offset:]
        data = b""
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


def _tear(content: bytearray, offset: int, data: bytes, chance: random.Random) -> None:
    """Write some sectors of one write; the last of them may be noise."""
    for at in range(0, len(data), _SECTOR):
        piece = data[at : at + _SECTOR]
        if chance.random() < 0.5:
            _apply(content, offset + at, chance.randbytes(len(piece)) if chance.random() < 0.1 else piece)


@dataclass(frozen=True)
class Cut:
    """One power cut: what the files then hold, by name, and how much had been acknowledged."""

    step: str
    files: dict[str, bytes]
    acknowledged: int

    def restore(self, folder: Path) -> None:
        """Write the files as a machine finds them that is switched on again; shared memory is gone."""
        folder.mkdir()
        for name, content in self.files.items():
            (folder / name).write_bytes(content)


class Disk(apsw.VFS):
    """The disk. It notes a cut each time that its lot falls on a write, a sync or a truncation, and goes on.

    Args:
        seed: Of its chances.
        one_in: How many steps there are to a cut.
        acknowledged: Tells how much has been acknowledged so far.
    """

    def __init__(self, seed: int, one_in: int, acknowledged: Callable[[], int]) -> None:
        self.cuts: list[Cut] = []
        self._images: dict[str, Image] = {}
        self._chance = random.Random(seed)
        self._one_in = one_in
        self._acknowledged = acknowledged
        super().__init__("cut", _REAL, makedefault=True)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's name
        """Open a file on the disk."""
        return DiskFile(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802, FBT001 - SQLite's name and its own call
        """Delete a file; until the folder is synced, which it is here at once, it could come back."""
        self.step("delete", filename)
        super().xDelete(filename, syncdir)
        self._images.pop(filename, None)

    def image(self, path: str) -> Image:
        """Return the image of a file."""
        if path not in self._images:
            there = Path(path)
            self._images[path] = Image(bytearray(there.read_bytes() if there.exists() else b""))
        return self._images[path]

    def step(self, what: str, path: str) -> None:
        """Come to a moment at which the power may go, before something is done."""
        if self._chance.randrange(self._one_in):
            return
        files = {Path(each).name: image.left(self._chance) for each, image in self._images.items()}
        self.cuts.append(Cut(f"{what} of {Path(path).name}", files, self._acknowledged()))


class DiskFile(apsw.VFSFile):
    """A file on the disk: what is done to it is also done to the real file."""

    def __init__(self, disk: Disk, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self._disk = disk
        self._path = name.filename() if isinstance(name, apsw.URIFilename) else name or ""
        self._image = disk.image(self._path)
        super().__init__(_REAL, name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's name
        """Write."""
        self._disk.step("write", self._path)
        write: Any = super().xWrite  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        write(data, offset)
        self._image.pending.append((offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - SQLite's name
        """Cut short."""
        self._disk.step("truncation", self._path)
        super().xTruncate(newsize)
        self._image.pending.append((newsize, None))

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        """Bring all that was written onto the platter."""
        self._disk.step("sync", self._path)
        super().xSync(flags)
        self._image.sync()


class Borrowed:
    """The writer's connection in the reader's place: a VFS in Python has no shared memory, so there is but one."""

    in_transaction = False

    def __init__(self, connection: Connection) -> None:
        self.rows = connection.rows
        self.execute = connection.execute
        self.script = connection.script

    def close(self) -> None:
        """Leave it open."""

    def abandon(self) -> None:
        """Leave it alone."""


@contextmanager
def plugged(disk: Disk) -> Generator[Disk]:
    """Let stores over apsw stand on the disk, with the one connection that it allows, and checkpoint often."""

    def lock_out(connection: Any) -> None:
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")

    def often(*_args: object, **_options: object) -> int:
        return _OFTEN

    def borrow(held: Any) -> Borrowed:
        return Borrowed((held.way or held.open())[0])

    with ExitStack() as stack:
        apsw.connection_hooks.append(lock_out)
        stack.callback(apsw.connection_hooks.remove, lock_out)
        stack.callback(disk.unregister)
        stack.enter_context(patch.object(hold.Hold, "connect_reader", borrow))
        stack.enter_context(patch.object(hold, "autocheckpoint", often))
        yield disk
