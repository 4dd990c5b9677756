"""The writes of collections and homes of `server.storage.changes.Changes`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from server.domain.changes import Cause, CopyUnderWay, PropertyChanges, Unchanged, WriteLimits
from server.domain.contents import ObjectContent, PlainText
from server.domain.errors import AlreadyExists, NotFound, QuotaExceeded, TooManyCollections, WriteConflict
from server.domain.jobs import Job
from server.domain.objects import PERSONAL_PROPERTIES, Collection, Home, NewCollection
from server.domain.occurrences import TRAVEL, Busy, Materialised
from server.domain.scheduling import NO_SCHEDULING, SchedulingRole
from tests.unit.services.memory_storage import seen
from tests.unit.services.memory_storage.conditions import require_collection, require_unchanged
from tests.unit.services.memory_storage.member_rows import with_changes
from tests.unit.services.memory_storage.space import of_properties, require_space, space_of
from tests.unit.services.memory_storage.tables import (
    BindingRow,
    CollectionRow,
    Event,
    ObjectRow,
    OwnProperties,
    Tables,
)


class CollectionWrites:
    """Each method is one transaction."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables

    async def create_collection(
        self, home: Home, new: NewCollection, limits: WriteLimits, cause: Cause, *, unchanged: Sequence[Unchanged] = ()
    ) -> Collection:
        tables = self.tables
        async with tables.transaction():
            require_unchanged(tables, unchanged)
            if home.id not in tables.homes:
                raise NotFound
            before = space_of(tables, home.id)
            revision, at = tables.take_revision(home.id)
            if tables.live_binding(home.id, new.name) is not None:
                raise AlreadyExists
            if len(tables.live_bindings(home.id)) >= limits.max_collections:
                raise TooManyCollections
            binding = add_collection(tables, home.id, new, revision, at)
            self._tell("collection-created", home.id, binding.collection_id)
            require_space(tables, home.id, before, limits.quota_bytes)
            return seen.collection(tables, binding, home.principal_id)

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
        tables = self.tables
        shared, personal = dict(changes.properties), dict[str, str | None]()
        if viewer != home.principal_id or collection.rights != "owner":
            personal = {name: value for name, value in shared.items() if name in PERSONAL_PROPERTIES}
            shared = {name: value for name, value in shared.items() if name not in PERSONAL_PROPERTIES}
        concerns_all = bool(shared) or changes.timezone is not None or changes.source is not None
        own = home.id == collection.home_id
        async with tables.transaction():
            require_unchanged(tables, unchanged)
            before = space_of(tables, collection.home_id)
            if concerns_all and not own:
                # What all see is a change in the collection's home, of which the sharee's home hears later.
                self._set_shared(collection, replace(changes, properties=shared))
            revision, at = tables.take_revision(home.id)
            require_collection(tables, collection)
            if own and (concerns_all or not personal):
                self._set_shared(collection, replace(changes, properties=shared), (revision, at))
            if not own:
                binding = tables.bindings[home.id, collection.name]
                tables.bindings[home.id, collection.name] = replace(binding, revision=revision)
            if personal:
                self._set_own(collection, viewer, personal, revision if own else None, limits)
                self._tell("collection-view", home.id, collection.id)
            if concerns_all:
                require_space(tables, collection.home_id, before, limits.quota_bytes)
            return revision

    def _set_shared(
        self, collection: Collection, changes: PropertyChanges, taken: tuple[int, datetime] | None = None
    ) -> None:
        """Set what all see, under a revision of the collection's home."""
        row = self.tables.collections[collection.id]
        revision, at = taken or self.tables.take_revision(row.home_id)
        if row.deleted_at is not None:
            return
        self.tables.collections[row.id] = replace(
            row,
            revision=revision,
            modified_at=at,
            properties=with_changes(row.properties, changes),
            timezone=(row.timezone if changes.timezone is None else changes.timezone) or None,
            source=(row.source if changes.source is None else changes.source) or None,
        )
        self._tell("collection-properties", row.home_id, row.id)

    def _set_own(
        self,
        collection: Collection,
        viewer: int,
        changes: dict[str, str | None],
        revision: int | None,
        limits: WriteLimits,
    ) -> None:
        """Set what one person sees. Raises `QuotaExceeded`."""
        key = collection.id, viewer
        known = self.tables.own_properties.get(key, OwnProperties(collection.home_id, 0, {}))
        properties = with_changes(known.properties, PropertyChanges(changes))
        if of_properties(properties) > max(limits.max_personal_properties_size, of_properties(known.properties)):
            raise QuotaExceeded
        moved = known.revision if revision is None else revision
        self.tables.own_properties[key] = OwnProperties(collection.home_id, moved, properties)

    async def set_home_properties(
        self,
        home: Home,
        changes: PropertyChanges,
        limits: WriteLimits,
        cause: Cause,
        *,
        unchanged: Sequence[Unchanged] = (),
    ) -> int:
        tables = self.tables
        async with tables.transaction():
            require_unchanged(tables, unchanged)
            if home.id not in tables.homes:
                raise NotFound
            before = space_of(tables, home.id)
            properties = with_changes(tables.homes[home.id].properties, changes)
            revision, _ = tables.take_revision(home.id, properties=properties)
            require_space(tables, home.id, before, limits.quota_bytes)
            return revision

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
        tables = self.tables
        async with tables.transaction():
            require_unchanged(tables, unchanged)
            revision, at = tables.take_revision(home.id)
            self._unbind(home.id, collection, revision, at)
            if replacement is not None:
                revision, at = tables.take_revision(home.id)
                binding = add_collection(tables, home.id, replacement, revision, at)
                self._tell("collection-created", home.id, binding.collection_id)
            elif home.kind == "addressbook" and collection.home_id == home.id and not tables.live_bindings(home.id):
                raise WriteConflict
            tables.jobs += jobs
            return revision

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
        tables = self.tables
        async with tables.transaction():
            require_unchanged(tables, unchanged)
            revision, at = tables.take_revision(home.id)
            if replaced is not None:
                self._unbind(home.id, replaced, revision, at)
                revision, at = tables.take_revision(home.id)
            binding = self._required(home.id, collection)
            tables.bindings[home.id, collection.name] = replace(binding, revision=revision, deleted_revision=revision)
            if tables.live_binding(home.id, name) is not None:
                raise WriteConflict
            # The members come with revisions that infinite tokens may have seen under the old name.
            floor = tables.homes[home.id].revision + 1
            revision, _ = tables.take_revision(home.id, infinite_sync_floor=floor)
            tables.bindings[home.id, name] = BindingRow(
                home.id,
                name,
                binding.collection_home_id,
                binding.collection_id,
                revision,
                binding.rights,
                binding.incarnation + 1,
            )
            self._tell("collection-moved", home.id, collection.id)
            tables.jobs += jobs
            return revision

    async def copy_collection(
        self,
        home: Home,
        collection: Collection,
        name: str,
        replaced: Collection | None,
        limits: WriteLimits,
        cause: Cause,
        *,
        with_members: bool,
        unchanged: Sequence[Unchanged] = (),
        as_plain: Callable[[str], PlainText | None] | None = None,
        jobs: Sequence[Job] = (),
    ) -> int:
        tables = self.tables
        own = tables.quota(tables.homes[home.id])
        quota = limits.quota_bytes if own is None else own
        async with tables.transaction():
            before = space_of(tables, home.id)
            if with_members and before.used + _texts(tables, collection) > quota:
                raise QuotaExceeded
            require_unchanged(tables, unchanged)
            revision, at = tables.take_revision(home.id)
            require_collection(tables, collection)
            if replaced is not None:
                self._unbind(home.id, replaced, revision, at)
                revision, at = tables.take_revision(home.id)
            if tables.live_binding(home.id, name) is not None:
                raise WriteConflict
            if len(tables.live_bindings(home.id)) >= limits.max_collections:
                raise TooManyCollections
            source = tables.collections[collection.id]
            new = NewCollection(name, source.kind, source.components, source.timezone, source.source, source.properties)
            binding = add_collection(tables, home.id, new, revision, at)
            if with_members:
                sharee = None if home.id == collection.home_id else home.principal_id
                for row in tables.members(collection.id):
                    revision, _ = tables.take_revision(home.id)
                    copied = _copied(tables, row, home.id, binding.collection_id, sharee)
                    if as_plain is not None:
                        copied = _plain(copied, as_plain)
                    tables.objects[copied.id] = replace(copied, revision=revision, created_at=at, modified_at=at)
                made = tables.collections[binding.collection_id]
                tables.collections[made.id] = replace(made, revision=revision)
                if space_of(tables, home.id).total > 2 * quota:
                    raise QuotaExceeded
            require_space(tables, home.id, before, limits.quota_bytes)
            self._tell("collection-copied", home.id, binding.collection_id)
            tables.jobs += jobs
            return revision

    async def copy_under_way(self, home_id: int, collection_id: int) -> CopyUnderWay | None:
        """Copies are made at once here: none is left."""
        return None

    async def give_up_copy(self, home_id: int, collection_id: int) -> None:
        """None is left."""

    async def resume_copy(
        self,
        home_id: int,
        collection_id: int,
        limits: WriteLimits,
        *,
        as_plain: Callable[[str], PlainText | None] | None = None,
        jobs: Sequence[Job] = (),
    ) -> None:
        """None is left."""

    # -- bindings -----------------------------------------------------------------------------------------------------

    def _required(self, home_id: int, collection: Collection) -> BindingRow:
        """The binding that a write was decided by. Raises `WriteConflict`."""
        binding = self.tables.live_binding(home_id, collection.name)
        if binding is None or (binding.collection_id, binding.incarnation) != (collection.id, collection.incarnation):
            raise WriteConflict
        return binding

    def _unbind(self, home_id: int, collection: Collection, revision: int, at: datetime) -> None:
        """Remove a binding, and the collection if it is the home's own; of another's, the sharing ends."""
        tables = self.tables
        binding = self._required(home_id, collection)
        tables.bindings[home_id, binding.name] = replace(binding, revision=revision, deleted_revision=revision)
        if binding.is_own:
            row = tables.collections[collection.id]
            tables.collections[row.id] = replace(row, revision=revision, deleted_at=at, modified_at=at)
        else:
            principal_id = tables.homes[home_id].principal_id
            tables.shares.pop((collection.id, principal_id), None)
            tables.declined.add((collection.id, principal_id))
        self._tell("collection-deleted", home_id, collection.id)

    def _tell(self, kind: str, home_id: int, collection_id: int) -> None:
        self.tables.outbox.append(Event(kind, home_id, collection_id))


