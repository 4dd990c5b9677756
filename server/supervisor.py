"""The parent of the workers: it owns the sockets and the embedded PostgreSQL, and answers no request itself.

SIGTERM and SIGINT stop the server: the requests under way are finished, within a limit; a second one breaks them off.
SIGHUP has the TLS certificate read anew, and no connection ends; when a terminal is being closed, which sends it too,
it stops the server. SIGUSR2 replaces the workers one after another: by those of a new version, if one was installed
meanwhile. A worker serves until its successor accepts connections, and goes on where the successor does not start.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import pickle
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TypeVar

import click
import structlog

from server import log as logs
from server.background import failed
from server.errors import KoyomiError
from server.listening import IDLE, Counts, close_all, open_listeners, open_unix_listener, remove_unix_path, url_of
from server.settings import Settings
from server.tls import TlsFiles
from server.worker import JOB_LENGTH, READY, RELOAD, STOP, Job, Post
from storage_plugins.postgres.embedded import embedded

log = structlog.get_logger()
_T = TypeVar("_T")

APP = "server.app:served"
"""What the workers of `koyomi serve` run; called with the settings and the database's DSN."""

_GRACE_SECONDS = 10.0
"""How much longer than its requests a worker may take to end before it is killed."""
_ONE_PRESS = 1.0
"""Seconds in which several signals are one: `make`, `timeout` and others pass on what reached the group anyway."""
_FIRST_PAUSE = 0.1
"""Seconds before a worker that died is started again; doubled each time it dies young."""
_LONGEST_PAUSE = 30.0
"""Seconds; a worker that lived this long did not die young."""
_START_SECONDS = 60.0
"""How long a successor may take until it accepts connections."""


class _Stopped(Exception):
    """The server was told to stop before it was ready."""


def run(settings: Settings) -> int:
    """Serve until stopped; gives the exit status. Raises `ConfigurationError` and `DatabaseError`."""
    logs.configure(settings.log_level, settings.log_format)
    return asyncio.run(_serve(settings))


def tls_files(settings: Settings) -> TlsFiles | None:
    """What the settings say of TLS; None where the server's port has none."""
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    return TlsFiles(settings.tls_cert.absolute(), settings.tls_key.absolute(), settings.tls_version)


async def _serve(settings: Settings) -> int:
    tls = tls_files(settings)
    if tls is not None:
        tls.context()
    listeners = open_listeners(settings.host, settings.port)
    monitoring: list[socket.socket] = []
    unix: socket.socket | None = None
    try:
        if settings.unix_socket is not None:
            unix = open_unix_listener(settings.unix_socket)
            listeners.append(unix)
        if settings.metrics_port:
            monitoring = open_listeners(settings.metrics_host, settings.metrics_port, option="metrics_port")
        async with contextlib.AsyncExitStack() as stack:
            signals = stack.enter_context(Signals.handled())
            dsn = settings.database.get_secret_value()
            if not dsn:
                postgres = embedded(settings.data, binaries=settings.postgres_bin, progress=_tell)
                dsn = (await signals.unless_stopped(stack.enter_async_context(postgres))).dsn()
            # Not at the top: only `koyomi serve` itself needs a driver, and only for a moment.
            from server.preparation import prepare

            await signals.unless_stopped(prepare(dsn, settings))
            job = Job(APP, (settings, dsn), settings.stop_timeout, settings.log_level, settings.log_format, tls)
            places = " and ".join(url_of(listener, tls=tls is not None) for listener in listeners)
            return await supervise(
                listeners,
                settings.workers,
                job,
                signals,
                ready=lambda: _tell(f"Koyomi serves on {places}"),
                monitoring=monitoring,
            )
    except _Stopped:
        return 0
    finally:
        close_all([*listeners, *monitoring])
        if settings.unix_socket is not None:
            remove_unix_path(settings.unix_socket, unix)


def _tell(line: str) -> None:
    # The terminal may be gone.
    with contextlib.suppress(OSError):
        click.echo(line)


