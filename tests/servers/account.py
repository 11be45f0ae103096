"""Whom a server runs as. PostgreSQL and PgBouncer refuse root, so root lends them an account without rights."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import TypedDict

__all__ = ["Credentials", "credentials", "hand_over", "new_folder"]

ACCOUNTS = ("postgres", "nobody")


class Credentials(TypedDict, total=False):
    """What `subprocess` takes to run a program as somebody else; empty where we are somebody else already."""

    user: int
    group: int
    extra_groups: list[int]


@cache
def _account() -> pwd.struct_passwd | None:
    if os.geteuid() != 0:
        return None
    there = {entry.pw_name: entry for entry in pwd.getpwall()}
    return next(there[name] for name in ACCOUNTS if name in there)


def credentials() -> Credentials:
    """Tell as whom a server is to run."""
    account = _account()
    return Credentials(user=account.pw_uid, group=account.pw_gid, extra_groups=[]) if account else Credentials()


def new_folder(what: str) -> Path:
    """Make a folder that only the server's account can read. Whoever asks for it removes it."""
    folder = Path(tempfile.mkdtemp(prefix=f"millrace-{what}-"))
    hand_over(folder)
    return folder


def hand_over(path: Path) -> None:
    """Make a file or an empty folder the account's own."""
    if account := _account():
        os.chown(path, account.pw_uid, account.pw_gid)


def readable_copy(folder: Path, aside: Path) -> Path:
    """Return the folder, or a copy of it where the account cannot get there (below a home of root, say)."""
    closed = [each for each in (folder, *folder.parents) if not each.stat().st_mode & 0o001]
    if _account() is None or not closed:
        return folder
    aside.chmod(0o755)
    copy = aside / folder.name
    shutil.copytree(folder, copy, symlinks=True)
    return copy
