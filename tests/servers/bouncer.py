"""PgBouncer in transaction mode before a server of the tests. Owns its settings and its process."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from functools import cache
from pathlib import Path
from typing import Self

from tests.servers.account import credentials, hand_over, new_folder
from tests.servers.cluster import DATABASE, OWNER, Cluster, answers, free_port

__all__ = ["Bouncer", "bouncer_version"]

PATIENCE = 30.0  # seconds: bounds a failure, measures nothing
PLACES = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin"

# Few server connections for many clients: so a session's state, left behind by one, would be met by another.
SETTINGS = """[databases]
{database} = host=127.0.0.1 port={server} dbname={database}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {pool}
max_client_conn = 500
server_reset_query_always = 0
logfile = {log}
"""


@cache
def _program() -> Path | None:
    found = shutil.which("pgbouncer") or shutil.which("pgbouncer", path=PLACES)
    return Path(found) if found else None


def bouncer_version() -> str | None:
    """Tell which one is there; None where there is none."""
    program = _program()
    if program is None:
        return None
    said = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout
    return said.split()[1]


class Bouncer:
    """A PgBouncer on 127.0.0.1, running while its `with` lasts.

    Args:
        cluster: The server behind it.
        pool: How many connections to the server it keeps.
    """

    def __init__(self, cluster: Cluster, pool: int = 4) -> None:
        self._cluster = cluster
        self._pool = pool
        self.port = free_port()

    def url(self, **options: str) -> str:
        """How a store names the server behind it."""
        return self._cluster.url(port=self.port, user=OWNER, **options)

    def __enter__(self) -> Self:
        program = _program()
        assert program is not None, "PgBouncer is not installed"
        self._folder = new_folder("pgbouncer")
        settings = self._folder / "pgbouncer.ini"
        settings.write_text(
            SETTINGS.format(
                database=DATABASE,
                server=self._cluster.port,
                port=self.port,
                pool=self._pool,
                log=self._folder / "log",
            )
            # With `any`, whoever comes is this user to the server.
            .replace(f"dbname={DATABASE}", f"dbname={DATABASE} user={OWNER}")
        )
        hand_over(settings)
        self._process = subprocess.Popen(
            [program, "-q", settings], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", **credentials()
        )
        until = time.monotonic() + PATIENCE
        while not answers(self.url()):
            assert self._process.poll() is None, f"PgBouncer has ended: {self.log()}"
            assert time.monotonic() < until, f"PgBouncer does not answer: {self.log()}"
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(PATIENCE)
        shutil.rmtree(self._folder, ignore_errors=True)

    def log(self) -> str:
        """What it has said."""
        return (self._folder / "log").read_text(errors="replace")
