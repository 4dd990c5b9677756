"""Loading many principals from a document, to onboard an organisation.

Loading sets the fields that the document has and keeps all others, so that a second run changes nothing. A password is
set only if the person has none: a second run does not replace a password that the person has changed since.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

from server.auth.passwords import PasswordHasher
from server.domain.actors import Actor
from server.domain.errors import InvalidPrincipal, NameTaken, NotFound, WriteConflict
from server.domain.grants import DelegateRights
from server.domain.principals import Office, PrincipalKind, name_key
from server.domain.privileges import Privilege
from server.domain.rooms import Room, default_type
from server.services.principals.changes import demand_in_directory
from server.services.principals.document import Entry, Refusal, read
from server.services.rooms.addresses import made_address
from server.services.rooms.settings import RoomSettings
from server.storage.directory import Directory, PrincipalChange, PrincipalRecord, RelationChange

_Value = TypeVar("_Value")

BATCH = 100
"""Principals in one transaction."""


@dataclass(slots=True)
class Loaded:
    """What loading a document did. Each entry is counted once."""

    created: int = 0
    changed: int = 0
    unchanged: int = 0
    refused: list[Refusal] = field(default_factory=list)
    """Entries that were refused."""
    left_out: list[Refusal] = field(default_factory=list)
    """Members, delegates and groups that do not exist; the rest of their entries was loaded."""


@dataclass(slots=True)
class _Work:
    entry: Entry
    known: PrincipalRecord | None
    change: PrincipalChange | None
    """What is to be written; None when nothing is."""
    id: int = 0
    relations_changed: bool = False


async def load_principals(
    actor: Actor,
    directory: Directory,
    hasher: PasswordHasher,
    document: object,
    *,
    take_over: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
    rooms: RoomSettings = RoomSettings(),  # noqa: B008 - a value
) -> Loaded:
    """Load principals. `take_over`: they get addresses that meetings of other people name
    (`Directory.write_principals`). `progress` is called with the number of entries that are done, and that of all.

    Refused entries are in the result. Raises `InvalidPrincipal` if the document itself is not valid, and `AccessDenied`
    unless the actor is an administrator.
    """
    entries, refused = read(document, rooms.features)
    loaded = await load_entries(actor, directory, hasher, entries, rooms, take_over=take_over, progress=progress)
    loaded.refused[:0] = refused
    return loaded


async def load_entries(
    actor: Actor,
    directory: Directory,
    hasher: PasswordHasher,
    entries: Sequence[Entry],
    rooms: RoomSettings,
    *,
    take_over: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Loaded:
    """As `load_principals`, for entries that were read."""
    for need in (Privilege.BIND, Privilege.WRITE):
        demand_in_directory(actor, need)
    loaded = Loaded()
    total = len(entries)
    work: list[_Work] = []
    for start in range(0, total, BATCH):
        batch = await _compare(directory, entries[start : start + BATCH], loaded, rooms)
        await _hash_passwords(hasher, batch)
        work += await _write(actor, directory, batch, loaded, take_over=take_over)
        progress(min(start + BATCH, total), total)
    await _relate(actor, directory, work, loaded)
    for item in work:
        if item.known is None:
            loaded.created += 1
        elif item.change is not None or item.relations_changed:
            loaded.changed += 1
        else:
            loaded.unchanged += 1
    return loaded


# -- principals -------------------------------------------------------------------------------------------------------


async def _compare(directory: Directory, entries: Sequence[Entry], loaded: Loaded, rooms: RoomSettings) -> list[_Work]:
    known = await directory.principals_known(
        [entry.uid for entry in entries if entry.uid is not None], [name_key(entry.name) for entry in entries], []
    )
    by_uid = {record.uid: record for record in known}
    by_name = {name_key(record.name): record for record in known if not record.deleted}
    work = []
    for entry in entries:
        record = by_name.get(name_key(entry.name)) if entry.uid is None else by_uid.get(entry.uid)
        try:
            entry = _with_address(entry, record, rooms.mail_domain)
            work.append(_Work(entry, record, _change(entry, record)))
        except InvalidPrincipal as error:
            loaded.refused.append(Refusal(entry.who or entry.name, error.message))
    return work


def _with_address(entry: Entry, record: PrincipalRecord | None, domain: str) -> Entry:
    """The entry of a room or resource with the address that its name makes, where it has none."""
    has_one = entry.addresses is not None or (record is not None and record.addresses)
    if not domain or has_one or entry.kind not in ("room", "resource"):
        return entry
    return replace(entry, addresses=(made_address(entry.name, domain),))


def _change(entry: Entry, record: PrincipalRecord | None) -> PrincipalChange | None:
    """The change that sets the fields of an entry; None if they are set."""
    if record is None:
        return PrincipalChange(
            uid=entry.uid,
            kind=entry.kind,
            name=entry.name,
            display_name=entry.display_name,
            addresses=entry.addresses,
            roles=entry.roles,
            quota_bytes=entry.quota_bytes,
            auto_schedule=entry.auto_schedule,
            place=entry.place,
            expandable_by=entry.expandable_by,
            calendar=entry.calendar,
            office=entry.office,
            room=entry.room.applied(Room(0, default_type(entry.kind))) if entry.room else None,
        )
    if record.deleted:
        raise InvalidPrincipal(f"The principal with the id {record.uid} was deleted.")
    if record.kind != entry.kind:
        raise InvalidPrincipal(f"{record.name} exists as {record.kind}, not as {entry.kind}.")
    change = PrincipalChange(
        record.id,
        name=_different(entry.name, record.name),
        display_name=_different(entry.display_name, record.display_name),
        addresses=_different(entry.addresses, record.addresses),
        roles=_different(entry.roles, record.roles),
        quota_bytes=_different(entry.quota_bytes, record.quota_bytes),
        auto_schedule=_different(entry.auto_schedule, record.auto_schedule),
        place=_different(entry.place, record.place),
        expandable_by=_different(entry.expandable_by, record.expandable_by),
        calendar=_different(entry.calendar, record.calendar),
        office=_different(entry.office, record.office or Office()),
        room=_different(entry.room.applied(record.room), record.room) if entry.room and record.room else None,
    )
    needs_password = entry.password is not None and not record.has_password
    return change if needs_password or change != PrincipalChange(record.id) else None


def _different(wanted: _Value | None, there: object) -> _Value | None:
    return wanted if wanted is not None and wanted != there else None


async def _hash_passwords(hasher: PasswordHasher, batch: Sequence[_Work]) -> None:
    needing = [
        (item, item.change, item.entry.password)
        for item in batch
        if item.change is not None
        and item.entry.password is not None
        and (item.known is None or not item.known.has_password)
    ]
    hashes = await hasher.hash_all([password for _, _, password in needing])
    for (item, change, _), password_hash in zip(needing, hashes, strict=True):
        item.change = replace(change, password_hash=password_hash)


async def _write(
    actor: Actor, directory: Directory, batch: Sequence[_Work], loaded: Loaded, *, take_over: bool
) -> list[_Work]:
    """Write a batch in one transaction. If that fails, write the entries one by one, to find those to refuse."""
    for item in batch:
        item.id = item.known.id if item.known is not None else 0
    pending = [(item, item.change) for item in batch if item.change is not None]
    write = partial(directory.write_principals, cause=actor.cause, take_over=take_over)
    try:
        ids = await write([change for _, change in pending]) if pending else []
    except (NameTaken, WriteConflict):
        refused = set()
        for item, change in pending:
            try:
                (item.id,) = await write([change])
            except (NameTaken, WriteConflict) as error:
                loaded.refused.append(Refusal(item.entry.who or item.entry.name, error.message))
                refused.add(id(item))
        return [item for item in batch if id(item) not in refused]
    for (item, _), principal_id in zip(pending, ids, strict=True):
        item.id = principal_id
    return list(batch)


# -- who belongs to whom ----------------------------------------------------------------------------------------------


async def _relate(actor: Actor, directory: Directory, work: Sequence[_Work], loaded: Loaded) -> None:
    ids = await _references(directory, work)
    await _place_parts(actor, directory, work, ids, loaded)
    await _join_groups(actor, directory, work, loaded)
    changes = []
    for item in work:
        change = _relations(item, ids, loaded)
        if change is not None:
            item.relations_changed = True
            changes.append(change)
    for start in range(0, len(changes), BATCH):
        await directory.write_relations(changes[start : start + BATCH], actor.cause)


async def _place_parts(
    actor: Actor, directory: Directory, work: Sequence[_Work], ids: Mapping[str, int], loaded: Loaded
) -> None:
    """Set of which rooms others are parts, now that all are there."""
    parts = [item for item in work if item.entry.room.parent is not None]
    for start in range(0, len(parts), BATCH):
        names = [name_key(item.entry.name) for item in parts[start : start + BATCH]]
        now = {record.id: record.room for record in await directory.principals_known([], names, [])}
        for item in parts[start : start + BATCH]:
            name, room = item.entry.room.parent, now.get(item.id)
            parent = _known(item, ids, loaded, name, "The parent") if name else None
            if room is None or (name and parent is None) or room.parent == parent:
                continue
            try:
                change = PrincipalChange(item.id, room=replace(room, parent=parent))
                await directory.write_principals([change], actor.cause)
                item.relations_changed = True
            except (NotFound, WriteConflict) as error:
                loaded.left_out.append(Refusal(item.entry.who or item.entry.name, error.message))


async def _join_groups(actor: Actor, directory: Directory, work: Sequence[_Work], loaded: Loaded) -> None:
    """Add entries to the groups that they are to belong to."""
    ids = await _ids_of(directory, {name for item in work for name in item.entry.groups}, "group")
    joining: dict[int, list[_Work]] = {}
    for item in work:
        for name in item.entry.groups:
            group = _known(item, ids, loaded, name, "The group")
            if group is not None:
                joining.setdefault(group, []).append(item)
    members = await directory.members_of(list(joining))
    for group, items in joining.items():
        there = {member.id for member in members[group]}
        new = [item for item in items if item.id not in there]
        if not new:
            continue
        try:
            change = RelationChange(group, members=frozenset(there | {item.id for item in new}))
            await directory.write_relations([change], actor.cause)
        except NotFound as error:
            loaded.left_out += [Refusal(item.entry.who or item.entry.name, error.message) for item in new]
            continue
        for item in new:
            item.relations_changed = True


def _known(item: _Work, ids: Mapping[str, int], loaded: Loaded, name: str, what: str) -> int | None:
    """The id of a principal that an entry refers to; where there is none, the reference is left out."""
    found = ids.get(name)
    if found is None or found == item.id:
        why = "is not known" if found is None else "is the principal itself"
        loaded.left_out.append(Refusal(item.entry.who or item.entry.name, f"{what} {name} {why}."))
        return None
    return found


async def _references(directory: Directory, work: Sequence[_Work]) -> dict[str, int]:
    """Ids of the principals that entries refer to, by the reference."""
    wanted: set[str] = set()
    for item in work:
        wanted.update(item.entry.members or ())
        wanted.update(name for name, _ in item.entry.delegates or ())
        group = (item.entry.auto_schedule or {}).get("auto_accept_group")
        wanted.update(name for name in (group, item.entry.room.parent) if name)
    return await _ids_of(directory, wanted)


async def _ids_of(directory: Directory, wanted: Set[str], kind: PrincipalKind | None = None) -> dict[str, int]:
    """Ids of the principals with these names or ids, by the name; only of one kind, unless `kind` is None."""
    ids: dict[str, int] = {}
    for names in _pages(sorted(wanted)):
        keys = [name_key(name) for name in names]
        by_key: dict[str, int] = {}
        by_uid: dict[str, int] = {}
        for record in await directory.principals_known(names, keys, []):
            if not record.deleted and kind in (None, record.kind):
                by_key[name_key(record.name)] = by_uid[record.uid] = record.id
        for name, key in zip(names, keys, strict=True):
            found = by_uid.get(name, by_key.get(key))
            if found is not None:
                ids[name] = found
    return ids


def _pages(names: Sequence[str]) -> Iterable[list[str]]:
    return (list(names[start : start + 1000]) for start in range(0, len(names), 1000))


def _relations(item: _Work, ids: Mapping[str, int], loaded: Loaded) -> RelationChange | None:
    """The change that sets the relations of an entry; None if they are set."""

    known = partial(_known, item, ids, loaded)
    members: frozenset[int] | None = None
    delegates: frozenset[tuple[int, DelegateRights]] | None = None
    if item.entry.members is not None:
        found = [known(name, "The member") for name in item.entry.members]
        members = frozenset(member for member in found if member is not None)
    if item.entry.delegates is not None:
        pairs = [(known(name, "The delegate"), rights) for name, rights in item.entry.delegates]
        delegates = frozenset((delegate, rights) for delegate, rights in pairs if delegate is not None)
    group = (item.entry.auto_schedule or {}).get("auto_accept_group")
    if group is not None:
        known(group, "The group auto_accept_group")
    there = item.known
    members = _different(members, there.members if there else frozenset())
    delegates = _different(delegates, there.delegates if there else frozenset())
    return None if members is None and delegates is None else RelationChange(item.id, members, delegates)
