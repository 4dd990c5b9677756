"""Bringing the schema to this version: numbered files of plain SQL, in steps before, beside and after a deployment.

`NNNN_name.pre.sql` leaves the schema such that the version before still runs on it: `serve` applies these.
`NNNN_name.online.sql` runs statement by statement while servers serve (storage_plugins.postgres.online_steps): `serve`
runs these in the background, `koyomi db upgrade` in the foreground.
`NNNN_name.post.sql` removes what only the version before needed: `koyomi db upgrade --finish` applies these when no
server of that version runs any more.

A file before or after a deployment is one transaction, which waits for locks only briefly and is then tried again.
Several servers that start at once apply each file once.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Literal, cast

import asyncpg

from server.domain.errors import DatabaseError, Unavailable
from storage_plugins.postgres.database import Connection, connect
from storage_plugins.postgres.lock_waits import PATIENCE, Patience, advisory_lock, limit_lock_waits, retried
from storage_plugins.postgres.online_steps import Tell, run_step, statements
from storage_plugins.postgres.sqlstates import domain_error

FOLDER = Path(__file__).parent / "migrations"
_NAME = re.compile(r"(\d{4})_([a-z0-9_]+)\.(pre|online|post)\.sql")
_LOCK = 0x6B6F796F6D69
"""Key of the advisory lock of the process that applies steps before and after a deployment."""
_ONLINE_LOCK = 0x6B6F796F6D6F
"""Key of the advisory lock of the process that runs online steps. A process that holds it does not ask for `_LOCK`."""
_LEAST_POSTGRES = 15

Step = Literal["pre", "online", "post"]


@dataclass(frozen=True, slots=True)
class Migration:
    """One file."""

    number: int
    name: str
    step: Step
    sql: str

    @property
    def title(self) -> str:
        """Number and name."""
        return f"{self.number:04}_{self.name}"

    @property
    def checksum(self) -> str:
        """SHA-256 of the file."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class SchemaState:
    """What of the migrations of this version a database has."""

    pending: tuple[Migration, ...]
    newer: tuple[str, ...]
    """Names of applied steps after a deployment that this version does not know: it cannot run on such a schema."""

    @property
    def online(self) -> tuple[Migration, ...]:
        """Online steps that are not done. This version runs on the schema without them, if more slowly."""
        return tuple(migration for migration in self.pending if migration.step == "online")

    @property
    def usable(self) -> bool:
        """Whether this version runs on the schema."""
        return not self.newer and not any(migration.step == "pre" for migration in self.pending)


@cache
def migrations(folder: Path = FOLDER) -> tuple[Migration, ...]:
    """The migrations of this version, in order. Raises `DatabaseError` when the folder holds something else."""
    found = []
    for path in sorted(folder.glob("*.sql")):
        parts = _NAME.fullmatch(path.name)
        if parts is None:
            raise DatabaseError(f"{path} is not named as a migration is.")
        found.append(Migration(int(parts[1]), parts[2], cast("Step", parts[3]), path.read_text("utf-8")))
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise DatabaseError(f"The migrations in {folder} are not numbered from 1 on without gaps.")
    for migration in found:
        if migration.step == "online":
            statements(migration.title, migration.sql)
    return tuple(found)


async def migrate(
    dsn: str,
    finish: bool = False,
    *,
    known: Sequence[Migration] | None = None,
    patience: Patience = PATIENCE,
    tell: Tell = lambda line: None,
) -> list[str]:
    """Apply what is pending; gives the names of what was applied.

    Without `finish`, a step after a deployment is applied only where a later step before a deployment needs it done:
    the deployment that it belongs to is over then, and the online steps in front of it are run too. Other online steps
    are left to `run_online_steps`. With `finish`, and in a new database, all steps are applied. `tell` hears of the
    progress of online steps.

    Raises `DatabaseError` when the schema is newer than this version, a file was changed after it was applied, or
    others hold a lock longer than `patience` allows; `Unavailable` without a database.
    """
    todo = tuple(migrations() if known is None else known)
    async with _migrating(dsn) as connection:
        _demand_version(connection)
        await advisory_lock(connection, _LOCK)
        return await _migrate(connection, todo, finish, patience, tell)


async def run_online_steps(
    dsn: str,
    *,
    known: Sequence[Migration] | None = None,
    wait: bool = True,
    patience: Patience = PATIENCE,
    tell: Tell = lambda line: None,
) -> list[str] | None:
    """Run the online steps that are pending, while servers serve; gives the names of those that were run.

    Returns None when another process is running them and `wait` is false. Raises what `migrate` raises, and
    `DatabaseError` when steps before them are pending.
    """
    todo = tuple(migrations() if known is None else known)
    async with _migrating(dsn) as connection:
        if wait:
            await advisory_lock(connection, _ONLINE_LOCK)
        elif not await connection.fetchval("select pg_try_advisory_lock($1)", _ONLINE_LOCK):
            return None
        state = await schema_state(connection, todo)
        if not state.usable:
            raise DatabaseError("The tables are not those of this version.")
        for migration in state.online:
            await _run_online(connection, migration, patience, tell)
        return [migration.title for migration in state.online]


