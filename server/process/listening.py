"""The sockets that the server listens on: opened by the parent, accepted from by every worker, evenly."""

from __future__ import annotations

import asyncio
import errno
import mmap
import os
import socket
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from server.domain.errors import ConfigurationError
from server.observe.background import failed

if TYPE_CHECKING:
    from aiohttp.web import Server  # not at run time: the parent does without it

log = structlog.get_logger()

IDLE = 2**32 - 1
"""The count of a worker that accepts nothing: no other one waits for it."""

_BACKLOG = 1024
"""Connections that wait to be accepted; the system may allow fewer."""
_YIELD_SECONDS = 0.001
"""How long a worker leaves a connection to those that have fewer."""
_SHORTAGE_SECONDS = 1.0
"""How long a worker accepts nothing after the system refused it another connection."""
_HANDSHAKE_SECONDS = 15.0
"""How long TLS's handshake may take."""
_ARRIVAL_SECONDS = 2.0
"""How long a worker that ends waits for handshakes."""
_ENTRY = 4
"""Bytes of a count."""


def open_listeners(host: str, port: int, *, option: str = "network.port") -> list[socket.socket]:
    """Bind to every address of `host` (`::` stands for IPv4 as well) and listen.

    With port 0 the system chooses one, the same for all addresses. Raises `ConfigurationError`, which names `option`.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        raise ConfigurationError(f"The host {host!r} is no address to listen on: {error}") from None
    listeners: list[socket.socket] = []
    try:
        for family, address in dict.fromkeys((family, address) for family, _, _, _, address in found):
            listener = socket.socket(family, socket.SOCK_STREAM)
            listeners.append(listener)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, host != "::")
            listener.bind((address[0], port or listeners[0].getsockname()[1], *address[2:]))
            listener.listen(_BACKLOG)
            listener.setblocking(False)
    except OSError as error:
        close_all(listeners)
        spelled = "--port" if option == "network.port" else option
        reason = {
            errno.EADDRINUSE: f"is in use by another program; choose another port: {spelled}",
            errno.EACCES: f"needs root's rights; choose a port above 1023: {spelled}",
        }.get(error.errno or 0, f"cannot be listened on: {error.strerror}")
        raise ConfigurationError(f"Port {port} of {host} {reason}") from None
    return listeners


def open_unix_listener(path: Path) -> socket.socket:
    """Bind to a Unix socket, which its owner and its group may connect to, and listen. Raises `ConfigurationError`.

    A socket that a server left which did not end by itself is replaced.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.is_socket() and not _is_answered(path):
            path.unlink(missing_ok=True)
        before = os.umask(0o117)
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        used = error.errno == errno.EADDRINUSE
        reason = "is in use or no socket" if used else f"cannot be listened on: {error.strerror or error}"
        raise ConfigurationError(f"The Unix socket {path} {reason}") from None
    return listener


