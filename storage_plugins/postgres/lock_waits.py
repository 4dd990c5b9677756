"""Short waits of migrations for locks.

A statement that waits for a lock on a table makes all later readers and writers of the table wait, too. So it stops
waiting after a short time, lets them continue, and is tried again until the transaction that holds the lock has ended.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import asyncpg
import structlog

from server.domain.errors import DatabaseError
from storage_plugins.postgres.database import Connection

T = TypeVar("T")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a migration waits for locks; all in seconds."""

    lock_timeout: float = 2.0
    """Longest wait of one statement; readers and writers of the table wait meanwhile."""
    pause: float = 5.0
    """Time between two tries, for readers and writers."""
    total: float = 1800.0
    """Time after which no further try begins. A dump of a large database may take almost as long."""


PATIENCE = Patience()


async def limit_lock_waits(connection: Connection, seconds: float) -> None:
    """Set the lock timeout of a session; 0 means none."""
    await connection.execute(f"set lock_timeout = {round(seconds * 1000)}")


async def retried(name: str, attempt: Callable[[], Awaitable[T]], patience: Patience) -> T:
    """Call `attempt` until it does not fail because of a lock. `name` is that of the migration.

    An attempt must have no effect if it fails with SQLSTATE 55P03 (lock timeout) or 40P01 (deadlock). Raises
    `DatabaseError` after `patience.total`, and all other errors of `attempt`.
    """
    began = time.monotonic()
    tries = 0
    while True:
        try:
            return await attempt()
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
            tries += 1
            waited = time.monotonic() - began
            if waited + patience.pause > patience.total:
                raise DatabaseError(
                    f"The migration {name} needs a lock that other transactions hold: it was tried {tries} times in "
                    f"{waited:.0f} s. End long transactions and dumps, then start again."
                ) from error
            log.warning("migration_retried", migration=name, tries=tries, reason=error.sqlstate, pause=patience.pause)
        await asyncio.sleep(patience.pause)
