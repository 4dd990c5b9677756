"""The embedded PostgreSQL: a real server, started and stopped with Koyomi.

The first process that needs the PostgreSQL of a data folder starts it, others join it, and the last one to leave
stops it: a command works while the server runs, and one that is still working when the server ends keeps PostgreSQL
until it is done. A PostgreSQL that outlived its users (SIGKILL) is joined by the next one. See `launcher` for how.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, urlencode

from server.domain.errors import DatabaseError, KoyomiError
from server.observe.background import run_forever
from storage_plugins.postgres.embedded.cluster_settings import ROLE
from storage_plugins.postgres.embedded.initdb import DATABASE
from storage_plugins.postgres.embedded.launcher import Launcher
from storage_plugins.postgres.embedded.postmaster import PidFile

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_WATCH_INTERVAL = 1.0
"""Seconds between two checks whether PostgreSQL runs."""
_LONGEST_INTERVAL = 30.0
"""The same while it cannot be started."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running embedded PostgreSQL."""

    socket_folder: Path
    port: int

    def dsn(self, database: str = DATABASE) -> str:
        """The URL of one of its databases, for asyncpg and libpq. It holds no secret: peer authentication."""
        return f"postgresql://{ROLE}@/{quote(database)}?{urlencode({'host': self.socket_folder, 'port': self.port})}"


@contextlib.asynccontextmanager
async def embedded(
    data: Path, *, binaries: Path | None = None, durable: bool = True, progress: Callable[[str], None] = _log.info
) -> AsyncIterator[Cluster]:
    """Use the PostgreSQL under `data` (made if it does not exist) for as long as the context lasts.

    While it does, PostgreSQL is started again should it die. `binaries` is the folder of PostgreSQL's programs (by
    default the wheel's, else the PATH's). `progress` is told in a line what takes time. Without `durable` commits do
    not wait for the disk: for tests. Raises `ConfigurationError` and `DatabaseError`, with what mends it in the
    message.
    """
    abandon = threading.Event()
    launcher = Launcher(data, binaries=binaries, durable=durable, progress=progress, abandon=abandon)
    try:
        cluster = _cluster(await _in_thread(launcher.enter, abandon))
        watcher = asyncio.create_task(_watch(launcher, abandon, progress))
        try:
            yield cluster
        finally:
            watcher.cancel()
            await asyncio.wait([watcher])
    finally:
        await _in_thread(launcher.leave, None)


@contextlib.contextmanager
def embedded_blocking(
    data: Path, *, binaries: Path | None = None, durable: bool = True, progress: Callable[[str], None] = _log.info
) -> Iterator[Cluster]:
    """`embedded` for code without an event loop, such as commands; a PostgreSQL that dies meanwhile stays dead."""
    launcher = Launcher(data, binaries=binaries, durable=durable, progress=progress, abandon=threading.Event())
    try:
        yield _cluster(launcher.enter())
    finally:
        launcher.leave()


def _cluster(noted: PidFile) -> Cluster:
    if noted.socket_folder is None or noted.port is None:
        raise DatabaseError("The running PostgreSQL has no socket")
    return Cluster(noted.socket_folder, noted.port)


async def _in_thread(work: Callable[[], _T], abandon: threading.Event | None) -> _T:
    """Run blocking work to its end, in a thread. When cancelled, tell it to abandon its work, and wait for its end."""
    running = asyncio.get_running_loop().run_in_executor(None, work)
    cancelled: asyncio.CancelledError | None = None
    while not running.done():
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError as error:
            cancelled = error
            if abandon is not None:
                abandon.set()
    if cancelled is not None:
        running.exception()
        raise cancelled
    return running.result()


async def _watch(launcher: Launcher, abandon: threading.Event, progress: Callable[[str], None]) -> None:
    pause = _WATCH_INTERVAL

    async def step() -> None:
        nonlocal pause
        await asyncio.sleep(pause)
        try:
            await _in_thread(launcher.revive, abandon)
            pause = _WATCH_INTERVAL
        except (KoyomiError, OSError) as error:
            progress(str(error))
            pause = min(pause * 2, _LONGEST_INTERVAL)

    await run_forever("embedded_postgresql", step)
