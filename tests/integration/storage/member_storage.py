"""A storage with a short way to each change set of one write."""

from __future__ import annotations

from server.domain.changes import (
    ChangeSet,
    Delete,
    Put,
    SetPersonal,
    SetProperties,
    StoredContent,
)
from storage_plugins.postgres.storage import PostgresStorage
from tests.integration.storage.values import LIMITS


class MemberStorage(PostgresStorage):
    async def put_object(self, collection, name, content, expected, limits, cause, views=None, *, unchanged=()):
        write = Put(collection, name, content, expected, views)
        return (await self.apply(ChangeSet((write,), limits, cause, tuple(unchanged))))[0]

    async def put_view(self, collection, name, view, expected, view_revision, limits, cause, *, unchanged=()):
        write = SetPersonal(collection, name, expected, view, view_revision)
        return (await self.apply(ChangeSet((write,), limits, cause, tuple(unchanged))))[0]

    async def delete_object(self, collection, name, expected, cause, *, unchanged=()):
        write = Delete(collection, name, expected)
        return (await self.apply(ChangeSet((write,), LIMITS, cause, tuple(unchanged))))[0].revision

    async def set_object_properties(self, collection, name, state, changes, cause, *, unchanged=()):
        write = SetProperties(collection, name, state, changes)
        return (await self.apply(ChangeSet((write,), LIMITS, cause, tuple(unchanged))))[0].revision

    async def move_object(
        self, source, source_name, source_state, destination, name, expected, limits, cause, *, unchanged=()
    ):
        stored = StoredContent(source, source_name, source_state)
        writes = Put(destination, name, stored, expected, keep_id=True), Delete(source, source_name, source_state)
        return (await self.apply(ChangeSet(writes, limits, cause, tuple(unchanged))))[0]

    async def copy_object(
        self, source, source_name, source_state, destination, name, expected, limits, cause, *, unchanged=()
    ):
        write = Put(destination, name, StoredContent(source, source_name, source_state), expected)
        return (await self.apply(ChangeSet((write,), limits, cause, tuple(unchanged))))[0]
