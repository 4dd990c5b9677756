"""Implicit scheduling (RFC 6638 §3): what the changes of scheduling objects by their owners send to others.

Changes of calendar objects go through `Scheduling.put` and `Scheduling.delete`. Those of plain objects are writes as
any other. For a scheduling object the pure core plans the messages (`server.itip.planning`), and one change set writes
the object with its statuses, and all that the messages do in the homes of their recipients.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import partial

from prometheus_client import CollectorRegistry

from server.domain.actors import Actor
from server.domain.changes import ChangeSet, Unchanged, Write
from server.domain.contents import ObjectContent, ObjectView
from server.domain.errors import (
    NotFound,
    SchedulingObjectExists,
    UidConflict,
    WriteConflict,
)
from server.domain.limits import Limits
from server.domain.privileges import Privilege
from server.domain.scheduling import SCHEDULING_OBJECTS, SchedulingRole
from server.domain.values import value
from server.itip.acting import organized_by_owner
from server.itip.calendar_users import addresses
from server.itip.change import Change
from server.itip.participants import same_organizer
from server.itip.planning import plan_change, scheduling_role
from server.itip.scheduling_component import MASTER
from server.itip.scheduling_object import read_object
from server.observe.scheduling_counts import SchedulingCounts
from server.process.computing import computed
from server.services.contents import LARGE
from server.services.lookup import Found, Lookup
from server.services.mail.outgoing import OutgoingMails
from server.services.mail.restored import after_restore
from server.services.member_transfers import transfer
from server.services.objects import NO_PROPERTIES, Objects, Put, text_of, write_limits
from server.services.permissions import collection_of, demand_writable, member_of
from server.services.scheduling.acting import acting_addresses, acting_user, organizes_for_owner
from server.services.scheduling.calendar_users import address_of, directory_of
from server.services.scheduling.groups import with_groups
from server.services.scheduling.intent import Intent
from server.services.scheduling.long_series import split_jobs
from server.services.scheduling.moving import HeldElsewhere, source_of, was_moved
from server.services.scheduling.planned import owner_of
from server.services.scheduling.proposals import delete_proposal, propose
from server.services.scheduling.removals import Removal
from server.services.scheduling.restored import made_anew, restored_content
from server.services.scheduling.scheduled import is_scheduled, role_of
from server.services.scheduling.sending import Sending
from server.services.scheduling.sent import Sent
from server.services.scheduling.settings import SchedulingSettings
from server.services.scheduling.transfers import Move, demand_no_item
from server.services.scheduling.turns import Turns
from server.storage import Storage


@value
class Anew:
    """A meeting that was deleted, and that its organizer restores."""

    sequence_floor: int
    """The SEQUENCE that it had."""
    properties: Mapping[str, str]
    """Dead properties."""


class Scheduling:
    """Changes of calendar objects, with what they send."""

    def __init__(
        self,
        storage: Storage,
        objects: Objects,
        limits: Limits,
        settings: SchedulingSettings = SchedulingSettings(),  # noqa: B008 - a value
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        counts: SchedulingCounts | None = None,
        mails: OutgoingMails | None = None,
        turns: Turns | None = None,
    ) -> None:
        self.storage = storage
        self.objects = objects
        self.limits = write_limits(limits)
        self.max_attendees = limits.max_attendees
        self.settings = settings
        self.counts = counts or SchedulingCounts(CollectorRegistry())
        self.mails = mails or OutgoingMails()
        self.turns = turns or Turns(storage)
        self._now = now

    async def put(
        self, actor: Actor, found: Found, body: bytes, sent: Sent, *, unchanged: Sequence[Unchanged] = ()
    ) -> Put:
        """Create or replace a member as `Objects.put` does, and send what follows.

        Raises, too, the errors of `server.itip.planning.plan_change`, and `AccessDenied` if the actor may not send
        messages in the owner's name.
        """
        personal_only = demand_writable(found)
        content = await self.objects.read(found, body)
        if collection_of(found).view is not None:
            result = None if personal_only else await self._put_shared(actor, found, content, sent, unchanged)
        else:
            result = await self._put(actor, found, content, sent, unchanged)
        if result is None:
            result = await self.objects.store(actor, found, content, unchanged=unchanged)
        collection = collection_of(found)
        jobs = split_jobs(self.settings, collection.home_id, result.written.id, content, self._now())
        if jobs:
            await self.storage.apply(ChangeSet((), self.limits, actor.cause, jobs=jobs))
        if result.as_sent and (content.size != len(body) or not body.isascii()) and content.text.encode() != body:
            result = replace(result, as_sent=False)
        return result

    async def _put(
        self, actor: Actor, found: Found, content: ObjectContent, sent: Sent, unchanged: Sequence[Unchanged]
    ) -> Put | None:
        """Put a scheduling object in its owner's calendar. None, without a change, for any other object."""
        for_owner = await organizes_for_owner(self.storage, actor, found, content)
        if not for_owner and not await is_scheduled(self.storage, found, content):
            return None
        change = partial(self._change, actor, found, content, sent, unchanged, for_owner=for_owner)
        try:
            return await change()
        except HeldElsewhere as held:
            return await change(source=await source_of(self.storage, actor, found, held))

    async def _put_shared(
        self, actor: Actor, found: Found, content: ObjectContent, sent: Sent, unchanged: Sequence[Unchanged]
    ) -> Put | None:
        """Put a scheduling object of a calendar's owner in the view of a sharee, who acts for the owner.

        None, without a change, for any other object, and where personal parts alone change.
        """
        if content.scheduling.organizer is None and role_of(found) is SchedulingRole.NONE:
            return None
        owners = await Lookup(self.storage).in_owners_home(found)
        for_owner = await organizes_for_owner(self.storage, actor, owners, content)
        if not for_owner and not await is_scheduled(self.storage, owners, content):
            return None
        decision = await self.objects.decision(found, content)
        if decision.owner_text is None:
            return None
        owners.require(Privilege.BIND if owners.object is None else Privilege.WRITE_CONTENT)
        written = await self.objects.content(collection_of(owners), decision.owner_text.encode(), owners.object)
        try:
            result = await self._change(
                actor, owners, written, sent, unchanged, for_owner=for_owner, view=decision.view
            )
        except HeldElsewhere:
            raise SchedulingObjectExists from None
        return replace(result, as_sent=False)

    async def delete(self, actor: Actor, found: Found, sent: Sent, *, unchanged: Sequence[Unchanged] = ()) -> None:
        """Delete a member, and send what follows: CANCEL by the organizer, a decline by an attendee, DECLINECOUNTER for
        a proposal in the inbox."""
        found.require(Privilege.UNBIND)
        member = member_of(found)
        if member.role is SchedulingRole.INBOX and await delete_proposal(
            self, actor, found, unchanged=unchanged, now=self._now()
        ):
            return
        if member.role not in SCHEDULING_OBJECTS:
            await self.objects.delete(actor, found, unchanged=unchanged)
            return
        if collection_of(found).view is not None:
            found = await Lookup(self.storage).in_owners_home(found)
            found.require(Privilege.UNBIND)
        await self._change(actor, found, None, sent, unchanged)

    async def propose(
        self,
        actor: Actor,
        found: Found,
        start: datetime | date,
        end: datetime | date,
        instance: str = MASTER,
        comment: str = "",
    ) -> str:
        """Propose another time to the organizer, as `server.services.scheduling.proposals.propose` does."""
        return await propose(self, actor, found, start, end, instance, comment, now=self._now())

    async def transfer(
        self,
        actor: Actor,
        found: Found,
        target: Found,
        sent: Sent,
        *,
        keep: bool,
        unchanged: Sequence[Unchanged] = (),
    ) -> Put:
        """Copy (`keep`) or move a member as `server.services.member_transfers.transfer` does, and send what follows.

        Copies and moves between calendars of one owner send nothing (RFC 6638 §3.2.3.3, §3.2.3.4). A move to another
        owner's calendar removes a scheduling object here, and makes one there.

        Raises, too, `AccessDenied` if the actor may not send messages in the name of one of the owners,
        `SchedulingObjectExists` where that owner has the meeting already, and `InvalidCalendarObject` for an item of an
        inbox, which has a METHOD (RFC 4791 §4.1).
        """
        demand_no_item(found, target, keep=keep)
        moved = (
            None if keep else await Move(self, self._change, actor, found, target, sent, self._now(), unchanged).apply()
        )
        if moved is not None:
            return moved
        return await transfer(self.objects, actor, found, target, keep=keep, unchanged=unchanged)

    async def restore(self, actor: Actor, found: Found, text: str, properties: Mapping[str, str]) -> Put:
        """Put back a deleted text at the found name, which is free or is that of a plain object of the same text.

        A meeting of the organizer is sent to the attendees again, with a greater SEQUENCE. An attendee gets what the
        organizer's object says now, or the text where there is no such object here; nothing is sent. What has a
        scheduling object of its UID in the home becomes a plain object.

        Raises what `Objects.put` raises, and `SchedulingRefused`.
        """
        content = await self.objects.read(found, text.encode())
        role, collection = content.scheduling.role, collection_of(found)
        alone = role in SCHEDULING_OBJECTS and await self.storage.scheduling_object(collection, content.uid) is None
        if not alone or collection.view is not None:
            return await self.objects.store(actor, found, content, properties=properties, plain_if_taken=True)
        if role is SchedulingRole.ORGANIZER:
            anew = Anew(content.scheduling.sequence, properties)
            try:
                return await self._change(actor, found, content, Sent(), (), anew=anew)
            except HeldElsewhere:
                raise WriteConflict from None  # somebody else has made one meanwhile
        return await self._restore_copy(actor, found, content, properties)

    async def _restore_copy(
        self, actor: Actor, found: Found, content: ObjectContent, properties: Mapping[str, str]
    ) -> Put:
        """Put back an attendee's copy."""
        collection = collection_of(found)
        restored = await restored_content(self.storage, self.objects, owner_of(found), found, content, self._now())
        content = restored.content
        write = await self.objects.put_of(collection, found.name, content, found.object, properties)
        changes = ChangeSet((write,), self.limits, actor.cause, remembered=restored.remembered)
        async with self.objects.naming_holder(collection, content.uid):
            try:
                written = (await self.storage.apply(changes))[0]
            except NotFound:
                raise WriteConflict from None
        return Put(found.object is None, content.etag, False, written, content.schedule_tag)

    async def was_moved(self, found: Found) -> bool:
        """Whether what had the found name has moved a moment ago, so that its deletion there succeeds.

        Raises `AccessDenied`.
        """
        return await was_moved(self.storage, found)

    async def _change(
        self,
        actor: Actor,
        found: Found,
        content: ObjectContent | None,
        sent: Sent,
        unchanged: Sequence[Unchanged],
        source: Found | None = None,
        also: tuple[Write, ...] = (),
        anew: Anew | None = None,
        removal: Removal | None = None,
        *,
        arrived: datetime | None = None,
        for_owner: bool = False,
        view: ObjectView | None = None,
    ) -> Put:
        """Replace a scheduling object by a content, or delete it (None). It is moved from `source` before. `also` are
        other writes of the actor. `anew`: a deleted meeting is restored. `removal`: it leaves another home.
        `arrived`: when an object was made that comes from another home.
        `for_owner`: the owner organizes it in place of the actor, whom it names as its ORGANIZER. `view`: what a sharee
        who acts sees of it.

        Raises `HeldElsewhere` for a new scheduling object of a UID that the home has already.
        """
        before = found if source is None else source
        collection, existing = collection_of(before), before.object
        owner = owner_of(found)
        if existing is not None and content is not None and existing.uid != content.uid:
            raise UidConflict(existing.name, "Another UID may not replace the one of the resource.")
        is_new = existing is None or existing.role is SchedulingRole.NONE or anew is not None
        old = None if is_new else read_object(await text_of(self.storage, before))
        new = None if content is None else read_object(content.text)
        named = {address_of(owner), *acting_addresses(found)}
        directory = await directory_of(self.storage, addresses(old, new) | named)
        user, acting = directory.user(address_of(owner)), acting_user(found, directory)
        if old is not None and existing is not None:
            made = self.storage, self.mails, collection.home_id, user, existing.created_at
            old = await after_restore(*made, old, directory)
        organizes = for_owner or (
            old is not None and existing is not None and existing.role is SchedulingRole.ORGANIZER
        )
        if new is not None and acting is not None and organizes:
            new = organized_by_owner(new, user, acting, directory)
        if source is not None and (old is None or new is None or not same_organizer(old, new, directory)):
            raise SchedulingObjectExists(collection.name, member_of(source).name)
        if new is not None and scheduling_role(old, user, directory) is SchedulingRole.NONE:
            old = None  # a plain object that becomes a meeting is a new one to everybody
        if new is not None and old is None:
            new = await made_anew(self.storage, owner, new, user, directory)
        sequence_floor = -1 if anew is None else anew.sequence_floor
        if new is not None and old is None and (anew is not None or arrived is not None):
            known = await after_restore(self.storage, self.mails, collection.home_id, user, arrived, new, directory)
            sequence_floor = sequence_floor if known is new else known.sequence
        now = self._now()
        change = Change(
            old,
            new,
            user,
            directory,
            now,
            tag_matches=sent.tag_matches,
            etag_matches=sent.etag_matches,
            reply=sent.reply,
            sequence_floor=sequence_floor,
            acting=acting,
            rooms_in_location=self.settings.rooms_in_location,
        )
        large = max(len(each.text) for each in (old, new) if each is not None) >= LARGE
        change = await with_groups(self.storage, change, collection.home_id, self.max_attendees, large=large)
        plan = await computed(plan_change, change) if large else plan_change(change)
        properties = NO_PROPERTIES if anew is None else anew.properties
        if for_owner and new is not None:
            content = await self.objects.content(collection_of(found), new.text.encode(), found.object)
        if acting is not None and (plan.messages or for_owner):
            actor = replace(actor, acting_for=owner.id)
        intent = Intent(
            actor,
            found,
            content,
            change,
            plan,
            tuple(unchanged),
            source,
            also,
            removal,
            properties=properties,
            view=view,
        )
        result = await Sending(self, intent).apply()
        return replace(result, as_sent=False) if for_owner else result
