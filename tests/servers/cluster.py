"""One PostgreSQL server of a test's own: made, started, stopped in several ways, followed by a standby."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, LiteralString, Self

import psycopg

from tests.servers.account import credentials, hand_over, new_folder
from tests.servers.installations import Installation

__all__ = ["DATABASE", "OWNER", "QUICK", "Cluster", "answers", "free_port"]

PATIENCE = 60.0  # seconds: bounds a failure, measures nothing
OWNER = "millrace_owner"  # of the whole server
DATABASE = "postgres"

STOPS = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}

#: How a server is set for tests that ask nothing of the disk: it flushes late. If it never did, `doctor` would say so.
QUICK: Mapping[str, str] = {"synchronous_commit": "off", "autovacuum_naptime": "1h"}
COMMON: Mapping[str, str] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "log_line_prefix": "%m [%p] %a ",
    "wal_level": "replica",
}


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def answers(url: str) -> bool:
    """Tell whether a server lets us in."""
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


def run_program(program: str | Path, *args: str | Path) -> None:
    """Run a program to its end, as whom servers run."""
    done = subprocess.run([program, *args], check=False, capture_output=True, text=True, cwd="/", **credentials())
    assert done.returncode == 0, done.stdout + done.stderr


_templates: dict[Installation, Path] = {}


def _template(installation: Installation) -> Path:
    """A data folder as `initdb` makes it, made once for each version."""
    if installation not in _templates:
        folder = _templates[installation] = new_folder("template")
        told = ["-U", OWNER, "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
        run_program(installation.programs / "initdb", "-D", folder / "data", *told)
    return _templates[installation]


_OWN = os.getpid()


@atexit.register
def _remove_templates() -> None:
    if os.getpid() == _OWN:  # and not a child that a test has forked
        for folder in _templates.values():
            shutil.rmtree(folder, ignore_errors=True)


class Cluster:
    """A server on 127.0.0.1, running while its `with` lasts.

    Args:
        installation: Whose programs.
        settings: Of the server, beside `COMMON`; `QUICK` for one that need not survive the machine.
    """

    def __init__(self, installation: Installation, settings: Mapping[str, str] = QUICK) -> None:
        self.installation = installation
        self.folder = new_folder("postgres")
        self.port = free_port()
        self._settings = {**COMMON, **settings, "port": str(self.port)}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        """The server's own folder."""
        return self.folder / "data"

    @property
    def pid(self) -> int:
        """The postmaster's process id."""
        assert self._process is not None
        return self._process.pid

    def url(self, *, user: str = OWNER, port: int | None = None, **options: str) -> str:
        """How a store names it, by another port where a proxy stands before it."""
        query = "?" + "&".join(f"{name}={value}" for name, value in options.items()) if options else ""
        return f"postgresql://{user}@127.0.0.1:{port or self.port}/{DATABASE}{query}"

    def connect(self, *, user: str = OWNER) -> psycopg.Connection[tuple[Any, ...]]:
        """Open a connection in autocommit. Whoever opens it closes it."""
        return psycopg.connect(self.url(user=user), autocommit=True, connect_timeout=5, application_name="test")

    def run(self, statement: LiteralString, *args: Any) -> list[tuple[Any, ...]]:
        """Run one statement on a connection of its own; return its rows."""
        with self.connect() as connection:
            cursor = connection.execute(statement, args or None)
            return cursor.fetchall() if cursor.description else []

    # -- its life

    def __enter__(self) -> Self:
        shutil.rmtree(self.data, ignore_errors=True)
        run_program("cp", "-a", _template(self.installation) / "data", self.data)
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        assert self._process is None, "it is running"
        command = [str(self.installation.programs / "postgres"), "-D", str(self.data)]
        told = [f"--{name}={value}" for name, value in self._settings.items()]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, *told], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", **credentials()
            )
        self._wait_until_ready()

    def stop(self, how: str = "fast") -> None:
        """Stop it: "fast" ends every session and flushes, "immediate" is as a crash."""
        if self._process is None:
            return
        self._process.send_signal(STOPS[how])
        self._process.wait(PATIENCE)
        self._process = None

    def restart(self, how: str = "immediate") -> None:
        """Stop it and start it again, on the same port."""
        self.stop(how)
        self.start()

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        until = time.monotonic() + PATIENCE
        while not answers(self.url()):
            ended = self._process.poll()
            assert ended is None, f"the server ended with {ended}:\n{self.log()}"
            assert time.monotonic() < until, f"the server does not answer:\n{self.log()}"
            time.sleep(0.01)

    # -- what is done to it

    def sessions(self) -> int:
        """Count the sessions of others."""
        ((number,),) = self.run(
            "select count(*) from pg_stat_activity where pid <> pg_backend_pid() and backend_type = 'client backend'"
        )
        return int(number)

    def terminate_all(self) -> int:
        """End every other session, wait until they are gone, and return how many there were."""
        ((pids,),) = self.run(
            "select coalesce(array_agg(pid) filter (where pg_terminate_backend(pid)), '{}') from pg_stat_activity"
            " where pid <> pg_backend_pid() and backend_type = 'client backend'"
        )
        # Ended is told before it is true: a session may live, and its socket be open, for a moment more.
        self.run("select pg_terminate_backend(pid, 10000) from pg_stat_activity where pid = any(%s)", pids)
        return len(pids)

    def standby(self) -> Cluster:
        """Make a standby that follows this server; it is started by its `with`."""
        return _Standby(self)

    def promote(self) -> None:
        """Make a standby a server of its own that takes writes."""
        ((promoted,),) = self.run("select pg_promote(true, 60)")
        assert promoted

    def log(self) -> str:
        """The last that the server has said."""
        return "\n".join((self.folder / "log").read_text(errors="replace").splitlines()[-40:])


class _Standby(Cluster):
    """A standby, as a copy of its primary at the moment of its `with`."""

    def __init__(self, primary: Cluster) -> None:
        super().__init__(primary.installation, primary._settings)
        self._settings["port"] = str(self.port)
        self._primary = primary

    def __enter__(self) -> Self:
        backup = self.installation.programs / "pg_basebackup"
        hand_over(self.folder)
        source = ["-h", "127.0.0.1", "-p", str(self._primary.port), "-U", OWNER]
        run_program(backup, *source, "-D", self.data, "-R", "-X", "stream", "-c", "fast", "--no-sync")
        self.start()
        return self