def _is_answered(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        try:
            asking.connect(str(path))
        except OSError:
            return False
    return True


def remove_unix_path(path: Path, listener: socket.socket | None) -> None:
    """Remove the file of a Unix socket that was listened on, unless another server has taken its place."""
    if listener is not None and not _is_answered(path):
        path.unlink(missing_ok=True)


def url_of(listener: socket.socket, *, tls: bool = False) -> str:
    """The URL that leads to a listener, as a person on this machine would type it; the path of a Unix socket."""
    if listener.family == socket.AF_UNIX:
        return f"unix:{listener.getsockname()}"
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    scheme = "https" if tls else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _accepted(listener: socket.socket, watch: Callable[[socket.socket], None]) -> socket.socket | None:
    """The next connection that waits; None where there is none.

    :param watch: waits for connections again. After the system refused one, it is called a second later.
    """
    try:
        connection, _ = listener.accept()
    except (BlockingIOError, InterruptedError, ConnectionAbortedError):
        return None  # another worker took it, or the client went away
    except OSError as error:
        log.error("connections_refused", reason=error.strerror)
        loop = asyncio.get_running_loop()
        loop.remove_reader(listener)
        loop.call_later(_SHORTAGE_SECONDS, watch, listener)
        return None
    connection.setblocking(False)
    return connection


class SharedAcceptor:
    """Accepts connections for one worker. The first worker that accepts takes the connection: few arrive here."""

    def __init__(self, listeners: Sequence[socket.socket], protocol: Callable[[], asyncio.Protocol]) -> None:
        self._listeners, self._protocol = tuple(listeners), protocol
        self._loop = asyncio.get_running_loop()
        self._arriving: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin to accept."""
        for listener in self._listeners:
            self._watch(listener)

    def close(self) -> None:
        """Accept no more. The files of Unix sockets stay, since other workers accept there."""
        for listener in self._listeners:
            self._loop.remove_reader(listener)
        close_all(self._listeners)

    def _watch(self, listener: socket.socket) -> None:
        if listener.fileno() >= 0:
            self._loop.add_reader(listener, self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        connection = _accepted(listener, self._watch)
        if connection is None:
            return
        task = self._loop.create_task(self._hand_over(connection))
        self._arriving.add(task)
        task.add_done_callback(self._arriving.discard)

    async def _hand_over(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, connection)
        except (OSError, asyncio.CancelledError):
            connection.close()
        except Exception as error:
            connection.close()
            failed("accept", error)


def close_all(sockets: Sequence[socket.socket]) -> None:
    """Close sockets."""
    for each in sockets:
        each.close()


class Counts:
    """How many connections each worker has, in memory that all of them share."""

    def __init__(self, file: int, workers: int) -> None:
        """`file` is a descriptor of an empty file, or of one that another process has laid out like this."""
        if os.fstat(file).st_size == 0:
            os.write(file, IDLE.to_bytes(_ENTRY, "little") * workers)
        self._memory = mmap.mmap(file, _ENTRY * workers)
        self._workers = workers

    def __getitem__(self, worker: int) -> int:
        return int.from_bytes(self._memory[worker * _ENTRY : (worker + 1) * _ENTRY], "little")

    def __setitem__(self, worker: int, count: int) -> None:
        self._memory[worker * _ENTRY : (worker + 1) * _ENTRY] = count.to_bytes(_ENTRY, "little")

    def fewest_of_others(self, worker: int) -> int:
        """The least count among the other workers."""
        return min((self[other] for other in range(self._workers) if other != worker), default=IDLE)


class Acceptor:
    """Accepts connections for one worker, one at a time.

    The event loops' own servers accept whatever waits, so that one worker may get all of a burst and keep it, since
    clients hold their connections for long. Here a worker that has more than another leaves it a moment's precedence,
    and takes the connection if it is still there then.
    """

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        server: Server,
        counts: Counts,
        worker: int,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`tls` is for all listeners but Unix sockets."""
        self._tls = tls
        self._listeners = listeners
        self._server = server
        self._counts = counts
        self._worker = worker
        self._loop = asyncio.get_running_loop()
        self._arriving: set[asyncio.Task[None]] = set()
        self._closed = False

    def start(self) -> None:
        """Begin to accept."""
        self._count()
        for listener in self._listeners:
            self._watch(listener)

    async def close(self) -> None:
        """Accept no more; what was accepted has reached the server when this returns, or was broken off: a client that
        does not even finish TLS's handshake is not waited for."""
        self._closed = True
        self._counts[self._worker] = IDLE
        for listener in self._listeners:
            self._loop.remove_reader(listener)
        close_all(self._listeners)
        if self._arriving:
            await asyncio.wait(self._arriving, timeout=_ARRIVAL_SECONDS)
        for task in self._arriving:
            task.cancel()

    def _watch(self, listener: socket.socket) -> None:
        if not self._closed:
            self._loop.add_reader(listener, self._readable, listener)

    def _count(self) -> int:
        count = len(self._server.connections) + len(self._arriving)
        self._counts[self._worker] = count
        return count

    def _readable(self, listener: socket.socket) -> None:
        if self._count() > self._counts.fewest_of_others(self._worker):
            self._loop.remove_reader(listener)
            self._loop.call_later(_YIELD_SECONDS, self._accept_late, listener)
        else:
            self._accept(listener)

    def _accept_late(self, listener: socket.socket) -> None:
        if not self._closed:
            self._watch(listener)
            self._accept(listener)

    def _accept(self, listener: socket.socket) -> None:
        connection = _accepted(listener, self._watch)
        if connection is None:
            return
        task = self._loop.create_task(self._hand_over(connection, listener.family == socket.AF_UNIX))
        self._arriving.add(task)
        task.add_done_callback(self._arrived)

    async def _hand_over(self, connection: socket.socket, local: bool) -> None:
        tls = None if local else self._tls
        try:
            await self._loop.connect_accepted_socket(
                self._server,
                connection,
                ssl=tls,
                ssl_handshake_timeout=None if tls is None else _HANDSHAKE_SECONDS,
            )
        except (OSError, asyncio.CancelledError):
            connection.close()
        except Exception as error:
            connection.close()
            failed("accept", error)

    def _arrived(self, task: asyncio.Task[None]) -> None:
        self._arriving.discard(task)
        if not self._closed:
            self._count()
