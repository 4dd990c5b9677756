"""Writes of members: `server.storage.Storage` says what each does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import asyncpg

from server.domain.changes import Cause, ObjectState, PropertyChanges, Unchanged, WriteLimits, Written
from server.domain.errors import BadRequest, WriteConflict
from server.domain.objects import Collection
from server.storage.changes import ObjectContent, ObjectView, Views
from storage_plugins.postgres.changes import occurrence_rows
from storage_plugins.postgres.changes import views as view_rows
from storage_plugins.postgres.changes.writing import (
    LOCK_OBJECTS,
    Writing,
    based_on,
    by,
    call,
    place,
    require_unchanged,
    split,
)

_PUT_OBJECT = call("koyomi_put_object_3", 55)
_PUT_VIEW = call("koyomi_put_view_2", 20)
_DELETE_OBJECT = call("koyomi_delete_object_2", 11)
_TRANSFER_OBJECT = call("koyomi_transfer_object_3", 23)
_SET_PROPERTIES = "update object set properties = $3 where home_id = $1 and id = $2"
_SET_OBJECT_PROPERTIES = call("koyomi_set_object_properties_2", 13)


class MemberWrites(Writing):
    """Each is one transaction, in one round trip unless it rests on other states."""

    async def put_object(
        self,
        collection: Collection,
        name: str,
        content: ObjectContent,
        expected: ObjectState | None,
        limits: WriteLimits,
        cause: Cause,
        views: Views | None = None,
        *,
        unchanged: Sequence[Unchanged] = (),
    ) -> Written:
        """Create or replace a member. Raises as `Storage.put_object` says."""
        arguments = self._put_arguments(collection, name, content, expected, limits, cause, views)
        objects = () if expected is None else (expected.id,)
        row = await self._write(
            _PUT_OBJECT, *arguments, unchanged=unchanged, homes=(collection.home_id,), objects=objects
        )
        return self._written(collection, row)

    async def put_view(
        self,
        collection: Collection,
        name: str,
        view: ObjectView,
        expected: ObjectState,
        view_revision: int,
        limits: WriteLimits,
        cause: Cause,
        *,
        unchanged: Sequence[Unchanged] = (),
    ) -> Written:
        """Set what one person sees of a member, which stays as it is."""
        row = await self._write(
            _PUT_VIEW,
            *place(collection),
            name,
            *based_on(expected),
            view.principal_id,
            view_revision,
            view.etag,
            view.size,
            view.personal,
            view.text,
            view_rows.busy_numbers(view.busy),
            view_rows.alarms([view]),
            limits.quota_bytes,
            *by(cause),
            unchanged=unchanged,
            homes=(collection.home_id, collection.binding_home_id),
            objects=(expected.id,),
        )
        self._changed(row[3], collection.id, row[0])
        return self._written(collection, row)

    async def delete_object(
        self,
        collection: Collection,
        name: str,
        expected: ObjectState,
        cause: Cause,
        *,
        unchanged: Sequence[Unchanged] = (),
    ) -> int:
        """Make a member a tombstone; gives the revision."""
        row = await self._write(
            _DELETE_OBJECT,
            *place(collection),
            name,
            *based_on(expected),
            *by(cause),
            unchanged=unchanged,
            homes=(collection.home_id,),
            objects=(expected.id,),
        )
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
        *,
        unchanged: Sequence[Unchanged] = (),
    ) -> Written:
        """Move a member, which keeps its id and dead properties; may replace what has the name."""
        what = source, source_name, source_state, destination, name, expected
        return await self._transfer(True, *what, limits, cause, unchanged)

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
        *,
        unchanged: Sequence[Unchanged] = (),
    ) -> Written:
        """Copy a member with its dead properties and occurrences; may replace what has the name."""
        what = source, source_name, source_state, destination, name, expected
        return await self._transfer(False, *what, limits, cause, unchanged)

    async def set_object_properties(
        self,
        collection: Collection,
        name: str,
        state: ObjectState,
        changes: PropertyChanges,
        cause: Cause,
        *,
        unchanged: Sequence[Unchanged] = (),
    ) -> int:
        """Set dead properties of a member; the ETag stays, the revision moves."""
        row = await self._write(
            _SET_OBJECT_PROPERTIES,
            *place(collection),
            name,
            *based_on(state),
            *split(changes.properties),
            *by(cause),
            unchanged=unchanged,
            homes=(collection.home_id,),
            objects=(state.id,),
        )
        return self._changed(collection.home_id, collection.id, row[0])

    async def transfer_text(
        self,
        source: Collection,
        source_name: str,
        source_state: ObjectState,
        destination: Collection,
        name: str,
        content: ObjectContent,
        expected: ObjectState | None,
        properties: Mapping[str, str],
        limits: WriteLimits,
        cause: Cause,
        views: Views | None,
        *,
        keep: bool,
        unchanged: Sequence[Unchanged] = (),
    ) -> Written:
        """Put what was read of a member into another collection, and unless `keep` delete it, in one transaction."""
        arguments = self._put_arguments(destination, name, content, expected, limits, cause, views)
        async with self.database.transaction() as connection:
            ids = [source_state.id] if expected is None else [source_state.id, expected.id]
            homes = [source.home_id, destination.home_id]
            held = await connection.fetch(LOCK_OBJECTS, homes, ids)
            if (source_state.id, source_state.revision) not in {(row[0], row[1]) for row in held}:
                raise WriteConflict
            await require_unchanged(connection, unchanged, homes)
            if not keep:
                deleted = await connection.fetchval(
                    _DELETE_OBJECT, *place(source), source_name, *based_on(source_state), *by(cause)
                )
            row = await connection.fetchrow(_PUT_OBJECT, *arguments)
            if row is None:
                raise WriteConflict
            if properties:
                await connection.execute(_SET_PROPERTIES, destination.home_id, row[1], dict(properties))
        if not keep:
            self._changed(source.home_id, source.id, deleted)
        return self._written(destination, row)

    def _put_arguments(
        self,
        collection: Collection,
        name: str,
        content: ObjectContent,
        expected: ObjectState | None,
        limits: WriteLimits,
        cause: Cause,
        views: Views | None,
    ) -> tuple[object, ...]:
        return (
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
            *occurrence_rows.derived(content.materialised),
            limits.quota_bytes,
            limits.max_members,
            self._restore_days,
            *by(cause),
            *occurrence_rows.arguments(content.materialised),
            *view_rows.arguments(views),
        )

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
        unchanged: Sequence[Unchanged],
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
            unchanged=unchanged,
            homes=(source.home_id, destination.home_id),
            objects=(source_state.id,) if expected is None else (source_state.id, expected.id),
        )
        if move:
            self._changed(source.home_id, source.id, row[3])
        return self._written(destination, row)

    def _written(self, collection: Collection, row: asyncpg.Record) -> Written:
        revision, id_, modified_at = row[:3]
        self._changed(collection.home_id, collection.id, revision)
        return Written(revision, id_, modified_at)
