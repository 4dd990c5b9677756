"""The rows of members, as single writes change them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from server.domain.changes import Delete, ObjectState, PropertyChanges, Put, Written
from server.domain.contents import ObjectContent
from server.domain.errors import WriteConflict
from server.domain.objects import Collection
from server.domain.occurrences import Busy
from server.domain.scheduling import SchedulingRole
from tests.unit.services.memory_storage.conditions import of_write, require_state
from tests.unit.services.memory_storage.tables import SCHEDULING_OBJECTS, CopyRow, Event, ObjectRow, Tables, TrashRow


class MemberRows:
    """Stores and deletes members."""

    tables: Tables

    def _uid_is_taken(self, collection: Collection, content: ObjectContent, but: ObjectState | None) -> bool:
        """Whether another member has the UID; messages in an inbox share theirs (RFC 6638 §2.2)."""
        if content.scheduling.role is SchedulingRole.INBOX:
            return False
        spared = None if but is None else but.id
        return any(
            row.content.uid == content.uid and row.id != spared and not row.is_message
            for row in self.tables.members(collection.id)
        )

    def _is_scheduled(self, collection: Collection, content: ObjectContent, but: ObjectState | None) -> bool:
        """Whether an object would be the second scheduling object of a UID in a home."""
        if content.scheduling.role not in SCHEDULING_OBJECTS:
            return False
        spared = None if but is None else but.id
        return any(
            row.is_scheduling_object
            and row.id != spared
            and (row.home_id, row.content.uid) == (collection.home_id, content.uid)
            for row in self.tables.objects.values()
        )

    def _compare(self, write: Put | Delete, index: int | None) -> None:
        """Raises `WriteConflict` if the member that is replaced or deleted, or a copy of it, has changed."""
        if write.expected is None:
            return
        try:
            require_state(self.tables, write.collection, write.name, write.expected)
            if isinstance(write, Put) and write.views is not None:
                copies = self.tables.copies_of(write.expected.id)
                if write.views.based_on != (len(copies), max((copy.revision for copy in copies), default=0)):
                    raise WriteConflict
        except WriteConflict as error:
            raise of_write(index, error) from None

    def _store(self, write: Put, content: ObjectContent, revision: int, at: datetime) -> Written:
        tables, collection, views = self.tables, write.collection, write.views
        replaced = None if write.expected is None else tables.objects[write.expected.id]
        if replaced is not None and content.materialised is None:
            content = replace(content, materialised=replaced.content.materialised)
        if replaced is None:
            self._make_room(collection, write.name)
            row = ObjectRow(collection.home_id, collection.id, tables.new_id(), write.name, content, revision, at, at)
        else:
            row = replace(replaced, content=content, underived=False, revision=revision, modified_at=at)
        others = content.others
        neutral: tuple[str | None, str | None, tuple[Busy, ...] | None]
        if views is not None:
            neutral = views.neutral_etag, views.neutral_text, views.neutral_busy
        else:
            neutral = (None, None, None) if others is None else (others.etag, others.text, others.busy)
        tables.objects[row.id] = replace(row, neutral_etag=neutral[0], neutral_text=neutral[1], neutral_busy=neutral[2])
        for view in () if views is None else views.views:
            tables.copies[row.id, view.principal_id] = CopyRow(collection.home_id, row.id, revision, at, view)
        self._change_collection(collection, revision, at)
        self._tell_of("created" if replaced is None else "updated", collection)
        return Written(revision, row.id, at)

    def _make_room(self, collection: Collection, name: str) -> None:
        """Keep what a tombstone of a name holds elsewhere. Raises `WriteConflict` for a name that a member has."""
        row = self.tables.named(collection.id, name)
        if row is None:
            return
        if row.deleted_revision is None:
            raise WriteConflict
        del self.tables.objects[row.id]
        if row.restorable:
            self.tables.trash.append(TrashRow(row.home_id, row.content, row.properties))

    def _bury(self, write: Delete, revision: int, at: datetime) -> Written:
        row = self.tables.objects[write.expected.id]
        self.tables.objects[row.id] = replace(
            row,
            revision=revision,
            deleted_revision=revision,
            removed_at=at,
            neutral_etag=row.neutral_etag if row.neutral_text is None else None,
            neutral_text=None,
        )
        self._forget_copies(row.id)
        self._change_collection(write.collection, revision, at)
        self._tell_of("deleted", write.collection)
        return Written(revision, row.id, None)

    def _forget_copies(self, object_id: int) -> None:
        for copy in self.tables.copies_of(object_id):
            del self.tables.copies[object_id, copy.view.principal_id]

    def _change_collection(self, collection: Collection, revision: int, at: datetime) -> None:
        row = self.tables.collections[collection.id]
        self.tables.collections[row.id] = replace(row, revision=revision, modified_at=at)

    def _tell_of(self, kind: str, collection: Collection) -> None:
        self.tables.outbox.append(Event(kind, collection.home_id, collection.id))


def with_changes(properties: Mapping[str, str], changes: PropertyChanges) -> dict[str, str]:
    """Properties after some were set and others removed."""
    changed = {**properties, **changes.properties}
    return {name: value for name, value in changed.items() if value is not None}