class Signals:
    """What the signals that were received ask for."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        """Finish the requests and end."""
        self.stop_now = asyncio.Event()
        """End."""
        self.reload = asyncio.Event()
        """Read the TLS certificate anew."""
        self.replace = asyncio.Event()
        """Replace the workers."""
        self._told_at = 0.0

    @classmethod
    @contextlib.contextmanager
    def handled(cls) -> Iterator[Signals]:
        """Handle the signals as long as the context lasts."""
        signals, loop = cls(), asyncio.get_running_loop()
        handlers: dict[int, Callable[[], None]] = {
            signal.SIGTERM: signals._on_stop,
            signal.SIGINT: signals._on_stop,
            signal.SIGHUP: signals._on_stop if sys.stdin and sys.stdin.isatty() else signals.reload.set,
            signal.SIGUSR2: signals.replace.set,
        }
        for number, handler in handlers.items():
            loop.add_signal_handler(number, handler)
        try:
            yield signals
        finally:
            for number in handlers:
                loop.remove_signal_handler(number)

    def _on_stop(self) -> None:
        if not self.stop.is_set():
            self._told_at = time.monotonic()
            self.stop.set()
        elif time.monotonic() - self._told_at > _ONE_PRESS:
            self.stop_now.set()

    async def unless_stopped(self, work: Awaitable[_T]) -> _T:
        """Wait for something; when told to stop, cancel it and raise `_Stopped`."""
        working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(self.stop.wait())
        await asyncio.wait([working, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not working.done():
            working.cancel()
            with contextlib.suppress(asyncio.CancelledError, KoyomiError):
                await working
            raise _Stopped
        return await working


async def supervise(
    listeners: Sequence[socket.socket],
    workers: int,
    job: Job,
    signals: Signals,
    *,
    ready: Callable[[], None],
    monitoring: Sequence[socket.socket] = (),
) -> int:
    """Keep `workers` processes at the job until told to stop; closes the listeners then.

    `monitoring` are listeners too, those for health and metrics.
    `ready` is called once, when every worker accepts connections. Returns the exit status: 1 if a worker ended before
    any worker accepted connections. A worker that ends later is followed by another.
    """
    with tempfile.TemporaryFile() as shared, tempfile.TemporaryDirectory(prefix="koyomi-metrics-") as metrics:
        # A worker and its successor serve side by side for a while, so each slot has two numbers.
        numbers = 2 * workers
        counts = Counts(shared.fileno(), numbers)
        handles = tuple(listener.fileno() for listener in listeners)
        extra = tuple(listener.fileno() for listener in monitoring)
        posts = [Post(handles, shared.fileno(), numbers, number, extra, metrics) for number in range(workers)]
        serving = asyncio.Event()
        slots = [_Slot(job, post, counts, signals, serving) for post in posts]
        keeping = [asyncio.create_task(slot.keep()) for slot in slots]
        try:
            return await _watch(slots, keeping, signals, serving, ready)
        finally:
            # A closed socket refuses at once what would wait in vain otherwise.
            close_all(listeners)
            signals.stop.set()
            await asyncio.gather(*keeping)


async def _watch(
    slots: Sequence[_Slot],
    keeping: Sequence[asyncio.Task[None]],
    signals: Signals,
    serving: asyncio.Event,
    ready: Callable[[], None],
) -> int:
    stopping = asyncio.ensure_future(signals.stop.wait())
    starting = asyncio.ensure_future(_report_ready(slots, ready))
    replacing: asyncio.Future[None] | None = None
    try:
        await _first(asyncio.shield(stopping), serving.wait(), *map(asyncio.shield, keeping))
        if stopping.done():
            return 0
        if any(each.done() for each in keeping):
            return 1
        while True:
            next_round = signals.replace.wait() if replacing is None else asyncio.shield(replacing)
            await _first(asyncio.shield(stopping), signals.reload.wait(), next_round)
            if stopping.done():
                return 0
            if signals.reload.is_set():
                signals.reload.clear()
                log.info("certificate_reloaded")
                for slot in slots:
                    slot.tell(RELOAD)
            if replacing is not None and replacing.done():
                replacing = None
            elif replacing is None and signals.replace.is_set():
                signals.replace.clear()
                replacing = asyncio.ensure_future(_replace_all(slots))
    finally:
        stopping.cancel()
        starting.cancel()
        if replacing is not None:
            replacing.cancel()
            await asyncio.wait([replacing])


async def _replace_all(slots: Sequence[_Slot]) -> None:
    """Replace the workers one after another; stop at the first whose successor does not start."""
    for slot in slots:
        try:
            replaced = await slot.replace()
        except Exception as error:
            failed("worker", error)
            replaced = False
        if not replaced:
            log.error("workers_not_replaced", reason="the new worker did not start; the old ones go on")
            return
    log.info("workers_replaced")


async def _report_ready(slots: Sequence[_Slot], ready: Callable[[], None]) -> None:
    for slot in slots:
        await slot.accepting.wait()
    ready()


@dataclasses.dataclass(frozen=True, slots=True)
class _Worker:
    """A worker's process."""

    post: Post
    process: asyncio.subprocess.Process
    channel: socket.socket
    ended: asyncio.Future[int]
    """Done with the exit status."""


