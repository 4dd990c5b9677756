"""The one write path: every change of a calendar object or an address object goes through these methods.

A write is based on the state that its caller has read. If another write has changed it since, storage raises
`WriteConflict`, and the caller reads, decides and writes again. Texts are parsed and validated, and occurrences
computed, before the transaction begins, so that it is short.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import replace
from datetime import UTC, datetime
from secrets import token_hex
from types import MappingProxyType

from server.calendar import attendance, roles
from server.calendar.calendar_object import CalendarObject, read_calendar_object, time_key
from server.calendar.materialise import is_single, materialise
from server.contacts.vcard import AddressObject, read_address_object
from server.domain.actors import Actor
from server.domain.changes import (
    Cause,
    ChangeSet,
    Delete,
    ObjectState,
    PropertyChanges,
    SetPersonal,
    SetProperties,
    StoredContent,
    Unchanged,
    UnchangedObject,
    Write,
    WriteLimits,
    Written,
)
from server.domain.changes import Put as PutWrite
from server.domain.contents import ObjectContent, ObjectView, Views
from server.domain.errors import (
    NotFound,
    PersonalOnly,
    SameResource,
    SchedulingObjectExists,
    UidConflict,
    UnsupportedComponent,
    WriteConflict,
)
from server.domain.limits import Limits
from server.domain.objects import Collection, Object
from server.domain.privileges import Privilege
from server.domain.scheduling import NO_SCHEDULING, SCHEDULING_OBJECTS, Scheduling, SchedulingRole
from server.domain.values import value
from server.itip.scheduling_object import SchedulingObject, read_object
from server.process.computing import computed
from server.services import views
from server.services.derived_texts import DerivedTexts
from server.services.etags import etag_of
from server.services.lookup import Found
from server.services.permissions import collection_of, demand_receivable, demand_writable, member_of
from server.storage import Storage
from server.storage.reads import SharedObject

NO_PROPERTIES: Mapping[str, str] = MappingProxyType({})
LARGE = 16 * 1024
"""Bytes from which a text is parsed off the event loop."""


@value
class Put:
    """The result of putting a member."""

    created: bool
    etag: str
    """Without quotes."""
    as_sent: bool
    """Whether what is stored is what was sent, byte by byte; only then may the answer carry the ETag (RFC 4791
    §5.3.4)."""
    written: Written
    schedule_tag: str | None = None
    """Without quotes; None of what is no scheduling object (RFC 6638 §3.2.10)."""


def state_of(member: Object | None) -> ObjectState | None:
    """The state of a member, for a write that is based on it."""
    return None if member is None else ObjectState(member.id, member.revision)


UNCOUNTED = 2
"""Collections of a calendar home that do not count against the limit: outbox and notifications, which nobody made."""


def write_limits(limits: Limits) -> WriteLimits:
    """The limits that each transaction enforces."""
    return WriteLimits(
        limits.quota_bytes,
        limits.max_members,
        limits.max_collections + UNCOUNTED,
        limits.max_personal_properties_size,
    )


class Objects:
    """Changes of members of calendars and address books.

    Each raises `WriteConflict` if the member, or one of the states in `unchanged`, has changed.
    """

    def __init__(
        self, storage: Storage, limits: Limits, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._storage = storage
        self._limits = limits
        self.write_limits = write_limits(limits)
        self._now = now
        self._derived: DerivedTexts | None = None

    def for_one_set(self) -> Objects:
        """The same for the members of one change set: a text that several of them get is parsed and derived once."""
        made = copy(self)
        made._derived = DerivedTexts(self._now())
        return made

    def scheduling_object(self, text: str) -> SchedulingObject:
        """The editable form of a stored text. Raises `InvalidCalendarData`."""
        return read_object(text) if self._derived is None else self._derived.scheduling_object(text)

    async def put(
        self,
        actor: Actor,
        found: Found,
        body: bytes,
        *,
        properties: Mapping[str, str] = NO_PROPERTIES,
        plain_if_taken: bool = False,
        unchanged: Sequence[Unchanged] = (),
    ) -> Put:
        """Create a member with the name that was found, or replace the member.

        The personal parts of a text that a sharee puts are stored in their personal copy, the rest for everybody. Dead
        `properties` are set in the same transaction. With `plain_if_taken`, a scheduling object becomes a plain object
        if the home has another scheduling object with its UID.

        Raises the errors of `read`, `UidConflict` with the name of the member that has the UID,
        `SchedulingObjectExists`, `QuotaExceeded`, `TooManyMembers`, `WriteConflict`, `AccessDenied`, and `PersonalOnly`
        if the actor may change personal parts only and the text changes other parts.
        """
        demand_writable(found)
        content = await self.read(found, body)
        result = await self.store(
            actor, found, content, properties=properties, plain_if_taken=plain_if_taken, unchanged=unchanged
        )
        if not body.isascii() and content.text.encode() != body:  # a line was folded inside a character
            result = replace(result, as_sent=False)
        return result

    async def store(
        self,
        actor: Actor,
        found: Found,
        content: ObjectContent,
        *,
        properties: Mapping[str, str] = NO_PROPERTIES,
        plain_if_taken: bool = False,
        unchanged: Sequence[Unchanged] = (),
    ) -> Put:
        """As `put`, with a content that `read` has returned."""
        personal_only = demand_writable(found)
        collection, name, existing, cause = collection_of(found), found.name, found.object, actor.cause
        if existing is not None and existing.uid != content.uid:
            raise UidConflict(existing.name, "Another UID may not replace the one of the resource.")
        if collection.views:
            return await self._store_shared(
                collection, name, content, existing, cause, personal_only, unchanged, properties, plain_if_taken
            )
        if personal_only:
            raise PersonalOnly
        written = await self._write(
            collection, name, content, existing, cause, unchanged, None, properties, plain_if_taken
        )
        return Put(existing is None, content.etag, True, written)

    async def make_plain(self, actor: Actor, found: Found) -> None:
        """Let a scheduling object, found with its text, be a plain object beside the one that takes its place."""
        demand_writable(found)
        collection, member = collection_of(found), member_of(found)
        content = _as_plain(await self.read(found, (member.text or "").encode()))
        await self._apply((await self.put_of(collection, member.name, content, member),), actor.cause, ())

    async def _store_shared(
        self,
        collection: Collection,
        name: str,
        content: ObjectContent,
        existing: Object | None,
        cause: Cause,
        personal_only: bool,
        unchanged: Sequence[Unchanged],
        properties: Mapping[str, str],
        plain_if_taken: bool,
    ) -> Put:
        """As `store`, in a calendar whose objects have views."""
        stored = await self._stored(collection, existing)
        personal, based_on = ({}, (0, 0)) if stored is None else (stored.personal, stored.state)
        owner = await self._owner(collection, stored)
        if collection.view is None:
            rendered = await computed(views.views_of, content.text, personal, based_on, None, owner)
            written = await self._write(
                collection, name, content, existing, cause, unchanged, rendered, properties, plain_if_taken
            )
            return Put(existing is None, content.etag, True, written)
        decision = await computed(views.decide, collection.view, content.text, stored, owner)
        view = decision.view
        as_sent = view.text == content.text
        if decision.owner_text is None:
            assert existing is not None
            state = ObjectState(existing.id, existing.revision)
            write = SetPersonal(collection, name, state, view, existing.view_revision)
            written = await self._apply((write,), cause, unchanged)
            return Put(False, view.etag, as_sent, written, existing.schedule_tag)
        if personal_only:
            raise PersonalOnly
        if decision.owner_text != content.text:
            content = await self.content(collection, decision.owner_text.encode(), existing)
        rendered = await computed(views.views_of, content.text, personal, based_on, view, owner)
        written = await self._write(
            collection, name, content, existing, cause, unchanged, rendered, properties, plain_if_taken
        )
        return Put(existing is None, view.etag, as_sent, written)

    async def decision(self, found: Found, content: ObjectContent) -> views.Decision:
        """What follows from a content that is put in a sharee's view.

        Raises `ResourceTooLarge` for personal parts that are too large, and `WriteConflict`.
        """
        collection = collection_of(found)
        assert collection.view is not None
        stored = await self._stored(collection, found.object)
        owner = await self._owner(collection, stored)
        return await computed(views.decide, collection.view, content.text, stored, owner)

    async def _owner(self, collection: Collection, stored: SharedObject | None) -> frozenset[str]:
        """The addresses of a calendar's owner."""
        return stored.owner if stored is not None else await self._storage.owner_addresses(collection.home_id)

    async def _stored(self, collection: Collection, existing: Object | None) -> SharedObject | None:
        """The stored texts of an object in a calendar whose objects have views."""
        if existing is None:
            return None
        stored = await self._storage.shared_object(collection, existing.id)
        if stored is None or stored.revision != existing.revision:
            raise WriteConflict
        return stored

    async def put_of(
        self,
        collection: Collection,
        name: str,
        content: ObjectContent,
        existing: Object | None,
        properties: Mapping[str, str] = NO_PROPERTIES,
        *,
        like: Object | None = None,
        view: ObjectView | None = None,
    ) -> PutWrite:
        """The write that puts a content in the view of the calendar's owner, with the views of others rendered.

        :param like: a member of the collection whose personal parts of others a new member takes over.
        :param view: what somebody else sees of it: their personal parts are those of this view.
        :raises WriteConflict: if one of the members has changed since it was read.
        """
        rendered = None
        if collection.views:
            stored = await self._stored(collection, existing or like)
            personal = {} if stored is None else stored.personal
            if view is not None:
                personal = {**personal, view.principal_id: view.personal}
            based_on = (0, 0) if stored is None or existing is None else stored.state
            owner = await self._owner(collection, stored)
            rendered = await computed(views.views_of, content.text, personal, based_on, None, owner)
        return PutWrite(collection, name, content, state_of(existing), rendered, properties)

    async def _write(
        self,
        collection: Collection,
        name: str,
        content: ObjectContent,
        existing: Object | None,
        cause: Cause,
        unchanged: Sequence[Unchanged],
        rendered: Views | None,
        properties: Mapping[str, str],
        plain_if_taken: bool,
    ) -> Written:
        write = PutWrite(collection, name, content, state_of(existing), rendered, properties)
        try:
            async with self.naming_holder(collection, content.uid):
                return await self._apply((write,), cause, unchanged)
        except SchedulingObjectExists:
            if not plain_if_taken and not await self._is_plain_meeting(collection, existing):
                raise
        return await self._apply((replace(write, content=_as_plain(content)),), cause, unchanged)

    @asynccontextmanager
    async def naming_holder(self, collection: Collection, uid: str) -> AsyncIterator[None]:
        """Add to `UidConflict` and `SchedulingObjectExists` which member has the UID.

        Raises `WriteConflict` instead if that scheduling object is gone meanwhile.
        """
        try:
            yield
        except UidConflict:
            raise UidConflict(await self._storage.uid_holder(collection, uid)) from None
        except SchedulingObjectExists:
            holder = await self._storage.scheduling_object(collection, uid)
            if holder is None:
                raise WriteConflict from None
            if holder.collection_id == collection.id:
                raise UidConflict(holder.name) from None
            raise SchedulingObjectExists(holder.collection, holder.name) from None

    async def _is_plain_meeting(self, collection: Collection, existing: Object | None) -> bool:
        """Whether a member is a plain object beside the scheduling object of its UID, and so may stay one."""
        if existing is None:
            return False
        rows = await self._storage.members_by_id(collection, [existing.id], ("scheduling", "organizer"))
        return any(role == SchedulingRole.NONE and organizer is not None for role, organizer in rows)

    async def _apply(
        self, writes: tuple[Write, ...], cause: Cause, unchanged: Sequence[Unchanged | UnchangedObject]
    ) -> Written:
        """Apply a change set; returns the result of its first write.

        Raises `WriteConflict` if a collection was deleted since the lookup: the next lookup finds out.
        """
        try:
            written = await self._storage.apply(ChangeSet(writes, self.write_limits, cause, tuple(unchanged)))
        except NotFound:
            raise WriteConflict from None
        return written[0]

    async def read(self, found: Found, body: bytes) -> ObjectContent:
        """Parse and validate a text that replaces the found member, or that becomes a new one.

        Occurrences are computed, unless the time key says that those of the found member stay. Large texts are parsed
        in a thread. The occurrences of an object that recurs, or that defines its zones, are computed in a thread, too.

        Raises `InvalidData` and its subclasses.
        """
        return await self.content(collection_of(found), body, found.object)

    async def content(
        self, collection: Collection, body: bytes, existing: Object | None, owner: frozenset[str] | None = None
    ) -> ObjectContent:
        """As `read`, for a member of a collection that no lookup has found: that of a recipient of a message.

        `owner` are the addresses of the calendar's owner; None: they are read if the text needs them.
        """
        large = len(body) >= LARGE
        if collection.kind == "addressbook":
            return await computed(self._card, body) if large else self._card(body)
        is_message, derived = collection.kind == "inbox", self._derived
        found = None if derived is None else derived.read.get((is_message, body))
        if found is None:
            parse = self._calendar_object
            found = await computed(parse, body, is_message) if large else parse(body, is_message)
            if derived is not None:
                derived.read[is_message, body] = found
        if collection.components and found.component not in collection.components:
            raise UnsupportedComponent(f"This calendar takes {', '.join(collection.components)} only.")
        if owner is None:
            needed = found.scheduled or found.has_declined
            owner = await self._storage.owner_addresses(collection.home_id) if needed else frozenset()
        declined = attendance.declined(found.tree, owner) if found.has_declined else frozenset[int]()
        key = found.time_key
        if declined:
            key = time_key(found.text, found.tree, declined)
        stays = existing is not None and existing.time_key == key
        if derived is not None and (known := derived.content(found, key, stays=stays, is_message=is_message)):
            if is_message:
                return known
            scheduling = derived.scheduling(found, owner)
            return replace(known, scheduling=scheduling, schedule_tag=_schedule_tag(scheduling))
        now = None if stays else self._now() if derived is None else derived.now
        if not large and (now is None or is_single(found.tree)):
            content = _calendar_content(collection, found, key, now, declined, owner)
        else:
            content = await computed(_calendar_content, collection, found, key, now, declined, owner)
        if derived is not None:
            derived.keep(found, content, stays=stays, is_message=is_message)
        return content

    def _card(self, body: bytes) -> ObjectContent:
        return _card_content(read_address_object(body, self._limits))

    def _calendar_object(self, body: bytes, is_message: bool) -> CalendarObject:
        return read_calendar_object(body, self._limits, message=is_message)

    async def delete(self, actor: Actor, found: Found, *, unchanged: Sequence[Unchanged] = ()) -> int:
        """Delete a member; it can be restored for a while. Returns the revision. Raises `AccessDenied`."""
        found.require(Privilege.UNBIND)
        member = member_of(found)
        write = Delete(collection_of(found), member.name, ObjectState(member.id, member.revision))
        return (await self._apply((write,), actor.cause, unchanged)).revision

    async def transfer(
        self,
        actor: Actor,
        found: Found,
        target: Found,
        *,
        keep: bool,
        unchanged: Sequence[Unchanged] = (),
    ) -> Put:
        """Copy (`keep`) or move a member to a name that is free or whose member is replaced.

        Raises `SameResource`, `UnsupportedComponent`, `UidConflict` with the name of the member that has the UID,
        `SchedulingObjectExists` (a home has one scheduling object of a UID), `QuotaExceeded`, `TooManyMembers`,
        `WriteConflict`, `AccessDenied`.
        """
        demand_transferable(found, target, keep=keep)
        source, member = collection_of(found), member_of(found)
        destination, name, replaced, cause = collection_of(target), target.name, target.object, actor.cause
        state = ObjectState(member.id, member.revision)
        async with self.naming_holder(destination, member.uid):
            if await self._is_transferred_as_text(source, member, destination, keep=keep):
                return await self._transfer_text(found, target, cause, keep, unchanged)
            stored = StoredContent(source, member.name, state)
            put = PutWrite(destination, name, stored, state_of(replaced), keep_id=not keep)
            deletion = () if keep else (Delete(source, member.name, state),)
            written = await self._apply((put, *deletion), cause, unchanged)
        return Put(replaced is None, member.etag, True, written)

    async def _is_transferred_as_text(
        self, source: Collection, member: Object, destination: Collection, *, keep: bool
    ) -> bool:
        """Whether a copy or move puts the text: between calendars of which one has views, and of a meeting that goes to
        another person, who may organize or attend it."""
        if source.home_id == destination.home_id or source.kind != "calendar":
            return (source.views or destination.views) and (keep or source.id != destination.id)
        if source.views or destination.views or member.role is not SchedulingRole.NONE:
            return True
        rows = await self._storage.members_by_id(source, [member.id], ("organizer",))
        return any(row[0] is not None for row in rows)

    async def _transfer_text(
        self, found: Found, target: Found, cause: Cause, keep: bool, unchanged: Sequence[Unchanged]
    ) -> Put:
        """As `transfer`: puts the text in the actor's view as a new resource."""
        source, member = collection_of(found), member_of(found)
        put, as_seen = await self.put_of_text(found, target)
        state = ObjectState(member.id, member.revision)
        if keep:
            read = UnchangedObject(source.home_id, state)
            written = await self._apply((put,), cause, (*unchanged, read))
        else:
            written = await self._apply((put, Delete(source, member.name, state)), cause, unchanged)
        return replace(as_seen, written=written)

    async def put_of_text(self, found: Found, target: Found) -> tuple[PutWrite, Put]:
        """The write that puts the found member's text, in the actor's view, as a new resource at a target; and its
        result, when it has been applied."""
        member = member_of(found)
        destination, name, replaced = collection_of(target), target.name, target.object
        text = seen = await text_of(self._storage, found)
        rendered = None
        if destination.views:
            stored = await self._stored(destination, replaced)
            personal, based_on = ({}, (0, 0)) if stored is None else (stored.personal, stored.state)
            owner = await self._owner(destination, stored)
            view = None
            if destination.view is not None:
                decision = await computed(views.decide, destination.view, text, None, owner)
                view, text = decision.view, decision.owner_text or text
            rendered = await computed(views.views_of, text, personal, based_on, view, owner)
        content = await self.content(destination, text.encode(), None)
        put = PutWrite(destination, name, content, state_of(replaced), rendered, member.properties)
        result = Put(replaced is None, etag_of(seen.encode()), True, Written(0, 0, None), content.schedule_tag)
        return put, result

    async def set_properties(
        self,
        actor: Actor,
        found: Found,
        changes: PropertyChanges,
        *,
        unchanged: Sequence[Unchanged] = (),
    ) -> int:
        """Set dead properties of a member. Returns the revision. Raises `AccessDenied`, `QuotaExceeded`."""
        found.require(Privilege.WRITE_PROPERTIES)
        member = member_of(found)
        state = ObjectState(member.id, member.revision)
        write = SetProperties(collection_of(found), member.name, state, changes)
        return (await self._apply((write,), actor.cause, unchanged)).revision


