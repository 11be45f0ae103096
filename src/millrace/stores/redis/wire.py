"""One connection to a server: opened, and running commands and scripts. Owns the socket and the protocol (RESP2).

No client library stands in between: those send again what was lost, behind our back, and wait longer than they are
told. A call ends by its reply, by the loss of the connection, or by the watchdog, which shuts the socket down.
"""

from __future__ import annotations

import math
import os
import re
import select
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

import hiredis

from millrace.stores.redis.scripts import Script
from millrace.stores.redis.session import Argument
from millrace.stores.redis.settings import FSYNC, Settings, Wait

__all__ = ["Connection", "Lost", "Refused", "Unconfirmed", "WireError", "connect"]

#: Its stub knows commands of one word only.
_pack: Callable[[tuple[Argument, ...]], bytes] = cast("Any", hiredis).pack_command

_MORE: Final = object()  # the reply is not complete yet
_CHUNK = 1 << 16
_FOR_REPLICAS = 1.0  # seconds that they are waited for, within the deadline
_FOR_THE_DISK = 3.0  # the same: a server that flushes every second may take two
# How a server before 7.0 tells what went wrong within a script.
_WITHIN = re.compile(r"Error running script .*?[ @]-([A-Z]+) (.*)", re.DOTALL)


class WireError(Exception):
    """The root of what goes wrong on a connection."""


class Lost(WireError):
    """The connection is gone; whether what was under way has happened is unknown.

    Attributes:
        last_words: What the server has refused right before it hung up, such as one client too many; as a rule None.
    """

    def __init__(self, text: str, last_words: Refused | None = None) -> None:
        super().__init__(text)
        self.last_words = last_words


class Unconfirmed(WireError):
    """What was inserted is on the server, but not where `wait` wants it too."""


class Refused(WireError):
    """The server has answered with an error; nothing of that command was done.

    Attributes:
        code: Its first word, such as `OOM`.
        said: The rest.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        within = _WITHIN.search(text)
        if within is not None:
            self.code, self.said = within.groups()
        else:
            self.code, _, self.said = text.partition(" ")


class Connection:
    """A connection as the sessions use it; see `session.Wire`.

    Args:
        opened: A socket, connected.
        wait: What is waited for after an insert; see `Settings`.
        patience: Seconds that this may take.
    """

    __slots__ = (
        "_buffer",
        "_poller",
        "_reader",
        "_second",
        "_socket",
        "_wait",
        "_wanted",
        "answered",
        "idle",
        "late",
        "lost",
        "until",
    )

    def __init__(self, opened: socket.socket, *, wait: Wait = 0, patience: float = _FOR_THE_DISK) -> None:
        self._socket = opened
        # A number of its own for the same socket: the watchdog may use it whenever, and never hits a stranger's.
        self._second = socket.socket(fileno=os.dup(opened.fileno()))
        self._poller = select.poll()
        self._poller.register(opened.fileno(), select.POLLIN)
        self._reader = hiredis.Reader(replyError=Refused, notEnoughData=_MORE)
        self._buffer = bytearray(_CHUNK)
        self._wait = _waiting(wait, patience)
        self._wanted = 0 if wait == FSYNC else wait
        self.until = math.inf  #: see `watchdog.Guarded`
        self.late = False  #: whether the watchdog has shut it down
        self.lost = False  #: whether nothing can be run on it any more
        self.idle = True  #: whether every reply to what was sent has been read
        self.answered = 0  #: how many commands the server has done, as far as it has told

    # -- calls

    def command(self, *words: Argument) -> Any:
        """Run one command and return its answer.

        Raises:
            Refused: The server's error.
            Lost: See there.
        """
        (reply,) = self.replies([words])
        if type(reply) is Refused:
            raise reply
        return reply

    def replies(self, commands: Sequence[Sequence[Argument]]) -> list[Any]:
        """Run commands in one trip; an error of the server's stands among the answers as `Refused`."""
        return self._exchange([_pack(tuple(words)) for words in commands])

    def scripts(self, calls: Sequence[tuple[Script, Sequence[bytes], Sequence[Argument]]]) -> list[Any]:
        """Run scripts in one trip, each atomic by itself; return their answers.

        A script that the server does not know is sent whole, and only that one again.
        """
        answers = self._evaluate(b"EVALSHA", calls)
        unknown = [
            place for place, answer in enumerate(answers) if type(answer) is Refused and answer.code == "NOSCRIPT"
        ]
        if unknown:
            again = self._evaluate(b"EVAL", [calls[place] for place in unknown])
            for place, answer in zip(unknown, again, strict=True):
                answers[place] = answer
        for answer in answers:
            if type(answer) is Refused or type(answer) is Unconfirmed:
                raise answer
        return answers

    def _evaluate(self, verb: bytes, calls: Sequence[tuple[Script, Sequence[bytes], Sequence[Argument]]]) -> list[Any]:
        by_name = verb == b"EVALSHA"
        packed = [
            _pack((verb, script.sha if by_name else script.text, len(keys), *keys, *args))
            for script, keys, args in calls
        ]
        if self._wait is None or not any(script.durable for script, _, _ in calls):
            return self._exchange(packed)
        *answers, confirmed = self._exchange([*packed, _pack(self._wait)])
        return [
            answer if type(answer) is Refused or not script.durable else self._confirmed(answer, confirmed)
            for (script, _, _), answer in zip(calls, answers, strict=True)
        ]

    def _confirmed(self, answer: Any, confirmed: Any) -> Any:
        """Return the answer, or what stands against it: the server has it, but not who is to have it too."""
        if type(confirmed) is Refused:
            return Unconfirmed(str(confirmed))
        if isinstance(confirmed, int):
            wanted = self._wanted
            return answer if confirmed >= wanted else Unconfirmed(f"{confirmed} of {wanted} replicas have it")
        return answer if confirmed[0] >= 1 else Unconfirmed("it was not flushed to the disk in time")

    def _exchange(self, packed: Sequence[bytes]) -> list[Any]:
        answers: list[Any] = []
        self.idle = False
        try:
            self._socket.sendall(packed[0] if len(packed) == 1 else b"".join(packed))
            while len(answers) < len(packed):
                answer = self._reader.gets()
                if answer is _MORE:
                    self._receive()
                else:
                    answers.append(answer)
                    if type(answer) is not Refused:
                        self.answered += 1
        except (OSError, hiredis.HiredisError) as error:
            raise self._gone(error, answers[-1] if answers else None) from error
        self.idle = True
        return answers

    def _receive(self) -> None:
        got = self._socket.recv_into(self._buffer)
        if not got:
            raise ConnectionResetError("the server has closed the connection")
        self._reader.feed(self._buffer, 0, got)  # type: ignore[arg-type] # it takes any buffer

    def _gone(self, error: Exception, last: Any = None) -> Lost:
        self.lost = True
        return Lost(str(error) or type(error).__name__, last if type(last) is Refused else None)

    # -- hearing what was not asked for

    def send(self, *words: Argument) -> None:
        """Send a command and read no reply: it comes among the messages."""
        try:
            self._socket.sendall(_pack(words))
        except OSError as error:
            raise self._gone(error) from error

    def messages(self) -> list[Any]:
        """Read what has come; wait where nothing has."""
        heard: list[Any] = []
        try:
            self._receive()
            while isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
                self._receive()
            while (message := self._reader.gets()) is not _MORE:
                heard.append(message)
        except (OSError, hiredis.HiredisError) as error:
            raise self._gone(error) from error
        return heard

    # -- its state

    def is_stale(self) -> bool:
        """Tell whether the server has closed it while it was idle. A look at the socket, no trip.

        Nothing comes unasked: whatever there is to read is a goodbye.
        """
        return self.lost or bool(self._poller.poll(0))

    def fileno(self) -> int:
        """Return the socket's number, to wait on."""
        return self._socket.fileno()

    def shut_down(self) -> None:
        """Make a call that is under way fail; from any thread."""
        self.late = True
        try:
            self._second.shutdown(socket.SHUT_RDWR)
        except OSError:  # it is gone already
            self.until = math.inf

    def close(self) -> None:
        """Close it; never raises."""
        self.lost = True
        self._socket.close()
        self._second.close()