def add_collection(tables: Tables, home_id: int, new: NewCollection, revision: int, at: datetime) -> BindingRow:
    """Make a collection and bind it to a free name, or one that a tombstone has."""
    row = CollectionRow(
        home_id,
        tables.new_id(),
        new.kind,
        new.components,
        revision,
        at,
        at,
        new.timezone,
        new.source,
        dict(new.properties),
    )
    tables.collections[row.id] = row
    binding = BindingRow(home_id, new.name, home_id, row.id, revision)
    tombstone = tables.bindings.get((home_id, new.name))
    if tombstone is not None:
        binding = replace(binding, incarnation=tombstone.incarnation + 1, view_revision=tombstone.view_revision)
        home = tables.homes[home_id]
        floor = max(home.infinite_sync_floor, tombstone.deleted_revision or 0)
        tables.homes[home_id] = replace(home, infinite_sync_floor=floor)
    tables.bindings[home_id, new.name] = binding
    return binding


def _texts(tables: Tables, collection: Collection) -> int:
    return sum(row.content.size for row in tables.members(collection.id))


def _copied(tables: Tables, row: ObjectRow, home_id: int, collection_id: int, sharee: int | None) -> ObjectRow:
    """A member as a new one in another collection: of another's collection, what the sharee sees."""
    found = seen.member(tables, row, sharee)
    content = row.content
    assert found.text is not None
    foreign = sharee is not None and content.component == "VEVENT"
    organized = sharee is not None and content.scheduling.organizer is not None
    underived = row.underived or foreign or organized or found.etag != content.etag
    content = replace(
        content,
        etag=found.etag,
        text=found.text,
        size=found.size,
        time_key="" if foreign or found.etag != content.etag else content.time_key,
        schedule_tag=None,
        # A home has one scheduling object of a UID.
        scheduling=replace(content.scheduling, role=SchedulingRole.NONE),
        materialised=_as_seen(content, found),
        others=None if found.is_part else content.others,
        summary={} if found.is_part else content.summary,
    )
    return replace(
        row,
        properties={} if found.is_part else row.properties,
        home_id=home_id,
        collection_id=collection_id,
        id=tables.new_id(),
        content=content,
        underived=underived,
        neutral_etag=row.neutral_etag if sharee is None and row.private else None,
        neutral_text=row.neutral_text if sharee is None and row.private else None,
        neutral_busy=row.neutral_busy if sharee is None and row.private else None,
    )