async def text_of(storage: Storage, found: Found) -> str:
    """The stored text of the found member, in the view of its collection. Raises `WriteConflict` if it is gone."""
    rows = await storage.members_by_id(collection_of(found), [member_of(found).id], ("text",))
    if not rows:
        raise WriteConflict
    return str(rows[0][0])


def demand_transferable(found: Found, target: Found, *, keep: bool) -> None:
    """Raises `AccessDenied`, `SameResource`, `UnsupportedComponent` or `UidConflict` if the found member may not be
    copied (`keep`) or moved to the target."""
    found.require(Privilege.READ if keep else Privilege.UNBIND)
    demand_receivable(target, keep=keep)
    source, member, destination, replaced = collection_of(found), member_of(found), collection_of(target), target.object
    if (source.id, member.name) == (destination.id, target.name):
        raise SameResource
    if destination.components and member.component not in destination.components:
        raise UnsupportedComponent(f"The calendar takes {', '.join(destination.components)} only.")
    if replaced is not None and replaced.uid != member.uid:
        raise UidConflict(replaced.name, "Another UID may not replace the one of the resource.")


def new_schedule_tag() -> str:
    """A Schedule-Tag that no object has had (RFC 6638 §3.2.10): hexadecimal digits."""
    return token_hex(8)


