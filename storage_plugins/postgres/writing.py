"""What every write has: a call of one function of the database, and telling others of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import asyncpg

from server.errors import NotFound
from server.storage import Cause, Change, Collection, Home, NewCollection, ObjectState
from storage_plugins.postgres.database import Database
from storage_plugins.postgres.notifier import Notifier
from storage_plugins.postgres.statistics import Statistics


class Writing:
    """The part of the storage that writes go through."""

    database: Database
    _notifier: Notifier | None
    _statistics: Statistics
    _restore_days: int

    async def _write(self, sql: str, *arguments: object) -> asyncpg.Record:
        row = await self.database.fetchrow(sql, *arguments)
        if row is None:
            raise NotFound
        return row

    def _changed(self, home_id: int, collection_id: int | None, revision: Any) -> int:
        """Tell other workers of a commit; gives the revision."""
        self._statistics.written()
        if self._notifier is not None:
            self._notifier.announce(Change(home_id, collection_id, revision))
        return int(revision)


def call(function: str, arguments: int) -> str:
    """The statement that calls a function with that many arguments."""
    return f"select * from {function}({', '.join(f'${n}' for n in range(1, arguments + 1))})"  # noqa: S608


def place(collection: Collection) -> tuple[object, ...]:
    """Where members lie, and the binding that a write of them was decided by."""
    return collection.home_id, collection.id, collection.name, collection.incarnation


def binding(home: Home, collection: Collection) -> tuple[object, ...]:
    """A collection as a home shows it."""
    return home.id, collection.name, collection.home_id, collection.id, collection.incarnation


def based_on(expected: ObjectState | None) -> tuple[int | None, int | None]:
    """Id and revision that a write is based on."""
    return (None, None) if expected is None else (expected.id, expected.revision)


def by(cause: Cause) -> tuple[object, ...]:
    """Who makes a change, and from where."""
    return cause.principal_id, cause.origin, cause.request_id


def new_collection(new: NewCollection) -> tuple[object, ...]:
    """A collection to be made."""
    return new.name, new.kind, new.components, new.timezone, new.source, dict(new.properties) or None


def split(properties: Mapping[str, str | None]) -> tuple[dict[str, str], list[str]]:
    """What to set and what to remove."""
    return (
        {name: value for name, value in properties.items() if value is not None},
        [name for name, value in properties.items() if value is None],
    )
