"""Export, in the formats that `server.services.transfer.importing` reads.

A collection is exported as a stream (one .ics or .vcf file), or as a folder with its properties and a file for each
object, with the text that the client sent. A person's folder has a folder for each collection, as in Radicale. The
folder of an installation has those of all people, and the document of all principals. An object that changes during the
export is exported in its old or its new state.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from server.calendar.aggregate import Aggregate
from server.contacts.aggregate import concatenate
from server.domain.actors import Actor
from server.domain.errors import NotFound
from server.domain.objects import Collection, HomeKind, Target
from server.domain.principals import PrincipalKind, name_key
from server.domain.privileges import Privilege
from server.domain.rows import MemberColumn, Row
from server.services.lookup import Found, Lookup
from server.services.permissions import collection_of, home_of
from server.services.principals.changes import demand_in_directory, find
from server.services.reading import Reading
from server.services.text_pages import TEXTS, member_pages
from server.services.transfer.collection_properties import DISPLAYNAME, text_of, write_folder
from server.services.transfer.items import name_of
from server.services.transfer.sources import PRINCIPALS, ROOT
from server.storage import Storage
from server.storage.directory import Directory, PrincipalRecord

_CALLED: dict[HomeKind | None, str] = {
    None: "calendar or address book",
    "calendar": "calendar",
    "addressbook": "address book",
}
_COLUMNS: tuple[MemberColumn, ...] = ("name", "uid", "text", "component")
_PRINCIPALS = 500
_EVERYBODY: tuple[PrincipalKind, ...] = ("individual", "group", "room", "resource")
_KINDS: tuple[HomeKind, ...] = ("calendar", "addressbook")
_MAX_FILE_NAME = 255
"""Bytes of a file's name that every file system takes."""


@dataclass(slots=True)
class Exported:
    """The numbers of exported collections and objects."""

    collections: int = 0
    objects: int = 0


class Exporter:
    """One run of an export."""

    def __init__(self, storage: Storage, directory: Directory, actor: Actor) -> None:
        self._storage = storage
        self._directory = directory
        self._actor = actor
        self._lookup = Lookup(storage)
        self.result = Exported()
        self.progress: Callable[[int], None] = lambda objects: None
        """Called with the number of objects written since the last call."""

    async def everybody(self) -> AsyncIterator[PrincipalRecord]:
        """All principals, by name. Raises `AccessDenied` unless the actor is an administrator."""
        demand_in_directory(self._actor, Privilege.READ)
        after: str | None = None
        while page := await self._directory.principals(_EVERYBODY, after=after, limit=_PRINCIPALS):
            for each in page:
                yield each
            after = name_key(page[-1].name)

    async def collections(self, owner: PrincipalRecord) -> list[Found]:
        """A person's own calendars and address books."""
        return [
            found for found in await self._shown(owner, _KINDS) if collection_of(found).home_id == home_of(found).id
        ]

    async def named(self, owner: PrincipalRecord, name: str, kind: HomeKind | None = None) -> list[Found]:
        """The calendars and address books with a name in a person's homes, in the person's view; `kind`: only those of
        a kind.

        A shared collection is also found as OWNER/NAME, with its name in the owner's home. Raises `NotFound` if there
        is none.
        """
        kinds = _KINDS if kind is None else (kind,)
        shown = await self._shown(owner, kinds)
        owner_name, separator, own_name = name.rpartition("/")
        if separator:
            ids = await self._ids(owner_name, own_name, kinds)
            found = [each for each in shown if collection_of(each).id in ids]
        else:
            found = [each for each in shown if each.name == name]
        if not found:
            raise NotFound(f"{owner.name} has no {_CALLED[kind]} named {name}.")
        return found

    async def _shown(self, owner: PrincipalRecord, kinds: Sequence[HomeKind]) -> list[Found]:
        """The collections that a person's homes show, as the person sees them."""
        shown: list[Found] = []
        actor = replace(self._actor, acting_for=owner.id)
        reading = Reading(self._storage, TEXTS)
        for kind in kinds:
            home = await self._lookup.find(actor, Target(owner.uid, "uid", kind), Privilege.READ)
            if home.home is not None:
                shown += [each for each in await reading.collections(actor, home) if collection_of(each).kind == kind]
        return shown

    async def _ids(self, owner_name: str, name: str, kinds: Sequence[HomeKind]) -> set[int]:
        """The ids of the collections that somebody has under a name."""
        try:
            owner = await find(self._actor, self._directory, owner_name)
        except NotFound:
            return set()
        actor = replace(self._actor, acting_for=owner.id)
        targets = [Target(owner.uid, "uid", kind, name) for kind in kinds]
        found = [await self._lookup.find(actor, target, Privilege.READ) for target in targets]
        return {each.collection.id for each in found if each.collection is not None}

    async def count(self, owners: Sequence[PrincipalRecord], chosen: Sequence[Found]) -> int:
        """The number of objects in the chosen collections; if none are chosen, in all collections of the owners."""
        if chosen:
            return sum(collection_of(each).member_count for each in chosen)
        total = 0
        for owner in owners:
            total += sum(collection_of(each).member_count for each in await self.collections(owner))
        return total

    async def stream(self, found: Found, out: IO[bytes]) -> None:
        """Write a collection as one iCalendar stream, or as a sequence of vCards. Raises `AccessDenied`."""
        collection = collection_of(found)
        self.result.collections += 1
        if collection.kind == "addressbook":
            async for page in self._pages(found):
                for row in page:
                    out.write(concatenate([row[2]]).encode())
            return
        title = collection.properties.get(DISPLAYNAME)
        whole = Aggregate((text_of(title) if title else None) or collection.name)
        out.write(whole.head().encode())
        async for page in self._pages(found):
            for row in page:
                out.write(whole.add(row[2]).encode())
        out.write(whole.tail().encode())

    async def folder(self, found: Found, folder: Path) -> None:
        """Write a collection into a new folder. Raises `AccessDenied`."""
        collection = collection_of(found)
        _make(folder)
        write_folder(folder, collection)
        self.result.collections += 1
        async for page in self._pages(found):
            for name, uid, text, component in page:
                _write_new(folder, _file_names(name, uid, component), text.encode())

    async def person(self, owner: PrincipalRecord, folder: Path) -> None:
        """Write all collections of a person into folders of a new folder."""
        _make(folder)
        taken: set[str] = set()
        for found in await self.collections(owner):
            await self.folder(found, folder / _folder_name(collection_of(found), taken))

    async def everything(self, everybody: Sequence[PrincipalRecord], folder: Path) -> None:
        """Write all collections of everybody, and the document of all principals, into a new folder."""
        (folder / ROOT).mkdir(parents=True)
        document = json.dumps(_principals_document(everybody), ensure_ascii=False, indent=1)
        (folder / PRINCIPALS).write_text(document + "\n", encoding="utf-8")
        for owner in everybody:
            if owner.kind != "group":
                await self.person(owner, folder / ROOT / (owner.name if _can_be_file(owner.name) else owner.uid))

    async def _pages(self, found: Found) -> AsyncIterator[Sequence[Row]]:
        async for rows in member_pages(self._storage, found, _COLUMNS, TEXTS):
            yield rows
            self.result.objects += len(rows)
            self.progress(len(rows))


