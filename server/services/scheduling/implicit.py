"""Implicit scheduling (RFC 6638 §3): what the changes of scheduling objects by their owners send to others.

Changes of calendar objects go through `Scheduling.put` and `Scheduling.delete`. Those of plain objects are writes as
any other. For a scheduling object the pure core plans the messages (`server.itip.planning`), and one change set writes
the object with its statuses, and all that the messages do in the homes of their recipients.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from server.auth import policy
from server.domain.actors import Actor
from server.domain.changes import ChangeSet, Delete, ObjectState, Remember, Unchanged, Write, Written
from server.domain.contents import ObjectContent
from server.domain.errors import (
    AccessDenied,
    NotFound,
    QuotaExceeded,
    SchedulingObjectExists,
    SchedulingRefused,
    TooManyMembers,
    UidConflict,
    WriteConflict,
)
from server.domain.limits import Limits
from server.domain.objects import Collection, Target
from server.domain.principals import Principal
from server.domain.privileges import Privilege
from server.domain.scheduling import SCHEDULING_OBJECTS, SchedulingRole
from server.domain.values import value
from server.itip.answers import refreshes
from server.itip.calendar_users import Directory, addresses
from server.itip.change import Change, utc_stamp
from server.itip.messages import FROM_ATTENDEES, Message, Plan, Reset
from server.itip.participants import same_organizer
from server.itip.planning import plan_change, scheduling_role
from server.itip.reception import Rows, after_change, memory_of, resets_of, with_resets
from server.itip.scheduling_object import read_object
from server.process.computing import computed
from server.services.lookup import Found, Lookup
from server.services.objects import LARGE, Objects, Put, demand_transferable, write_limits
from server.services.permissions import collection_of, demand_writable, member_of
from server.services.scheduling import memory
from server.services.scheduling.calendar_users import directory_of
from server.services.scheduling.delivery import (
    NO_CALENDAR_USER,
    NOT_DELIVERED,
    Delivered,
    Letter,
    by_recipient,
    deliver,
    not_delivered,
)
from server.services.scheduling.moving import HeldElsewhere, demand_not_held, moving_writes, source_of, was_moved
from server.storage import Storage
from server.storage.scheduling import Mailbox

MAX_REFRESHED = 200
"""Recipients up to which an answer refreshes the copies of the others at once."""


@value
class Sent:
    """How a request for a change was made."""

    tag_matches: bool = False
    """It had If-Schedule-Tag-Match, which held."""
    etag_matches: bool = False
    """It had If-Match, which held."""
    reply: bool = True
    """False: it had `Schedule-Reply: F` (RFC 6638 §8.1)."""


@value
class _Set:
    """Writes of a change set so far, with the key of the recipient that each concerns; None: the owner's own."""

    writes: tuple[tuple[str | None, Write], ...] = ()
    remembered: tuple[Remember, ...] = ()

    def with_delivery(self, key: str, delivered: Delivered) -> _Set:
        """The set with the writes of a delivery."""
        remembered = () if delivered.remembered is None else (delivered.remembered,)
        writes = tuple((key, write) for write in delivered.writes)
        return _Set((*self.writes, *writes), (*self.remembered, *remembered))


