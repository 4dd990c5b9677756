"""Backups: a copy of the whole cluster with the write-ahead log that makes it whole, or the database as SQL.

A backup is a folder with a `backup.json`, which is written last: without it there is no backup. The copy
(`base.tar.gz`, `pg_wal.tar.gz`) is of the embedded PostgreSQL, restores quickly and needs the same major version; the
SQL (`database.sql.gz`) fits every version and every kind of installation.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from server.domain.errors import ConfigurationError, DatabaseError
from storage_plugins.postgres.backup import dump
from storage_plugins.postgres.embedded.account import Account
from storage_plugins.postgres.embedded.client_programs import (
    ClientPrograms,
    client_programs,
    connection,
    on_terminal,
    run,
)

MANIFEST = "backup.json"
Kind = Literal["copy", "sql"]


@dataclass(frozen=True, slots=True)
class Backup:
    """The kind and the state of a backup."""

    kind: Kind
    postgresql: int
    """Major version of the server that was backed up."""
    made_at: str
    """When the backup began, in UTC."""


def read_manifest(folder: Path) -> Backup:
    """The backup in a folder. Raises `ConfigurationError` when it is no backup, or an unfinished one."""
    try:
        found = json.loads((folder / MANIFEST).read_text("utf-8"))
        backup = Backup(found["kind"], int(found["postgresql"]), str(found["made_at"]))
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigurationError(f"{folder} is no backup, or one that was not finished: it lacks {MANIFEST}") from None
    if backup.kind not in ("copy", "sql"):
        raise ConfigurationError(f"{folder} is a backup of another kind than this version knows: {backup.kind}")
    return backup


async def back_up(
    dsn: str, folder: Path, *, kind: Kind, programs_setting: Path | None, tell: Callable[[str], None]
) -> Backup:
    """Back a database up into a new or empty folder while others write to it.

    A copy becomes SQL where the rights do not suffice for it. Raises `ConfigurationError`, `DatabaseError`.
    """
    major, filled, _ = await dump.facts(dsn)
    if not filled:
        raise ConfigurationError("The database holds nothing of Koyomi")
    programs = client_programs(programs_setting, major)
    _prepare(folder)
    begun = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        if kind == "copy":
            try:
                await asyncio.to_thread(_copy_cluster, programs, dsn, folder)
            except DatabaseError as error:
                tell(f"{error.message}. Writing SQL instead.")
                kind = "sql"
                _empty(folder)
        if kind == "sql":
            await asyncio.to_thread(dump.dump, programs, dsn, folder / dump.FILE, counting(tell))
    except BaseException:
        _empty(folder)
        raise
    backup = Backup(kind, major, begun)
    _write_down(folder, backup)
    return backup


def _prepare(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise ConfigurationError(f"{folder} is not empty; name a new folder")
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be written to: {error.strerror}") from None


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _copy_cluster(programs: ClientPrograms, dsn: str, folder: Path) -> None:
    url, environment = connection(dsn)
    command: list[str | Path] = [
        programs.path("pg_basebackup"), f"--dbname={url}", f"--pgdata={folder}", "--format=tar", "--gzip",
        "--wal-method=stream", "--checkpoint=fast", "--label=koyomi",
    ]  # fmt: skip
    run([*command, *(["--progress"] if on_terminal() else [])], environment, show_progress=on_terminal())


def _write_down(folder: Path, backup: Backup) -> None:
    """Write everything to the disk before the manifest is written."""
    for path in folder.iterdir():
        path.chmod(0o600)
        _sync(path)
    unfinished = folder / (MANIFEST + ".new")
    unfinished.write_text(json.dumps(asdict(backup), indent=2) + "\n", "utf-8")
    unfinished.chmod(0o600)
    _sync(unfinished)
    unfinished.rename(folder / MANIFEST)
    _sync(folder)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def unpack_copy(folder: Path, programs: ClientPrograms, target: Path, account: Account) -> None:
    """Make a data directory of a copy, in a folder that exists, and check every file's sum. Raises `DatabaseError`."""
    try:
        for name, place in (("base.tar.gz", target), ("pg_wal.tar.gz", target / "pg_wal")):
            with tarfile.open(folder / name) as archive:
                archive.extractall(place, filter="data")
    except (OSError, EOFError, tarfile.TarError) as error:
        raise DatabaseError(f"The backup in {folder} is damaged: {error}") from error
    command: list[str | Path] = [programs.path("pg_verifybackup"), "--no-parse-wal", "--exit-on-error"]
    run([*command, f"--manifest-path={folder / 'backup_manifest'}", target], {"PATH": os.defpath, "LC_ALL": "C"})
    for holder, folders, files in os.walk(target):
        for name in (".", *folders, *files):
            path = os.path.join(holder, name)
            if account.switch:
                os.chown(path, account.uid, account.gid, follow_symlinks=False)
            os.chmod(path, 0o700 if os.path.isdir(path) else 0o600)


def counting(tell: Callable[[str], None]) -> Callable[[int], None]:
    """Shows the number of bytes from time to time, on a terminal."""
    total, told = 0, 0

    def count(size: int) -> None:
        nonlocal total, told
        total += size
        if on_terminal() and total - told >= 16 << 20:
            told = total
            tell(f"{total >> 20} MiB")

    return count
