"""Counts the database statements of single requests."""

from __future__ import annotations

from collections import Counter

import pytest

from server.observe.log import request_id
from storage_plugins.postgres.database import Database
from tests.integration.dav.client import Reply


class Statements:
    """The statements of each request, by its id: jobs and other requests have statements at the same time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._counts: Counter[str] = Counter()
        for name in ("fetch", "fetchrow"):
            original = getattr(Database, name)

            async def counted(database: Database, sql: str, *args: object, original=original):
                self._counts[request_id.get()] += 1
                return await original(database, sql, *args)

            monkeypatch.setattr(Database, name, counted)

    def of(self, reply: Reply) -> int:
        """How many statements the request that was answered so needed."""
        return self._counts[reply.headers["X-Request-Id"]]
