"""Bringing the schema to this version: numbered files of plain SQL, in steps before and after a deployment.

`NNNN_name.pre.sql` leaves the schema such that the version before still runs on it: `serve` applies these.
`NNNN_name.post.sql` removes what only the version before needed: `koyomi db upgrade --finish` applies these when no
server of that version runs any more. A file is one transaction; several servers that start at once apply each once.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import asyncpg

from server.errors import DatabaseError, Unavailable
from storage_plugins.postgres.database import Connection, connect
from storage_plugins.postgres.sqlstates import domain_error

FOLDER = Path(__file__).parent / "migrations"
_NAME = re.compile(r"(\d{4})_([a-z0-9_]+)\.(pre|post)\.sql")
_LOCK = 0x6B6F796F6D69
"""Key of the advisory lock that whoever migrates holds."""
_LEAST_POSTGRES = 15

Step = Literal["pre", "post"]


@dataclass(frozen=True, slots=True)
class Migration:
    """One file."""

    number: int
    name: str
    step: Step
    sql: str

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
        step: Step = "pre" if parts[3] == "pre" else "post"
        found.append(Migration(int(parts[1]), parts[2], step, path.read_text("utf-8")))
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise DatabaseError(f"The migrations in {folder} are not numbered from 1 on without gaps.")
    return tuple(found)


async def migrate(dsn: str, finish: bool = False, *, known: Sequence[Migration] | None = None) -> list[str]:
    """Apply what is pending; gives the names of what was applied.

    Without `finish`, a step after a deployment is applied only where a later step before a deployment needs it done:
    the deployment that it belongs to is over then. A new database gets all steps. Raises `DatabaseError` when the
    schema is newer than this version or a file was changed after it was applied, `Unavailable` without a database.
    """
    todo = tuple(migrations() if known is None else known)
    try:
        connection = await connect(dsn, application="koyomi migrate")
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise domain_error(error) from error
    try:
        return await _migrate(connection, todo, finish=finish)
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
            raise DatabaseError(
                f"The database was made by another file {migration.number:04}_{migration.name} than this version's."
            )
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


async def _migrate(connection: Connection, known: Sequence[Migration], *, finish: bool) -> list[str]:
    version = connection.get_server_version()
    if version.major < _LEAST_POSTGRES:
        raise DatabaseError(f"PostgreSQL {version.major} is too old: {_LEAST_POSTGRES} or newer is needed.")
    await connection.execute("select pg_advisory_lock($1)", _LOCK)
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
    last = max((m.number for m in state.pending if finish or new or m.step == "pre"), default=0)
    done = []
    for migration in state.pending:
        if migration.number > last:
            break
        async with connection.transaction():
            await connection.execute(migration.sql)
            await connection.execute(
                "insert into schema_migration (number, name, step, checksum) values ($1, $2, $3, $4)",
                migration.number,
                migration.name,
                migration.step,
                migration.checksum,
            )
        done.append(f"{migration.number:04}_{migration.name}")
    return done
