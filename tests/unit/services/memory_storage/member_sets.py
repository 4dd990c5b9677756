"""`Changes.apply`: puts, deletes, moves and copies members, and sets what belongs to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from server.domain.changes import (
    Book,
    ChangeSet,
    Delete,
    ObjectState,
    PropertyChanges,
    Put,
    SetPersonal,
    SetProperties,
    StoredContent,
    UnchangedObject,
    Write,
    WriteLimits,
    Written,
)
from server.domain.contents import ObjectContent
from server.domain.errors import (
    AlreadyReserved,
    BadRequest,
    KoyomiError,
    QuotaExceeded,
    SchedulingObjectExists,
    TooManyMembers,
    UidConflict,
    WriteConflict,
)
from server.domain.objects import Collection
from server.domain.scheduling import SchedulingRole
from tests.unit.services.memory_storage.conditions import require_collection, require_unchanged
from tests.unit.services.memory_storage.space import require_space, space_of
from tests.unit.services.memory_storage.tables import (
    SCHEDULING_OBJECTS,
    CopyRow,
    Event,
    ObjectRow,
    Tables,
    TrashRow,
    of_other_owner,
    without_role,
)


class MemberSets:
    """Applies change sets to tables."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables

    async def apply(self, changes: ChangeSet) -> tuple[Written, ...]:
        try:
            return await self._apply(changes)
        except SchedulingObjectExists:
            if not self._release_uids(changes.writes):
                raise
            return await self._apply(changes)

    async def _apply(self, changes: ChangeSet) -> tuple[Written, ...]:
        writes = changes.writes
        moves = _moves(writes)
        async with self.tables.transaction():
            plain = [index for index, write in enumerate(writes) if not isinstance(write, Book)]
            if len(plain) > 1 and all(_is_plain(writes[index]) for index in plain):
                if changes.unchanged or changes.remembered or len(plain) < len(writes):
                    self._hold(changes)
                try:
                    made = self._at_once([writes[index] for index in plain], changes.limits)
                except KoyomiError as error:
                    error.write = None if error.write is None else plain[error.write]
                    raise
                done = dict(zip(plain, made, strict=True)) | self._book_all(writes)
                return tuple(done[index] for index in range(len(writes)))
            steps = [index for index in plain if index not in moves.values()]
            steps.sort(key=lambda index: not isinstance(writes[index], Delete))
            if len(steps) > 1 or len(plain) < len(writes) or changes.unchanged or changes.remembered:
                self._hold(changes)
            written: dict[int, Written] = {}
            for index in steps:
                try:
                    written[index] = self._make(writes[index], changes.limits, written, moves.get(index))
                except KoyomiError as error:
                    error.write = index
                    raise
            written |= self._book_all(writes)
            return tuple(written[index] for index in range(len(writes)))

    def _book_all(self, writes: Sequence[Write]) -> dict[int, Written]:
        """Make the bookings of a set, after all of them have released what their objects reserved."""
        tables, booked = self.tables, {index: write for index, write in enumerate(writes) if isinstance(write, Book)}
        put = {(write.collection.id, write.name) for write in writes if isinstance(write, Put)}
        written = {}
        for index, write in booked.items():
            if write.expected is None and (write.collection.id, write.name) not in put:
                raise ValueError("A booking needs the state of its object, or a set that puts it.")
            row = tables.named(write.collection.id, write.name)
            if row is None or row.deleted_revision is not None:
                raise _of(index, WriteConflict())
            tables.reservations.pop(row.id, None)
            written[index] = Written(row.revision, row.id, None)
        for index, write in booked.items():
            others = [
                each for resource, times in tables.reservations.values() if resource == write.resource for each in times
            ]
            for each in write.reservations:
                if any(each.start < other.end and other.start < each.end for other in others):
                    raise _of(index, AlreadyReserved())
                others.append(each)
            tables.reservations[written[index].id] = write.resource, write.reservations
        return written

    def _hold(self, changes: ChangeSet) -> None:
        """Compare all objects of a set, in the order of their ids, and what was read to decide."""
        states: dict[int, tuple[ObjectState, int | None]] = {}
        for read in changes.unchanged:
            if isinstance(read, UnchangedObject):
                states[read.state.id] = read.state, None
        for index, write in enumerate(changes.writes):
            if isinstance(write, Put) and isinstance(write.content, StoredContent):
                states[write.content.state.id] = write.content.state, index
        for index, write in enumerate(changes.writes):
            if write.expected is not None:
                states[write.expected.id] = write.expected, index
        for id_ in sorted(states):
            state, concerned = states[id_]
            row = self.tables.objects.get(id_)
            if row is None or row.deleted_revision is not None or row.revision != state.revision:
                raise _of(concerned, WriteConflict())
        require_unchanged(self.tables, [read for read in changes.unchanged if not isinstance(read, UnchangedObject)])
        for each in changes.remembered:
            version, _ = self.tables.memory.get((each.home_id, each.uid), (0, None))
            if version != each.version:
                raise WriteConflict
            if each.state is None:
                self.tables.memory.pop((each.home_id, each.uid), None)
            else:
                self.tables.memory[each.home_id, each.uid] = version + 1, each.state

    # -- sets of puts and deletions -----------------------------------------------------------------------------------

    def _at_once(self, writes: Sequence[Write], limits: WriteLimits) -> tuple[Written, ...]:
        """Compare the states of all writes, then make them, deletions first."""
        tables = self.tables
        plain = [(index, write) for index, write in enumerate(writes) if isinstance(write, (Put, Delete))]
        expected = [(write.expected.id, index, write) for index, write in plain if write.expected is not None]
        for _, index, write in sorted(expected, key=lambda item: item[:2]):
            self._compare(write, index)
        for index, write in plain:
            try:
                require_collection(tables, write.collection)
                if isinstance(write, Put):
                    _require_views(tables, write)
            except KoyomiError as error:
                error.write = index
                raise
        before = {write.collection.home_id: space_of(tables, write.collection.home_id) for _, write in plain}
        written: dict[int, Written] = {}
        for index, write in plain:
            if isinstance(write, Delete):
                written[index] = self._bury(write, *tables.take_revision(write.collection.home_id))
        puts = [(index, write) for index, write in plain if isinstance(write, Put)]
        self._require_free(puts)
        created = Counter(write.collection.id for _, write in puts if write.expected is None)
        latest = {write.collection.id: index for index, write in puts if write.expected is None}
        for id_, index in sorted(latest.items(), key=lambda item: item[1]):
            if len(tables.members(id_)) + created[id_] > limits.max_members:
                raise _of(index, TooManyMembers())
        for index, write in puts:
            assert isinstance(write.content, ObjectContent)
            at = tables.take_revision(write.collection.home_id)
            written[index] = self._store(write, write.content, *at)
        last_put = {write.collection.home_id: index for index, write in puts}
        for home_id, index in sorted(last_put.items(), key=lambda item: item[1]):
            try:
                require_space(tables, home_id, before[home_id], limits.quota_bytes)
            except QuotaExceeded as error:
                raise _of(index, error) from None
        return tuple(written[index] for index in range(len(writes)))

    def _require_free(self, puts: Sequence[tuple[int, Put]]) -> None:
        """Raises `WriteConflict` for a name that is taken, `UidConflict` for a UID that is."""
        names: set[tuple[int, str]] = set()
        for index, write in puts:
            if write.expected is None:
                row = self.tables.named(write.collection.id, write.name)
                key = write.collection.id, write.name
                if key in names or (row is not None and row.deleted_revision is None):
                    raise _of(index, WriteConflict())
                names.add(key)
        uids: set[tuple[int, str]] = set()
        for index, write in puts:
            assert isinstance(write.content, ObjectContent)
            key = write.collection.id, write.content.uid
            taken = key in uids or self._uid_is_taken(write.collection, write.content, write.expected)
            if taken and write.content.scheduling.role is not SchedulingRole.INBOX:
                raise _of(index, UidConflict())
            uids.add(key)
        self._require_free_for_scheduling(puts)

    def _require_free_for_scheduling(self, puts: Sequence[tuple[int, Put]]) -> None:
        """Raises `SchedulingObjectExists` for a scheduling object beside another one of its home."""
        scheduled: set[tuple[int, str]] = set()
        for index, write in puts:
            assert isinstance(write.content, ObjectContent)
            key = write.collection.home_id, write.content.uid
            if write.content.scheduling.role in SCHEDULING_OBJECTS:
                if key in scheduled or self._is_scheduled(write.collection, write.content, write.expected):
                    raise _of(index, SchedulingObjectExists())
                scheduled.add(key)

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

    def _release_uids(self, writes: Sequence[Write]) -> bool:
        """Let members of deleted collections give up their roles for objects that are put; returns whether any did."""
        wanted = {
            (write.collection.home_id, write.content.uid)
            for write in writes
            if isinstance(write, Put)
            and isinstance(write.content, ObjectContent)
            and write.content.scheduling.role in SCHEDULING_OBJECTS
        }
        released = [
            row
            for row in self.tables.objects.values()
            if row.is_scheduling_object
            and (row.home_id, row.content.uid) in wanted
            and self.tables.live_collection(row.collection_id) is None
        ]
        for row in released:
            self.tables.objects[row.id] = replace(row, content=without_role(row.content))
        return bool(released)

    # -- single writes ------------------------------------------------------------------------------------------------

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
            case Book():
                raise AssertionError("Bookings are made last.")
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
        _require_views(tables, write)
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
            _require_state(tables, collection, name, state)
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
        if replaced is not None:
            tables.reservations.pop(replaced.id, None)
        if move:
            tables.reservations.pop(row.id, None)
            revision, at = tables.take_revision(source.home_id)
            gone = Written(revision, row.id, None)
            tombstone = replace(
                row,
                id=tables.new_id(),
                revision=revision,
                deleted_revision=revision,
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
            neutral_etag=row.neutral_etag if within else None,
            neutral_text=row.neutral_text if within else None,
            neutral_busy=row.neutral_busy if within else None,
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
        _require_state(tables, collection, write.name, write.expected)
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
        _require_state(tables, collection, write.name, write.expected)
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

    # -- rows ---------------------------------------------------------------------------------------------------------

    def _compare(self, write: Put | Delete, index: int | None) -> None:
        """Raises `WriteConflict` if the member that is replaced or deleted, or a copy of it, has changed."""
        if write.expected is None:
            return
        try:
            _require_state(self.tables, write.collection, write.name, write.expected)
            if isinstance(write, Put) and write.views is not None:
                copies = self.tables.copies_of(write.expected.id)
                if write.views.based_on != (len(copies), max((copy.revision for copy in copies), default=0)):
                    raise WriteConflict
        except WriteConflict as error:
            raise _of(index, error) from None

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
        tables.objects[row.id] = replace(
            row,
            neutral_etag=None if views is None else views.neutral_etag,
            neutral_text=None if views is None else views.neutral_text,
            neutral_busy=None if views is None else views.neutral_busy,
        )
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
            neutral_etag=row.neutral_etag if row.neutral_text is None else None,
            neutral_text=None,
        )
        self._forget_copies(row.id)
        self.tables.reservations.pop(row.id, None)
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


