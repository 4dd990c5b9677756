"""Updating the planner's statistics of a growing database.

Each connection makes a plan once. While tables are small, all indexes seem equally good, and a bad choice would stay
until autovacuum runs, a minute later: an import would become slower with every object. So a worker checks soon after
its first writes, and then at doubling intervals, which tables have grown since they were analyzed. It analyzes these,
after which every connection makes new plans.
"""

from __future__ import annotations

import asyncio
import contextlib

from server.observe.background import failed
from storage_plugins.postgres.database import Database

_FIRST_LOOK = 0.5
"""Seconds after the first write."""
_LAST_LOOK = 60.0
"""The longest interval; later autovacuum suffices. After a pause without writes of this length it begins again."""
_ROWS = 50

_GROWN = """
    select format('%I.%I', s.schemaname, s.relname)
    from pg_stat_user_tables s join pg_class c on c.oid = s.relid
    where s.n_mod_since_analyze > $1 + greatest(c.reltuples, 0) / 2 and s.schemaname = current_schema()
"""


class Statistics:
    """Checks the tables after the writes of one worker."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._task: asyncio.Task[None] | None = None
        self._written = False

    def written(self) -> None:
        """Called after a write."""
        self._written = True
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._look())

    async def close(self) -> None:
        """Stop checking."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _look(self) -> None:
        pause = _FIRST_LOOK
        while self._written or pause < _LAST_LOOK:
            self._written = False
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LAST_LOOK)
            try:
                await self.refresh()
            except Exception as error:
                failed("statistics", error)
        self._task = None

    async def refresh(self) -> list[str]:
        """Analyze the tables that have grown by half. Returns their names."""
        grown = [str(row[0]) for row in await self._database.fetch(_GROWN, _ROWS)]
        for table in grown:
            await self._database.fetch(f"analyze (skip_locked) {table}")
        return grown
