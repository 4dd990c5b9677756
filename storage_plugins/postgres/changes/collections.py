"""Writes of collections and homes, as `server.storage.changes.Changes` describes them."""

from __future__ import annotations

from collections.abc import Sequence

from server.domain.changes import Cause, PropertyChanges, Unchanged, WriteLimits
from server.domain.jobs import Job
from server.domain.objects import PERSONAL_PROPERTIES, Collection, Home, NewCollection
from storage_plugins.postgres.changes.clocks import supplies_clocks
from storage_plugins.postgres.changes.writing import (
    Writing,
    binding,
    by,
    call,
    new_collection,
    split,
)

_CREATE_COLLECTION = call("koyomi_create_collection_2", 12)
_SET_COLLECTION_PROPERTIES = call("koyomi_set_collection_properties_3", 17)
_SET_HOME_PROPERTIES = call("koyomi_set_home_properties_2", 7)
_DELETE_COLLECTION = call("koyomi_delete_collection_1", 14)
_MOVE_COLLECTION = call("koyomi_move_collection_1", 12)


class CollectionWrites(Writing):
    """Each method is one transaction, in one round trip unless it compares other states."""

    async def create_collection(
        self, home: Home, new: NewCollection, limits: WriteLimits, cause: Cause, *, unchanged: Sequence[Unchanged] = ()
    ) -> Collection:
        """Make a collection. Raises `AlreadyExists`, `QuotaExceeded`, `TooManyCollections`."""
        arguments = (home.id, *new_collection(new), limits.max_collections, limits.quota_bytes, *by(cause))
        row = await self._write(_CREATE_COLLECTION, *arguments, cause=cause, unchanged=unchanged, homes=(home.id,))
        id_, revision, incarnation, now = row
        self._changed(home.id, id_, revision)
        return Collection(
            home_id=home.id,
            id=id_,
            name=new.name,
            kind=new.kind,
            rights="owner",
            components=new.components,
            revision=revision,
            binding_revision=revision,
            incarnation=incarnation,
            sync_floor=0,
            member_count=0,
            used_bytes=0,
            created_at=now,
            modified_at=now,
            binding_home_id=home.id,
            timezone=new.timezone,
            source=new.source,
            properties=dict(new.properties),
        )

    @supplies_clocks
    async def set_collection_properties(
        self,
        home: Home,
        collection: Collection,
        changes: PropertyChanges,
        viewer: int,
        limits: WriteLimits,
        cause: Cause,
        *,
        unchanged: Sequence[Unchanged] = (),
    ) -> int:
        """Set properties of a collection. Returns the revision."""
        shared, personal = changes.properties, None
        if viewer != home.principal_id or collection.rights != "owner":
            personal = {name: value for name, value in shared.items() if name in PERSONAL_PROPERTIES}
            shared = {name: value for name, value in shared.items() if name not in PERSONAL_PROPERTIES}
        row = await self._write(
            _SET_COLLECTION_PROPERTIES,
            *binding(home, collection),
            *split(shared),
            changes.timezone,
            changes.source,
            viewer if personal else None,
            *split(personal or {}),
            limits.quota_bytes,
            limits.max_personal_properties_size,
            *by(cause),
            cause=cause,
            unchanged=unchanged,
            homes=(home.id, collection.home_id),
        )
        revision, collection_revision = row
        if collection_revision is not None:
            self._changed(collection.home_id, collection.id, collection_revision)
        return self._changed(home.id, collection.id, revision)

    async def set_home_properties(
        self,
        home: Home,
        changes: PropertyChanges,
        limits: WriteLimits,
        cause: Cause,
        *,
        unchanged: Sequence[Unchanged] = (),
    ) -> int:
        """Set dead properties of a home. Returns the revision."""
        arguments = (home.id, *split(changes.properties), limits.quota_bytes, *by(cause))
        row = await self._write(_SET_HOME_PROPERTIES, *arguments, cause=cause, unchanged=unchanged, homes=(home.id,))
        return self._changed(home.id, None, row[0])

    async def delete_collection(
        self,
        home: Home,
        collection: Collection,
        cause: Cause,
        *,
        replacement: NewCollection | None = None,
        unchanged: Sequence[Unchanged] = (),
        jobs: Sequence[Job] = (),
    ) -> int:
        """Unbind a collection, with `replacement` and `jobs` in the same transaction. Returns the last revision.

        Raises `WriteConflict`, also if an address-book home would have no address book.
        """
        row = await self._write(
            _DELETE_COLLECTION,
            *binding(home, collection),
            *((None,) * 6 if replacement is None else new_collection(replacement)),
            *by(cause),
            cause=cause,
            unchanged=unchanged,
            homes=(home.id,),
            jobs=jobs,
        )
        return self._changed(home.id, collection.id, row[0])

    @supplies_clocks
    async def move_collection(
        self,
        home: Home,
        collection: Collection,
        name: str,
        replaced: Collection | None,
        cause: Cause,
        *,
        unchanged: Sequence[Unchanged] = (),
        jobs: Sequence[Job] = (),
    ) -> int:
        """Give a collection another name in its home; `replaced` is deleted, with `jobs`, in the same transaction."""
        row = await self._write(
            _MOVE_COLLECTION,
            *binding(home, collection),
            name,
            *((None,) * 3 if replaced is None else (replaced.home_id, replaced.id, replaced.incarnation)),
            *by(cause),
            cause=cause,
            unchanged=unchanged,
            homes=(home.id,),
            jobs=jobs,
        )
        if replaced is not None:
            self._changed(home.id, replaced.id, row[0])
        return self._changed(home.id, collection.id, row[0])
