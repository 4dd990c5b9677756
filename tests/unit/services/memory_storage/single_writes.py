"""Writes of one member: puts, copies and moves, deletions, properties, views."""

from __future__ import annotations

from dataclasses import replace

from server.domain.changes import (
    Delete,
    Put,
    SetPersonal,
    SetProperties,
    StoredContent,
    Write,
    WriteLimits,
    Written,
)
from server.domain.contents import ObjectContent
from server.domain.errors import (
    BadRequest,
    QuotaExceeded,
    SchedulingObjectExists,
    TooManyMembers,
    UidConflict,
    WriteConflict,
)
from tests.unit.services.memory_storage.conditions import require_collection, require_state, require_views
from tests.unit.services.memory_storage.member_rows import MemberRows, with_changes
from tests.unit.services.memory_storage.space import require_space, space_of
from tests.unit.services.memory_storage.tables import CopyRow, TrashRow, of_other_owner, without_role


class SingleWrites(MemberRows):
    """Each method makes one write, or the two of a move, in the caller's transaction."""

    def _make(self, write: Write, limits: WriteLimits, written: dict[int, Written], deletion: int | None) -> Written:
        match write:
            case Put(content=StoredContent() as stored):
                found, gone = self._transfer(write, stored, limits)
                if deletion is not None:
                    written[deletion] = gone
            case Put(content=ObjectContent() as content):
                found = self._put(write, content, limits)
            case Delete():
                self._compare(write, None)
                require_collection(self.tables, write.collection)
                return self._bury(write, *self.tables.take_revision(write.collection.home_id))
            case SetProperties():
                return self._set_properties(write, limits)
            case SetPersonal():
                return self._set_personal(write, limits)
        if write.properties:
            home_id = write.collection.home_id
            before = space_of(self.tables, home_id)
            row = self.tables.objects[found.id]
            self.tables.objects[found.id] = replace(row, properties=dict(write.properties))
            require_space(self.tables, home_id, before, limits.quota_bytes)
        return found

    def _put(self, write: Put, content: ObjectContent, limits: WriteLimits) -> Written:
        tables, collection = self.tables, write.collection
        before = space_of(tables, collection.home_id)
        self._compare(write, None)
        require_collection(tables, collection)
        require_views(tables, write)
        replaced = 0 if write.expected is None else tables.objects[write.expected.id].content.size
        growth = content.size - replaced
        quota = tables.quota(tables.homes[collection.home_id])
        quota = limits.quota_bytes if quota is None else quota
        if growth > 0 and (before.used + growth > quota or before.total + growth > 2 * quota):
            raise QuotaExceeded
        if write.expected is None and len(tables.members(collection.id)) >= limits.max_members:
            raise TooManyMembers
        if write.expected is None:
            row = tables.named(collection.id, write.name)
            if row is not None and row.deleted_revision is None:
                raise WriteConflict
        if self._uid_is_taken(collection, content, write.expected):
            raise UidConflict
        if self._is_scheduled(collection, content, write.expected):
            raise SchedulingObjectExists
        written = self._store(write, content, *tables.take_revision(collection.home_id))
        require_space(tables, collection.home_id, before, limits.quota_bytes)
        return written

    def _transfer(self, write: Put, stored: StoredContent, limits: WriteLimits) -> tuple[Written, Written]:
        """COPY or MOVE; also gives what the deletion of a move leaves."""
        tables, move = self.tables, write.keep_id
        source, target = stored.collection, write.collection
        states = [(stored.state.id, source, stored.name, stored.state)]
        if write.expected is not None:
            states.append((write.expected.id, target, write.name, write.expected))
        for _, collection, name, state in sorted(states, key=lambda item: item[0]):
            require_state(tables, collection, name, state)
        require_collection(tables, source)
        require_collection(tables, target)
        within = move and source.id == target.id
        if not within and (tables.collections[source.id].views or tables.collections[target.id].views):
            raise WriteConflict
        if write.expected is not None and write.expected.id == stored.state.id:
            raise BadRequest
        row = tables.objects[stored.state.id]
        if not move and source.home_id == target.home_id and row.is_scheduling_object:
            raise SchedulingObjectExists
        before = space_of(tables, target.home_id)
        kept_home = move and source.home_id == target.home_id
        replaced = None if write.expected is None else tables.objects[write.expected.id]
        gone = Written(0, row.id, None)
        if move:
            revision, at = tables.take_revision(source.home_id)
            gone = Written(revision, row.id, None)
            tombstone = replace(
                row,
                id=tables.new_id(),
                revision=revision,
                deleted_revision=revision,
                removed_at=at,
                properties={},
                restorable=False,
                neutral_etag=None,
                neutral_text=None,
            )
            del tables.objects[row.id]
            tables.objects[tombstone.id] = tombstone
            self._change_collection(source, revision, at)
            self._tell_of("moved-out", source)
        growth = row.content.size - (0 if replaced is None else replaced.content.size)
        quota = tables.quota(tables.homes[target.home_id])
        quota = limits.quota_bytes if quota is None else quota
        if growth > 0 and not kept_home and before.used + growth > quota:
            raise QuotaExceeded
        revision, at = tables.take_revision(target.home_id)
        if replaced is None and len(tables.members(target.id)) >= limits.max_members:
            raise TooManyMembers
        if replaced is not None:
            del tables.objects[replaced.id]
            self._forget_copies(replaced.id)
            tables.trash.append(TrashRow(target.home_id, replaced.content, replaced.properties))
        self._make_room(target, write.name)
        moved = row if source.home_id == target.home_id else of_other_owner(row)
        if row.is_message or not kept_home:
            moved = replace(moved, content=without_role(moved.content), underived=moved.underived or row.is_message)
        if self._uid_is_taken(target, moved.content, stored.state if move else None):
            raise UidConflict
        new = replace(
            moved,
            home_id=target.home_id,
            collection_id=target.id,
            id=row.id if move else tables.new_id(),
            name=write.name,
            revision=revision,
            created_at=row.created_at if move else at,
            modified_at=at,
            neutral_etag=row.neutral_etag if within or row.private else None,
            neutral_text=row.neutral_text if within or row.private else None,
            neutral_busy=row.neutral_busy if within or row.private else None,
        )
        if move and not within:
            self._forget_copies(row.id)
        tables.objects[new.id] = new
        self._change_collection(target, revision, at)
        self._tell_of("moved-in" if move else "created", target)
        if not kept_home:
            if space_of(tables, target.home_id).total > 2 * quota:
                raise QuotaExceeded
            require_space(tables, target.home_id, before, limits.quota_bytes)
        return Written(revision, new.id, at), gone

    def _set_properties(self, write: SetProperties, limits: WriteLimits) -> Written:
        tables, collection = self.tables, write.collection
        require_state(tables, collection, write.name, write.expected)
        before = space_of(tables, collection.home_id)
        require_collection(tables, collection)
        revision, at = tables.take_revision(collection.home_id)
        row = tables.objects[write.expected.id]
        tables.objects[row.id] = replace(row, revision=revision, properties=with_changes(row.properties, write.changes))
        self._change_collection(collection, revision, at)
        self._tell_of("properties", collection)
        require_space(tables, collection.home_id, before, limits.quota_bytes)
        return Written(revision, row.id, None)

    def _set_personal(self, write: SetPersonal, limits: WriteLimits) -> Written:
        tables, collection, view = self.tables, write.collection, write.view
        require_state(tables, collection, write.name, write.expected)
        known = tables.copies.get((write.expected.id, view.principal_id))
        if (0 if known is None else known.revision) != write.view_revision:
            raise WriteConflict
        require_collection(tables, collection)
        if not tables.collections[collection.id].views:
            raise WriteConflict
        home = tables.homes[collection.home_id]
        before = space_of(tables, home.id)
        revision = home.revision + 1
        tables.homes[home.id] = replace(
            home, revision=revision, hidden_after=home.visible_revision, hidden_until=revision
        )
        own = tables.home(view.principal_id, "calendar")
        at = tables.clock()
        if own is not None:
            own_revision, at = tables.take_revision(own.id)
            for binding in tables.bindings_of(collection.id):
                if binding.home_id == own.id:
                    moved = replace(binding, revision=own_revision, view_revision=revision)
                    tables.bindings[own.id, binding.name] = moved
        tables.copies[write.expected.id, view.principal_id] = CopyRow(home.id, write.expected.id, revision, at, view)
        # Sharees leave room for what the owner deletes and keeps.
        quota = tables.quota(home)
        if space_of(tables, home.id).kept > max(limits.quota_bytes if quota is None else quota, before.kept):
            raise QuotaExceeded
        return Written(revision, write.expected.id, at)
