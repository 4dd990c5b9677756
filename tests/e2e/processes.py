"""The processes of a running server, to be looked at or killed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import asyncpg
import psutil

from storage_plugins.postgres.embedded.server import Cluster, embedded
from tests.server_process import ServerProcess


def parent(server: ServerProcess) -> psutil.Process:
    """The server's first process, which has the workers and maybe PostgreSQL for children."""
    assert server.process is not None
    return psutil.Process(server.process.pid)


def workers(server: ServerProcess) -> list[psutil.Process]:
    """The processes that answer requests."""
    return [child for child in parent(server).children() if "server.process.worker" in _command(child)]


def _command(process: psutil.Process) -> str:
    """Its command line; empty when it has ended meanwhile."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return " ".join(process.cmdline())
    return ""


def postmaster(server: ServerProcess) -> psutil.Process:
    """The first process of the embedded PostgreSQL."""
    return psutil.Process(int((server.data / "postgres/cluster/postmaster.pid").read_text().split()[0]))


def kill(processes: Iterable[psutil.Process]) -> None:
    """SIGKILL for all of them at once."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def worker_of(server: ServerProcess, client_port: int) -> int:
    """The pid of the worker that holds the other end of a connection."""
    for worker in workers(server):
        for connection in worker.net_connections("tcp"):
            if connection.raddr and connection.raddr.port == client_port and connection.laddr.port == server.port:
                return worker.pid
    raise LookupError(f"no worker holds the connection from port {client_port}")


def cluster(server: ServerProcess) -> AbstractAsyncContextManager[Cluster]:
    """The server's embedded PostgreSQL."""
    programs = server.environment.get("KOYOMI_STORAGE_POSTGRES_BIN")
    return embedded(server.data, binaries=Path(programs) if programs else None)


@contextlib.asynccontextmanager
async def database(server: ServerProcess) -> AsyncIterator[asyncpg.Connection]:
    """A connection of our own to it."""
    async with cluster(server) as joined:
        connection = await asyncpg.connect(joined.dsn())
        try:
            yield connection
        finally:
            await connection.close()


async def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait for something that must happen; how long it takes is not what is tested."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)
