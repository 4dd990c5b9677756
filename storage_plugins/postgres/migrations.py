"""Migrations of the schema: numbered files of plain SQL, in steps before, during and after a deployment.

`NNNN_name.pre.sql` must leave a schema that the previous version can run on: `serve` applies these.
`NNNN_name.online.sql` runs statement by statement while servers run (storage_plugins.postgres.online_steps): `serve`
runs these in the background, `koyomi db upgrade` in the foreground. `NNNN_name.post.sql` removes parts that only the
previous version needed: `koyomi db upgrade --finish` applies these when no server of that version runs any more.
Functions have separate files (storage_plugins.postgres.functions), which are applied after the *pre* steps.

A *pre* or *post* file is one transaction, which waits for locks only briefly and is then tried again. Several servers
that start at once apply each file once.
"""

from __future__ import annotations

import bisect
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
from storage_plugins.postgres import functions as sql_functions
from storage_plugins.postgres.advisory_locks import Lock, release, session_lock, try_session_lock
from storage_plugins.postgres.database import Connection, connect
from storage_plugins.postgres.functions import Function, functions
from storage_plugins.postgres.lock_waits import PATIENCE, Patience, limit_lock_waits, retried
from storage_plugins.postgres.online_steps import Tell, run_step, statements
from storage_plugins.postgres.sqlstates import domain_error

FOLDER = Path(__file__).parent / "migrations"
DEPLOYMENTS = (23,)
"""The greatest number of each deployed version, except the version in development."""
_NAME = re.compile(r"(\d{4})_([a-z0-9_]+)\.(pre|online|post)\.sql")
_LEAST_POSTGRES = 15

Step = Literal["pre", "online", "post"]
_ORDER: tuple[Step, ...] = ("pre", "online", "post")


@dataclass(frozen=True, slots=True)
class Migration:
    """A file."""

    number: int
    name: str
    step: Step
    sql: str
    deployment: int = 0
    """Number of its deployment. The steps of a deployment come after those of all earlier ones."""

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
    """The state of a database's schema: the pending migrations and functions of this version."""

    pending: tuple[Migration, ...]
    """In the order in which they are applied."""
    newer: tuple[str, ...]
    """Names of applied *post* steps that this version does not know: it cannot run on such a schema."""
    functions: tuple[Function, ...] = ()
    """Functions whose definition differs from that of this version."""

    @property
    def online(self) -> tuple[Migration, ...]:
        """Online steps that are not done. This version can run without them, more slowly."""
        return tuple(migration for migration in self.pending if migration.step == "online")

    @property
    def usable(self) -> bool:
        """Whether this version can run on the schema."""
        return not (self.newer or self.functions or any(migration.step == "pre" for migration in self.pending))


@cache
def migrations(folder: Path = FOLDER) -> tuple[Migration, ...]:
    """The migrations of this version, by number. Raises `DatabaseError` if the folder contains other files."""
    found = []
    for path in sorted(folder.glob("*.sql")):
        parts = _NAME.fullmatch(path.name)
        if parts is None:
            raise DatabaseError(f"{path} is not named as a migration is.")
        number, step = int(parts[1]), cast("Step", parts[3])
        deployment = bisect.bisect_left(DEPLOYMENTS, number)
        found.append(Migration(number, parts[2], step, path.read_text("utf-8"), deployment))
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
    defined: Sequence[Function] | None = None,
    patience: Patience = PATIENCE,
    tell: Tell = lambda line: None,
) -> list[str]:
    """Apply the pending steps. Returns their names.

    The steps of a deployment are applied in the order *pre*, *online*, *post*, and by number. With `finish`, and in an
    empty database, all steps are applied. Without it, a *post* step is applied only if a *pre* step of a later
    deployment is pending: then its deployment is over, and the online steps before it are run, too. Other online steps
    are left to `run_online_steps`. Functions are defined after the last *pre* step. `tell` is called with lines about
    the progress of online steps.

    :param known: the migrations; by default those of this version.
    :param defined: the functions; by default those of this version, or none beside other migrations.

    Raises `DatabaseError` if the schema is newer than this version, if a file was changed after it was applied, or if
    other transactions hold a lock for longer than `patience`; `Unavailable` if the database does not answer.
    """
    if defined is None:
        defined = functions() if known is None else ()
    async with _migrating(dsn) as connection:
        _demand_version(connection)
        await session_lock(connection, Lock.MIGRATIONS)
        return await _migrate(connection, migrations() if known is None else known, defined, finish, patience, tell)


