"""Writes of members: `server.storage.Storage` says what each does."""

from __future__ import annotations

import asyncpg

from server.errors import BadRequest
from server.storage import (
    Cause,
    Collection,
    ObjectContent,
    ObjectState,
    PropertyChanges,
    WriteLimits,
    Written,
)
from storage_plugins.postgres import occurrence_rows
from storage_plugins.postgres.writing import Writing, based_on, by, call, place, split

_PUT_OBJECT = call("koyomi_put_object_1", 40)
_DELETE_OBJECT = call("koyomi_delete_object_1", 10)
_TRANSFER_OBJECT = call("koyomi_transfer_object_1", 21)
_SET_OBJECT_PROPERTIES = call("koyomi_set_object_properties_1", 12)


class MemberWrites(Writing):
    """Each is one transaction in one round trip."""

    async def put_object(
        self,
        collection: Collection,
        name: str,
        content: ObjectContent,
        expected: ObjectState | None,
        limits: WriteLimits,
        cause: Cause,
    ) -> Written:
        """Create or replace a member. Raises as `Storage.put_object` says."""
        row = await self._write(
            _PUT_OBJECT,
            *place(collection),
            name,
            *based_on(expected),
            content.uid,
            content.component,
            content.etag,
            content.schedule_tag,
            content.size,
            content.time_key,
            content.text,
            dict(content.summary) or None,
            content.tzids or None,
            limits.quota_bytes,
            limits.max_members,
            self._restore_days,
            *by(cause),
            *occurrence_rows.arguments(content.materialised),
        )
        return self._written(collection, row)

    async def delete_object(self, collection: Collection, name: str, expected: ObjectState, cause: Cause) -> int:
        """Make a member a tombstone; gives the revision."""
        row = await self._write(_DELETE_OBJECT, *place(collection), name, *based_on(expected), *by(cause))
        return self._changed(collection.home_id, collection.id, row[0])

    async def move_object(
        self,
        source: Collection,
        source_name: str,
        source_state: ObjectState,
        destination: Collection,
        name: str,
        expected: ObjectState | None,
        limits: WriteLimits,
        cause: Cause,
    ) -> Written:
        """Move a member, which keeps its id and dead properties; may replace what has the name."""
        return await self._transfer(True, source, source_name, source_state, destination, name, expected, limits, cause)

    async def copy_object(
        self,
        source: Collection,
        source_name: str,
        source_state: ObjectState,
        destination: Collection,
        name: str,
        expected: ObjectState | None,
        limits: WriteLimits,
        cause: Cause,
    ) -> Written:
        """Copy a member with its dead properties and occurrences; may replace what has the name."""
        return await self._transfer(
            False, source, source_name, source_state, destination, name, expected, limits, cause
        )

    async def set_object_properties(
        self, collection: Collection, name: str, state: ObjectState, changes: PropertyChanges, cause: Cause
    ) -> int:
        """Set dead properties of a member; the ETag stays, the revision moves."""
        row = await self._write(
            _SET_OBJECT_PROPERTIES,
            *place(collection),
            name,
            *based_on(state),
            *split(changes.properties),
            *by(cause),
        )
        return self._changed(collection.home_id, collection.id, row[0])

    async def _transfer(
        self,
        move: bool,
        source: Collection,
        source_name: str,
        source_state: ObjectState,
        destination: Collection,
        name: str,
        expected: ObjectState | None,
        limits: WriteLimits,
        cause: Cause,
    ) -> Written:
        if (source.id, source_name) == (destination.id, name):
            raise BadRequest("Source and destination are the same.")
        row = await self._write(
            _TRANSFER_OBJECT,
            move,
            *place(source),
            source_name,
            *based_on(source_state),
            *place(destination),
            name,
            *based_on(expected),
            limits.quota_bytes,
            limits.max_members,
            self._restore_days,
            *by(cause),
        )
        if move:
            self._changed(source.home_id, source.id, row[3])
        return self._written(destination, row)

    def _written(self, collection: Collection, row: asyncpg.Record) -> Written:
        revision, id_, modified_at = row[:3]
        self._changed(collection.home_id, collection.id, revision)
        return Written(revision, id_, modified_at)