def _make(folder: Path) -> None:
    folder.mkdir(parents=True)


def _file_names(name: str, uid: str, component: str) -> tuple[str, ...]:
    """Names for the file of an object, of which the first possible one is used: its own, or one made from its UID."""
    others = (name_of(uid, component), name_of(f"{name}\n{uid}", component))
    return (name, *others) if _can_be_file(name) else others


def _can_be_file(name: str) -> bool:
    """Whether a file can have this name, and neither Radicale nor the import ignores such a file."""
    return len(name.encode()) <= _MAX_FILE_NAME and name[0] != "." and name[-1] != "~" and "\\" not in name


def _write_new(folder: Path, names: Sequence[str], body: bytes) -> None:
    """Write a new file; another name is used if the file exists, also on file systems that fold the case of names."""
    for name in names:
        try:
            with (folder / name).open("xb") as file:
                file.write(body)
            return
        except FileExistsError:
            if name == names[-1]:
                raise


def _folder_name(collection: Collection, taken: set[str]) -> str:
    name = collection.name if _can_be_file(collection.name) else f"{collection.kind}-{collection.id}"
    if name.casefold() in taken:
        name = f"{name}-{collection.kind}-{collection.id}"
    taken.add(name.casefold())
    return name


def _principals_document(records: Sequence[PrincipalRecord]) -> dict[str, Any]:
    """The document that `koyomi principals load` takes, without passwords."""
    uids = {record.id: record.uid for record in records}
    return {"principals": [_entry(record, uids) for record in records]}


def _entry(record: PrincipalRecord, uids: dict[int, str]) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "id": record.uid,
        "kind": record.kind,
        "name": record.name,
        "display_name": record.display_name,
    }
    if record.kind in ("individual", "group"):
        entry["emails"] = list(record.addresses)
    if record.kind == "individual" and record.roles:
        entry["roles"] = sorted(record.roles)
    if record.calendar != "here":
        entry["calendar"] = record.calendar
    if record.kind == "group":
        entry["members"] = sorted(uids[each] for each in record.members if each in uids)
        if record.expandable_by != "everyone":
            entry["expandable_by"] = record.expandable_by
    elif record.delegates:
        entry["delegates"] = {
            rights: sorted(uids[each] for each, given in record.delegates if given == rights and each in uids)
            for rights in ("read", "write")
        }
    if record.quota_bytes is not None and record.kind != "group":
        entry["quota_bytes"] = record.quota_bytes
    if record.auto_schedule:
        entry["auto_schedule"] = dict(record.auto_schedule)
    if record.place:
        entry["address"] = dict(record.place)
    return entry
