"""A worker: a process that accepts connections from the parent's sockets and answers requests.

It ends with its parent, however that ends: the kernel kills it where it can do that (Linux), and everywhere a thread
waits for the end of the channel to the parent.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import importlib
import os
import pickle
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import structlog

from server.domain.errors import ConfigurationError, KoyomiError
from server.observe import log as logs
from server.process import memory
from server.process.listening import Acceptor, Counts, SharedAcceptor
from server.process.tls import TlsFiles

if TYPE_CHECKING:
    import ssl

    from aiohttp.web import Server  # not at run time: the parent, which imports this module, does without it

log = structlog.get_logger()

READY = b"r"
"""Sent by a worker to its parent when it accepts connections."""
_SWITCH_SECONDS = 0.001
"""How long the event loop waits, each time, for a thread that computes something large."""
_GARBAGE_THRESHOLD = 10_000
"""New objects after which cycles are looked for among them; answers make many that die without."""
STOP = b"s"
"""Sent by the parent: the worker finishes its requests and exits."""
RELOAD = b"h"
"""Sent by the parent: the worker reloads the TLS certificate."""
JOB_LENGTH = 4
"""Bytes of the length (big-endian) that the parent sends first, before the pickled `Job` and `Post`."""

_PR_SET_PDEATHSIG = 1
_FIRST_REQUEST_SECONDS = 0.5
"""How long a worker that is stopped waits for the first requests of the connections that it took last."""
_GRACE_SECONDS = 5.0
"""How much longer than its requests a worker may take to end."""


class MailServer(Protocol):
    """Receives mail."""

    def __call__(self) -> asyncio.Protocol:
        """The protocol of a new connection."""

    async def finish(self, seconds: float) -> None:
        """Take no more mails, and wait until those that are being received have been."""


@dataclass(frozen=True, slots=True)
class Served:
    """The HTTP servers of a worker."""

    clients: Server
    """Answers on the listeners."""
    monitors: Server | None = None
    """Answers on the listeners for monitoring."""
    mail: MailServer | None = None
    """Answers on the listeners for mail."""


App = Callable[..., "AbstractAsyncContextManager[Served]"]
"""Called with the worker's `Post` and the job's arguments: a context that lasts as long as there are connections."""


@dataclass(frozen=True, slots=True)
class Job:
    """The work of every worker."""

    app: str
    """Where the `App` is: `package.module:name`."""
    arguments: tuple[Any, ...]
    """Its arguments after the worker's `Post`; they can be pickled."""
    stop_timeout: float
    """Seconds that requests under way may take when the worker is stopped."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "console", "json"] = "auto"
    tls: TlsFiles | None = None


@dataclass(frozen=True, slots=True)
class Post:
    """The resources of one worker: sockets, number, reason of its start."""

    listeners: tuple[int, ...]
    """Descriptors of the listening sockets."""
    counts: int
    """Descriptor of the workers' shared counts of connections."""
    workers: int
    """How many numbers of workers there are."""
    number: int
    """Which of them this worker has, from 0."""
    monitoring: tuple[int, ...] = ()
    """Descriptors of the listening sockets for monitoring."""
    mail: tuple[int, ...] = ()
    """Descriptors of the listening sockets for mail."""
    metrics: str = ""
    """Folder in which the workers count together."""
    reason: Literal["start", "died", "replaced"] = "start"
    """Why this worker was started."""


def main() -> None:
    """Run as a process of its own; `sys.argv` has the descriptor of the channel to the parent and the parent's pid."""
    channel, parent = socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])
    _end_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    length = int.from_bytes(channel.recv(JOB_LENGTH, socket.MSG_WAITALL), "big")
    # From our own parent, through a channel that nobody else has.
    job, post = pickle.loads(channel.recv(length, socket.MSG_WAITALL))  # noqa: S301
    memory.keep()
    logs.configure(job.log_level, job.log_format)
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(run_worker(job, post, channel))
        except KoyomiError as error:
            sys.exit(error.message)


async def run_worker(job: Job, post: Post, channel: socket.socket) -> None:
    """Serve until the parent says stop, or SIGTERM; then finish the requests under way, within the limit."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    tls = None if job.tls is None else job.tls.context()
    hear = {STOP: stop.set, RELOAD: lambda: _reload(job.tls, tls)}
    threading.Thread(target=_listen_to_parent, args=(channel, loop, hear), daemon=True).start()
    listeners = [socket.socket(fileno=descriptor) for descriptor in post.listeners]
    if post.metrics:
        from server.observe import metrics  # not at the top: the parent, which imports this module, does without it

        metrics.share(Path(post.metrics), post.number)
    module, _, name = job.app.partition(":")
    app: App = getattr(importlib.import_module(module), name)
    async with app(post, *job.arguments) as served, contextlib.AsyncExitStack() as stack:
        giving_back = asyncio.create_task(memory.give_back())
        stack.callback(giving_back.cancel)
        server = served.clients
        acceptor = Acceptor(listeners, server, Counts(post.counts, post.workers), post.number, tls)
        acceptor.start()
        if served.monitors is not None:
            for descriptor in post.monitoring:
                # The first worker that accepts takes the connection. Few connections arrive here.
                stack.push_async_callback(
                    _close, await loop.create_server(served.monitors, sock=socket.socket(fileno=descriptor))
                )
        mail = None
        if served.mail is not None:
            mail = SharedAcceptor([socket.socket(fileno=descriptor) for descriptor in post.mail], served.mail)
            mail.start()
        # What is there now stays for good: the collector need not look at it again and again (pauses of 28 ms).
        gc.collect()
        gc.freeze()
        gc.set_threshold(_GARBAGE_THRESHOLD)
        sys.setswitchinterval(_SWITCH_SECONDS)
        channel.sendall(READY)
        await stop.wait()
        if mail is not None:
            mail.close()
        await acceptor.close()
        if server.connections:
            # Taken just before, and the request is on its way: it is answered, not cut off.
            await asyncio.sleep(min(_FIRST_REQUEST_SECONDS, job.stop_timeout))
        server.pre_shutdown()
        if served.mail is not None:
            await served.mail.finish(job.stop_timeout)
        try:
            await asyncio.wait_for(server.shutdown(job.stop_timeout), job.stop_timeout + _GRACE_SECONDS)
        except TimeoutError:
            # What is still under way is broken off when the process ends; the database rolls it back.
            os._exit(1)


async def _close(server: asyncio.AbstractServer) -> None:
    server.close()


def _reload(files: TlsFiles | None, context: ssl.SSLContext | None) -> None:
    """Use the certificate that the files hold now; connections that there are go on with the one they began with."""
    if files is not None and context is not None:
        try:
            files.load_into(context)
        except ConfigurationError as error:
            log.error("certificate_refused", reason=error.message)


def _listen_to_parent(
    channel: socket.socket, loop: asyncio.AbstractEventLoop, hear: Mapping[bytes, Callable[[], object]]
) -> None:
    """In a thread of its own, so that a busy event loop cannot delay the end."""
    try:
        while (act := hear.get(channel.recv(1))) is not None:
            loop.call_soon_threadsafe(act)
    except OSError:
        pass
    os._exit(1)


def _end_with(parent: int) -> None:
    """Have the kernel kill this process when its parent dies, where it knows how to."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)
