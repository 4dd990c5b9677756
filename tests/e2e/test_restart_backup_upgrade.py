"""Sixteen clients write on while the server is restarted, moved beside a new one, backed up, and PostgreSQL upgraded.

Unlike with kills nothing is in doubt here: a write that was not answered was not carried out either. Clients that
synchronise go on, and begin anew only when a backup was restored; so does vdirsyncer, with a folder of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from tests.e2e import processes
from tests.e2e.conftest import load_people
from tests.e2e.http_connection import Connection
from tests.e2e.sync_client import SyncClient, listing
from tests.e2e.test_nothing_lost import CLIENTS, PEOPLE, Client, Member, follow
from tests.e2e.vdirsyncer_copy import VdirsyncerCopy
from tests.server_process import ServerProcess, free_port, running

POSTGRES_15 = Path("/usr/lib/postgresql/15/bin")
SETTINGS: dict[str, object] = {"network.workers": 2, "log.level": "warning"}


@dataclass
class CertainMember(Member):
    """A member of which every state is remembered, and whose unanswered writes must not have happened."""

    history: list[str | None] = field(default_factory=lambda: [None])

    def answered(self, state: str | None) -> None:
        super().answered(state)
        self.history.append(state)

    def saw(self, state: str | None) -> None:
        assert state == self.state, f"{self.href}: a write was carried out that was not answered"
        self.possible = []


@dataclass
class Load:
    """What writes and what follows."""

    clients: list[Client]
    copies: list[SyncClient]
    counts: Counter[str]
    folder: VdirsyncerCopy

    @property
    def members(self) -> list[CertainMember]:
        return [member for client in self.clients for member in client.members if isinstance(member, CertainMember)]

    async def more(self, writes: int) -> None:
        """Wait until so many more writes were answered."""
        enough = self.counts["answered"] + writes
        await processes.until(lambda: self.counts["answered"] >= enough)

    def move(self, port: int) -> None:
        """Send everything to another port, from the next connection on."""
        for http in [*(client.http for client in self.clients), *(copy.http for copy in self.copies)]:
            http.port = port
        self.folder.port = port


@contextlib.asynccontextmanager
async def writing(server: ServerProcess) -> AsyncIterator[Load]:
    """Clients that write and others that follow, until the context ends; then everything must be there."""
    counts: Counter[str] = Counter()
    clients = [Client(server, number, counts) for number in range(CLIENTS)]
    for client in clients:
        client.members = [CertainMember(member.href) for member in client.members]
    copies = [
        SyncClient(Connection(server.port, name, name), f"/calendars/users/{name}/", infinite=True) for name in PEOPLE
    ]
    folder = VdirsyncerCopy(Path(tempfile.mkdtemp(dir=server.data.parent)), PEOPLE[0], server.port)
    load, over = Load(clients, copies, counts, folder), asyncio.Event()
    async with folder.going_on(), asyncio.TaskGroup() as group:
        for client in clients:
            group.create_task(client.write())
        for copy in copies:
            group.create_task(follow(copy, over))
        try:
            yield load
        finally:
            over.set()
            for client in clients:
                client.over = True
    for client in clients:
        await client.look()
        client.http.drop()
    for copy in copies:
        while (await copy.sync(None)) is None:
            pass
        assert copy.known == await listing(copy.http, copy.href, infinite=True)
        copy.http.drop()
    await folder.ends_equal()
    print(dict(counts), f"vdirsyncer: {len(folder.own)} runs, {folder.failed} failed")


def replaced(server: ServerProcess, before: set[int]) -> bool:
    """Whether there are as many workers as there were, and all are others."""
    with contextlib.suppress(psutil.NoSuchProcess):  # one that is just ending
        now = {worker.pid for worker in processes.workers(server)}
        return len(now) == len(before) and not now & before
    return False


async def test_restarts_under_load(server_folder: Path) -> None:
    server = ServerProcess(server_folder / "restart", server_folder / "restart.log", SETTINGS)
    load_people(server, PEOPLE)
    with running(server):
        async with writing(server) as load:
            for _ in range(4):
                await load.more(60)
                assert await asyncio.to_thread(server.stop) == 0
                await asyncio.to_thread(server.start)
            # New workers one after another, by which the server never ceases to accept.
            await load.more(60)
            before = {worker.pid for worker in processes.workers(server)}
            assert server.process is not None
            server.process.send_signal(signal.SIGUSR2)
            await processes.until(lambda: replaced(server, before))
            await load.more(60)
            # A new server beside the old one, on the same data; then the old one goes.
            beside = ServerProcess(server.data, server_folder / "beside.log", SETTINGS, free_port())
            await asyncio.to_thread(beside.start)
            try:
                await load.more(60)
                load.move(beside.port)
                assert await asyncio.to_thread(server.stop) == 0
                await load.more(120)
                server.start()
                load.move(server.port)
            finally:
                await asyncio.to_thread(beside.stop)
            await load.more(60)
        assert [copy.restarts for copy in load.copies] == [0] * len(PEOPLE)
        assert server.command("db", "check", "--all") == "Nothing differs.\n"
    for log in (server.log, beside.log):
        assert "Traceback" not in log.read_text()


@pytest.mark.parametrize("kind", ["copy", "sql"])
async def test_a_backup_taken_under_load(server_folder: Path, kind: str) -> None:
    server = ServerProcess(server_folder / f"origin-{kind}", server_folder / f"origin-{kind}.log", SETTINGS)
    backup = server_folder / f"backup-{kind}"
    load_people(server, PEOPLE)
    with running(server):
        async with writing(server) as load:
            await load.more(200)
            first = [len(member.history) - 1 for member in load.members]
            await asyncio.to_thread(server.command, "backup", str(backup), *(["--sql"] if kind == "sql" else []))
            last = [len(member.history) + 1 for member in load.members]
            await load.more(200)
    elsewhere = ServerProcess(server_folder / f"elsewhere-{kind}", server_folder / f"elsewhere-{kind}.log", SETTINGS)
    elsewhere.command("restore", "--from", str(backup))
    shutil.rmtree(backup)
    assert elsewhere.command("db", "check", "--all") == "Nothing differs.\n"
    with running(elsewhere):
        load.move(elsewhere.port)
        for client in load.clients:
            for member in client.members:
                found = await client.get(member.href)
                at = load.members.index(member)
                # The state of a moment while the backup was taken, or what was written at that very moment.
                assert found in load.members[at].history[first[at] : last[at] + 1], member.href
            client.http.drop()
        for copy in load.copies:
            before = copy.restarts
            while (await copy.sync(None)) is None:
                pass
            assert copy.restarts == before + 1
            assert copy.known == await listing(copy.http, copy.href, infinite=True)
            copy.http.drop()
        # What it had sent since the backup is gone there, and so here.
        await load.folder.ends_equal(complete=False)


async def test_another_major_version_of_postgresql_between_two_writes(server_folder: Path) -> None:
    if not (POSTGRES_15 / "postgres").exists():
        pytest.skip("PostgreSQL 15 is not installed")
    data = server_folder / "major"
    old = ServerProcess(data, server_folder / "old.log", {**SETTINGS, "storage.postgres_bin": POSTGRES_15})
    new = ServerProcess(data, server_folder / "new.log", {**SETTINGS, "storage.postgres_bin": ""}, old.port)
    load_people(old, PEOPLE)
    old.start()
    try:
        async with writing(old) as load:
            await load.more(200)
            assert await asyncio.to_thread(old.stop) == 0
            await asyncio.to_thread(new.command, "db", "upgrade-postgres", "--old-bin", str(POSTGRES_15))
            assert (data / "postgres/cluster/PG_VERSION").read_text().strip() != "15"
            await asyncio.to_thread(new.start)
            await load.more(200)
        assert [copy.restarts for copy in load.copies] == [0] * len(PEOPLE)
        assert new.command("db", "check", "--all") == "Nothing differs.\n"
    finally:
        old.stop()
        new.stop()
