"""MOVE of scheduling objects (RFC 6638 §3.2.3.4): within the home of one owner, and to the home of another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from server.domain.actors import Actor
from server.domain.changes import ChangeSet, Delete, ObjectState, Unchanged, Write
from server.domain.contents import ObjectContent, ObjectView
from server.domain.errors import InvalidCalendarObject, NotFound, SchedulingObjectExists, WriteConflict
from server.domain.privileges import Privilege
from server.domain.scheduling import SCHEDULING_OBJECTS
from server.domain.values import value
from server.itip.scheduling_object import read_object
from server.services.lookup import Found, Lookup
from server.services.member_transfers import demand_transferable, put_of_text
from server.services.objects import Put, text_of
from server.services.permissions import collection_of, member_of
from server.services.scheduling.acting import acting_person
from server.services.scheduling.intent import Services
from server.services.scheduling.moving import HeldElsewhere, moving_writes
from server.services.scheduling.planned import demand_sending, owner_of
from server.services.scheduling.removals import Removal, removal_of
from server.services.scheduling.sent import Sent


class ChangeMember(Protocol):
    """Replaces a member by a content, or deletes it (None), and sends what follows."""

    async def __call__(
        self,
        actor: Actor,
        found: Found,
        content: ObjectContent | None,
        sent: Sent,
        unchanged: Sequence[Unchanged],
        *,
        also: tuple[Write, ...] = (),
        removal: Removal | None = None,
        arrived: datetime | None = None,
        view: ObjectView | None = None,
    ) -> Put:
        """`also` are other writes of the actor. `removal`: the meeting leaves another home. `arrived`: when an object
        was made that comes from another home. `view`: what a sharee who acts sees of it."""


def demand_no_item(found: Found, target: Found, *, keep: bool) -> None:
    """Raises `InvalidCalendarObject` for an item of an inbox that goes into a calendar: it has a METHOD (RFC 4791
    §4.1)."""
    if collection_of(found).kind == "inbox" and collection_of(target).kind == "calendar":
        demand_transferable(found, target, keep=keep)
        raise InvalidCalendarObject("A scheduling message is no calendar object: it has a METHOD.")


@value
class Move:
    """A MOVE of a member."""

    services: Services
    change: ChangeMember
    actor: Actor
    found: Found
    target: Found
    sent: Sent
    now: datetime
    unchanged: Sequence[Unchanged]

    async def apply(self) -> Put | None:
        """Move the member, and send what follows; None of what moves as any other member does.

        A move between calendars of one owner sends nothing. A move to another owner's calendar removes a scheduling
        object here, and makes one there.

        Raises `AccessDenied` if the actor may not send messages in the name of one of the owners, and
        `SchedulingObjectExists` where that owner has the meeting already.
        """
        source, destination = collection_of(self.found), collection_of(self.target)
        if source.kind != "calendar" or destination.kind != "calendar":
            return None
        demand_transferable(self.found, self.target, keep=False)
        if source.home_id != destination.home_id:
            return await self._to_another()
        if member_of(self.found).role in SCHEDULING_OBJECTS and source.view is None and destination.view is None:
            return await self._within()
        return None

    async def _within(self) -> Put:
        """Move between calendars of one owner: the Schedule-Tag changes (RFC 6638 §3.2.10)."""
        services, target = self.services, self.target
        destination = collection_of(target)
        text = await text_of(services.storage, self.found)
        content = await services.objects.content(destination, text.encode(), None)
        writes = await moving_writes(services.objects, target, self.found, content)
        changes = ChangeSet(writes, services.limits, self.actor.cause, tuple(self.unchanged))
        async with services.objects.naming_holder(destination, content.uid):
            try:
                written = await services.storage.apply(changes)
            except NotFound:
                raise WriteConflict from None
        return Put(target.object is None, content.etag, True, written[0], content.schedule_tag)

    async def _to_another(self) -> Put | None:
        """Move to another owner's calendar; None of what is a scheduling object neither here nor there."""
        found, target = self.found, self.target
        member, destination = member_of(found), collection_of(target)
        leaves = member.role in SCHEDULING_OBJECTS
        put, result = await put_of_text(self.services.objects, found, target)
        content = put.content
        assert isinstance(content, ObjectContent)
        arrives = content.scheduling.role in SCHEDULING_OBJECTS
        if not leaves and not arrives:
            return None
        view = None
        if leaves and collection_of(found).view is not None:
            found = await self._in_owners_home(found, Privilege.UNBIND)
        if leaves and not arrives:
            removed = await self.change(self.actor, found, None, self.sent, self.unchanged, also=(put,))
            return replace(result, written=removed.written)
        if destination.view is not None:
            assert put.views is not None
            view = put.views.view_of(destination.view)
            target = await self._in_owners_home(
                target, Privilege.BIND if target.object is None else Privilege.WRITE_CONTENT
            )
        removal = None
        if leaves:
            holder = await self.services.storage.scheduling_object(destination, content.uid)
            if holder is not None:
                raise SchedulingObjectExists(holder.collection, holder.name)
            removal = await self._removal(found)
        deletion = Delete(collection_of(found), member.name, ObjectState(member.id, member.revision))
        try:
            return await self.change(
                self.actor,
                target,
                content,
                self.sent,
                self.unchanged,
                also=(deletion,),
                removal=removal,
                arrived=member.created_at,
                view=view,
            )
        except HeldElsewhere as held:
            raise SchedulingObjectExists(held.collection.name, held.object.name) from None

    async def _in_owners_home(self, found: Found, need: Privilege) -> Found:
        """What was found in a shared calendar, for a sharee who acts for its owner."""
        owners = await Lookup(self.services.storage).in_owners_home(found)
        owners.require(need)
        return owners

    async def _removal(self, found: Found) -> Removal:
        """What the removal of a meeting sends that moves from one of its participants to another.

        The owner of the target, who has no object of the meeting yet, gets no message: it would have no effect.
        """
        services, actor = self.services, self.actor
        old = read_object(await text_of(services.storage, found))
        owner, acting = owner_of(found), acting_person(found)
        cause = actor.cause if acting is None else replace(actor, acting_for=owner.id).cause
        removal = await removal_of(
            services.storage,
            owner,
            acting or owner,
            collection_of(found).home_id,
            old,
            member_of(found).created_at,
            cause,
            self.now,
            services.mails,
            reply=self.sent.reply,
            without=owner_of(self.target).id,
        )
        await demand_sending(services.storage, actor, found, removal.messages)
        return removal