def _waiting(wait: Wait, patience: float) -> tuple[Argument, ...] | None:
    """Return the command that waits."""
    longest = _FOR_THE_DISK if wait == FSYNC else _FOR_REPLICAS
    milliseconds = max(int(min(patience, longest) * 1000), 1)
    if wait == FSYNC:
        return ("WAITAOF", 1, 0, milliseconds)
    return ("WAIT", wait, milliseconds) if wait else None


def connect(settings: Settings, *, address: tuple[str, int] | None = None) -> Connection:
    """Open a connection, on which nothing was said yet.

    Args:
        settings: Where to.
        address: Another host and port than theirs, as a cluster may tell.

    Raises:
        Lost: There is none to be had.
    """
    try:
        opened = _opened(settings, address)
    except OSError as error:
        raise Lost(str(error) or type(error).__name__) from error
    try:
        opened.settimeout(None)  # the watchdog sees to the rest
        # A script that the server does not know is sent twice, and each time is waited for.
        return Connection(opened, wait=settings.wait, patience=settings.deadline / 3)
    except OSError as error:  # there is no number left for another one
        opened.close()
        raise Lost(str(error)) from error


def _opened(settings: Settings, address: tuple[str, int] | None) -> socket.socket:
    if settings.path is not None:
        plain = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            plain.settimeout(settings.connect_deadline)
            plain.connect(settings.path)
        except BaseException:
            plain.close()
            raise
        return plain
    host, port = address or (settings.host, settings.port)
    plain = socket.create_connection((host, port), timeout=settings.connect_deadline)
    try:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return _encrypted(settings, plain, host) if settings.tls else plain
    except BaseException:
        plain.close()
        raise


def _encrypted(settings: Settings, plain: socket.socket, host: str) -> socket.socket:
    context = ssl.create_default_context(cafile=settings.ssl_ca_certs)
    if not settings.ssl_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if settings.ssl_certfile:
        context.load_cert_chain(settings.ssl_certfile, settings.ssl_keyfile)
    return context.wrap_socket(plain, server_hostname=host)