def _is_plain(write: Write) -> bool:
    """Whether a write deletes, or puts a content of its own without dead properties."""
    if isinstance(write, Put):
        return isinstance(write.content, ObjectContent) and not write.properties
    return isinstance(write, Delete)


def _moves(writes: Sequence[Write]) -> dict[int, int]:
    """The indexes of the writes that move, with those of the deletions of what they move."""
    deletions = {
        (write.collection.id, write.name): index for index, write in enumerate(writes) if isinstance(write, Delete)
    }
    found = {}
    for index, write in enumerate(writes):
        if isinstance(write, Put) and write.keep_id:
            content = write.content
            at = deletions.get((content.collection.id, content.name)) if isinstance(content, StoredContent) else None
            if at is None:
                raise ValueError("A move needs stored content, in a set that deletes what it is stored of.")
            found[index] = at
    return found


def _require_state(tables: Tables, collection: Collection, name: str, state: ObjectState) -> None:
    """Raises `WriteConflict` unless a member is in a state."""
    row = tables.objects.get(state.id)
    if (
        row is None
        or row.deleted_revision is not None
        or (row.collection_id, row.name, row.revision) != (collection.id, name, state.revision)
    ):
        raise WriteConflict


def _require_views(tables: Tables, write: Put) -> None:
    """Raises `WriteConflict` unless a put was decided for a calendar with views as this is, or without."""
    if tables.collections[write.collection.id].views is not (write.views is not None):
        raise WriteConflict


def _of(index: int | None, error: KoyomiError) -> KoyomiError:
    """An error that names the write that it concerns."""
    error.write = index
    return error
