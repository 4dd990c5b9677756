"""SQL functions: the files in `functions/` contain their current definitions.

The name of a function ends in its version. A change of its behaviour or parameters needs a new version, so that older
servers on the same database continue to use theirs (docs/development.md, "SQL functions"). A definition is executed
once in each database.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from server.domain.errors import DatabaseError
from storage_plugins.postgres.database import Connection

FOLDER = Path(__file__).parent / "functions"
_BEGIN = re.compile(r"^create or replace function ([a-z_]+_[0-9]+)\(", re.MULTILINE)
_STATEMENT = re.compile(r"^(?:create|alter|drop)\b.*$", re.MULTILINE | re.IGNORECASE)
# PostgreSQL cannot replace a constraint trigger.
_TRIGGER = re.compile(r"(?:create or replace|create constraint|drop) trigger\b")
_TABLE_OF_TRIGGER = re.compile(r"^create or replace trigger [^;]*?\bon ([a-z_]+)\b", re.MULTILINE)
_LOCKED_FIRST = ("home", "collection", "object")
"""Tables that every write changes, in its order. A trigger on one of them locks it; in another order that and a write
under way would be a deadlock, again and again while many write."""
_COMMENTS_AT_END = re.compile(r"(?:^--.*\n|^\n)*\Z", re.MULTILINE)
_TABLE = (
    'create table if not exists schema_function (name text collate "C" not null, checksum text collate "C" not null, '
    "applied_at timestamptz not null default now(), primary key (name, checksum))"
)
# A function is also missing if it was dropped after it had been applied.
_MISSING = """
    select k.position from unnest($1::text[], $2::text[]) with ordinality as k (name, checksum, position)
    where not exists (select from schema_function f where f.name = k.name and f.checksum = k.checksum)
       or not exists (
           select from pg_proc p where p.proname = k.name::name and p.pronamespace = current_schema()::regnamespace
       )
    order by k.position
"""
_RECORD = """
    insert into schema_function (name, checksum) values ($1, $2)
    on conflict (name, checksum) do update set applied_at = excluded.applied_at
"""


@dataclass(frozen=True, slots=True)
class Function:
    """The definition of one function, and of the triggers that follow it in its file."""

    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the definition, without the comments in front of it."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


@cache
def functions(folder: Path = FOLDER) -> tuple[Function, ...]:
    """The functions of this version, in the order of files and lines.

    Raises `DatabaseError` if a file contains other statements, or if two files define the same function.
    """
    found: dict[str, Function] = {}
    for path in sorted(folder.glob("*.sql")):
        text = path.read_text("utf-8")
        begins = list(_BEGIN.finditer(text))
        for statement in _STATEMENT.finditer(text):
            trigger = begins and statement.start() > begins[0].start() and _TRIGGER.match(statement[0])
            if not (_BEGIN.match(text, statement.start()) or trigger):
                raise DatabaseError(f"{path} holds more than functions and triggers: {statement[0][:60]}")
        for begin, end in zip(begins, [*(each.start() for each in begins[1:]), len(text)], strict=True):
            if begin[1] in found:
                raise DatabaseError(f"{path} holds {begin[1]}, which another file or line holds, too.")
            found[begin[1]] = Function(begin[1], _COMMENTS_AT_END.sub("", text[begin.start() : end]))
    return tuple(found.values())


async def missing(connection: Connection, known: Sequence[Function]) -> tuple[Function, ...]:
    """Those of `known` that a database does not have.

    A definition that a newer version has replaced is not missing: an older server that starts beside newer ones does
    not restore it.
    """
    if not known or await connection.fetchval("select to_regclass('schema_function')") is None:
        return tuple(known)
    rows = await connection.fetch(_MISSING, [each.name for each in known], [each.checksum for each in known])
    return tuple(known[row[0] - 1] for row in rows)


async def apply(connection: Connection, known: Sequence[Function]) -> int:
    """Define those of `known` that are missing, in one transaction. Returns their number."""
    async with connection.transaction():
        await connection.execute(_TABLE)
        todo = await missing(connection, known)
        triggered = {table for function in todo for table in _TABLE_OF_TRIGGER.findall(function.sql)}
        for table in _LOCKED_FIRST:
            if table in triggered:
                await connection.execute(f"lock table {table} in share row exclusive mode")
        for function in todo:
            await connection.execute(function.sql)
            await connection.execute(_RECORD, function.name, function.checksum)
    return len(todo)
