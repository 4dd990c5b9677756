"""`server.storage.directory.Directory` in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import uuid4

from server.domain.changes import Cause
from server.domain.errors import AlreadyExists, InvalidPrincipal, NameTaken, NotFound, WriteConflict
from server.domain.jobs import Job
from server.domain.objects import CollectionKind, HomeKind, NewCollection
from server.domain.principals import Office, Principal, PrincipalKind, name_key
from server.domain.rooms import Room, default_type
from server.domain.scopes import Door
from server.storage.directory import AppPassword, PrincipalChange, PrincipalRecord, RelationChange
from server.storage.jobs import MEMBERSHIPS, ROOM_CARDS
from tests.unit.services.memory_storage.access import MemoryAccess
from tests.unit.services.memory_storage.collection_writes import add_collection
from tests.unit.services.memory_storage.removal import Removal
from tests.unit.services.memory_storage.tables import AppPasswordRow, Event, HomeRow, PrincipalRow, Tables

_FIRST_COLLECTIONS: dict[HomeKind, tuple[tuple[str, CollectionKind, tuple[str, ...]], ...]] = {
    "calendar": (
        ("calendar", "calendar", ("VEVENT",)),
        ("tasks", "calendar", ("VTODO",)),
        ("inbox", "inbox", ()),
        ("outbox", "outbox", ()),
        ("notification", "notification", ()),
    ),
    "addressbook": (("addressbook", "addressbook", ()),),
}
_HOMES: dict[PrincipalKind, tuple[HomeKind, ...]] = {
    "individual": ("calendar", "addressbook"),
    "group": (),
    "room": ("calendar",),
    "resource": ("calendar",),
    "directory": ("addressbook",),
}


class MemoryDirectory(Removal):
    """The care of principals."""

    def __init__(self, access: MemoryAccess) -> None:
        self._access = access
        self.tables: Tables = access.tables

    # -- reading ------------------------------------------------------------------------------------------------------

    async def principal(self, name: str) -> PrincipalRecord | None:
        key = name_key(name)
        rows = list(self.tables.principals.values())
        by_name = [row for row in rows if row.key == key]
        by_address = [row for row in rows if key in map(name_key, row.addresses)]
        by_uid = [row for row in rows if row.uid == name]
        found = [*by_name, *by_address, *by_uid]
        return self._record(found[0]) if found else None

    async def principals(
        self, kinds: Sequence[PrincipalKind], *, after: str | None = None, limit: int = 1000
    ) -> list[PrincipalRecord]:
        rows = [row for row in self.tables.principals.values() if row.kind in kinds and row.key > (after or "")]
        return [self._record(row) for row in sorted(rows, key=lambda row: row.key)[:limit]]

    async def principals_known(
        self, uids: Sequence[str], names: Sequence[str], addresses: Sequence[str]
    ) -> list[PrincipalRecord]:
        return [
            self._record(row)
            for row in self.tables.principals.values()
            if row.uid in uids
            or (row.key and row.key in names)
            or not {*map(name_key, row.addresses)}.isdisjoint(addresses)
        ]

    def _record(self, row: PrincipalRow) -> PrincipalRecord:
        tables = self.tables
        return PrincipalRecord(
            row.id,
            row.uid,
            row.kind,
            row.name,
            row.display_name,
            row.addresses,
            row.roles,
            row.disabled_at,
            row.quota_bytes,
            row.auto_schedule,
            row.place,
            row.created_at,
            row.deleted_at is not None,
            row.former_addresses,
            row.password_hash is not None,
            frozenset(member for group, member in tables.memberships if group == row.id),
            frozenset((delegate, rights) for whose, delegate, rights in tables.delegations if whose == row.id),
            row.expandable_by,
            row.calendar,
            row.office,
            tables.rooms.get(row.id),
        )

    async def groups_of(self, principal_ids: Sequence[int]) -> Mapping[int, Sequence[Principal]]:
        pairs = self.tables.memberships
        return {id_: self._by_name(group for group, member in pairs if member == id_) for id_ in principal_ids}

    async def members_of(self, principal_ids: Sequence[int]) -> Mapping[int, Sequence[Principal]]:
        pairs = self.tables.memberships
        return {id_: self._by_name(member for group, member in pairs if group == id_) for id_ in principal_ids}

    async def administrators(self) -> list[Principal]:
        return self._by_name(row.id for row in self.tables.principals.values() if "admin" in row.roles)

    def _by_name(self, ids: Iterable[int]) -> list[Principal]:
        return self._access.by_name(ids)

    # -- writing ------------------------------------------------------------------------------------------------------

    async def write_principals(
        self, changes: Sequence[PrincipalChange], cause: Cause, *, take_over: bool = False
    ) -> list[int]:
        tables = self.tables
        async with tables.transaction():
            wanted = {name_key(address) for change in changes for address in change.addresses or ()}
            for row in list(tables.principals.values()):
                kept = tuple(each for each in row.former_addresses if name_key(each) not in wanted)
                tables.principals[row.id] = replace(row, former_addresses=kept)
            given_up: list[tuple[int, str]] = []
            for change in changes:
                if change.id in tables.principals and change.addresses is not None:
                    given_up += [(change.id, each) for each in tables.principals[change.id].addresses]
                    tables.principals[change.id] = replace(tables.principals[change.id], addresses=())
            for id_, address in given_up:
                tables.hold(id_, name_key(address))
            ids = [self._write(change, take_over) for change in changes]
            for id_, address in sorted(given_up, key=lambda item: name_key(item[1])):
                if not self._has_address(name_key(address), None):
                    row = tables.principals[id_]
                    tables.principals[id_] = replace(row, former_addresses=(*row.former_addresses, address))
            return ids

    def _write(self, change: PrincipalChange, take_over: bool) -> int:
        if change.name is not None:
            self._require_free(change.name, change.id)
        row = self._new(change) if change.id is None else self._changed(change)
        self.tables.principals[row.id] = row
        if change.addresses:
            for address in change.addresses:
                key = name_key(address)
                if self._has_address(key, None) or self._has_name(key, row.id):
                    raise NameTaken(key, f"The address {key} is taken.")
                holder, until = self.tables.held.get(key, (row.id, self.tables.clock()))
                if holder != row.id and until > self.tables.clock() and not take_over:
                    raise NameTaken(key, f"The address {key} is held.")
                self.tables.held.pop(key, None)
            row = replace(row, addresses=change.addresses)
        if change.password_hash is not None:
            row = replace(row, password_hash=change.password_hash)
        self.tables.principals[row.id] = row
        if row.kind in ("room", "resource"):
            self._write_room(row, change)
        elif change.room is not None:
            raise NotFound("There is no such room.")
        if change.id is None:
            self._make_homes(row)
        return row.id

    def _write_room(self, row: PrincipalRow, change: PrincipalChange) -> None:
        tables = self.tables
        there = tables.rooms.get(row.id, Room(row.id, default_type(row.kind)))
        wanted = there if change.room is None else change.room
        if change.id is not None and wanted.version != there.version:
            raise WriteConflict
        above = wanted.parent
        while above is not None:
            found = tables.principals.get(above)
            if above == row.id or found is None or found.kind not in ("room", "resource") or found.deleted_at:
                raise NotFound("There is no such room, of which it is to be a part.")
            above = tables.rooms[above].parent
        job = Job(ROOM_CARDS, lock_key=ROOM_CARDS, queueing_key=ROOM_CARDS)
        if job not in tables.jobs:
            tables.jobs.append(job)
        tables.rooms[row.id] = replace(wanted, principal_id=row.id, version=there.version + 1)

    def _new(self, change: PrincipalChange) -> PrincipalRow:
        if change.kind is None or change.name is None:
            raise InvalidPrincipal("A new principal needs a kind and a name.")
        uid = change.uid or str(uuid4())
        if any(row.uid == uid for row in self.tables.principals.values()):
            raise NameTaken(uid, f"The id {uid} is taken.")
        at = self.tables.clock()
        return PrincipalRow(
            self.tables.new_id(),
            uid,
            change.kind,
            change.name,
            change.display_name or change.name,
            at,
            roles=change.roles or frozenset(),
            disabled_at=at if change.disabled else None,
            quota_bytes=change.quota_bytes,
            auto_schedule=change.auto_schedule or None,
            place=change.place or None,
            expandable_by=change.expandable_by or "everyone",
            calendar=change.calendar or "here",
            office=None if change.office == Office() else change.office,
        )

    def _changed(self, change: PrincipalChange) -> PrincipalRow:
        row = self.tables.principals.get(change.id or 0)
        if row is None or row.deleted_at is not None:
            raise NotFound("There is no such principal.")
        signs_in = change.name, change.addresses, change.disabled, change.password_hash
        disabled_at = row.disabled_at
        if change.disabled is not None:
            disabled_at = (disabled_at or self.tables.clock()) if change.disabled else None
        return replace(
            row,
            name=row.name if change.name is None else change.name,
            display_name=row.display_name if change.display_name is None else change.display_name,
            roles=row.roles if change.roles is None else change.roles,
            disabled_at=disabled_at,
            quota_bytes=row.quota_bytes if change.quota_bytes is None else change.quota_bytes,
            auto_schedule=(row.auto_schedule if change.auto_schedule is None else change.auto_schedule) or None,
            place=(row.place if change.place is None else change.place) or None,
            expandable_by=change.expandable_by or row.expandable_by,
            calendar=change.calendar or row.calendar,
            office=None if change.office == Office() else change.office or row.office,
            credential_version=row.credential_version + any(each is not None for each in signs_in),
        )

    def _require_free(self, name: str, principal_id: int | None) -> None:
        key = name_key(name)
        if self._has_name(key, principal_id) or self._has_address(key, principal_id):
            raise NameTaken(name, f"The name {name} is taken.")

    def _has_name(self, key: str, but: int | None) -> bool:
        return any(row.key == key and row.id != but for row in self.tables.principals.values())

    def _has_address(self, key: str, but: int | None) -> bool:
        rows = self.tables.principals.values()
        return any(key in map(name_key, row.addresses) and row.id != but for row in rows)

    def _make_homes(self, row: PrincipalRow) -> None:
        tables = self.tables
        for kind in _HOMES[row.kind]:
            first, at = _FIRST_COLLECTIONS[kind], tables.clock()
            home = HomeRow(tables.new_id(), row.id, kind, len(first), at, at)
            tables.homes[home.id] = home
            for number, (name, of_kind, components) in enumerate(first, 1):
                add_collection(tables, home.id, NewCollection(name, of_kind, components), number, at)

    async def begin_handover(self, principal_id: int, to_principal_id: int, cause: Cause) -> None:
        """No job goes on with it here."""
        if self.tables.principals[principal_id].disabled_at is None:
            await self.write_principals([PrincipalChange(principal_id, disabled=True)], cause)

    async def write_relations(self, changes: Sequence[RelationChange], cause: Cause) -> None:
        tables = self.tables
        async with tables.transaction():
            wanted = {change.id for change in changes}
            for change in changes:
                wanted |= change.members or frozenset()
                wanted |= {delegate for delegate, _ in change.delegates or ()}
            self._require_principals(wanted)
            for change in changes:
                if change.members is not None:
                    others = {pair for pair in tables.memberships if pair[0] != change.id}
                    tables.memberships = others | {(change.id, member) for member in change.members}
                    tables.outbox.append(Event("principal-members", subject_id=change.id))
                    key = f"membership {change.id}"
                    tables.jobs.append(Job(MEMBERSHIPS, {"group": change.id}, key, key))
                if change.delegates is not None:
                    kept = {each for each in tables.delegations if each[0] != change.id}
                    tables.delegations = kept | {(change.id, delegate, rights) for delegate, rights in change.delegates}

    def _require_principals(self, ids: Iterable[int]) -> None:
        known = {row.id for row in self.tables.principals.values() if row.deleted_at is None}
        if not known.issuperset(ids):
            raise NotFound("There is no such principal.")

    # -- app passwords ------------------------------------------------------------------------------------------------

    async def add_app_password(
        self,
        principal_id: int,
        name: str,
        selector: str,
        password_hash: str,
        expires_at: datetime | None,
        doors: frozenset[Door],
        cause: Cause,
    ) -> int:
        tables = self.tables
        async with tables.transaction():
            there = [row for row in tables.app_passwords.values() if row.principal_id == principal_id]
            if any(row.selector == selector or (row.name == name and row.revoked_at is None) for row in there):
                raise AlreadyExists(f"There is an app password named {name}.")
            row = AppPasswordRow(tables.new_id(), principal_id, name, selector, tables.clock(), expires_at, doors=doors)
            tables.app_passwords[row.id] = row
            return row.id

    async def app_passwords(self, principal_id: int) -> list[AppPassword]:
        return [
            AppPassword(row.id, row.name, row.created_at, row.expires_at, None, row.revoked_at, row.doors)
            for row in sorted(self.tables.app_passwords.values(), key=lambda row: row.id)
            if row.principal_id == principal_id
        ]

    async def revoke_app_password(self, principal_id: int, app_password_id: int, cause: Cause) -> None:
        tables = self.tables
        async with tables.transaction():
            row = tables.app_passwords.get(app_password_id)
            if row is None or row.principal_id != principal_id or row.revoked_at is not None:
                raise NotFound("There is no such app password.")
            tables.app_passwords[row.id] = replace(row, revoked_at=tables.clock())
            person = tables.principals[principal_id]
            tables.principals[person.id] = replace(person, credential_version=person.credential_version + 1)