def _plain(row: ObjectRow, as_plain: Callable[[str], PlainText | None]) -> ObjectRow:
    """The copy of a meeting as an event; other copies as they are."""
    content = row.content
    organized = content.scheduling.organizer is not None and content.component in ("VEVENT", "VTODO")
    plain = as_plain(content.text) if organized else None
    if plain is None:
        return row
    summary = {name: value for name, value in content.summary.items() if name != "organizer"}
    size = len(plain.text.encode())
    changed = replace(content, uid=plain.uid, etag=plain.etag, text=plain.text, size=size, summary=summary)
    return replace(row, content=replace(changed, time_key="", scheduling=NO_SCHEDULING), underived=True)


def _as_seen(content: ObjectContent, found: seen.Member) -> Materialised | None:
    materialised = content.materialised
    if materialised is None:
        return None
    busy = found.busy
    rows = materialised.occurrences
    if busy is not None:
        rows = tuple(replace(row, busy=_of(busy, row.component, row.busy)) for row in rows)
    if found.by_sharee:
        rows = tuple(row for row in rows if row.component != TRAVEL)
    return replace(materialised, occurrences=rows, alarms=tuple(found.alarms))


def _of(busy: tuple[Busy, ...], component: int, other: Busy) -> Busy:
    return busy[component] if 0 <= component < len(busy) else other