class Scheduling:
    """Changes of calendar objects, with what they send."""

    def __init__(
        self,
        storage: Storage,
        objects: Objects,
        limits: Limits,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.storage = storage
        self.objects = objects
        self.limits = write_limits(limits)
        self._now = now

    async def put(
        self, actor: Actor, found: Found, body: bytes, sent: Sent, *, unchanged: Sequence[Unchanged] = ()
    ) -> Put:
        """Create or replace a member as `Objects.put` does, and send what follows.

        Raises, too, the errors of `server.itip.planning.plan_change`, and `AccessDenied` if the actor may not send
        messages in the owner's name.
        """
        demand_writable(found)
        collection = collection_of(found)
        content = await self.objects.read(found, body)
        scheduled = _concerns_scheduling(found, collection, content) and not await self._is_copy(found, content.uid)
        if scheduled and collection.view is None:
            try:
                result = await self._change(actor, found, content, sent, unchanged)
            except HeldElsewhere as held:
                source = await source_of(self.storage, actor, found, held)
                result = await self._change(actor, found, content, sent, unchanged, source)
        else:
            # Messages are sent in the name of the calendar's owner: of the owner's meetings a sharee changes personal
            # parts only. Meetings of others are plain objects there.
            own = scheduled and {content.scheduling.role, _role(found)} != {SchedulingRole.NONE}
            store = self.objects.store
            result = await store(actor, found, content, personal_only=own, unchanged=unchanged)
        if result.as_sent and not body.isascii() and content.text.encode() != body:
            result = replace(result, as_sent=False)
        return result

    async def delete(self, actor: Actor, found: Found, sent: Sent, *, unchanged: Sequence[Unchanged] = ()) -> None:
        """Delete a member, and send what follows: CANCEL by the organizer, a decline by an attendee."""
        found.require(Privilege.UNBIND)
        member = member_of(found)
        if member.role not in SCHEDULING_OBJECTS:
            await self.objects.delete(actor, found, unchanged=unchanged)
            return
        if collection_of(found).view is not None:
            raise AccessDenied("", Privilege.UNBIND, "Messages are sent in the name of the calendar's owner.")
        await self._change(actor, found, None, sent, unchanged)

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
        """Copy (`keep`) or move a member as `Objects.transfer` does, and send what follows.

        Copies and moves between calendars of one owner send nothing (RFC 6638 §3.2.3.3, §3.2.3.4). A move to another
        owner's calendar removes a scheduling object here, and makes one there.

        Raises, too, `AccessDenied` if the actor may not send messages in the name of one of the owners, and
        `SchedulingRefused` for a meeting that goes to one of its other participants.
        """
        source, destination = collection_of(found), collection_of(target)
        if not keep and source.kind == "calendar" and destination.kind == "calendar":
            demand_transferable(found, target, keep=False)
            if source.home_id != destination.home_id:
                moved = await self._move_to_another(actor, found, target, sent, unchanged)
                if moved is not None:
                    return moved
            elif member_of(found).role in SCHEDULING_OBJECTS and source.view is None and destination.view is None:
                return await self._move_within(actor, found, target, unchanged)
        return await self.objects.transfer(actor, found, target, keep=keep, unchanged=unchanged)

    async def _move_within(self, actor: Actor, found: Found, target: Found, unchanged: Sequence[Unchanged]) -> Put:
        """Move a scheduling object between calendars of one owner: its Schedule-Tag changes (RFC 6638 §3.2.10)."""
        destination = collection_of(target)
        text = await self._text(collection_of(found), found)
        content = await self.objects.content(destination, text.encode(), None)
        writes = await moving_writes(self.objects, target, found, content)
        async with self.objects.naming_holder(destination, content.uid):
            try:
                written = await self.storage.apply(ChangeSet(writes, self.limits, actor.cause, tuple(unchanged)))
            except NotFound:
                raise WriteConflict from None
        return Put(target.object is None, content.etag, True, written[0], content.schedule_tag)

    async def _move_to_another(
        self, actor: Actor, found: Found, target: Found, sent: Sent, unchanged: Sequence[Unchanged]
    ) -> Put | None:
        """Move a meeting to another owner's calendar; None of what is a scheduling object neither here nor there."""
        member, destination = member_of(found), collection_of(target)
        leaves = member.role in SCHEDULING_OBJECTS
        put, result = await self.objects.put_of_text(found, target)
        content = put.content
        assert isinstance(content, ObjectContent)
        arrives = content.scheduling.role in SCHEDULING_OBJECTS
        if not leaves and not arrives:
            return None
        view = collection_of(found).view if leaves else destination.view
        if view is not None:
            privilege = Privilege.UNBIND if leaves else Privilege.BIND
            raise AccessDenied("", privilege, "Messages are sent in the name of the calendar's owner.")
        if leaves and arrives:
            holder = await self.storage.scheduling_object(destination, content.uid)
            if holder is not None:
                raise SchedulingObjectExists(holder.collection, holder.name)
            raise SchedulingRefused("A meeting does not move from one of its participants to another.")
        if leaves:
            removed = await self._change(actor, found, None, sent, unchanged, also=(put,))
            return replace(result, written=removed.written)
        state = ObjectState(member.id, member.revision)
        deletion = Delete(collection_of(found), member.name, state)
        try:
            return await self._change(actor, target, content, sent, unchanged, also=(deletion,))
        except HeldElsewhere as held:
            raise SchedulingObjectExists(held.collection.name, held.object.name) from None

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
    ) -> Put:
        """Replace a scheduling object by a content, or delete it (None). It is moved from `source` before. `also` are
        other writes of the actor.

        Raises `HeldElsewhere` for a new scheduling object of a UID that the home has already.
        """
        before = found if source is None else source
        collection, existing = collection_of(before), before.object
        owner = owner_of(found)
        if existing is not None and content is not None and existing.uid != content.uid:
            raise UidConflict(existing.name, "Another UID may not replace the one of the resource.")
        old = None if existing is None else read_object(await self._text(collection, before))
        new = None if content is None else read_object(content.text)
        directory = await directory_of(self.storage, addresses(old, new) | {address_of(owner)})
        if source is not None and (old is None or new is None or not same_organizer(old, new, directory)):
            raise SchedulingObjectExists(collection.name, member_of(source).name)
        user = directory.user(address_of(owner))
        if new is not None and scheduling_role(old, user, directory) is SchedulingRole.NONE:
            old = None  # a plain object that becomes a meeting is a new one to everybody
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
        )
        large = max(len(each.text) for each in (old, new) if each is not None) >= LARGE
        plan = await computed(plan_change, change) if large else plan_change(change)
        return await _Sending(self, actor, found, content, change, plan, unchanged, source, also).apply()

    async def _is_copy(self, found: Found, uid: str) -> bool:
        """Whether the found member is a plain object beside the scheduling object of its UID in the home."""
        if found.object is None or found.object.role is not SchedulingRole.NONE:
            return False
        return await self.storage.scheduling_object(collection_of(found), uid) is not None

    async def _text(self, collection: Collection, found: Found) -> str:
        """The stored text of the found member. Raises `WriteConflict` if it is gone."""
        rows = await self.storage.members_by_id(collection, [member_of(found).id], ("text",))
        if not rows:
            raise WriteConflict
        return str(rows[0][0])


