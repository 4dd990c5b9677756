"""Updating the planner's statistics and the visibility map of a growing database.

Each connection makes a plan once. While tables are small, all indexes seem equally good, and a bad choice would stay
until autovacuum runs, a minute later: an import would become slower with every object. So a worker checks soon after
its first writes, and then at doubling intervals, which tables have grown since they were analyzed. It analyzes these,
after which every connection makes new plans.

It vacuums tables that have grown by a tenth. Names and ETags are read from an index alone, but for rows on pages that
no vacuum has seen PostgreSQL looks into the table, which doubles the database's part of a listing. Very large tables
are left to autovacuum.
"""

from __future__ import annotations

import asyncio
import contextlib

from server.observe.background import failed, start
from storage_plugins.postgres.database import Database

_FIRST_LOOK = 0.5
"""Seconds after the first write."""
_LAST_LOOK = 60.0
"""The longest interval; later autovacuum suffices. After a pause without writes of this length it begins again."""
_QUIET = 2.0
"""Seconds without a write after which many writes have come to an end: then the tables are checked at once."""
_ROWS = 50
_LARGEST = 1_000_000
"""Rows up to which tables are vacuumed: it takes a few seconds at most."""

_GROWN = """
    select format('%I.%I', s.schemaname, s.relname), s.n_mod_since_analyze > $1 + greatest(c.reltuples, 0) / 2,
           s.n_ins_since_vacuum > $1 + greatest(c.reltuples, 0) / 10 and c.reltuples < $2
    from pg_stat_user_tables s join pg_class c on c.oid = s.relid
    where s.schemaname = current_schema()
      and (s.n_mod_since_analyze > $1 + greatest(c.reltuples, 0) / 2
           or (s.n_ins_since_vacuum > $1 + greatest(c.reltuples, 0) / 10 and c.reltuples < $2))
"""


class Statistics:
    """Checks the tables after the writes of one worker."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._task: asyncio.Task[None] | None = None
        self._writes = 0

    def written(self) -> None:
        """Called after a write."""
        self._writes += 1
        if self._task is None:
            self._task = start(self._look())

    async def close(self) -> None:
        """Stop checking."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _look(self) -> None:
        pause = _FIRST_LOOK
        while self._writes or pause < _LAST_LOOK:
            self._writes = 0
            await self._wait(pause)
            pause = min(2 * pause, _LAST_LOOK)
            try:
                await self.refresh()
            except Exception as error:
                failed("statistics", error)
        self._task = None

    async def _wait(self, seconds: float) -> None:
        """Wait, and not longer than until many writes have come to an end."""
        end = asyncio.get_running_loop().time() + seconds
        while (left := end - asyncio.get_running_loop().time()) > 0:
            before = self._writes
            await asyncio.sleep(min(left, _QUIET))
            if self._writes == before >= _ROWS:
                return

    async def refresh(self) -> list[str]:
        """Analyze tables that have grown by half, and vacuum those that have grown by a tenth. Returns their names."""
        grown = await self._database.fetch(_GROWN, _ROWS, _LARGEST)
        for table, analyze, vacuum in grown:
            if vacuum:
                options = "skip_locked, truncate off" + (", analyze" if analyze else "")
                await self._database.fetch(f"vacuum ({options}) {table}")
            elif analyze:
                await self._database.fetch(f"analyze (skip_locked) {table}")
        return [str(table) for table, *_ in grown]
