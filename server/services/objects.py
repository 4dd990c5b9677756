"""The one write path: every change of a calendar object or an address object goes through these methods.

A write is based on the state that its caller has read. If another write has changed it since, storage raises
`WriteConflict`, and the caller reads, decides and writes again. Texts are parsed and validated, and occurrences
computed, before the transaction begins, so that it is short.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType

from server.domain.actors import Actor
from server.domain.changes import (
    Cause,
    ChangeSet,
    Delete,
    ObjectState,
    PropertyChanges,
    SetPersonal,
    SetProperties,
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
    SchedulingObjectExists,
    UidConflict,
    WriteConflict,
)
from server.domain.limits import Limits
from server.domain.objects import Collection, Object
from server.domain.privileges import Privilege
from server.domain.scheduling import SchedulingRole
from server.domain.values import value
from server.process.computing import computed
from server.services import views
from server.services.contents import Contents
from server.services.lookup import Found
from server.services.permissions import collection_of, demand_writable, member_of
from server.storage import Storage
from server.storage.reads import SharedObject

NO_PROPERTIES: Mapping[str, str] = MappingProxyType({})


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


class Objects(Contents):
    """Changes of members of calendars and address books.

    Each raises `WriteConflict` if the member, or one of the states in `unchanged`, has changed.
    """

    def __init__(
        self, storage: Storage, limits: Limits, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        super().__init__(storage, limits, now)
        self.write_limits = write_limits(limits)

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
        # A line was folded inside a character, or a mark was kept that the actor may not change.
        if (content.size != len(body) or not body.isascii()) and content.text.encode() != body:
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
        await self.apply((await self.put_of(collection, member.name, content, member),), actor.cause, ())

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
        stored = await self.stored(collection, existing)
        personal, based_on = ({}, (0, 0)) if stored is None else (stored.personal, stored.state)
        owner = await self.owner_addresses(collection, stored)
        if collection.view is None:
            rendered = await computed(views.views_of, content.text, personal, based_on, None, owner)
            written = await self._write(
                collection, name, content, existing, cause, unchanged, rendered, properties, plain_if_taken
            )
            return Put(existing is None, content.etag, True, written)
        decision = await computed(views.decide, collection.view, content.text, stored, owner)
        view, sent = decision.view, content.text
        if decision.owner_text is None:
            assert existing is not None
            state = ObjectState(existing.id, existing.revision)
            write = SetPersonal(collection, name, state, view, existing.view_revision)
            written = await self.apply((write,), cause, unchanged)
            return Put(False, view.etag, view.text == sent, written, existing.schedule_tag)
        if personal_only:
            raise PersonalOnly
        if decision.owner_text != content.text:
            content = await self.content(collection, decision.owner_text.encode(), existing)
        rendered = await computed(views.views_of, content.text, personal, based_on, view, owner)
        written = await self._write(
            collection, name, content, existing, cause, unchanged, rendered, properties, plain_if_taken
        )
        # Of what they make private they see a part now.
        view = rendered.view_of(view.principal_id)
        return Put(existing is None, view.etag, view.text == sent, written)

    async def decision(self, found: Found, content: ObjectContent) -> views.Decision:
        """What follows from a content that is put in a sharee's view.

        Raises `ResourceTooLarge` for personal parts that are too large, and `WriteConflict`.
        """
        collection = collection_of(found)
        assert collection.view is not None
        stored = await self.stored(collection, found.object)
        owner = await self.owner_addresses(collection, stored)
        return await computed(views.decide, collection.view, content.text, stored, owner)

    async def owner_addresses(self, collection: Collection, stored: SharedObject | None) -> frozenset[str]:
        """The addresses of a calendar's owner."""
        return stored.owner if stored is not None else await self.storage.owner_addresses(collection.home_id)

    async def stored(self, collection: Collection, existing: Object | None) -> SharedObject | None:
        """The stored texts of an object in a calendar whose objects have views."""
        if existing is None:
            return None
        stored = await self.storage.shared_object(collection, existing.id)
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
        moved: SharedObject | None = None,
    ) -> PutWrite:
        """The write that puts a content in the view of the calendar's owner, with the views of others rendered.

        :param like: a member of the collection whose personal parts of others a new member takes over.
        :param moved: what lay in another calendar of the owner, whose personal parts of others the member takes over.
        :param view: what somebody else sees of it: their personal parts are those of this view.
        :raises WriteConflict: if one of the members has changed since it was read.
        """
        rendered = None
        if collection.views:
            stored = await self.stored(collection, existing or like)
            parts = moved or stored
            personal = {} if parts is None else parts.personal
            if view is not None:
                personal = {**personal, view.principal_id: view.personal}
            based_on = (0, 0) if stored is None or existing is None else stored.state
            owner = await self.owner_addresses(collection, stored)
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
                return await self.apply((write,), cause, unchanged)
        except SchedulingObjectExists:
            if not plain_if_taken and not await self._is_plain_meeting(collection, existing):
                raise
        return await self.apply((replace(write, content=_as_plain(content)),), cause, unchanged)

    @asynccontextmanager
    async def naming_holder(self, collection: Collection, uid: str) -> AsyncIterator[None]:
        """Add to `UidConflict` and `SchedulingObjectExists` which member has the UID.

        Raises `WriteConflict` instead if that scheduling object is gone meanwhile.
        """
        try:
            yield
        except UidConflict:
            raise UidConflict(await self.storage.uid_holder(collection, uid)) from None
        except SchedulingObjectExists:
            holder = await self.storage.scheduling_object(collection, uid)
            if holder is None:
                raise WriteConflict from None
            if holder.collection_id == collection.id:
                raise UidConflict(holder.name) from None
            raise SchedulingObjectExists(holder.collection, holder.name) from None

    async def _is_plain_meeting(self, collection: Collection, existing: Object | None) -> bool:
        """Whether a member is a plain object beside the scheduling object of its UID, and so may stay one."""
        if existing is None:
            return False
        rows = await self.storage.members_by_id(collection, [existing.id], ("scheduling", "organizer"))
        return any(role == SchedulingRole.NONE and organizer is not None for role, organizer in rows)

    async def apply(
        self, writes: tuple[Write, ...], cause: Cause, unchanged: Sequence[Unchanged | UnchangedObject]
    ) -> Written:
        """Apply a change set; returns the result of its first write.

        Raises `WriteConflict` if a collection was deleted since the lookup: the next lookup finds out.
        """
        try:
            written = await self.storage.apply(ChangeSet(writes, self.write_limits, cause, tuple(unchanged)))
        except NotFound:
            raise WriteConflict from None
        return written[0]

    async def delete(self, actor: Actor, found: Found, *, unchanged: Sequence[Unchanged] = ()) -> int:
        """Delete a member; it can be restored for a while. Returns the revision. Raises `AccessDenied`."""
        found.require(Privilege.UNBIND)
        member = member_of(found)
        write = Delete(collection_of(found), member.name, ObjectState(member.id, member.revision))
        return (await self.apply((write,), actor.cause, unchanged)).revision

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
        return (await self.apply((write,), actor.cause, unchanged)).revision


async def text_of(storage: Storage, found: Found) -> str:
    """The stored text of the found member, in the view of its collection. Raises `WriteConflict` if it is gone."""
    rows = await storage.members_by_id(collection_of(found), [member_of(found).id], ("text",))
    if not rows:
        raise WriteConflict
    return str(rows[0][0])


def _as_plain(content: ObjectContent) -> ObjectContent:
    """A content that is no scheduling object."""
    scheduling = replace(content.scheduling, role=SchedulingRole.NONE)
    return replace(content, scheduling=scheduling, schedule_tag=None)
