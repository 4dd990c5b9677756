"""Online steps of migrations: statements that run one by one, outside a transaction, while servers serve.

A step that was killed starts again with its first statement. So only statements are allowed that do nothing when they
are run again after they have succeeded:

- `create [unique] index concurrently NAME on …`: skipped when the index exists. An invalid index, which a failed try
  leaves, is dropped first.
- `drop index concurrently if exists NAME`.
- `update`, `insert`, `delete` or `with …`: a backfill. It is repeated, each time in a transaction of its own, until it
  changes no row. So it must select a bounded batch of rows that it has not changed yet.

A statement ends with a line that ends in a semicolon.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import asyncpg
import structlog

from server.domain.errors import DatabaseError
from storage_plugins.postgres.database import Connection
from storage_plugins.postgres.lock_waits import Patience, limit_lock_waits, retried

_COMMENT = re.compile(r"^\s*--.*$", re.MULTILINE)
_END = re.compile(r";[ \t]*$", re.MULTILINE)
_INDEX = re.compile(r"create\s+(?:unique\s+)?index\s+concurrently\s+([a-z_][a-z0-9_]*)\s+on\s", re.IGNORECASE)
_DROP = re.compile(r"drop\s+index\s+concurrently\s+if\s+exists\s+[a-z_][a-z0-9_]*\s*$", re.IGNORECASE)
_BACKFILL = re.compile(r"(?:update|insert|delete|with)\s", re.IGNORECASE)
_BATCH_PAUSE = 0.05
"""Seconds between two batches of a backfill."""
_TELL_INTERVAL = 2.0
"""Seconds between two lines about the progress of a backfill."""

Tell = Callable[[str], None]
"""Called with a line about the progress."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of an online step."""

    sql: str
    index: str | None
    """Name of the index that it creates."""
    backfill: bool
    """Whether it is repeated until it changes no row."""


def statements(name: str, sql: str) -> tuple[Statement, ...]:
    """The statements of the step `name`. Raises `DatabaseError` for one that could not be run again."""
    found = []
    for part in _END.split(_COMMENT.sub("", sql)):
        text = part.strip()
        if not text:
            continue
        index = _INDEX.match(text)
        backfill = _BACKFILL.match(text) is not None
        if index is None and not backfill and _DROP.match(text) is None:
            raise DatabaseError(f"The migration {name} has a statement that an online step cannot run: {text[:60]}")
        found.append(Statement(text, None if index is None else index[1], backfill))
    return tuple(found)


async def run_step(connection: Connection, name: str, sql: str, patience: Patience, tell: Tell) -> None:
    """Run all statements of an online step. Raises `DatabaseError` and what asyncpg raises."""
    todo = statements(name, sql)
    for number, statement in enumerate(todo, 1):
        tell(f"{name}: statement {number} of {len(todo)}")
        if statement.backfill:
            await _backfill(connection, name, statement.sql, patience, tell)
        elif statement.index is not None:
            await _create_index(connection, statement.index, statement.sql)
        else:
            await _concurrently(connection, statement.sql)


async def _backfill(connection: Connection, name: str, sql: str, patience: Patience, tell: Tell) -> None:
    await limit_lock_waits(connection, patience.lock_timeout)
    total, told = 0, time.monotonic()
    while changed := _rows(await retried(name, partial(connection.execute, sql), patience)):
        total += changed
        if time.monotonic() - told > _TELL_INTERVAL:
            tell(f"{name}: {total} rows")
            told = time.monotonic()
        await asyncio.sleep(_BATCH_PAUSE)


def _rows(tag: str) -> int:
    """The number of rows in a command tag, such as `UPDATE 5` or `INSERT 0 5`."""
    return int(tag.rpartition(" ")[2])


async def _create_index(connection: Connection, index: str, sql: str) -> None:
    if await _drop_invalid(connection, index):
        return
    try:
        await _concurrently(connection, sql)
    except asyncpg.PostgresError:
        # An invalid index costs every write, and a unique one refuses rows.
        if not connection.is_closed():
            await _drop_invalid(connection, index)
        raise


async def _drop_invalid(connection: Connection, index: str) -> bool:
    """Drop the invalid index that a failed try has left. Returns whether there is a valid one."""
    valid = await connection.fetchval("select indisvalid from pg_index where indexrelid = to_regclass($1)", index)
    if valid is False:
        log.warning("invalid_index_dropped", index=index)
        await _concurrently(connection, f"drop index concurrently if exists {index}")
    return bool(valid)


async def _concurrently(connection: Connection, sql: str) -> None:
    """Run a statement that waits for other transactions, and whose locks delay no reader or writer."""
    await limit_lock_waits(connection, 0)
    await connection.execute(sql)
