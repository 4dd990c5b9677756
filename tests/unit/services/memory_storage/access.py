"""`server.storage.access.Access` in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from uuid import uuid4
from xml.sax.saxutils import escape

from server.domain.changes import Cause, Unchanged
from server.domain.contents import Views
from server.domain.errors import NotFound, WriteConflict
from server.domain.grants import (
    AccessList,
    Ace,
    AclEntry,
    DelegateRights,
    Delegation,
    PrincipalClass,
    Share,
    ShareRights,
)
from server.domain.messages import Message
from server.domain.objects import Collection, Home, Rights
from server.domain.principal_search import PrincipalSearch, Term
from server.domain.principals import Principal, PrincipalKind, name_key
from server.domain.rooms import Room, searched
from server.storage.reads import SharedObject
from tests.unit.services.memory_storage import seen
from tests.unit.services.memory_storage.conditions import require_collection, require_unchanged
from tests.unit.services.memory_storage.reads import MemoryReads
from tests.unit.services.memory_storage.tables import (
    BindingRow,
    BindingTask,
    CopyRow,
    Event,
    HomeRow,
    OwnProperties,
    PrincipalRow,
    Tables,
)

_TRANSPARENT = "{urn:ietf:params:xml:ns:caldav}schedule-calendar-transp"
_DISPLAYNAME = "{DAV:}displayname"


class MemoryAccess:
    """Grants, groups and the search for principals."""

    def __init__(self, reads: MemoryReads) -> None:
        self._reads = reads
        self.tables = reads.tables

    # -- access control lists -----------------------------------------------------------------------------------------

    async def access_list(self, home: Home, collection: Collection | None) -> AccessList:
        tables = self.tables
        asked = sorted(
            row.id
            for row in tables.collections.values()
            if row.home_id == home.id and (collection is None or row.id == collection.id)
        )
        entries = [
            AclEntry(id_, whom, ace.grants, ace.privileges)
            for id_ in asked
            for ace in tables.aces.get(id_, ())
            if (whom := self._named(ace)) is not None
        ]
        shares = [
            Share(id_, seen.principal(tables.principals[whom]), rights, (id_, whom) in tables.inviting)
            for (id_, whom), rights in tables.shares.items()
            if (id_ in asked or ((id_, whom) in tables.inviting and tables.collections[id_].home_id == home.id))
            and tables.principals[whom].deleted_at is None
        ]
        return AccessList(tuple(entries), tuple(shares))

    def _named(self, ace: Ace) -> Principal | PrincipalClass | None:
        if not isinstance(ace.whom, int):
            return ace.whom
        row = self.tables.principals.get(ace.whom)
        return None if row is None or row.deleted_at is not None else seen.principal(row)

    async def set_acl(
        self,
        home: Home,
        collection: Collection,
        aces: Sequence[Ace],
        cause: Cause,
        *,
        unchanged: Sequence[Unchanged] = (),
    ) -> int:
        tables = self.tables
        async with tables.transaction():
            require_unchanged(tables, unchanged)
            revision, at = tables.take_revision(home.id)
            require_collection(tables, collection)
            tables.aces[collection.id] = tuple(replace(ace, collection_id=collection.id) for ace in aces)
            row = tables.collections[collection.id]
            tables.collections[row.id] = replace(row, revision=revision, modified_at=at)
            tables.outbox.append(Event("collection-acl", home.id, collection.id))
            return revision

    # -- sharing ------------------------------------------------------------------------------------------------------

    async def share(
        self,
        home: Home,
        collection: Collection,
        principal_id: int,
        rights: ShareRights | None,
        cause: Cause,
        *,
        may_invite: bool = False,
    ) -> None:
        tables = self.tables
        async with tables.transaction():
            row = tables.live_collection(collection.id)
            if row is None:
                raise NotFound
            rendered = all(member.neutral_etag is not None for member in tables.members(row.id))
            if rights in ("read", "write") and row.kind == "calendar" and not (row.views and rendered):
                raise WriteConflict
            if rights is None:
                if (row.id, principal_id) not in tables.shares:
                    raise NotFound
                del tables.shares[row.id, principal_id]
            else:
                tables.shares[row.id, principal_id] = rights
            tables.inviting.discard((row.id, principal_id))
            if may_invite:
                tables.inviting.add((row.id, principal_id))
            tables.declined.discard((row.id, principal_id))
            tables.outbox.append(Event("shared", home.id, row.id, principal_id))
            tables.to_bind.add((row.id, "bind" if rights in ("read", "write") else "check"))
        await self._bind(collection.id)

    async def render_views(self, home: Home, collection: Collection, render: Callable[[SharedObject], Views]) -> int:
        tables = self.tables
        async with tables.transaction():
            row = tables.collections[collection.id]
            if row.kind == "calendar" and not row.views:
                tables.collections[row.id] = replace(row, views=True)
            done = 0
            for member in tables.members(collection.id):
                if member.neutral_etag is not None:
                    continue
                views = render(replace(self._reads.shared(member), neutral_text=None))
                tables.objects[member.id] = replace(
                    member,
                    neutral_etag=views.neutral_etag,
                    neutral_text=views.neutral_text,
                    neutral_busy=views.neutral_busy,
                )
                for view in views.views:
                    copy = tables.copies[member.id, view.principal_id]
                    tables.copies[member.id, view.principal_id] = CopyRow(
                        copy.home_id, copy.object_id, copy.revision, copy.modified_at, view
                    )
                done += 1
            return done

    async def plan_fan_out(self, transaction: Tables, messages: Sequence[Message]) -> None:
        tables = transaction
        for event in messages:
            id_ = event.collection_id
            shown = [] if id_ is None else tables.bindings_of(id_)
            if id_ is not None and any(row.collection_home_id == event.home_id != row.home_id for row in shown):
                tables.to_touch.add(id_)
            lies_there = id_ in tables.collections and tables.collections[id_].home_id == event.home_id
            if id_ is not None and lies_there and event.kind in ("collection-created", "collection-deleted"):
                tables.bind_all({id_} & {shared for shared, _ in tables.shares})
            if event.kind in ("principal-members", "principal-deleted") and event.subject_id is not None:
                concerned = tables.groups_of(event.subject_id) | {event.subject_id}
                tables.bind_all({shared for shared, whom in tables.shares if whom in concerned})

    async def plan_fan_out_anew(self, transaction: Tables) -> None:
        shared = {collection_id for collection_id, _ in transaction.shares}
        transaction.bind_all(shared)
        transaction.to_touch |= shared

    async def fan_out(self) -> bool:
        tables = self.tables
        waited = bool(tables.to_bind or tables.to_touch)
        async with tables.transaction():
            touched = [binding for id_ in tables.to_touch for binding in tables.bindings_of(id_) if not binding.is_own]
            for home_id in sorted({binding.home_id for binding in touched}):
                revision, _ = tables.take_revision(home_id)
                for binding in touched:
                    if binding.home_id == home_id:
                        tables.bindings[home_id, binding.name] = replace(binding, revision=revision)
            tables.to_touch = set()
        for id_ in sorted({id_ for id_, _ in tables.to_bind}):
            await self._bind(id_)
        return waited

    async def _bind(self, collection_id: int) -> None:
        """Make the bindings of a collection those that its shares ask for, where it waits for that."""
        tables = self.tables
        async with tables.transaction():
            tasks = {task for id_, task in tables.to_bind if id_ == collection_id}
            tables.to_bind = {each for each in tables.to_bind if each[0] != collection_id}
            collection = tables.collections[collection_id]
            own_home = tables.homes[collection.home_id]
            owner = tables.principals[own_home.principal_id]
            alive = collection.deleted_at is None and owner.deleted_at is None
            for home in sorted(tables.homes.values(), key=lambda home: home.id):
                if home.id == own_home.id or home.kind != own_home.kind:
                    continue
                if not self._is_concerned(collection_id, home, tasks):
                    continue
                wanted = self._wanted(collection_id, home) if alive else None
                self._bind_in(home, collection_id, wanted, owner)
            shared = any(id_ == collection_id and rights != "free-busy" for (id_, _), rights in tables.shares.items())
            shown = any(not binding.is_own for binding in tables.bindings_of(collection_id))
            if not shared and not shown:
                tables.collections[collection_id] = replace(collection, views=False)

    def _is_concerned(self, collection_id: int, home: HomeRow, tasks: set[BindingTask]) -> bool:
        """Whether a task looks at a home: `bind` at those of all sharees, `check` at those that show the collection."""
        tables = self.tables
        groups = tables.groups_of(home.principal_id)
        shares = {whom: rights for (id_, whom), rights in tables.shares.items() if id_ == collection_id}
        shared = home.principal_id in shares or any(shares.get(group, "free-busy") != "free-busy" for group in groups)
        shown = any(binding.home_id == home.id for binding in tables.bindings_of(collection_id))
        return ("bind" in tasks and shared) or ("check" in tasks and shown)

    def _wanted(self, collection_id: int, home: HomeRow) -> Rights | None:
        """The rights with which a home is to show a collection."""
        tables = self.tables
        person = tables.principals[home.principal_id]
        if person.deleted_at is not None or person.kind == "group" or (collection_id, person.id) in tables.declined:
            return None
        rights = {tables.shares.get((collection_id, whom)) for whom in tables.groups_of(person.id) | {person.id}}
        return "write" if "write" in rights else "read" if "read" in rights else None

    def _bind_in(self, home: HomeRow, collection_id: int, wanted: Rights | None, owner: PrincipalRow) -> None:
        tables = self.tables
        collection = tables.collections[collection_id]
        known = [
            row for row in tables.bindings.values() if row.home_id == home.id and row.collection_id == collection_id
        ]
        known.sort(key=lambda row: (row.deleted_revision is None, row.revision))
        binding = known[-1] if known else None
        if binding is None or binding.deleted_revision is not None:
            if wanted is None:
                return
        elif binding.rights == wanted:
            return
        revision, _ = tables.take_revision(home.id)
        if binding is None:
            assert wanted is not None
            name = str(uuid4())
            tables.bindings[home.id, name] = BindingRow(
                home.id, name, collection.home_id, collection_id, revision, wanted
            )
            key = collection_id, home.principal_id
            first = OwnProperties(collection.home_id, 0, self._first_properties(collection_id, owner))
            tables.own_properties.setdefault(key, first)
        elif wanted is None:
            tables.bindings[home.id, binding.name] = replace(binding, revision=revision, deleted_revision=revision)
        else:
            tables.bindings[home.id, binding.name] = replace(
                binding,
                rights=wanted,
                incarnation=binding.incarnation + 1,
                revision=revision,
                deleted_revision=None,
            )

    def _first_properties(self, collection_id: int, owner: PrincipalRow) -> dict[str, str]:
        """What sharees begin with: a name that says whose it is, and events that do not make them busy."""
        collection = self.tables.collections[collection_id]
        properties = {}
        if collection.kind == "calendar":
            element = "schedule-calendar-transp"
            properties[_TRANSPARENT] = f'<{element} xmlns="urn:ietf:params:xml:ns:caldav"><transparent/></{element}>'
        if _DISPLAYNAME not in collection.properties:
            own = [binding.name for binding in self.tables.bindings_of(collection_id) if binding.is_own]
            title = escape(f"{own[0] if own else ''} ({owner.display_name})").replace("&gt;", ">")
            properties[_DISPLAYNAME] = f'<displayname xmlns="DAV:">{title}</displayname>'
        return properties

    # -- delegates and groups -----------------------------------------------------------------------------------------

    async def delegates(self, principal_ids: Sequence[int]) -> Mapping[int, Sequence[Delegation]]:
        return {
            id_: self._delegations((other, rights) for whose, other, rights in self.tables.delegations if whose == id_)
            for id_ in principal_ids
        }

    async def delegators(
        self, principal_ids: Sequence[int], *, through_groups: bool
    ) -> Mapping[int, Sequence[Delegation]]:
        concerned = {
            id_: (self.tables.groups_of(id_) if through_groups else frozenset()) | {id_} for id_ in principal_ids
        }
        return {
            id_: self._delegations(
                {(whose, rights) for whose, other, rights in self.tables.delegations if other in concerned[id_]}
            )
            for id_ in principal_ids
        }

    def _delegations(self, found: Iterable[tuple[int, DelegateRights]]) -> list[Delegation]:
        rows = [(self.tables.principals[id_], rights) for id_, rights in found]
        rows.sort(key=lambda item: (item[0].key, item[1]))
        return [Delegation(seen.principal(row), rights) for row, rights in rows if row.deleted_at is None]

    async def set_delegates(
        self, principal_id: int, rights: DelegateRights, delegates: frozenset[int], cause: Cause
    ) -> None:
        tables = self.tables
        async with tables.transaction():
            for id_ in (*delegates, principal_id):
                if id_ not in tables.principals or tables.principals[id_].deleted_at is not None:
                    raise NotFound("There is no such principal.")
            tables.delegations = {
                each for each in tables.delegations if (each[0], each[2]) != (principal_id, rights)
            } | {(principal_id, delegate, rights) for delegate in delegates}

    async def all_groups_of(self, principal_ids: Sequence[int]) -> Mapping[int, Sequence[Principal]]:
        return {id_: self.by_name(self.tables.groups_of(id_)) for id_ in principal_ids}

    async def all_members_of(self, principal_ids: Sequence[int]) -> Mapping[int, Sequence[Principal]]:
        return {
            id_: self.by_name(other for other in self.tables.principals if id_ in self.tables.groups_of(other))
            for id_ in principal_ids
        }

    def by_name(self, ids: Iterable[int]) -> list[Principal]:
        """Principals that are not deleted, in the order of their names."""
        rows = sorted((self.tables.principals[id_] for id_ in ids), key=lambda row: row.key)
        return [seen.principal(row) for row in rows if row.deleted_at is None]

    # -- finding principals -------------------------------------------------------------------------------------------

    async def principals_at(self, uids: Sequence[str], names: Sequence[tuple[PrincipalKind, str]]) -> list[Principal]:
        keys = {(kind, name_key(name)) for kind, name in names}
        rows = self.tables.principals.values()
        return self.by_name(row.id for row in rows if row.uid in uids or (row.kind, row.key) in keys)

    async def search(self, search: PrincipalSearch, limit: int) -> list[Principal]:
        found = [
            row.id
            for row in self.tables.principals.values()
            if row.kind in search.kinds and _is_found(row, self.tables.rooms.get(row.id), search)
        ]
        return self.by_name(found)[:limit]


def _is_found(row: PrincipalRow, room: Room | None, search: PrincipalSearch) -> bool:
    groups = [any(_holds(row, room, term) for term in group) for group in search.groups]
    if not groups:
        return True
    return any(groups) if search.any_group else all(groups)


def _holds(row: PrincipalRow, room: Room | None, term: Term) -> bool:
    if term.field == "nothing" or (term.field in ("first-name", "last-name") and row.kind != "individual"):
        return False
    fold: Callable[[str], str] = name_key if term.caseless else str
    wanted = fold(term.text)
    if term.field == "word":
        words = " " + name_key(row.display_name).translate(str.maketrans("-.,()/'", "       "))
        begins = [row.key, *map(name_key, row.addresses)]
        texts = (
            []
            if room is None
            else [*room.metadata.values(), *(t for k, ts in searched(room).items() if k != "type" for t in ts)]
        )
        return (
            f" {wanted}" in words
            or any(text.startswith(wanted) for text in begins)
            or any(f" {wanted}" in f" {name_key(text)}" for text in texts)
        )
    if term.field == "room":
        if room is None or term.attribute is None:
            return False
        if term.attribute == "type":
            return _compares(room.type, term.text.strip().upper(), term)
        if term.attribute in ("features", "position"):
            fold, wanted = name_key, name_key(term.text)
        return any(_compares(fold(text), wanted, term) for text in searched(room)[term.attribute])
    texts_of: dict[str, list[str]] = {
        "display-name": [row.display_name],
        "first-name": [row.display_name.split(" ")[0]],
        "last-name": [row.display_name.split(" ")[-1]],
        "address": list(row.addresses),
        "name": [row.name],
        "uid": [row.uid],
        "kind": [row.kind],
    }
    if term.field in ("uid", "kind"):
        fold = str
    return any(_compares(fold(text), wanted, term) for text in texts_of[term.field])


def _compares(text: str, wanted: str, term: Term) -> bool:
    match term.match:
        case "equals":
            return text == wanted
        case "starts-with":
            return text.startswith(wanted)
        case "contains":
            return wanted in text
