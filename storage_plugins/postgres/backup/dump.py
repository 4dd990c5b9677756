"""A database as SQL text, compressed: written by pg_dump, loaded by psql, the same on every version and platform."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, cast

import asyncpg

from server.domain.errors import ConfigurationError, DatabaseError
from server.storage.mails import SENDING
from storage_plugins.postgres.database import Connection, connect
from storage_plugins.postgres.embedded.client_programs import ClientPrograms, connection, pipe_from, pipe_to
from storage_plugins.postgres.migrations import demand_known
from storage_plugins.postgres.sqlstates import domain_error

FILE = "database.sql.gz"
_NEWER_SETTINGS = (b"SET transaction_timeout = ",)
"""A line that newer programs write at the beginning and older servers do not know. No table has such a line."""
_LAST_LINE = b"-- PostgreSQL database dump complete"
"""The comment that pg_dump ends with; no table has such a line."""


def dump(programs: ClientPrograms, dsn: str, target: Path, progress: Callable[[int], None]) -> None:
    """Write a database to a file, as of one moment, while others write to it. Raises `DatabaseError`."""
    url, environment = connection(dsn)
    command: list[str | Path] = [
        programs.path("pg_dump"),
        "--no-owner",
        "--no-privileges",
        "--encoding=UTF8",
        f"--dbname={url}",
    ]
    with gzip.open(target, "wb", compresslevel=4) as file:
        pipe_from(command, environment, cast("IO[bytes]", file), progress)


def load(
    programs: ClientPrograms, source: Path, dsn: str, progress: Callable[[int], None], *, replace: bool = False
) -> None:
    """Load a file into a database, in one transaction: into an empty one, or with `replace` instead of its contents.

    Raises `DatabaseError`, and leaves the database unchanged then.
    """
    url, environment = connection(dsn)
    command: list[str | Path] = [
        programs.path("psql"),
        "--no-psqlrc",
        "--quiet",
        "--single-transaction",
        "--set=ON_ERROR_STOP=1",
        f"--dbname={url}",
    ]
    try:
        with gzip.open(source, "rb") as file:
            pipe_to(command, environment, cast("IO[bytes]", _Statements(file, replace=replace)), progress)
    except (OSError, EOFError, zlib.error) as error:
        raise DatabaseError(f"{source} is damaged: {error}") from error


class _Statements:
    """The statements that load a dump: lines that every version understands, and a proof that it is complete."""

    def __init__(self, lines: IO[bytes] | gzip.GzipFile, *, replace: bool) -> None:
        self._lines = lines
        self._replace = replace

    def __iter__(self) -> Iterator[bytes]:
        if self._replace:
            yield b"DROP SCHEMA public CASCADE;\nCREATE SCHEMA public;\n"
        beginning, whole = True, False
        for line in self._lines:
            if beginning and line.startswith(_NEWER_SETTINGS):
                continue
            beginning = beginning and not line.startswith((b"CREATE ", b"COPY "))
            whole = whole or line.rstrip() == _LAST_LINE
            yield line
        if not whole:
            # psql takes the end of the file for the end of a table's rows, and would commit.
            raise EOFError("its end is missing")
        yield demand_known().encode()


async def settle(dsn: str) -> None:
    """Prepare a loaded database for use: rows of the outbox that are on their way keep apart by the transactions of
    the cluster that they were written in, whose ids could occur in this one too."""
    session = await _session(dsn)
    try:
        await session.execute(
            "update outbox o set change = m.id, xid = '3'::xid8 "
            "from (select xid, min(id) as id from outbox group by xid) as m where m.xid = o.xid and o.change is null"
        )
        await session.execute("analyze")
    finally:
        await session.close(timeout=5.0)


async def begin_incarnation(dsn: str) -> None:
    """Invalidate all sync tokens: clients of a restored database start again. Jobs that ran then are free at once."""
    session = await _session(dsn)
    try:
        await session.execute("select koyomi_begin_incarnation_1()")
        await session.execute("update job set heartbeat_at = '-infinity' where state = 'running'")
        await session.execute("update installation set restored_at = clock_timestamp()")
        # Numbers of the journal are given again, and another bus still has the messages that had them.
        await session.execute("update journal_position set anew = true where partition > 0 or consumer = 'relay'")
    finally:
        await session.close(timeout=5.0)


async def hold_mail(dsn: str) -> None:
    """Hold mails to people elsewhere until an administrator releases or discards them (`koyomi mail`).

    Those that wait in a copy of the data may have been sent, and the first data may be in use still.
    """
    session = await _session(dsn)
    try:
        await session.execute(
            "insert into job_hold (kind) select unnest($1::text[]) on conflict do nothing", [*SENDING]
        )
    finally:
        await session.close(timeout=5.0)


async def facts(dsn: str) -> tuple[int, bool, list[str]]:
    """Major version of the server, whether the database has Koyomi's tables, and the connected programs of Koyomi."""
    session = await _session(dsn)
    try:
        filled = await session.fetchval("select to_regclass('installation') is not null")
        others = await session.fetch(
            "select distinct application_name from pg_stat_activity where datname = current_database() "
            "and pid <> pg_backend_pid() and application_name like 'koyomi%' order by 1"
        )
        return session.get_server_version().major, bool(filled), [str(row[0]) for row in others]
    finally:
        await session.close(timeout=5.0)


async def demand_unused(dsn: str) -> None:
    """Raises `ConfigurationError` when servers or other commands use a database."""
    _, _, others = await facts(dsn)
    if others:
        raise ConfigurationError(f"The database is in use ({', '.join(others)}): stop the server first")


async def _session(dsn: str) -> Connection:
    try:
        return await connect(dsn, application="backup")
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise domain_error(error) from error
