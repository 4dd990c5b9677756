"""Import: objects in files are put into collections through the same write path as every other change.

An import sets what the files contain and keeps everything else, so that a second run changes nothing. An existing
object is recognised by its UID, not by its name.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from server.auth.passwords import PasswordHasher
from server.calendar.octet_lines import decoded
from server.calendar.stream import same_components
from server.contacts.aggregate import concatenate
from server.domain.actors import Actor
from server.domain.changes import ChangeSet, Remember
from server.domain.contents import ObjectContent
from server.domain.errors import (
    BadRequest,
    InvalidData,
    InvalidPrincipal,
    KoyomiError,
    NotFound,
    SchedulingObjectExists,
    TooManyConflicts,
    UidConflict,
    WriteConflict,
)
from server.domain.etags import etag_of
from server.domain.limits import Limits
from server.domain.objects import Object
from server.domain.privileges import Privilege
from server.services.changing import change
from server.services.lookup import Found, Lookup
from server.services.objects import Objects
from server.services.permissions import collection_of, demand_writable, home_of
from server.services.principals.loading import load_principals
from server.services.scheduling.default_calendar import Scheduled, default_calendar
from server.services.scheduling.groups import remembered_groups
from server.services.scheduling.implicit import Scheduling
from server.services.scheduling.sent import Sent
from server.services.transfer.items import Item, can_be_name, name_of, read_items, read_versions
from server.services.transfer.places import Known, Made, Place, Places
from server.services.transfer.sources import PRINCIPALS, ROOT, Refused, Source, SourceFile, find_sources
from server.services.transfer.targets import NOT_TAKEN, Targets
from server.storage import Storage
from server.storage.directory import Directory

AT_ONCE = 8
"""Objects that are written at the same time."""
_DEFAULTS = {"VCARD": "addressbook", "VTODO": "tasks"}
"""Default collections by the component; all other components go into `calendar`."""


@dataclass(slots=True)
class Imported:
    """The result of an import. Each object is counted once."""

    made: Made
    created: int = 0
    changed: int = 0
    unchanged: int = 0
    refused: int = 0
    """Refused objects, and refused files, people and properties of collections."""
    superseded: int = 0
    """Objects and components that were skipped, because there are newer ones with the same UID."""


class Importer:
    """One run of an import."""

    def __init__(
        self,
        storage: Storage,
        directory: Directory,
        hasher: PasswordHasher,
        limits: Limits,
        actor: Actor,
        refuse: Callable[[Refused], None],
        note: Callable[[str], None] = lambda text: None,
        progress: Callable[[int], None] = lambda octets: None,
        scheduling: Scheduling | None = None,
    ) -> None:
        """`refuse` is called for each item that is refused, `note` for other lines of the report, `progress` with the
        octets read of all files together. With `scheduling`, what follows of meetings is sent."""
        self._storage = storage
        self._directory = directory
        self._hasher = hasher
        self._limits = limits
        self._actor = actor
        self._lookup = Lookup(storage)
        self._tell_refused = refuse
        self._note = note
        self._progress = progress
        self._objects = Objects(storage, limits)
        self._scheduling = scheduling
        self._has_groups: bool | None = None
        """Whether there are groups, which meetings may invite; None: nobody has asked yet."""
        self._places = Places(storage, directory, hasher, limits, actor)
        self.result = Imported(self._places.made)

    async def run(self, paths: Sequence[Path], owner: str | None, collection: str | None) -> Imported:
        """Import paths, as `find_sources` reads them. Raises `BadRequest`, `Unavailable`, `OSError`."""
        if owner is None:
            for path in paths:
                if (path / ROOT).is_dir() and (path / PRINCIPALS).is_file():
                    await self._load_principals(path / PRINCIPALS, (path / PRINCIPALS).read_bytes())
        for source in find_sources(paths, owner, collection, self._limits):
            if isinstance(source, Refused):
                self._refuse(source.place, source.reason)
            else:
                await self._take(source)
        return self.result

    async def add_people(self, names: Sequence[str]) -> None:
        """Add the people who do not exist yet, without passwords."""
        for name in names:
            try:
                await self._places.person(name)
            except NOT_TAKEN as error:
                self._refuse(name, error.message)

    async def _load_principals(self, path: Path, document: bytes) -> None:
        try:
            principals = json.loads(document)
            loaded = await load_principals(self._actor, self._directory, self._hasher, principals)
        except (ValueError, RecursionError, InvalidPrincipal) as error:
            self._refuse(str(path), error.message if isinstance(error, KoyomiError) else "This is not a JSON document.")
            return
        self.result.made.people += loaded.created
        for each in (*loaded.refused, *loaded.left_out):
            self._refuse(f"{path}: {each.who}", each.reason)

    def _refuse(self, place: str, reason: str) -> None:
        self.result.refused += 1
        self._tell_refused(Refused(place, reason))

    # -- collections --------------------------------------------------------------------------------------------------

    async def _take(self, source: Source) -> None:
        targets = Targets(self._places, source)
        if not source.files:
            try:
                await targets.make()
            except NOT_TAKEN as error:
                self._refuse(str(source.path), error.message)
            return
        newest = self._newest(source.files)
        free = asyncio.Semaphore(AT_ONCE)
        at_work: dict[str, asyncio.Task[None]] = {}
        try:
            async with asyncio.TaskGroup() as tasks:
                for file in source.files:
                    left = file.size
                    for item in self._items(file):
                        step = min(len(item.body), left)
                        left -= step
                        self._progress(step)
                        for line, reason in item.superseded:
                            self._supersede(f"{file.path}:{line}", reason)
                        if newest.get((item.component, item.uid), item.version) > item.version:
                            self._supersede(item.place(None), "There is a newer version of this object.")
                            continue
                        name = source.collection or _DEFAULTS.get(item.component, "calendar")
                        try:
                            place = await targets.find(file.kind, name)
                            if place.collection.source is not None:
                                raise BadRequest(f"{name} is a subscription: it takes no objects.")
                        except NOT_TAKEN as error:
                            self._refuse(item.place(None), error.message)
                            continue
                        await free.acquire()
                        task = tasks.create_task(self._item(place, item, source.keep_names, at_work.get(item.uid)))
                        task.add_done_callback(partial(_ended, free, at_work, item.uid))
                        at_work[item.uid] = task
                    self._progress(left)
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    def _items(self, file: SourceFile) -> Iterator[Item]:
        try:
            yield from read_items(
                file, lambda encoding: self._note(f"{file.path}: Read as {encoding}; it is no UTF-8.")
            )
        except OSError as error:
            self._refuse(str(file.path), error.strerror or "This cannot be read.")

    def _newest(self, files: Sequence[SourceFile]) -> dict[tuple[str, str], int]:
        """The greatest version of each component and UID, if a UID may occur more than once."""
        newest: dict[tuple[str, str], int] = {}
        if len(files) == 1 and files[0].kind == "calendar":
            return newest  # its components with one UID are one object
        for file in files:
            with contextlib.suppress(OSError):
                for component, uid, version in read_versions(file):
                    newest[component, uid] = max(newest.get((component, uid), version), version)
        return newest

    def _supersede(self, place: str, reason: str) -> None:
        self.result.superseded += 1
        self._note(f"Left out: {place}: {reason}")

    # -- objects ------------------------------------------------------------------------------------------------------

    async def _item(self, place: Place, item: Item, keep_name: bool, earlier: asyncio.Task[None] | None) -> None:
        """Put an object, or report why it is refused. It waits for an `earlier` one with its UID: the first one gets
        the UID."""
        if earlier is not None:
            await asyncio.wait((earlier,))
        try:
            await self._put(place, item, keep_name)
        except NOT_TAKEN as error:
            line = error.line if isinstance(error, InvalidData) else None
            self._refuse(item.place(line), item.lines.message(error.message))

    async def _put(self, place: Place, item: Item, keep_name: bool) -> None:
        """Put an object unless it is stored already. Raises the errors of `Objects.read` and `Objects.store`."""
        etag = etag_of(item.body)
        known = place.by_uid.get(item.uid)
        content = None
        if known is None or known.etag != etag:
            content = await self._objects.read(place.found, item.body)
            etag = content.etag
            known = place.by_uid.get(content.uid)
        if content is None or (known is not None and known.etag == etag):
            assert known is not None
            known.taken = item.component
            self.result.unchanged += 1
            return
        if known is None:
            await self._create(place, item, content, keep_name)
            return
        if known.taken == content.component:
            self._supersede(item.place(None), f"{known.name} has this UID and is at least as new.")
            return
        if known.taken:
            raise UidConflict(known.name, f"This import has already stored {known.name} with this UID.")
        known.taken = content.component
        await self._replace(place, item, content, known)

    async def _create(self, place: Place, item: Item, content: ObjectContent, keep_name: bool) -> None:
        name = _free_name(place, item, content, keep_name, self._limits)
        known = place.by_uid[content.uid] = Known(name, content.etag, content.component)
        place.names.add(name)
        try:
            await self._store(place.found.new_member(name), content)
        except (WriteConflict, UidConflict):  # another client has put the object, or one with this name
            await self._replace(place, item, content, known)
        except KoyomiError:
            del place.by_uid[content.uid]
            raise
        else:
            self.result.created += 1

    async def _replace(self, place: Place, item: Item, content: ObjectContent, known: Known) -> None:
        async def store(found: Found) -> None:
            existing = found.object
            if existing is not None and (existing.etag == content.etag or (not item.whole and _same(item, existing))):
                self.result.unchanged += 1
                return
            try:
                await self._store(found, content)
            except UidConflict:  # another client has put the object
                raise WriteConflict from None
            known.name, known.etag = found.name, content.etag
            if existing is None:
                self.result.created += 1
            else:
                self.result.changed += 1

        try:
            await change(partial(self._place_of, place, content, known), store)
        except TooManyConflicts:
            message = "Other clients keep changing this object; import it again."
            raise UidConflict(known.name, message) from None

    async def _store(self, found: Found, content: ObjectContent) -> None:
        """Put a content. A meeting is sent if that is asked for, unless the home has another scheduling object of its
        UID."""
        if self._scheduling is not None and content.scheduling.organizer is not None and found.collection is not None:
            holder = await self._storage.scheduling_object(found.collection, content.uid)
            if holder is None or (found.object is not None and holder.id == found.object.id):
                await self._scheduling.put(self._actor, found, content.text.encode(), Sent())
                return
        try:
            await self._write(found, content)
        except SchedulingObjectExists as taken:
            if taken.collection is not None and await self._takes_over(found, content, taken.collection):
                await self._make_plain(found, taken.collection, taken.name or "")
                with contextlib.suppress(SchedulingObjectExists):
                    await self._write(found, content)
                    return
            await self._objects.store(self._actor, found, content, plain_if_taken=True)

    async def _write(self, found: Found, content: ObjectContent) -> None:
        """Put a content. Nothing is sent; a meeting that invites groups follows their members from now on."""
        remembered: tuple[Remember, ...] = ()
        collection = collection_of(found)
        if found.owner is not None and collection.home_id == home_of(found).id and await self._are_there_groups():
            remembered = await remembered_groups(self._storage, found.owner, collection.home_id, content)
        if not remembered:
            await self._objects.store(self._actor, found, content)
            return
        demand_writable(found)
        put = await self._objects.put_of(collection, found.name, content, found.object)
        limits = self._objects.write_limits
        async with self._objects.naming_holder(collection, content.uid):
            try:
                await self._storage.apply(ChangeSet((put,), limits, self._actor.cause, remembered=remembered))
            except NotFound:
                raise WriteConflict from None

    async def _are_there_groups(self) -> bool:
        if self._has_groups is None:
            self._has_groups = bool(await self._directory.principals(["group"], limit=1))
        return self._has_groups

    async def _takes_over(self, found: Found, content: ObjectContent, holder: str) -> bool:
        """Whether a meeting becomes the scheduling object of its UID in place of one in the calendar `holder`: of
        several the one in the default calendar is, else the newest."""
        home = home_of(found)
        shown = await self._storage.collections(home, home.principal_id)
        inbox = next((each for each in shown if each.kind == "inbox"), None)
        component: Scheduled = "VTODO" if content.component == "VTODO" else "VEVENT"
        default = None if inbox is None else default_calendar(inbox, shown, component)
        return default is None or default.name != holder

    async def _make_plain(self, found: Found, collection: str, name: str) -> None:
        """Let another scheduling object of the home be a plain object. Raises `WriteConflict` if it has changed."""
        assert found.target is not None
        target = replace(found.target, collection=collection, object=name)
        other = await self._lookup.find(self._actor, target, Privilege.WRITE_CONTENT, text=True)
        if other.object is None:
            raise WriteConflict
        await self._objects.make_plain(self._actor, other)

    async def _place_of(self, place: Place, content: ObjectContent, known: Known) -> Found:
        """The member that has the UID, or a free name."""
        holder = await self._storage.uid_holder(place.collection, content.uid)
        if holder is not None:
            return await self._member(place, holder)
        found = await self._member(place, known.name)
        return found if found.object is None else found.new_member(name_of(content.etag, content.component))

    async def _member(self, place: Place, name: str) -> Found:
        actor = replace(self._actor, acting_for=place.owner.id)
        found = await self._lookup.find(actor, place.found.new_member(name).target, Privilege.BIND, text=True)
        if found.collection is not None:
            # as it is now: it may have been shared since
            place.found = found.holder()
        return place.found.new_member(name) if found.collection is None else found


def _ended(free: asyncio.Semaphore, at_work: dict[str, asyncio.Task[None]], uid: str, task: asyncio.Task[None]) -> None:
    free.release()
    if at_work.get(uid) is task:
        del at_work[uid]


def _free_name(place: Place, item: Item, content: ObjectContent, keep_name: bool, limits: Limits) -> str:
    """A free name: that of the file if it is to be kept, otherwise one made from the UID."""
    names = [name_of(content.uid, content.component), name_of(content.etag, content.component)]
    file = item.file.name
    if keep_name and item.alone and can_be_name(file, limits):
        names.insert(0, file)
    return next((name for name in names if name not in place.names), names[-1])


def _same(item: Item, existing: Object) -> bool:
    """Whether an object from a file with several objects equals the stored one, except the parts that such files
    lose."""
    stored, taken = existing.text or "", decoded(item.body)
    if item.component == "VCARD":
        return concatenate([stored]) == concatenate([taken])
    return same_components(stored, taken)
