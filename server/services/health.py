"""The state of a worker and of its database."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from server.domain.errors import DatabaseError, Unavailable
from server.storage.business import Business, BusinessFigures
from server.storage.health import Backlog, StorageHealth
from server.storage.jobs import Jobs, KindCounts

PATIENCE = 3.0
"""Seconds that the database may take to answer."""
REMEMBERED = 1.0
"""Seconds for which a result of `obstacle` is reused, so that frequent calls send no statements."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures that come from the database."""

    backlog: Backlog
    business: BusinessFigures
    jobs: Sequence[KindCounts]


class Health:
    """The data for monitoring."""

    def __init__(self, storage: StorageHealth, business: Business, jobs: Jobs) -> None:
        self._storage = storage
        self._business = business
        self._jobs = jobs
        self._obstacle: str | None = None
        self._asked = float("-inf")
        self._asking = asyncio.Lock()

    async def obstacle(self) -> str | None:
        """Why requests cannot be answered; None if they can."""
        async with self._asking:
            if time.monotonic() - self._asked > REMEMBERED:
                self._obstacle = await self._look()
                self._asked = time.monotonic()
            return self._obstacle

    async def _look(self) -> str | None:
        try:
            async with asyncio.timeout(PATIENCE):
                await self._storage.answers()
                if not await self._storage.ready():
                    return "The tables are not those of this version: run koyomi db upgrade."
        except (Unavailable, TimeoutError):
            return f"The database does not answer within {PATIENCE:g} seconds."
        except DatabaseError:
            return "The database refuses connections."
        return None

    async def figures(self) -> Figures | None:
        """Figures of this moment; None if the database does not answer."""
        try:
            async with asyncio.timeout(PATIENCE):
                return Figures(await self._storage.backlog(), await self._business.figures(), await self._jobs.counts())
        except (Unavailable, DatabaseError, TimeoutError):
            return None
