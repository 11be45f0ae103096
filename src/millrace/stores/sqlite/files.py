"""The files around the database and what may be wrong with them. Owns their making and modes, and who locks them.

The main file and `-shm` are never opened here once SQLite has them: closing any descriptor of theirs would drop all
locks that SQLite holds in this process, and acknowledged commits were seen lost by that. `stat` is harmless.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from millrace.errors import ConfigurationError

__all__ = [
    "COMPANIONS",
    "LOCK_TABLE",
    "MOUNTS",
    "RESERVE_SIZE",
    "companions",
    "create",
    "drop_reserve",
    "free_bytes",
    "holder",
    "keep_reserve",
    "locks_hold",
    "network_mount",
    "refuse_places",
    "size_of",
    "whose",
]

RESERVE_SIZE = 1 << 20
COMPANIONS = ("", "-wal", "-shm", "-gate", "-reserve")  #: what stands behind the main file's name

MOUNTS = Path("/proc/self/mountinfo")  #: where Linux tells what is mounted
LOCK_TABLE = Path("/proc/locks")  #: where Linux tells who holds which lock
_NETWORK = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "lustre", "afs", "glusterfs", "beegfs", "gpfs", "coda"),
        *("fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.s3fs", "fuse.rclone", "fuse.gcsfuse", "fuse.juicefs"),
    }
)
_ESCAPED = re.compile(r"\\([0-7]{3})")  # a blank in a mount point is written \040
_ROOM_TO_SPARE = 16  # a disk with less than so many reserves left is nearly full already


def refuse_places(path: str, *, network: str) -> None:
    """Refuse a file that cannot work where it is.

    Raises:
        ConfigurationError: The folder is missing, the path names a folder, it lies on a network file system, or this
            user may not even look.
    """
    folder = Path(path).parent
    try:
        there, taken = folder.is_dir(), Path(path).is_dir()
    except PermissionError as error:
        raise ConfigurationError(
            f"{path} cannot be reached: {error.strerror} for user {os.geteuid()}; give them access to {folder} and the "
            "folders above it"
        ) from error
    if not there:
        raise ConfigurationError(f"the folder {folder} of {path} does not exist; create it, it is never made by itself")
    if taken:
        raise ConfigurationError(f"{path} is a folder; name a file in it, such as {path}/millrace.db")
    if network == "refuse":
        found = network_mount(os.path.realpath(path))
        if found is not None:
            kind, mount = found
            raise ConfigurationError(
                f"{path} lies on a network file system ({kind} at {mount}), where SQLite's locks and shared memory do "
                "not hold; use a local disk, or a server store. ?network=allow overrides this at your own risk"
            )


def create(path: str) -> bool:
    """Create the main file, empty and 0600, where it is missing; tell whether it was. The gate must be held.

    SQLite would make it 0644 under the usual umask, and -wal and -shm take over its mode. Nobody else can have opened a
    file that was not there, so this one descriptor of it does no harm.
    """
    if Path(path).exists():
        return False
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return False
    return True


def companions(path: str) -> list[str]:
    """Return those of the database's files that are there, the main one first."""
    return [path + suffix for suffix in COMPANIONS if Path(path + suffix).exists()]


def size_of(path: str) -> int:
    """Return a file's size in bytes, 0 where it is not there."""
    try:
        return Path(path).stat().st_size
    except OSError:
        return 0


def free_bytes(path: str) -> int:
    """Return the room left on the file's disk for this user."""
    figures = os.statvfs(Path(path).parent)
    return figures.f_bavail * figures.f_frsize


def keep_reserve(path: str) -> None:
    """Set 1 MiB of the disk aside, where there is room to spare and it is not done yet."""
    reserve = f"{path}-reserve"
    if size_of(reserve) >= RESERVE_SIZE or free_bytes(path) < _ROOM_TO_SPARE * RESERVE_SIZE:
        return
    with contextlib.suppress(OSError):  # a help for bad days; without it all else works
        descriptor = os.open(reserve, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, bytes(RESERVE_SIZE))  # really written: a hole would reserve nothing
        finally:
            os.close(descriptor)


def drop_reserve(path: str) -> bool:
    """Give the reserve's room to whoever needs it now; tell whether there was one."""
    try:
        Path(f"{path}-reserve").unlink()
    except OSError:
        return False
    return True


def whose(path: str) -> str:
    """Describe who may do what with a file: "owner 0, mode 644, this process is user 1000".

    >>> whose("/nowhere/jobs.db")
    'not there'
    """
    try:
        found = Path(path).stat()
    except OSError:
        return "not there"
    return f"owner {found.st_uid}, mode {found.st_mode & 0o7777:o}, this process is user {os.geteuid()}"


def network_mount(path: str, mounts: str | None = None) -> tuple[str, str] | None:
    r"""Return the kind and the mount point of the network file system that a path lies on, None on a local one.

    Args:
        path: An absolute path without links.
        mounts: The text of mountinfo; by default this process's own. Where there is none, nothing is known.

    >>> network_mount("/data/jobs.db", "36 35 98:0 / / rw - ext4 /dev/sda rw\n40 36 0:9 / /data rw - nfs4 host:/x rw")
    ('nfs4', '/data')
    """
    if mounts is None:
        try:
            mounts = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            return None
    best, kind = "", ""
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        fields = left.split()
        if len(fields) < 5 or not right:  # noqa: PLR2004 - the mount point is the fifth field
            continue
        mount = _ESCAPED.sub(lambda escape: chr(int(escape[1], 8)), fields[4])
        inside = path == mount or path.startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= len(best):  # the longest wins, and of equal ones the last mounted
            best, kind = mount, right.split()[0]
    return (kind, best) if kind in _NETWORK else None


def holder(path: str) -> str | None:
    """Name who holds a lock for writing on a file, such as "process 42 (python)"; None where that cannot be seen."""
    try:
        pids = [pid for pid, writing in _lock_owners(path) if writing]
    except OSError:
        pids = _signed(path)
    if not pids:
        return None
    if pids[0] == os.getpid():
        return "another connection of this process"
    try:
        name = Path(f"/proc/{pids[0]}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return f"process {pids[0]}"
    return f"process {pids[0]} ({name})"


def locks_hold(path: str) -> bool:
    """Tell whether this process really holds a lock on a file; True also where that cannot be seen."""
    try:
        owners = _lock_owners(path)
    except OSError:
        return True
    return any(pid == os.getpid() for pid, _ in owners)


def _lock_owners(path: str) -> list[tuple[int, bool]]:
    """Return (pid, exclusive) of the locks that are held on a file, flock or POSIX."""
    inode = str(Path(path).stat().st_ino)
    owners: list[tuple[int, bool]] = []
    for line in LOCK_TABLE.read_text(encoding="ascii").splitlines():
        fields = line.split()
        # "1: POSIX ADVISORY WRITE 4242 fd:00:1234 120 120"; one that only waits has "->" behind its number
        if fields[1] != "->" and fields[5].rpartition(":")[2] == inode and int(fields[4]) > 0:
            owners.append((int(fields[4]), fields[3] == "WRITE"))
    return owners


def _signed(path: str) -> list[int]:
    """Return the process id that a gate file holds, where the system has no table of locks."""
    if not path.endswith("-gate"):
        return []  # any other file of the database is SQLite's
    try:
        return [int(Path(path).read_bytes())]
    except (OSError, ValueError):
        return []
