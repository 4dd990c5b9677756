"""Counts the database statements of single requests."""

from __future__ import annotations

from collections import Counter

import pytest

from server.log import request_id
from storage_plugins.postgres.database import Database
from tests.integration.dav.client import Reply


class Statements:
    """The statements of each request, by its id; those of jobs and other requests do not count."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._counts: Counter[str] = Counter()
        for name in ("fetch", "fetchrow", "fetchval", "execute"):
            original = getattr(Database, name, None)
            if original is None:
                continue

            async def counted(database: Database, sql: str, *args: object, original=original, **named: object):
                self._counts[request_id.get()] += 1
                return await original(database, sql, *args, **named)

            monkeypatch.setattr(Database, name, counted)

    def of(self, reply: Reply) -> int:
        """How many statements the request that was answered so needed."""
        return self._counts[reply.headers["X-Request-Id"]]
