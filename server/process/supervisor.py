"""The parent of the workers: it owns the sockets and the embedded PostgreSQL, and answers no request itself.

SIGTERM and SIGINT stop the server: it finishes the requests under way, within a limit. A second signal aborts them.
SIGHUP reloads the TLS certificate without closing connections. A terminal that closes sends SIGHUP too: then it stops
the server. SIGUSR2 replaces the workers one after another, by those of a new version if one was installed meanwhile.
A worker serves until its successor accepts connections, and goes on if the successor does not start.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import tempfile
from collections.abc import Callable, Sequence

import click
import structlog

from server.observe import log as logs
from server.observe.background import failed
from server.process.listening import Counts, close_all, open_listeners, open_unix_listener, remove_unix_path, url_of
from server.process.settings import NetworkSettings
from server.process.signals import Signals, Stopped
from server.process.tls import TlsFiles
from server.process.worker import RELOAD, Job, Post
from server.process.worker_slot import Slot, first
from server.settings.model import Settings
from storage_plugins.postgres.embedded.server import embedded

log = structlog.get_logger()

APP = "server.app:served"
"""The application of the workers of `koyomi serve`; called with the settings and the database's DSN."""


def run(settings: Settings) -> int:
    """Serve until stopped; returns the exit status. Raises `ConfigurationError` and `DatabaseError`."""
    logs.configure(settings.log.level, settings.log.format)
    return asyncio.run(_serve(settings))


def tls_files(settings: NetworkSettings) -> TlsFiles | None:
    """The files for TLS that the settings name; None if the server's port has no TLS."""
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    return TlsFiles(settings.tls_cert.absolute(), settings.tls_key.absolute(), settings.tls_version)


async def _serve(settings: Settings) -> int:
    network = settings.network
    tls = tls_files(network)
    if tls is not None:
        tls.context()
    listeners = open_listeners(network.host, network.port)
    monitoring: list[socket.socket] = []
    unix: socket.socket | None = None
    mail: list[socket.socket] = []
    incoming = settings.mail.incoming
    mail_unix: socket.socket | None = None
    try:
        if network.unix_socket is not None:
            unix = open_unix_listener(network.unix_socket)
            listeners.append(unix)
        if settings.monitoring.port:
            monitoring = open_listeners(settings.monitoring.host, settings.monitoring.port, option="monitoring.port")
        for place in incoming.lmtp_listen:
            host, _, port = place.rpartition(":")
            mail += open_listeners(host.strip("[]"), int(port), option="mail.incoming.lmtp_listen")
        if incoming.lmtp_socket is not None:
            mail_unix = open_unix_listener(incoming.lmtp_socket)
            mail.append(mail_unix)
        async with contextlib.AsyncExitStack() as stack:
            signals = stack.enter_context(Signals.handled())
            dsn = settings.storage.database.get_secret_value()
            if not dsn:
                postgres = embedded(settings.storage.data, binaries=settings.storage.postgres_bin, progress=_tell)
                dsn = (await signals.unless_stopped(stack.enter_async_context(postgres))).dsn()
            # Not at the top: only `koyomi serve` itself needs a driver, and only for a moment.
            from server.process.preparation import prepare

            await signals.unless_stopped(prepare(dsn, settings))
            job = Job(APP, (settings, dsn), network.stop_timeout, settings.log.level, settings.log.format, tls)
            places = " and ".join(url_of(listener, tls=tls is not None) for listener in listeners)
            return await supervise(
                listeners,
                network.workers,
                job,
                signals,
                ready=lambda: _tell(f"Koyomi serves on {places}"),
                monitoring=monitoring,
                mail=mail,
            )
    except Stopped:
        return 0
    finally:
        close_all([*listeners, *monitoring, *mail])
        if incoming.lmtp_socket is not None:
            remove_unix_path(incoming.lmtp_socket, mail_unix)
        if network.unix_socket is not None:
            remove_unix_path(network.unix_socket, unix)


def _tell(line: str) -> None:
    # The terminal may be gone.
    with contextlib.suppress(OSError):
        click.echo(line)


async def supervise(
    listeners: Sequence[socket.socket],
    workers: int,
    job: Job,
    signals: Signals,
    *,
    ready: Callable[[], None],
    monitoring: Sequence[socket.socket] = (),
    mail: Sequence[socket.socket] = (),
) -> int:
    """Keep `workers` processes at the job until told to stop; closes the listeners then.

    `monitoring` and `mail` are listeners too: those for health and metrics, and those for mail.
    `ready` is called once, when every worker accepts connections. Returns the exit status: 1 if a worker ended before
    any worker accepted connections. A worker that ends later is followed by another.
    """
    with tempfile.TemporaryFile() as shared, tempfile.TemporaryDirectory(prefix="koyomi-metrics-") as metrics:
        # A worker and its successor serve side by side for a while, so each slot has two numbers.
        numbers = 2 * workers
        counts = Counts(shared.fileno(), numbers)
        handles = tuple(listener.fileno() for listener in listeners)
        extra = tuple(listener.fileno() for listener in monitoring)
        by_mail = tuple(listener.fileno() for listener in mail)
        posts = [Post(handles, shared.fileno(), numbers, number, extra, by_mail, metrics) for number in range(workers)]
        serving = asyncio.Event()
        slots = [Slot(job, post, counts, signals, serving) for post in posts]
        keeping = [asyncio.create_task(slot.keep()) for slot in slots]
        try:
            return await _watch(slots, keeping, signals, serving, ready)
        finally:
            # A closed socket refuses at once what would wait in vain otherwise.
            close_all([*listeners, *mail])
            signals.stop.set()
            await asyncio.gather(*keeping)


async def _watch(
    slots: Sequence[Slot],
    keeping: Sequence[asyncio.Task[None]],
    signals: Signals,
    serving: asyncio.Event,
    ready: Callable[[], None],
) -> int:
    stopping = asyncio.ensure_future(signals.stop.wait())
    starting = asyncio.ensure_future(_report_ready(slots, ready))
    replacing: asyncio.Future[None] | None = None
    try:
        await first(asyncio.shield(stopping), serving.wait(), *map(asyncio.shield, keeping))
        if stopping.done():
            return 0
        if any(each.done() for each in keeping):
            return 1
        while True:
            next_round = signals.replace.wait() if replacing is None else asyncio.shield(replacing)
            await first(asyncio.shield(stopping), signals.reload.wait(), next_round)
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


async def _replace_all(slots: Sequence[Slot]) -> None:
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


async def _report_ready(slots: Sequence[Slot], ready: Callable[[], None]) -> None:
    for slot in slots:
        await slot.accepting.wait()
    ready()
