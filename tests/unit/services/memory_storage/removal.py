"""Deleting principals, and handing over what they had."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from html import escape

from server.domain.changes import Cause
from server.domain.errors import NotFound
from server.domain.jobs import Job
from server.domain.principals import name_key
from server.storage.directory import Handover
from server.storage.jobs import MEMBERSHIPS
from tests.unit.services.memory_storage.tables import BindingRow, CollectionRow, Event, Tables, of_other_owner

_DISPLAYNAME = "{DAV:}displayname"


class Removal:
    """The part of a directory that ends with a principal."""

    tables: Tables

    async def delete_principal(self, principal_id: int, cause: Cause, *, purge: bool) -> None:
        tables = self.tables
        async with tables.transaction():
            row = tables.principals.get(principal_id)
            if row is None:
                raise NotFound("There is no such principal.")
            at = tables.clock()
            for address in (*row.addresses, *row.former_addresses):
                tables.hold(row.id, name_key(address))
            tables.principals[row.id] = replace(
                row,
                deleted_at=row.deleted_at or at,
                disabled_at=row.disabled_at or at,
                credential_version=row.credential_version + 1,
                addresses=(),
                former_addresses=(),
                password_hash=None,
            )
            for id_, room in list(tables.rooms.items()):
                if room.parent == row.id:
                    tables.rooms[id_] = replace(room, parent=None, version=room.version + 1)
            tables.app_passwords = {
                id_: each for id_, each in tables.app_passwords.items() if each.principal_id != row.id
            }
            for group in sorted(group for group, member in tables.memberships if member == row.id):
                key = f"membership {group}"
                tables.jobs.append(Job(MEMBERSHIPS, {"group": group}, key, key))
            tables.memberships = {pair for pair in tables.memberships if row.id not in pair}
            tables.delegations = {each for each in tables.delegations if row.id not in each[:2]}
            tables.outbox.append(Event("principal-deleted", subject_id=row.id))
            if purge:
                self._purge(row.id)

    def _purge(self, principal_id: int) -> None:
        tables = self.tables
        homes = {home.id for home in tables.homes.values() if home.principal_id == principal_id}
        collections = {row.id for row in tables.collections.values() if row.home_id in homes}
        for home_id in sorted({row.home_id for row in self._foreign_bindings(homes)}):
            floor = tables.homes[home_id].revision + 1
            tables.take_revision(home_id, sync_floor=floor, infinite_sync_floor=floor)
        tables.bindings = {
            key: row
            for key, row in tables.bindings.items()
            if row.home_id not in homes and row.collection_home_id not in homes
        }
        tables.objects = {id_: row for id_, row in tables.objects.items() if row.home_id not in homes}
        tables.trash = [row for row in tables.trash if row.home_id not in homes]
        tables.copies = {
            key: row
            for key, row in tables.copies.items()
            if row.home_id not in homes and row.view.principal_id != principal_id
        }
        for by_collection in (tables.shares, tables.own_properties):
            for key in [key for key in by_collection if key[0] in collections or key[1] == principal_id]:
                del by_collection[key]
        tables.declined = {key for key in tables.declined if key[0] not in collections and key[1] != principal_id}
        tables.aces = {
            id_: tuple(ace for ace in aces if ace.whom != principal_id)
            for id_, aces in tables.aces.items()
            if id_ not in collections
        }
        for id_ in collections:
            del tables.collections[id_]
        for id_ in homes:
            del tables.homes[id_]
        tables.to_bind = {each for each in tables.to_bind if each[0] not in collections}
        tables.to_touch -= collections
        tables.rooms.pop(principal_id, None)
        del tables.principals[principal_id]

    def _foreign_bindings(self, homes: set[int]) -> list[BindingRow]:
        """The bindings in other homes that show collections of these."""
        rows = self.tables.bindings.values()
        return [row for row in rows if row.collection_home_id in homes and not row.is_own]

    # -- handing over -------------------------------------------------------------------------------------------------

    async def handovers(self, principal_id: int, to_principal_id: int) -> list[Handover]:
        tables = self.tables
        found = []
        for row in tables.collections.values():
            home = tables.homes[row.home_id]
            to = tables.home(to_principal_id, home.kind)
            own = [binding.name for binding in tables.bindings_of(row.id) if binding.is_own]
            if home.principal_id == principal_id and row.kind == home.kind and to is not None:
                name = own[0] if own else None
                found.append(Handover(row.id, home.id, to.id, home.kind, name, len(tables.members(row.id))))
        return sorted(found, key=lambda each: (each.home != "calendar", each.id))

    async def hand_over(self, handover: Handover, owner: str, cause: Cause) -> AsyncIterator[int]:
        tables = self.tables
        async with tables.transaction():
            row = tables.collections.get(handover.id)
            if row is None or row.home_id != handover.home_id:
                raise NotFound("There is no such collection.")
            members = len(tables.members(row.id))
            self._move(row, handover, owner)
        yield members

    def _move(self, row: CollectionRow, handover: Handover, owner: str) -> None:
        """Let a collection lie in another home, with all that belongs to it."""
        tables = self.tables
        to = tables.homes[handover.to_home_id]
        objects = [each for each in tables.objects.values() if each.collection_id == row.id]
        objects.sort(key=lambda each: each.revision)
        revision = to.revision
        for each in objects:
            tables.take_revision(to.id)
            del tables.objects[each.id]
            if each.restorable:
                revision += 1
                deleted = None if each.deleted_revision is None else revision
                each = replace(of_other_owner(each), home_id=to.id, revision=revision, deleted_revision=deleted)
                tables.objects[each.id] = each
        for key, copy in list(tables.copies.items()):
            if key[0] in tables.objects and tables.objects[key[0]].collection_id == row.id:
                del tables.copies[key]
                if copy.view.principal_id != to.principal_id:
                    latest = tables.objects[key[0]].revision
                    tables.copies[key] = replace(copy, home_id=to.id, revision=latest)
        own = tables.own_properties.pop((row.id, to.principal_id), None)
        tables.shares.pop((row.id, to.principal_id), None)
        tables.inviting = {key for key in tables.inviting if key[0] != row.id}
        tables.declined.discard((row.id, to.principal_id))
        properties = _properties(row.properties, {} if own is None else own.properties, handover.name, owner)
        floor = tables.homes[to.id].revision + 1
        revision, at = tables.take_revision(to.id, infinite_sync_floor=floor)
        tables.collections[row.id] = replace(
            row, home_id=to.id, revision=revision, modified_at=at, properties=properties
        )
        self._rebind(row, handover, revision)
        kind = "collection-created" if row.deleted_at is None else "collection-deleted"
        tables.outbox.append(Event(kind, to.id, row.id))

    def _rebind(self, row: CollectionRow, handover: Handover, revision: int) -> None:
        tables, to = self.tables, handover.to_home_id
        shown = False
        for key, binding in list(tables.bindings.items()):
            if binding.collection_id != row.id:
                continue
            moved = replace(binding, collection_home_id=to, incarnation=binding.incarnation + 1, view_revision=0)
            alive = binding.deleted_revision is None
            if binding.home_id == handover.home_id:
                gone, _ = tables.take_revision(binding.home_id)
                if alive:
                    binding = replace(binding, revision=gone, deleted_revision=gone)
                tables.bindings[key] = binding
                continue
            if binding.home_id == to:
                moved = replace(moved, rights="owner", revision=revision if alive else binding.revision)
                shown = shown or alive
            elif alive:
                moved = replace(moved, revision=tables.take_revision(binding.home_id)[0])
            tables.bindings[key] = moved
        if row.deleted_at is None and not shown:
            name = self._free_name(to, handover.name or "restored")
            earlier = tables.bindings.get((to, name))
            incarnation = 1 if earlier is None else earlier.incarnation + 1
            tables.bindings[to, name] = BindingRow(to, name, to, row.id, revision, incarnation=incarnation)

    def _free_name(self, home_id: int, name: str) -> str:
        free, number = name, 1
        while self.tables.live_binding(home_id, free) is not None:
            number += 1
            free = f"{name}-{number}"
        return free


def _properties(properties: object, own: object, name: str | None, owner: str) -> dict[str, str]:
    """The properties for the new owner, with a displayname that says whose it was, unless they had set one."""
    assert isinstance(properties, dict)
    assert isinstance(own, dict)
    found: dict[str, str] = {**properties, **own}
    if _DISPLAYNAME not in own:
        start, _, end = found.get(_DISPLAYNAME, "").rpartition("</")
        suffix = f" ({escape(owner, quote=False)})"
        if start:
            found[_DISPLAYNAME] = f"{start}{suffix}</{end}"
        elif name is not None:
            found[_DISPLAYNAME] = f'<displayname xmlns="DAV:">{escape(name, quote=False)}{suffix}</displayname>'
    return found