def _as_plain(content: ObjectContent) -> ObjectContent:
    """A content that is no scheduling object."""
    scheduling = replace(content.scheduling, role=SchedulingRole.NONE)
    return replace(content, scheduling=scheduling, schedule_tag=None)


def _card_content(card: AddressObject) -> ObjectContent:
    body = card.text.encode()
    return ObjectContent(
        uid=card.uid,
        component="VCARD",
        etag=etag_of(body),
        text=card.text,
        size=len(body),
        time_key="",
        summary=card.summary(),
    )


def _calendar_content(
    collection: Collection,
    found: CalendarObject,
    key: str,
    now: datetime | None,
    declined: frozenset[int],
    owner: frozenset[str],
) -> ObjectContent:
    """`now` is None if the stored occurrences stay."""
    body = found.text.encode()
    if collection.kind == "inbox":
        scheduling = roles.message(found.tree)
    else:
        scheduling = roles.scheduling(found.tree, owner) if found.scheduled else NO_SCHEDULING
    return ObjectContent(
        uid=found.uid,
        component=found.component,
        etag=etag_of(body),
        text=found.text,
        size=len(body),
        time_key=key,
        summary=found.summary(),
        materialised=None if now is None else materialise(found.tree, now, declined),
        scheduling=scheduling,
        schedule_tag=_schedule_tag(scheduling),
    )


def _schedule_tag(scheduling: Scheduling) -> str | None:
    """A new Schedule-Tag for an object with one."""
    return new_schedule_tag() if scheduling.role in SCHEDULING_OBJECTS else None