async def run_online_steps(
    dsn: str,
    *,
    known: Sequence[Migration] | None = None,
    wait: bool = True,
    patience: Patience = PATIENCE,
    tell: Tell = lambda line: None,
) -> list[str] | None:
    """Run the pending online steps, while servers run. Returns the names of these steps.

    Returns None if another process runs them and `wait` is false. Raises the errors of `migrate`, and `DatabaseError`
    if earlier steps are pending.
    """
    async with _migrating(dsn) as connection:
        if wait:
            await session_lock(connection, Lock.ONLINE_STEPS)
        elif not await try_session_lock(connection, Lock.ONLINE_STEPS):
            return None
        state = await schema_state(connection, known)
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


async def schema_state(
    connection: Connection, known: Sequence[Migration] | None = None, defined: Sequence[Function] | None = None
) -> SchemaState:
    """Compare a database's schema with this version's. Raises `DatabaseError` when a file was changed.

    The parameters are those of `migrate`.
    """
    if defined is None:
        defined = functions() if known is None else ()
    todo = sorted(migrations() if known is None else known, key=_place)
    if await connection.fetchval("select to_regclass('schema_migration')") is None:
        return SchemaState(tuple(todo), (), tuple(defined))
    rows = await connection.fetch("select number, name, step, checksum from schema_migration order by number")
    applied = {row["number"]: row for row in rows}
    for migration in todo:
        row = applied.get(migration.number)
        if row is not None and row["checksum"] != migration.checksum:
            raise DatabaseError(f"The database was made by another file {migration.title} than this version's.")
    numbers = {migration.number for migration in todo}
    newer = tuple(str(row["name"]) for row in rows if row["number"] not in numbers and row["step"] == "post")
    pending = tuple(migration for migration in todo if migration.number not in applied)
    return SchemaState(pending, newer, await sql_functions.missing(connection, defined))


def _place(migration: Migration) -> tuple[int, int, int]:
    """The place of a step in the order in which steps are applied."""
    return migration.deployment, _ORDER.index(migration.step), migration.number


def demand_known() -> str:
    """A statement that fails unless the database has Koyomi's tables and this version can migrate them.

    It is part of the transaction that loads a dump, so that a refused dump is not committed.
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
    connection: Connection,
    known: Sequence[Migration],
    defined: Sequence[Function],
    finish: bool,
    patience: Patience,
    tell: Tell,
) -> list[str]:
    state = await schema_state(connection, known, defined)
    if state.newer:
        raise DatabaseError(f"The schema is newer than this version of Koyomi: {', '.join(state.newer)}.")
    new = len(state.pending) == len(known)
    if new:
        await connection.execute(
            "create table if not exists schema_migration ("
            'number integer primary key, name text collate "C" not null, step text collate "C" not null, '
            'checksum text collate "C" not null, applied_at timestamptz not null default now())'
        )
    pending, done = state.pending, []
    end_of_pre = _end_of(pending, "pre")
    # A *post* step may need the online steps before it.
    end_of_post = _end_of(pending[: len(pending) if finish or new else end_of_pre], "post")
    for migration in pending[:end_of_pre]:
        if migration.step != "online" or new or finish or migration in pending[:end_of_post]:
            done.append(await _step(connection, migration, patience, tell))
    if state.functions:
        await limit_lock_waits(connection, patience.lock_timeout)
        count = await retried("functions", partial(sql_functions.apply, connection, defined), patience)
        done.append(f"{count} functions")
    if finish or new:
        done += [await _step(connection, migration, patience, tell) for migration in pending[end_of_pre:]]
    return done


def _end_of(pending: Sequence[Migration], step: Step) -> int:
    """The position after the last step of a kind; 0 if there is none."""
    return max((position for position, each in enumerate(pending, 1) if each.step == step), default=0)


async def _step(connection: Connection, migration: Migration, patience: Patience, tell: Tell) -> str:
    """Apply one step, and return its name."""
    if migration.step == "online":
        await session_lock(connection, Lock.ONLINE_STEPS)
        await _run_online(connection, migration, patience, tell)
        await release(connection, Lock.ONLINE_STEPS)
    else:
        await limit_lock_waits(connection, patience.lock_timeout)
        await retried(migration.title, partial(_apply, connection, migration), patience)
    return migration.title


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