class _Slot:
    """The place of one worker: one that dies is followed by another."""

    def __init__(self, job: Job, post: Post, counts: Counts, signals: Signals, serving: asyncio.Event) -> None:
        """`serving` is shared by all slots, and set when the first worker accepts connections: workers can start.

        Until then a worker that ends is not followed by another.
        """
        self._job = job
        self._post = post
        self._counts = counts
        self._signals = signals
        self._serving = serving
        self._retire = asyncio.Event()
        self._successor: _Worker | None = None
        self._channels: set[socket.socket] = set()
        self.accepting = asyncio.Event()
        """Whether there is a worker that accepts connections."""

    async def keep(self) -> None:
        """Have a worker until told to stop."""
        pause = _FIRST_PAUSE
        while not self._signals.stop.is_set():
            born = time.monotonic()
            self._retire.clear()
            worker, self._successor = self._successor, None
            try:
                if worker is None:
                    worker = await self._start(self._post)
                    await self._one_life(worker, accepts=await self._accepts(worker))
                else:
                    self._post = worker.post
                    await self._one_life(worker, accepts=True)
            except Exception as error:
                # Such as no process, memory or descriptor left.
                failed("worker", error)
            self.accepting.clear()
            if self._signals.stop.is_set() or not self._serving.is_set():
                break
            if self._successor is not None:
                continue
            self._post = dataclasses.replace(self._post, reason="died")
            pause = min(pause * 2, _LONGEST_PAUSE) if time.monotonic() - born < _LONGEST_PAUSE else _FIRST_PAUSE
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._signals.stop.wait(), pause)
        if self._successor is not None:
            await self._end(self._successor)

    def tell(self, message: bytes) -> None:
        """Send a message to the worker; one that is just being started reads everything by itself."""
        for channel in self._channels:
            with contextlib.suppress(OSError):
                channel.send(message)

    async def replace(self) -> bool:
        """Start another worker, and let the old one finish its requests once that accepts connections.

        Returns when the old one has ended, or at the stop; False when the new one does not start: the old one stays.
        """
        number = (self._post.number + self._post.workers // 2) % self._post.workers
        successor = await self._start(dataclasses.replace(self._post, number=number, reason="replaced"))
        accepts = False
        try:
            async with asyncio.timeout(_START_SECONDS):
                accepts = await self._accepts(successor)
        except TimeoutError:
            pass
        finally:
            if not accepts:
                await self._end(successor)
        if not accepts:
            return self._signals.stop.is_set()
        self._successor = successor
        self._channels.add(successor.channel)
        self.accepting.clear()
        self._retire.set()
        await _first(self.accepting.wait(), self._signals.stop.wait())
        return True

    async def _accepts(self, worker: _Worker) -> bool:
        """Wait until a worker accepts connections; False when it ends before, or at the stop."""
        hearing = asyncio.ensure_future(asyncio.get_running_loop().sock_recv(worker.channel, 1))
        try:
            await _first(asyncio.shield(worker.ended), asyncio.shield(hearing), self._signals.stop.wait())
            return hearing.done() and not hearing.exception() and hearing.result() == READY
        finally:
            hearing.cancel()

    async def _one_life(self, worker: _Worker, *, accepts: bool) -> None:
        """Wait for the end of a worker, or bring it about when it is to retire or the server stops."""
        try:
            if accepts:
                self._channels.add(worker.channel)
                self.accepting.set()
                self._serving.set()
                await _first(asyncio.shield(worker.ended), self._signals.stop.wait(), self._retire.wait())
            if worker.ended.done() and self._serving.is_set():
                log.error("worker_died", worker=worker.post.number, status=worker.ended.result())
        finally:
            await self._end(worker)

    async def _start(self, post: Post) -> _Worker:
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-c",
                "from server.worker import main; main()",
                str(theirs.fileno()),
                str(os.getpid()),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), post.counts, *post.listeners, *post.monitoring),
                # Ctrl-C at the terminal reaches the parent alone, which then stops the workers.
                process_group=0,
            )
        ours.setblocking(False)
        with contextlib.suppress(OSError):
            job = pickle.dumps((self._job, post))
            await asyncio.get_running_loop().sock_sendall(ours, len(job).to_bytes(JOB_LENGTH, "big") + job)
        return _Worker(post, process, ours, asyncio.ensure_future(process.wait()))

    async def _end(self, worker: _Worker) -> None:
        """Let a worker finish its requests and end, within the limit; returns at once where it has ended."""
        try:
            if not worker.ended.done():
                with contextlib.suppress(OSError):
                    worker.channel.send(STOP)
                limit = self._job.stop_timeout + _GRACE_SECONDS
                await _first(asyncio.shield(worker.ended), self._signals.stop_now.wait(), asyncio.sleep(limit))
            if not worker.ended.done():
                log.warning("worker_killed", worker=worker.post.number)
                worker.process.kill()
                await worker.ended
        finally:
            self._counts[worker.post.number] = IDLE
            self._channels.discard(worker.channel)
            worker.channel.close()


async def _first(*awaitables: Awaitable[object]) -> None:
    """Wait until one of them is done; cancel the others."""
    futures = [asyncio.ensure_future(each) for each in awaitables]
    try:
        await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for future in futures:
            future.cancel()
