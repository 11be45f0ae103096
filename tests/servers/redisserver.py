"""One Redis server of a test's own: made, started, stopped in several ways, followed by a replica."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import redis

from tests.servers.cluster import free_port
from tests.servers.redisclient import RedisClient, Word
from tests.servers.redisinstallations import RedisInstallation

__all__ = ["ALWAYS", "EVERY_SECOND", "RedisServer", "Settings", "wait_until"]

PATIENCE = 30.0  # seconds: bounds a failure, measures nothing
HOST = "127.0.0.1"

Settings = Mapping[str, str]

#: An acknowledged write outlives the server's death, and the machine's but for the last second or two.
EVERY_SECOND: Settings = {"appendonly": "yes", "appendfsync": "everysec"}
#: It outlives the machine's too.
ALWAYS: Settings = {"appendonly": "yes", "appendfsync": "always"}
COMMON: Settings = {
    "bind": HOST,
    "save": '""',
    "auto-aof-rewrite-percentage": "0",  # no child of the server's in the middle of a test
    "repl-diskless-sync-delay": "0",
    "repl-ping-replica-period": "1",
    "proto-max-bulk-len": "64mb",
}
#: What older servers do not know.
SINCE_7: Settings = {"enable-debug-command": "local"}


def wait_until(reached: Callable[[], object], what: str, log: Callable[[], str]) -> None:
    """Wait until a condition holds; fail, with its name and the server's last words, where it never does."""
    until = time.monotonic() + PATIENCE
    while not reached():
        assert time.monotonic() < until, f"waited {PATIENCE} s in vain for {what}\n{log()}"
        time.sleep(0.005)


class RedisServer:
    """A server on 127.0.0.1 and on a socket in its folder, running while its `with` lasts.

    Args:
        installation: Whose program.
        settings: Lines of its configuration, beside `COMMON`; what it keeps is `EVERY_SECOND` unless told otherwise.
        tls: Of a server that is reached by TLS alone, its settings of TLS.
        port: Where it listens, a free one unless told otherwise.
    """

    def __init__(
        self,
        installation: RedisInstallation,
        settings: Settings = EVERY_SECOND,
        *,
        tls: Settings | None = None,
        port: int | None = None,
    ) -> None:
        self.installation = installation
        self.folder = Path(tempfile.mkdtemp(prefix="millrace-redis-"))
        self.port = port or free_port()
        self.has_tls = tls is not None
        door = {"port": "0", "tls-port": str(self.port), **(tls or {})} if tls else {"port": str(self.port)}
        self._settings = {
            **COMMON,
            **(SINCE_7 if installation.number >= (7,) else {}),
            **settings,
            **door,
            "dir": str(self.folder),
            "unixsocket": str(self.socket),
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        """Where it listens beside the port."""
        return self.folder / "socket"

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    def url(self, *, port: int | None = None, login: str = "", **options: str) -> str:
        """How a store names it, by another port where a proxy stands before it; `login` is "user:password"."""
        scheme = "rediss" if self.has_tls else "redis"
        return f"{scheme}://{login + '@' if login else ''}{HOST}:{port or self.port}{_query(options)}"

    def socket_url(self, **options: str) -> str:
        """How a store names it by its socket."""
        return f"unix://{quote(str(self.socket))}{_query(options)}"

    def client(self) -> RedisClient:
        """Open a connection of the test's own. Whoever opens it closes it."""
        return RedisClient(self.socket_url())

    def run(self, *words: Word) -> Any:
        """Run one command, on a connection of its own."""
        with self.client() as client:
            return client.run(*words)

    def info(self, section: str) -> dict[str, Any]:
        """Return what it tells of itself."""
        told: dict[str, Any] = self.run("INFO", section)
        return told

    # -- its life

    def __enter__(self) -> Self:
        try:
            self._begin()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _begin(self) -> None:
        self.start()

    def start(self) -> None:
        """Start it, and wait until it takes commands."""
        assert self._process is None, "it is running"
        configuration = self.folder / "redis.conf"
        configuration.write_text("".join(f"{name} {value}\n" for name, value in self._settings.items()))
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self.installation.program, configuration], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/"
            )
        wait_until(self._answers, "the server to answer", self.log)

    def stop(self) -> None:
        """Stop it as its administrator would: it flushes, and ends all connections."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it: what it has not given to the system by now is lost."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Kill it and start it again with what it has kept, on the same port."""
        self.kill()
        self.start()

    def freeze(self) -> None:
        """Let it do nothing, as a machine does that is out of memory; its connections stay open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(how)
        self._process.wait(PATIENCE)
        self._process = None

    def _answers(self) -> bool:
        assert self._process is not None
        ended = self._process.poll()
        assert ended is None, f"the server ended with {ended}:\n{self.log()}"
        try:
            return bool(self.run("PING"))
        except redis.ConnectionError:  # nobody listens, or what it has kept is still being read
            return False

    # -- what is done to it

    def pause_clients(self, seconds: float) -> None:
        """Let every client's commands wait so long; it goes on by itself."""
        self.run("CLIENT", "PAUSE", round(seconds * 1000))

    def sleep(self, seconds: float) -> None:
        """Let it be busy so long with one command, as with a slow script; return when that is over."""
        self.run("DEBUG", "SLEEP", seconds)

    def forget_scripts(self) -> None:
        """Let it forget the scripts that it was sent."""
        self.run("SCRIPT", "FLUSH")

    def configure(self, name: str, value: str) -> None:
        """Change a setting of the running server; a restart does not know of it."""
        self.run("CONFIG", "SET", name, value)

    def sessions(self) -> int:
        """Count the connections of others."""
        return len(self.run("CLIENT", "LIST").splitlines()) - 1

    def end_sessions(self) -> int:
        """End the connections of others, those of replicas excepted; return how many there were."""
        ended = [self.run("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes") for kind in ("normal", "pubsub")]
        return sum(ended)

    def replica(self) -> RedisServer:
        """Make a replica that follows this server; it is started by its `with`, and has all there is by then."""
        return _Replica(self)

    def promote(self) -> None:
        """Make a replica a server of its own that takes writes."""
        self.run("REPLICAOF", "NO", "ONE")
        self._settings.pop("replicaof", None)

    def log(self) -> str:
        """The last that the server has said."""
        return "\n".join((self.folder / "log").read_text(errors="replace").splitlines()[-40:])


class _Replica(RedisServer):
    """A server that takes what another one tells it."""

    def __init__(self, primary: RedisServer) -> None:
        super().__init__(primary.installation, primary._settings)
        door = "tls-port" if primary.has_tls else "port"
        self.has_tls = primary.has_tls
        self._settings |= {
            "dir": str(self.folder),
            "unixsocket": str(self.socket),
            door: str(self.port),
            "replicaof": f"{HOST} {primary.port}",
        }

    def _begin(self) -> None:
        self.start()
        wait_until(lambda: self.info("replication")["master_link_status"] == "up", "the replica to follow", self.log)
        # Only once that is done does it keep what it is told.
        rewriting = "aof_rewrite_in_progress"
        wait_until(lambda: not self.info("persistence")[rewriting], "the replica to keep what it has", self.log)


def _query(options: Mapping[str, str]) -> str:
    return "?" + "&".join(f"{name}={quote(value)}" for name, value in options.items()) if options else ""