@contextlib.asynccontextmanager
async def _migrating(dsn: str) -> AsyncIterator[Connection]:
    """A connection for migrations; asyncpg's errors become domain errors."""
    try:
        connection = await connect(dsn, application="koyomi migrate")
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise domain_error(error) from error
    try:
        yield connection
    except (OSError, asyncpg.InterfaceError, asyncpg.PostgresConnectionError) as error:
        raise Unavailable from error
    except asyncpg.PostgresError as error:
        raise DatabaseError(f"The schema cannot be brought to this version: {error}") from error
    finally:
        await connection.close(timeout=5.0)


async def schema_state(connection: Connection, known: Sequence[Migration] | None = None) -> SchemaState:
    """Compare a database's schema with this version's. Raises `DatabaseError` when a file was changed."""
    todo = tuple(migrations() if known is None else known)
    if await connection.fetchval("select to_regclass('schema_migration')") is None:
        return SchemaState(todo, ())
    rows = await connection.fetch("select number, name, step, checksum from schema_migration order by number")
    applied = {row["number"]: row for row in rows}
    for migration in todo:
        row = applied.get(migration.number)
        if row is not None and row["checksum"] != migration.checksum:
            raise DatabaseError(f"The database was made by another file {migration.title} than this version's.")
    numbers = {migration.number for migration in todo}
    newer = tuple(str(row["name"]) for row in rows if row["number"] not in numbers and row["step"] == "post")
    return SchemaState(tuple(migration for migration in todo if migration.number not in applied), newer)


def demand_known() -> str:
    """A statement that fails unless the database holds Koyomi's tables and this version can migrate them.

    It is for the transaction that loads a dump: what is refused there is not committed.
    """
    known = ", ".join(f"({migration.number}, '{migration.checksum}')" for migration in migrations())
    return f"""
do $$ begin
    if to_regclass('public.schema_migration') is null then
        raise exception 'error: this is not a dump of Koyomi''s database';
    end if;
    perform 1 from public.schema_migration m left join (values {known}) as k (number, checksum) using (number)
    where k.checksum <> m.checksum or (k.number is null and m.step = 'post');
    if found then
        raise exception 'error: the dump is of a newer or other version of Koyomi';
    end if;
end $$;
"""


def _demand_version(connection: Connection) -> None:
    version = connection.get_server_version()
    if version.major < _LEAST_POSTGRES:
        raise DatabaseError(f"PostgreSQL {version.major} is too old: {_LEAST_POSTGRES} or newer is needed.")


async def _migrate(
    connection: Connection, known: Sequence[Migration], finish: bool, patience: Patience, tell: Tell
) -> list[str]:
    state = await schema_state(connection, known)
    if state.newer:
        raise DatabaseError(f"The schema is newer than this version of Koyomi: {', '.join(state.newer)}.")
    new = len(state.pending) == len(known)
    if new:
        await connection.execute(
            "create table if not exists schema_migration ("
            'number integer primary key, name text collate "C" not null, step text collate "C" not null, '
            'checksum text collate "C" not null, applied_at timestamptz not null default now())'
        )
    pending = state.pending
    last = max((m.number for m in pending if finish or new or m.step == "pre"), default=0)
    # A step after a deployment may need what the online steps in front of it have done.
    last_post = max((m.number for m in pending if m.step == "post" and m.number <= last), default=0)
    todo = [m for m in pending if m.number <= last and (m.step != "online" or new or finish or m.number < last_post)]
    for migration in todo:
        if migration.step == "online":
            await advisory_lock(connection, _ONLINE_LOCK)
            await _run_online(connection, migration, patience, tell)
            await connection.execute("select pg_advisory_unlock($1)", _ONLINE_LOCK)
        else:
            await limit_lock_waits(connection, patience.lock_timeout)
            await retried(migration.title, partial(_apply, connection, migration), patience)
    return [migration.title for migration in todo]


async def _apply(connection: Connection, migration: Migration) -> None:
    async with connection.transaction():
        await connection.execute(migration.sql)
        await _record(connection, migration)


async def _run_online(connection: Connection, migration: Migration, patience: Patience, tell: Tell) -> None:
    await run_step(connection, migration.title, migration.sql, patience, tell)
    await _record(connection, migration)


async def _record(connection: Connection, migration: Migration) -> None:
    # Another process may have run an online step since the schema was compared.
    await connection.execute(
        "insert into schema_migration (number, name, step, checksum) values ($1, $2, $3, $4) "
        "on conflict (number) do nothing",
        migration.number,
        migration.name,
        migration.step,
        migration.checksum,
    )
