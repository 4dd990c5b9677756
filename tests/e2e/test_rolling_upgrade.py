"""Servers of the version before and of this one serve sixteen writers side by side while migrations run."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

import psutil
import pytest

from tests.e2e import processes
from tests.e2e.conftest import load_people
from tests.e2e.test_nothing_lost import CLIENTS, PEOPLE
from tests.e2e.test_restart_backup_upgrade import SETTINGS, Load, replaced, writing
from tests.server_process import ServerProcess, free_port

REPOSITORY = Path(__file__).resolve().parents[2]
VERSION_BEFORE = "98fa542fdd1d4c0eb1f4a56c357421cc57432712"
"""The commit of the version that the last of `migrations.DEPLOYMENTS` belongs to."""
NAMES_BEFORE = {
    "storage.data": "KOYOMI_DATA",
    "storage.postgres_bin": "KOYOMI_POSTGRES_BIN",
    "network.port": "KOYOMI_PORT",
    "network.workers": "KOYOMI_WORKERS",
    "log.level": "KOYOMI_LOG_LEVEL",
}
"""The variables of that version, by option name."""


@pytest.fixture
def code_before(server_folder: Path) -> Path:
    """The code of the version before, from the history of this repository."""
    git = ["git", "-C", str(REPOSITORY), "archive", VERSION_BEFORE, "server", "storage_plugins"]
    try:
        archive = subprocess.run(git, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip(f"the commit {VERSION_BEFORE} cannot be had: this is no clone with the whole history")
    folder = server_folder / "code"
    with tarfile.open(fileobj=BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    return folder


def move(load: Load, port: int, every: int) -> None:
    """Send one of so many clients and copies to another port, from their next connection on."""
    clients = [client.http for client in load.clients]
    for http in [*clients[::every], *[copy.http for copy in load.copies][::every]]:
        http.port = port


async def new_workers(server: ServerProcess) -> None:
    """Let a server replace its workers, which ends all connections after an answer."""
    before = {worker.pid for worker in processes.workers(server)}
    assert server.process is not None
    server.process.send_signal(signal.SIGUSR2)
    await processes.until(lambda: replaced(server, before))


def connections(server: ServerProcess) -> int:
    """How many of clients a server's workers hold."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return sum(
            bool(each.raddr) and each.laddr.port == server.port
            for worker in processes.workers(server)
            for each in worker.net_connections("tcp")
        )
    return 0


async def test_both_versions_serve_while_the_steps_run(server_folder: Path, code_before: Path) -> None:
    data = server_folder / "rolling"
    old = ServerProcess(data, server_folder / "before.log", SETTINGS, code=code_before, named=NAMES_BEFORE.__getitem__)
    new = ServerProcess(data, server_folder / "after.log", SETTINGS, free_port())
    load_people(old, PEOPLE)
    try:
        await asyncio.to_thread(old.start)
        async with writing(old) as load:
            await load.more(200)
            # The steps before a deployment, and the functions.
            await asyncio.to_thread(new.start)
            await load.more(100)
            # Half of the clients at each, and vdirsyncer at the new one; workers of the old version start on the new
            # tables.
            move(load, new.port, 2)
            load.folder.port = new.port
            await new_workers(old)
            await processes.until(lambda: min(connections(old), connections(new)) >= CLIENTS // 2)
            await load.more(200)
            # The online steps; then back again, since an upgrade can be called off until it is finished.
            said = await asyncio.to_thread(new.command, "db", "upgrade")
            assert "The database is up to date." in said
            await load.more(200)
            load.folder.port = old.port
            move(load, old.port, 1)
            await new_workers(new)
            await load.more(200)
            load.move(new.port)
            await new_workers(old)
            await load.more(100)
            assert await asyncio.to_thread(old.stop) == 0
            said = await asyncio.to_thread(new.command, "db", "upgrade", "--finish")
            assert "The database is up to date." in said
            await load.more(200)
            with pytest.raises(RuntimeError, match="newer than this version"):
                await asyncio.to_thread(old.command, "db", "upgrade")
        assert [copy.restarts for copy in load.copies] == [0] * len(PEOPLE)
        # The version before has named itself in what it wrote, until the last moment.
        new.command("db", "rederive")
        assert new.command("db", "rederive", "--dry-run") == "0 objects wait.\n"
        assert new.command("db", "check", "--all") == "Nothing differs.\n"
    finally:
        await asyncio.to_thread(old.stop)
        await asyncio.to_thread(new.stop)
    for log in (old.log, new.log):
        assert "Traceback" not in log.read_text(), log