class _Sending:
    """One change of a scheduling object, with its messages."""

    def __init__(
        self,
        scheduling: Scheduling,
        actor: Actor,
        found: Found,
        content: ObjectContent | None,
        change: Change,
        plan: Plan,
        unchanged: Sequence[Unchanged],
        source: Found | None,
        also: tuple[Write, ...],
    ) -> None:
        self._storage, self._objects, self._limits = scheduling.storage, scheduling.objects, scheduling.limits
        self._actor, self._found, self._content = actor, found, content
        self._change, self._plan, self._unchanged = change, plan, tuple(unchanged)
        self._source, self._also = source, also
        self._owner = owner_of(found)
        named = change.old if change.new is None else change.new
        self._uid = "" if named is None else named.uid
        self._failed: dict[str, str] = {}
        """SCHEDULE-STATUS of recipients whose homes refused a write, by their key."""

    async def apply(self) -> Put:
        """Write the object and deliver the messages. No recipient's state fails the change."""
        collection = collection_of(self._found)
        while True:
            made, put = await self._set()
            writes = tuple(write for _, write in made.writes)
            changes = ChangeSet(
                writes,
                self._limits,
                self._actor.cause,
                self._unchanged,
                remembered=made.remembered,
                graced=frozenset(write.collection.home_id for key, write in made.writes if key is not None),
            )
            async with self._objects.naming_holder(collection, self._uid):
                written = await self._applied(changes, made)
            if written is not None:
                return replace(put, written=written)

    async def _applied(self, changes: ChangeSet, made: _Set) -> Written | None:
        """Apply the set; returns what is left of the owner's object, None where a recipient is to be left out first."""
        try:
            return (await self._storage.apply(changes))[0]
        except NotFound:
            raise WriteConflict from None
        except (QuotaExceeded, TooManyMembers, UidConflict, SchedulingObjectExists) as error:
            key = None if error.write is None else made.writes[error.write][0]
            if key is None:
                raise
            if isinstance(error, (UidConflict, SchedulingObjectExists)):
                raise WriteConflict from None  # the recipient got an object of the UID meanwhile
            self._failed[key] = NOT_DELIVERED
            return None

    async def _set(self) -> tuple[_Set, Put]:
        """The change set, and what it does to the owner's object."""
        messages = by_recipient(self._plan.messages)
        mailboxes = await self._mailboxes(messages)
        mailbox = mailboxes.get(self._owner.id)
        if self._source is None:
            demand_not_held(self._found, self._content, mailbox)
        await self._demand_sending()
        remembered, resets = self._remembered(mailbox)
        delivered: dict[str, Delivered] = {}
        for key, each in messages.items():
            directory = self._change.directory
            delivered[key] = await self._deliver(self._owner, each, mailboxes, directory, resets)
        known = None if mailbox is None else mailbox.addresses
        writes, put = await self._own({key: done.statuses[0] for key, done in delivered.items()}, known)
        made = _Set(tuple((None, write) for write in writes), remembered)
        followed = await self._follow_ups(delivered)
        for key, done in (*delivered.items(), *followed.items()):
            made = made.with_delivery(key, done)
        return made, put

    async def _demand_sending(self) -> None:
        """Raises `AccessDenied` if the actor may not send the messages in the owner's name (RFC 6638 §6.2)."""
        if not self._plan.messages or policy.may_send(self._found.viewer, self._owner, self._found.grants):
            return
        invite, reply = Privilege.SCHEDULE_SEND_INVITE, Privilege.SCHEDULE_SEND_REPLY
        needed = sorted({reply if each.method in FROM_ATTENDEES else invite for each in self._plan.messages})
        target = Target(self._owner.uid, "uid", "calendar", "outbox")
        outbox = await Lookup(self._storage).find(self._actor, target, needed[0], or_need=needed[-1])
        outbox.require(*needed)

    async def _mailboxes(self, messages: Mapping[str, Sequence[Message]]) -> dict[int, Mailbox]:
        """The mailboxes of recipients, and of the owner, by the id of their principal."""
        ids = {self._owner.id}
        for each in messages.values():
            recipient = each[0].recipient.principal_id
            if recipient is not None:
                ids.add(recipient)
        found = await self._storage.mailboxes(self._owner.id, sorted(ids), self._uid)
        return {each.principal_id: each for each in found}

    async def _deliver(
        self,
        sender: Principal | None,
        messages: Sequence[Message],
        mailboxes: Mapping[int, Mailbox],
        directory: Directory,
        resets: Sequence[Reset],
    ) -> Delivered:
        """The delivery of messages to one recipient."""
        recipient = messages[0].recipient
        failed = self._failed.get(recipient.key)
        if failed is not None:
            return not_delivered(failed)
        mailbox = None if recipient.principal_id is None else mailboxes.get(recipient.principal_id)
        if mailbox is None:
            return not_delivered(NO_CALENDAR_USER)
        is_new = self._change.old is None and sender is not None
        letter = Letter(sender, messages, self._change.now, resets_of(resets, recipient), is_new)
        delivered = await deliver(self._storage, self._objects, mailbox, [letter], directory)
        gone = [write.expected for write in self._also if isinstance(write, Delete)]
        if any(write.expected in gone for write in delivered.writes):
            return not_delivered(NOT_DELIVERED)  # what they have of the meeting is moved away
        return delivered

    async def _own(self, statuses: Mapping[str, str], known: frozenset[str] | None) -> tuple[tuple[Write, ...], Put]:
        """The writes of the owner's object, and what they do. `known` are the owner's addresses."""
        collection, existing, source = collection_of(self._found), self._found.object, self._source
        nothing = Written(0, 0, None)
        if self._content is None:
            member = member_of(self._found)
            delete = Delete(collection, member.name, ObjectState(member.id, member.revision))
            return (*self._also, delete), Put(False, member.etag, False, nothing)
        stored = self._plan.with_statuses(statuses, self._change.directory)
        content = self._content
        if stored is not None and stored.text != content.text:
            content = await self._objects.content(collection, stored.text.encode(), existing, known)
        if source is None:
            writes: tuple[Write, ...] = (await self._objects.put_of(collection, self._found.name, content, existing),)
        else:
            writes = await moving_writes(self._objects, self._found, source, content)
        writes = (*writes, *self._also)
        as_sent = content.text == self._content.text
        return writes, Put(existing is None, content.etag, as_sent, nothing, content.schedule_tag)

    def _remembered(self, mailbox: Mailbox | None) -> tuple[tuple[Remember, ...], tuple[Reset, ...]]:
        """What the owner's home knows afterwards, if it is to be stored; and when attendees were asked anew."""
        if mailbox is None:
            return (), ()
        known, old = memory.read(mailbox.state), self._change.old
        if self._plan.role is SchedulingRole.ATTENDEE:
            before = memory_of(old) if known.memory is None else known.memory
            after = after_change(before, old, self._plan, self._change.owner, self._change.directory)
            known = memory.Known(after, known.rows)
        elif self._change.old is None or self._plan.object is None:
            known = memory.Known(rows=with_resets(Rows(), self._plan.resets))  # answers to another meeting
        else:
            known = memory.Known(known.memory, with_resets(known.rows, self._plan.resets))
        state = memory.write(known, self._plan.object)
        changed = Remember(mailbox.home.id, self._uid, state, mailbox.version)
        return () if state == mailbox.state else (changed,), known.rows.resets

    async def _follow_ups(self, delivered: Mapping[str, Delivered]) -> dict[str, Delivered]:
        """What others learn of the answers that were delivered."""
        messages: list[Message] = []
        resets: list[Reset] = []
        directory = self._change.directory
        for key, done in delivered.items():
            changed = frozenset(instance for result in done.received for instance in result.changed)
            sent = [message for result in done.received for message in result.messages]
            if done.object is None or not (changed or sent):
                continue
            named = addresses(done.object) | {address_of(self._owner)}
            directory = await directory_of(self._storage, named)
            invited = frozenset(user.key for result in done.received for user in result.invited)
            answered = frozenset((self._change.owner.key, key))
            messages += refreshes(done.object, changed, directory, utc_stamp(self._change.now), answered, invited)
            messages += sent
            resets += done.resets
        known = (self._change.owner.key, *delivered)
        concerned = by_recipient([each for each in messages if each.recipient.key not in known])
        if not concerned or len(concerned) > MAX_REFRESHED:
            return {}
        mailboxes = await self._mailboxes(concerned)
        return {key: await self._deliver(None, each, mailboxes, directory, resets) for key, each in concerned.items()}


def _concerns_scheduling(found: Found, collection: Collection, content: ObjectContent) -> bool:
    """Whether an object is a scheduling object before a put, or after it."""
    if collection.kind != "calendar":
        return False
    return _role(found) is not SchedulingRole.NONE or content.scheduling.organizer is not None


def _role(found: Found) -> SchedulingRole:
    """The role of the found member; `NONE` of a name that is free."""
    return SchedulingRole.NONE if found.object is None else found.object.role


def owner_of(found: Found) -> Principal:
    """The owner of the home in which something was found."""
    assert found.owner is not None
    return found.owner


def address_of(owner: Principal) -> str:
    """An address that every principal has."""
    return f"urn:x-uid:{owner.uid}"
