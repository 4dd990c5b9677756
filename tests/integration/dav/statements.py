"""Counts the database statements of single requests."""

from __future__ import annotations

from collections import defaultdict

import pytest

from server.observe.log import request_id
from storage_plugins.postgres.database import Database
from tests.integration.dav.client import Reply


class Statements:
    """The statements of each request, by its id: jobs and other requests have statements at the same time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._sent: defaultdict[str, list[tuple[object, ...]]] = defaultdict(list)
        for name in ("fetch", "fetchrow"):
            original = getattr(Database, name)

            async def counted(database: Database, sql: str, *args: object, original=original):
                self._sent[request_id.get()].append((sql, *args))
                return await original(database, sql, *args)

            monkeypatch.setattr(Database, name, counted)

    def of(self, reply: Reply) -> int:
        """How many statements the request that was answered so needed."""
        return len(self._sent[reply.headers["X-Request-Id"]])

    def repeated(self, reply: Reply) -> list[str]:
        """The statements of the request that were sent with the same arguments before."""
        sent = self._sent[reply.headers["X-Request-Id"]]
        return [str(each[0]) for number, each in enumerate(sent) if each in sent[:number]]
