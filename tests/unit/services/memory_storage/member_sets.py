"""`Changes.apply`: puts, deletes, moves and copies members, and sets what belongs to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from server.domain.changes import (
    ChangeSet,
    Delete,
    ObjectState,
    Put,
    Remember,
    StoredContent,
    Unchanged,
    UnchangedObject,
    UnchangedRoom,
    Write,
    WriteLimits,
    Written,
)
from server.domain.contents import ObjectContent
from server.domain.errors import (
    KoyomiError,
    QuotaExceeded,
    SchedulingObjectExists,
    TooManyMembers,
    UidConflict,
    WriteConflict,
)
from server.domain.scheduling import SchedulingRole
from tests.unit.services.memory_storage.conditions import (
    of_write,
    require_collection,
    require_rooms,
    require_unchanged,
    require_views,
)
from tests.unit.services.memory_storage.dispatches import DispatchWrites
from tests.unit.services.memory_storage.reservations import ReservationReads
from tests.unit.services.memory_storage.single_writes import SingleWrites
from tests.unit.services.memory_storage.space import require_space, space_of
from tests.unit.services.memory_storage.tables import (
    SCHEDULING_OBJECTS,
    Tables,
    without_role,
)


class MemberSets(SingleWrites, ReservationReads, DispatchWrites):
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
            if (len(writes) > 1 or changes.graced) and all(map(_is_plain, writes)):
                at_once = _rests_on_held_homes(changes)
                if not at_once:
                    self._hold(changes)
                made = self._at_once(writes, changes.limits, changes.graced)
                if at_once:
                    self._remember(changes.remembered)
                self._require_free_times(writes)
                self._leave_to_jobs(changes)
                return made
            steps = [index for index in range(len(writes)) if index not in moves.values()]
            steps.sort(key=lambda index: 0 if isinstance(writes[index], Delete) else 2 - (index in moves))
            if len(steps) != 1 or changes.unchanged or changes.remembered:
                self._hold(changes)
            written: dict[int, Written] = {}
            moved: dict[ObjectState, ObjectState] = {}
            for index in steps:
                write = writes[index]
                if write.expected in moved:
                    write = replace(write, expected=moved[write.expected])
                try:
                    written[index] = self._make(write, changes.limits, written, moves.get(index))
                except KoyomiError as error:
                    error.write = index
                    raise
                if index in moves and isinstance(write, Put) and isinstance(write.content, StoredContent):
                    moved[write.content.state] = ObjectState(written[index].id, written[index].revision)
            self._require_free_times(writes)
            self._leave_to_jobs(changes)
            return tuple(written[index] for index in range(len(writes)))

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
        for released in changes.released:
            states[released.state.id] = released.state, None
        for id_ in sorted(states):
            state, concerned = states[id_]
            row = self.tables.objects.get(id_)
            if row is None or row.deleted_revision is not None or row.revision != state.revision:
                raise of_write(concerned, WriteConflict())
        require_unchanged(self.tables, [read for read in changes.unchanged if isinstance(read, Unchanged)])
        require_rooms(self.tables, [read for read in changes.unchanged if isinstance(read, UnchangedRoom)])
        self._remember(changes.remembered)

    def _remember(self, remembered: Sequence[Remember]) -> None:
        """Set what homes know of messages, if nothing has changed it."""
        for each in remembered:
            version, _ = self.tables.memory.get((each.home_id, each.uid), (0, None))
            if version != each.version:
                raise WriteConflict
            if each.state is None:
                self.tables.memory.pop((each.home_id, each.uid), None)
            else:
                self.tables.memory[each.home_id, each.uid] = version + 1, each.state

    # -- sets of puts and deletions -----------------------------------------------------------------------------------

    def _at_once(self, writes: Sequence[Write], limits: WriteLimits, graced: frozenset[int]) -> tuple[Written, ...]:
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
                    require_views(tables, write)
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
                raise of_write(index, TooManyMembers())
        for index, write in puts:
            assert isinstance(write.content, ObjectContent)
            at = tables.take_revision(write.collection.home_id)
            written[index] = self._store(write, write.content, *at)
            if write.properties:
                row = tables.objects[written[index].id]
                tables.objects[row.id] = replace(row, properties=dict(write.properties))
        last_put = {write.collection.home_id: index for index, write in puts}
        for home_id, index in sorted(last_put.items(), key=lambda item: item[1]):
            try:
                require_space(tables, home_id, before[home_id], limits.quota_bytes, graced=home_id in graced)
            except QuotaExceeded as error:
                raise of_write(index, error) from None
        return tuple(written[index] for index in range(len(writes)))

    def _require_free(self, puts: Sequence[tuple[int, Put]]) -> None:
        """Raises `WriteConflict` for a name that is taken, `UidConflict` for a UID that is."""
        names: set[tuple[int, str]] = set()
        for index, write in puts:
            if write.expected is None:
                row = self.tables.named(write.collection.id, write.name)
                key = write.collection.id, write.name
                if key in names or (row is not None and row.deleted_revision is None):
                    raise of_write(index, WriteConflict())
                names.add(key)
        uids: set[tuple[int, str]] = set()
        for index, write in puts:
            assert isinstance(write.content, ObjectContent)
            key = write.collection.id, write.content.uid
            taken = key in uids or self._uid_is_taken(write.collection, write.content, write.expected)
            if taken and write.content.scheduling.role is not SchedulingRole.INBOX:
                raise of_write(index, UidConflict())
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
                    raise of_write(index, SchedulingObjectExists())
                scheduled.add(key)

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


def _rests_on_held_homes(changes: ChangeSet) -> bool:
    """Whether a set compares no states but those of its writes, and what their homes know, which is compared last."""
    homes = {write.collection.home_id for write in changes.writes}
    further = changes.unchanged or changes.dispatches or changes.mails or changes.jobs or changes.released
    return not further and all(each.home_id in homes for each in changes.remembered)


def _is_plain(write: Write) -> bool:
    """Whether a write deletes, or puts a content of its own. Only new members may have dead properties."""
    if isinstance(write, Put):
        replaces_with_properties = bool(write.properties) and write.expected is not None
        return isinstance(write.content, ObjectContent) and not replaces_with_properties
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
