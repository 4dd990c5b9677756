"""The reads of `server.storage.reads.Reads`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from server.calendar.attendance import OF_ROOM, address_keys
from server.calendar.filter_plan import UidSearch
from server.domain.changes import ObjectState
from server.domain.collation import ascii_lower
from server.domain.errors import NotFound
from server.domain.grants import NO_GRANTS
from server.domain.objects import Collection, Home, Target
from server.domain.occurrences import Busy
from server.domain.principals import name_key
from server.domain.resolution import Resolution
from server.domain.rows import MemberColumn, Row
from server.storage.queues import Queue
from server.storage.reads import MAX_TIMINGS, BusyTimes, Overlapping, SharedObject, StoredRecurrence, Timings
from server.storage.scheduling import (
    AddressedPrincipal,
    AddressSearch,
    BusyCalendar,
    GroupMember,
    Mailbox,
    PersonBusy,
    SchedulingObject,
)
from tests.unit.services.memory_storage import seen, times
from tests.unit.services.memory_storage.dispatches import DispatchReads
from tests.unit.services.memory_storage.tables import HomeRow, ObjectRow, PrincipalRow, Tables

TRANSPARENCY = "{urn:ietf:params:xml:ns:caldav}schedule-calendar-transp"
_TRANSPARENT = re.compile("[<:]transparent[ />]")

INSTALLATION = UUID(int=1)


class MemoryReads(DispatchReads):
    """The reads of a storage in memory."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables

    async def resolve(self, viewer: int | None, target: Target | None, *, text: bool = False) -> Resolution:
        tables = self.tables
        asking = None if viewer is None else tables.principals.get(viewer)
        found = Resolution(None if asking is None else seen.principal(asking))
        owner = None if target is None else self._owner(target)
        if target is None or owner is None:
            return found
        found = replace(found, owner=seen.principal(owner))
        home = None if target.home is None else tables.home(owner.id, target.home)
        if home is None:
            return found
        binding = None if target.collection is None else tables.live_binding(home.id, target.collection)
        shown = None if binding is None else tables.live_collection(binding.collection_id)
        granted = NO_GRANTS
        if found.viewer is not None:
            of = None if target.collection is None else 0 if shown is None else shown.id
            granted = seen.grants(tables, found.viewer, home, of)
        found = replace(found, home=seen.home(tables, home), grants=granted)
        if binding is None or shown is None:
            return found
        collection = seen.collection(tables, binding, viewer)
        return self._member(replace(found, collection=collection), collection, target.object, text=text)

    async def seen_by(self, found: Resolution, sharee: int, *, text: bool = False) -> Resolution:
        if found.collection is None:
            return found
        home = self.tables.home(sharee, "calendar")
        shown = [] if home is None else self.tables.live_bindings(home.id)
        latest = max((row.view_revision for row in shown if row.collection_id == found.collection.id), default=0)
        collection = replace(found.collection, view=sharee, revision=max(found.collection.revision, latest))
        name = None if found.object is None else found.object.name
        return self._member(replace(found, collection=collection), collection, name, text=text)

    async def with_blocks(self, found: Resolution, *, text: bool = False) -> Resolution:
        if found.collection is None:
            return found
        collection = replace(found.collection, blocks=True)
        name = None if found.object is None else found.object.name
        return self._member(replace(found, collection=collection), collection, name, text=text)

    def _owner(self, target: Target) -> PrincipalRow | None:
        for row in self.tables.principals.values():
            if row.deleted_at is None and (
                row.uid == target.owner
                if target.by == "uid"
                else (row.key, row.kind) == (name_key(target.owner), target.by)
            ):
                return row
        return None

    def _member(self, found: Resolution, collection: Collection, name: str | None, *, text: bool) -> Resolution:
        row = None if name is None else self.tables.named(collection.id, name)
        if row is None or row.deleted_revision is not None:
            return replace(found, object=None)
        as_seen = seen.member(self.tables, row, collection.view, blocks=collection.blocks)
        return replace(found, object=seen.object_of(as_seen, text=text, viewed=collection.view is not None))

    async def installation(self) -> UUID:
        return INSTALLATION

    async def mail_secret(self) -> bytes:
        return INSTALLATION.bytes

    async def collections(self, home: Home, viewer: int) -> list[Collection]:
        shown = self.tables.live_bindings(home.id)
        alive = [row for row in shown if self.tables.live_collection(row.collection_id) is not None]
        return [seen.collection(self.tables, row, viewer) for row in alive]

    async def home_changes(self, home: Home, viewer: int, after: int) -> tuple[Home, list[Collection]]:
        row = self.tables.homes.get(home.id)
        if row is None:
            raise NotFound
        now = replace(
            home,
            revision=row.visible_revision,
            incarnation=row.incarnation,
            sync_floor=row.sync_floor,
            infinite_sync_floor=row.infinite_sync_floor,
        )
        found = [
            seen.collection(self.tables, binding, viewer)
            for binding in self.tables.bindings.values()
            if binding.home_id == home.id
            and (binding.deleted_revision is not None or self.tables.live_collection(binding.collection_id) is not None)
        ]
        changed = [each for each in found if each.binding_revision > after]
        return now, sorted(changed, key=lambda each: each.binding_revision)

    # -- members ------------------------------------------------------------------------------------------------------

    def _members(self, collection: Collection, components: Sequence[str] | None = None) -> list[seen.Member]:
        return [
            seen.member(self.tables, row, collection.view, blocks=collection.blocks)
            for row in self.tables.members(collection.id)
            if components is None or row.content.component in components
        ]

    async def members(
        self,
        collection: Collection,
        columns: Sequence[MemberColumn],
        *,
        after: str | None,
        limit: int,
        components: Sequence[str] | None = None,
    ) -> Sequence[Row]:
        found = [each for each in self._members(collection, components) if each.row.name > (after or "")]
        return seen.rows(found[:limit], columns)

    async def members_named(
        self, members: Sequence[tuple[Collection, str]], columns: Sequence[MemberColumn]
    ) -> Mapping[tuple[int, str], Row]:
        asked = {(collection.id, name): collection for collection, name in members}
        found = [
            each
            for collection in {collection.id: collection for collection in asked.values()}.values()
            for each in self._members(collection)
            if (collection.id, each.row.name) in asked
        ]
        found.sort(key=lambda each: each.row.name)
        keys = [(each.row.collection_id, each.row.name) for each in found]
        return dict(zip(keys, seen.rows(found, columns), strict=True))

    async def members_by_id(
        self,
        collection: Collection,
        ids: Sequence[int],
        columns: Sequence[MemberColumn],
        *,
        components: Sequence[str] | None = None,
    ) -> Sequence[Row]:
        found = [each for each in self._members(collection, components) if each.row.id in set(ids)]
        return seen.rows(found, columns)

    async def members_changed(
        self, collection: Collection, columns: Sequence[MemberColumn], *, after: int, up_to: int, limit: int
    ) -> Sequence[Row]:
        found = [
            seen.member(self.tables, row, collection.view, blocks=collection.blocks)
            for row in self.tables.objects.values()
            if row.collection_id == collection.id
        ]
        found = sorted((each for each in found if after < each.revision <= up_to), key=lambda each: each.revision)
        return seen.rows(found[:limit], columns)

    async def uids(self, collection: Collection, search: UidSearch | None) -> Sequence[Row]:
        found = [
            (each.row.id, each.row.content.uid)
            for each in self._members(collection)
            if search is None or collection.kind == "inbox" or not each.row.is_message
        ]
        return found if search is None else [row for row in found if _is_found(row[1], search)]

    async def uid_holder(self, collection: Collection, uid: str) -> str | None:
        members = self.tables.members(collection.id)
        found = (row.name for row in members if row.content.uid == uid and not row.is_message)
        return next(found, None)

    async def shared_object(self, collection: Collection, object_id: int) -> SharedObject | None:
        row = self.tables.objects.get(object_id)
        if row is None or row.collection_id != collection.id or row.deleted_revision is not None:
            return None
        return self.shared(row)

    def shared(self, row: ObjectRow) -> SharedObject:
        """What is stored of an object in a calendar with views."""
        copies = self.tables.copies_of(row.id)
        return SharedObject(
            row.id,
            row.revision,
            row.content.text,
            row.neutral_text,
            {copy.view.principal_id: copy.view.personal for copy in copies},
            max((copy.revision for copy in copies), default=0),
            self.addresses(row.home_id),
        )

    async def owner_addresses(self, home_id: int) -> frozenset[str]:
        return self.addresses(home_id)

    async def owners_target(self, collection: Collection) -> Target | None:
        home = self.tables.homes.get(collection.home_id)
        shown = [] if home is None else self.tables.live_bindings(home.id)
        own = next((row for row in shown if row.collection_id == collection.id), None)
        if home is None or own is None:
            return None
        return Target(self.tables.principals[home.principal_id].uid, "uid", home.kind, own.name)

    def addresses(self, home_id: int) -> frozenset[str]:
        """The addresses of a home's owner, former ones too."""
        home = self.tables.homes.get(home_id)
        if home is None:
            return frozenset()
        owner = self.tables.principals[home.principal_id]
        keys = address_keys(owner.uid, owner.name, (*owner.addresses, *owner.former_addresses))
        return keys | {OF_ROOM} if owner.kind in ("room", "resource") else keys

    async def scheduling_object(self, collection: Collection, uid: str) -> SchedulingObject | None:
        for row in self.tables.objects.values():
            alive = self.tables.live_collection(row.collection_id) is not None
            if alive and row.is_scheduling_object and (row.home_id, row.content.uid) == (collection.home_id, uid):
                shown = [
                    binding.name
                    for binding in self.tables.bindings_of(row.collection_id)
                    if binding.home_id == collection.binding_home_id
                ]
                return SchedulingObject(row.id, row.collection_id, shown[0] if shown else None, row.name)
        return None

    async def has_moved(self, collection: Collection, name: str, within: timedelta) -> bool:
        gone = self.tables.named(collection.id, name)
        if gone is None or gone.removed_at is None or gone.removed_at <= self.tables.clock() - within:
            return False
        return await self.scheduling_object(collection, gone.content.uid) is not None

    async def addressed(self, search: AddressSearch) -> Sequence[AddressedPrincipal]:
        return [
            _addressed(row)
            for row in sorted(self.tables.principals.values(), key=lambda row: row.id)
            if row.deleted_at is None
            and (
                row.uid in search.uids
                or row.key in search.names
                or not search.emails.isdisjoint(map(name_key, (*row.addresses, *row.former_addresses)))
            )
        ]

    async def group_members(
        self, groups: Sequence[int], home_id: int, uid: str
    ) -> tuple[Sequence[GroupMember], Mapping[str, Any] | None]:
        rows = self.tables.principals
        reached, waiting = set[int](), list(groups)
        while waiting:
            id_ = waiting.pop()
            if id_ not in reached:
                reached.add(id_)
                waiting += [member for group, member in self.tables.memberships if group == id_]
        found = []
        for group in (rows[id_] for id_ in sorted(reached) if id_ in rows):
            if group.kind != "group" or group.deleted_at is not None:
                continue
            members = [
                rows[member] for whole, member in self.tables.memberships if whole == group.id and member in rows
            ]
            known = [_addressed(row) for row in sorted(members, key=lambda row: row.key) if row.deleted_at is None]
            found += [GroupMember(seen.principal(group), group.expandable_by, each) for each in known or (None,)]
        return found, self.tables.memory.get((home_id, uid), (0, None))[1] if found else None

    async def meetings_of_group(
        self, group_id: int, *, after: tuple[int, int], limit: int
    ) -> Sequence[tuple[int, int]]:
        groups, waiting = {group_id}, [group_id]
        while waiting:
            member = waiting.pop()
            more = {group for group, each in self.tables.memberships if each == member} - groups
            groups |= more
            waiting += more
        found = {
            (row.home_id, row.id)
            for row in self.tables.objects.values()
            if row.is_scheduling_object
            and not groups.isdisjoint(
                (self.tables.memory.get((row.home_id, row.content.uid), (0, None))[1] or {}).get("groups", ())
            )
        }
        return sorted(pair for pair in found if pair > after)[:limit]

    async def mailboxes(
        self, sender: int, recipients: Sequence[int], uid: str, meeting: int | None = None
    ) -> Sequence[Mailbox]:
        queued = any(row.meeting == meeting and row.waiting for row, _ in self.tables.dispatches.values())
        lock = None if meeting is None else self.tables.queues.get((Queue.MEETING, meeting))
        taken = lock is not None and lock.locked()
        found = []
        for principal_id in sorted(set(recipients)):
            row, home = self.tables.principals.get(principal_id), self.tables.home(principal_id, "calendar")
            if row is not None and row.deleted_at is None and home is not None:
                found.append(replace(self._mailbox(sender, home, uid), queued=queued, taken=taken))
        return found

    async def inboxes(self, sender: int, people: Sequence[int]) -> Sequence[Mailbox]:
        found = await self.mailboxes(sender, people, "")
        return [
            replace(each, calendars=(), collection=None, object=None, auto_schedule=None, room=None)
            for each in found
            if each.inbox is not None
        ]

    def _mailbox(self, sender: int, home: HomeRow, uid: str) -> Mailbox:
        tables = self.tables
        own = [binding for binding in tables.live_bindings(home.id) if binding.rights == "owner" and binding.is_own]
        shown = {binding.collection_id: seen.collection(tables, binding, home.principal_id) for binding in own}
        inbox = next((each for each in shown.values() if each.kind == "inbox"), None)
        calendars = sorted((each for each in shown.values() if each.kind == "calendar"), key=lambda each: each.id)
        calendars = [each for each in calendars if tables.live_collection(each.id) is not None]
        of_uid = [row for each in calendars for row in tables.members(each.id) if row.content.uid == uid]
        of_uid.sort(key=lambda row: not row.is_scheduling_object)
        asking = tables.principals.get(sender)
        granted = NO_GRANTS
        if inbox is not None and asking is not None:
            granted = seen.grants(tables, seen.principal(asking), home, inbox.id)
        version, state = tables.memory.get((home.id, uid), (0, None))
        whose = tables.principals[home.principal_id]
        room = tables.rooms.get(home.principal_id) if whose.disabled_at is None else None
        return Mailbox(
            home.principal_id,
            seen.home(tables, home),
            inbox,
            tuple(calendars),
            self.addresses(home.id),
            shown[of_uid[0].collection_id] if of_uid else None,
            seen.object_of(seen.member(tables, of_uid[0], None), text=True, viewed=False) if of_uid else None,
            granted,
            state,
            version,
            whose.kind,
            whose.auto_schedule if whose.disabled_at is None else None,
            room=room,
        )

    async def oldest_members(self, collection: Collection, count: int) -> Sequence[tuple[str, ObjectState]]:
        found = sorted(self.tables.members(collection.id), key=lambda row: row.id)
        return [(row.name, ObjectState(row.id, row.revision)) for row in found[:count]]

    async def inbox_items(self, inbox: Collection, uid: str) -> Sequence[tuple[str, ObjectState]]:
        found = sorted(self.tables.members(inbox.id), key=lambda row: row.id)
        return [(row.name, ObjectState(row.id, row.revision)) for row in found if row.content.uid == uid]

    # -- by time ------------------------------------------------------------------------------------------------------

    async def timings(
        self, collection: Collection, window: tuple[datetime, datetime], floating: tuple[datetime, datetime]
    ) -> Timings | None:
        found = times.timings(self._members(collection), window, floating)
        many = len(found.timed) + len(found.floating) + len(found.unexpanded) > MAX_TIMINGS
        return None if many else found

    async def overlapping(
        self, collection: Collection, window: tuple[datetime, datetime], floating: tuple[datetime, datetime]
    ) -> Overlapping:
        return times.overlapping(self._members(collection), window, floating)

    async def ringing(self, collection: Collection, window: tuple[datetime, datetime]) -> Sequence[int]:
        return [each.row.id for each in self._members(collection) if times.rings(each, window)]

    async def busy_times(
        self, calendars: Sequence[Collection], window: tuple[datetime, datetime], floating: tuple[datetime, datetime]
    ) -> Sequence[BusyTimes]:
        return [times.busy_times(self._members(calendar), window, floating) for calendar in calendars]

    async def busy_people(
        self,
        people: Sequence[int],
        window: tuple[datetime, datetime],
        floating: tuple[datetime, datetime],
        masked: Iterable[tuple[int, int]] = (),
    ) -> Sequence[PersonBusy]:
        pairs = frozenset(masked)
        return [await self._busy_person(person, window, floating, pairs) for person in people]

    async def _busy_person(
        self,
        person: int,
        window: tuple[datetime, datetime],
        floating: tuple[datetime, datetime],
        masked: frozenset[tuple[int, int]],
    ) -> PersonBusy:
        owner, home = self.tables.principals.get(person), self.tables.home(person, "calendar")
        merged: list[tuple[Busy, datetime, datetime]] = []
        calendars: list[BusyCalendar] = []
        if owner is None or home is None:
            return PersonBusy(merged, calendars)
        for binding in self.tables.live_bindings(home.id):
            if self.tables.live_collection(binding.collection_id) is None:
                continue
            calendar = seen.collection(self.tables, binding, person)
            if calendar.kind == "calendar" and not _TRANSPARENT.search(calendar.properties.get(TRANSPARENCY, "")):
                members = [each for each in self._members(calendar) if (person, each.row.id) not in masked]
                found = times.busy_times(members, window, floating)
                merged += found.merged
                if found.floating or found.unexpanded or found.availability:
                    place = Target(owner.uid, "uid", "calendar", calendar.name)
                    calendars.append(BusyCalendar(place, calendar.timezone, replace(found, merged=())))
        return PersonBusy(times.united(merged), sorted(calendars, key=lambda each: each.place.collection or ""))

    async def recurrences(
        self, collection: Collection, ids: Sequence[int], *, components: Sequence[str] | None = None
    ) -> Sequence[StoredRecurrence]:
        asked = [each for each in self._members(collection, components) if each.row.id in set(ids)]
        found = [times.recurrence(each, viewed=collection.view is not None) for each in asked]
        return [each for each in found if each is not None]


def _is_found(uid: str, search: UidSearch) -> bool:
    text = search.text
    if search.ignore_case:
        uid, text = ascii_lower(uid), ascii_lower(text)
    return uid == text if search.match == "equals" else text in uid


def _addressed(row: PrincipalRow) -> AddressedPrincipal:
    former = tuple(sorted(row.former_addresses, key=name_key))
    return AddressedPrincipal(seen.principal(row), former, row.calendar == "elsewhere")
