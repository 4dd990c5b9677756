"""Dividing a series in two (caldav-recursplit §3): the organizer's object, and the copies of all attendees here.

One change set writes both parts everywhere, so that no app ever sees a half of it. Jobs send what both parts say to
those attendees of a very large meeting for whom it has no room. Attendees are not asked anew: their answers, alarms and
other parts of their own are in both parts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from secrets import token_hex
from uuid import uuid4

from server.domain.actors import Actor
from server.domain.changes import Delete, ObjectState, Remember, SetDispatch, Unchanged, Write
from server.domain.errors import (
    AccessDenied,
    InvalidData,
    SchedulingObjectExists,
    SplitRefused,
    UidConflict,
)
from server.domain.limits import Limits
from server.domain.objects import Collection, Object
from server.domain.principals import Principal
from server.domain.privileges import Privilege
from server.domain.scheduling import SchedulingRole
from server.domain.values import value
from server.itip.acting import organized_by
from server.itip.calendar_users import Directory, addresses
from server.itip.change import utc_stamp
from server.itip.participants import with_schedule_statuses
from server.itip.reception import PENDING, UID_TAKEN
from server.itip.scheduling_object import SchedulingObject, read_object
from server.itip.split_copies import (
    Requests,
    SplitCopy,
    SplitSeries,
    divided_rows,
    requests_of,
    split_copy,
    with_replies,
)
from server.itip.splitting import Parts, Split, divided, split_point
from server.process.computing import computed
from server.services.lookup import Found, Lookup
from server.services.mail.outgoing import OutgoingMails
from server.services.mail.restored import after_restore
from server.services.objects import Objects, text_of, write_limits
from server.services.permissions import collection_of, demand_writable, member_of
from server.services.scheduling import memory
from server.services.scheduling.acting import acting_addresses, acting_user
from server.services.scheduling.calendar_users import address_of, directory_of
from server.services.scheduling.delivery import put_object
from server.services.scheduling.dispatches import meeting_of, new_dispatch, sending_of
from server.services.scheduling.letters import NO_CALENDAR_USER, NOT_ALLOWED, NOT_DELIVERED
from server.services.scheduling.planned import demand_sending, owner_of
from server.services.scheduling.queued import MAX_RECIPIENTS
from server.services.scheduling.shared_sets import LeftOut, SharedSet, apply_shared
from server.storage import Storage
from server.storage.scheduling import Mailbox


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is divided, and how."""

    actor: Actor
    owner: Principal
    collection: Collection
    """In the view of its owner."""
    member: Object
    original: SchedulingObject
    split: Split
    parts: Parts
    at: datetime
    """The time now."""
    directory: Directory
    requests: Requests
    unchanged: tuple[Unchanged, ...]

    @property
    def stamp(self) -> str:
        """The time now, as a UTC value."""
        return utc_stamp(self.at)


@value
class _Mailboxes:
    """The homes of the organizer and of the attendees, by the id of their principal."""

    old: Mapping[int, Mailbox]
    """For the UID of the series."""
    new: Mapping[int, Mailbox]
    """For the UID of the earlier part."""


class Splitting:
    """Divides series."""

    def __init__(
        self,
        storage: Storage,
        objects: Objects,
        limits: Limits,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        mails: OutgoingMails | None = None,
    ) -> None:
        self.storage = storage
        self.objects = objects
        self.limits = limits
        self.now = now
        self.mails = mails or OutgoingMails()

    async def split(
        self, actor: Actor, found: Found, rid: str, uid: str | None = None, *, unchanged: Sequence[Unchanged] = ()
    ) -> str:
        """Divide the found series at the next instance on or after a time. It keeps its UID and what is from then on.

        Returns the name of the new member, in the same collection, which has what was before.

        :param rid: a time in the form of DTSTART (`server.itip.splitting.split_point`).
        :param uid: the UID of the new member; None: the server chooses one.
        :raises InvalidSplitPoint: for a time in another form.
        :raises SplitRefused: for what is not to be divided there, for a UID that is taken or not valid, and for an
            attendee's copy: only the organizer divides a meeting.
        :raises AccessDenied: if the actor may not change the member, make another, or send in the owner's name.
        :raises WriteConflict: if something has changed since it was read.

        Raises, too, `QuotaExceeded` and `TooManyMembers`.
        """
        if demand_writable(found):
            raise AccessDenied("", Privilege.WRITE_CONTENT)
        found.require(Privilege.BIND)
        scheduled = member_of(found).role is not SchedulingRole.NONE
        if scheduled and collection_of(found).view is not None:
            found = await Lookup(self.storage).in_owners_home(found)
        member, collection, owner = member_of(found), collection_of(found), owner_of(found)
        if member.role is SchedulingRole.ATTENDEE:
            raise SplitRefused("Only the organizer divides a meeting.")
        uid = self._uid(uid)
        # Sharees divide what the owner has, and everybody's own parts with it.
        collection = replace(collection, view=None)
        text = await text_of(self.storage, replace(found, collection=collection))
        original = await computed(read_object, text)
        directory, requests = Directory(), Requests({}, {})
        at = self.now()
        if scheduled:
            named = {address_of(owner), *acting_addresses(found)}
            directory = await directory_of(self.storage, addresses(original) | named)
            user, acting = directory.user(address_of(owner)), acting_user(found, directory)
            original = await after_restore(
                self.storage, self.mails, collection.home_id, user, member.created_at, original, directory
            )
            original = organized_by(original, user, acting, directory)
            actor = actor if acting is None else replace(actor, acting_for=owner.id)
        split, parts = await computed(_divided, original, rid, uid, scheduled)
        if scheduled:
            requests = await computed(requests_of, parts, directory, utc_stamp(at))
            await demand_sending(self.storage, actor, found, [*requests.earlier.values(), *requests.later.values()])
        plan = _Plan(
            actor, owner, collection, member, original, split, parts, at, directory, requests, tuple(unchanged)
        )
        return await _Splitting(self, plan).apply()

    def _uid(self, uid: str | None) -> str:
        if uid is None:
            return str(uuid4()).upper()
        if not uid.strip() or uid != uid.strip() or not uid.isprintable():
            raise SplitRefused("This is no UID.")
        if len(uid.encode("utf-8", "replace")) > self.limits.max_uid_length:
            raise SplitRefused(f"A UID has at most {self.limits.max_uid_length} octets.")
        return uid


def _divided(original: SchedulingObject, rid: str, uid: str, scheduled: bool) -> tuple[Split, Parts]:
    if not scheduled and any(each.first("ORGANIZER") is not None for each in original.components):
        raise SplitRefused("Only the organizer divides a meeting.")
    if original.uid == uid:
        raise SplitRefused("The new UID is that of the series.")
    try:
        at = split_point(original, rid)
        split = Split(at, uid, str(uuid4()).upper(), original.sequence + 1 if scheduled else None)
        parts = divided(original, split)
    except InvalidData:
        raise SplitRefused("The instances of the series cannot be told.") from None
    if parts.later is None or parts.earlier is None:
        raise SplitRefused("The series has no instances on one side of this time.")
    return split, parts


class _Splitting:
    """One split."""

    def __init__(self, service: Splitting, plan: _Plan) -> None:
        self._storage, self._objects, self._mails = service.storage, service.objects, service.mails
        self._limits = write_limits(service.limits)
        self._plan = plan
        self._name = f"{token_hex(16)}.ics"

    async def apply(self) -> str:
        """Write both parts everywhere; returns the name of the new member. No attendee's state fails it."""
        plan = self._plan
        try:
            await apply_shared(self._storage, self._set, self._limits, plan.actor.cause, plan.unchanged)
        except (UidConflict, SchedulingObjectExists):
            raise SplitRefused("Another object has this UID.") from None
        return self._name

    async def _set(self, left_out: LeftOut[str]) -> SharedSet[str]:
        """The change set: what the owner has, then the attendees one by one until it is full. Jobs send to the others
        what both parts say."""
        plan = self._plan
        if plan.split.sequence is None:
            return SharedSet(await self._own(plan.parts, None))
        mailboxes = await self._mailboxes()
        own_old, own_new = mailboxes.old.get(plan.owner.id), mailboxes.new.get(plan.owner.id)
        known = memory.read(None if own_old is None else own_old.state)
        series = SplitSeries(plan.split, plan.parts, *divided_rows(known.rows, plan.split.at))
        requests = plan.requests
        copies = await self._copies(series, requests, mailboxes, left_out)
        replies = [reply for each in copies.values() if isinstance(each, SplitCopy) for reply in each.replies]
        if replies:
            series = with_replies(series, replies, plan.directory, plan.stamp)
            requests = await computed(requests_of, series.parts, plan.directory, plan.stamp)
            copies = await self._copies(series, requests, mailboxes, left_out)
        later_known, earlier_known = (
            replace(known, rows=series.later_rows),
            memory.Known(rows=series.earlier_rows, groups=known.groups),
        )
        remembered = [
            *_remembered(own_old, plan.original.uid, later_known, series.parts.later),
            *_remembered(own_new, plan.split.uid, earlier_known, series.parts.earlier),
        ]
        made: SharedSet[str] = SharedSet(remembered=remembered)
        here = {key for key, user in requests.recipients.items() if user.is_here}
        later = {key: each for key, each in copies.items() if isinstance(each, str) and key in here}
        earlier = dict(later)
        if own_old is not None:
            own_user = plan.directory.user(address_of(plan.owner))
            for statuses, messages, uid, before in (
                (later, requests.later, plan.original.uid, plan.original),
                (earlier, requests.earlier, plan.split.uid, None),
            ):
                number, sent = meeting_of(own_user, uid), [*messages.values()]
                collection, now = own_old.collection, plan.at
                mailed = self._mails.of(own_old.home, collection, sent, number, now, before, plan.directory)
                made.mails += mailed.mails
                statuses |= mailed.statuses
        for key, copy in copies.items():
            if isinstance(copy, str):
                continue
            if made.is_full:
                later[key] = earlier[key] = PENDING
                continue
            principal = requests.recipients[key].principal_id
            assert principal is not None
            old, new = mailboxes.old[principal], mailboxes.new[principal]
            made.write(key, await self._writes_of(old, new, copy))
            made.remembered += _remembered(old, plan.original.uid, memory.Known(copy.later_memory), copy.parts.later)
            if new.object is None:
                known = memory.Known(copy.earlier_memory)
                made.remembered += _remembered(new, plan.split.uid, known, copy.parts.earlier)
            else:
                earlier[key] = UID_TAKEN
        assert series.parts.later is not None
        assert series.parts.earlier is not None
        own = Parts(
            with_schedule_statuses(series.parts.later, later, plan.directory),
            with_schedule_statuses(series.parts.earlier, earlier, plan.directory),
        )
        left = {key for key, status in later.items() if status == PENDING and key in here}
        made.writes[:0] = await self._own(own, own_old)
        made.dispatches += () if own_old is None else self._dispatches(own_old.home.id, left, series, requests)
        return made

    async def _copies(
        self, series: SplitSeries, requests: Requests, mailboxes: _Mailboxes, left_out: LeftOut[str]
    ) -> dict[str, SplitCopy | str]:
        """What the split does at each attendee, by key; a SCHEDULE-STATUS where it does nothing."""
        found: dict[str, SplitCopy | str] = {}
        directory, divided_here = self._plan.directory, 0
        for key, user in requests.recipients.items():
            old = None if user.principal_id is None else mailboxes.old.get(user.principal_id)
            if old is None or old.inbox is None or user.principal_id not in mailboxes.new:
                found[key] = NO_CALENDAR_USER
                continue
            if key in left_out.failed:
                found[key] = NOT_DELIVERED
                continue
            if divided_here == MAX_RECIPIENTS:
                found[key] = PENDING
                continue
            divided_here += 1
            known = memory.read(old.state).memory
            copy = None if old.object is None else read_object(old.object.text or "")
            try:
                found[key] = await computed(
                    split_copy, user, copy, known, series, requests, directory, self._plan.stamp
                )
            except InvalidData:
                found[key] = NOT_ALLOWED
        return found

    def _dispatches(
        self, home_id: int, left: set[str], series: SplitSeries, requests: Requests
    ) -> tuple[SetDispatch, ...]:
        """What jobs send of both parts."""
        plan, found = self._plan, []
        organizer = plan.directory.user(address_of(plan.owner))
        for uid, messages, rows, is_new in (
            (plan.original.uid, requests.later, series.later_rows, False),
            (plan.split.uid, requests.earlier, series.earlier_rows, True),
        ):
            waiting = {key: [messages[key]] for key in messages if key in left}
            if waiting:
                sending = sending_of(waiting, memory.Known(rows=rows), plan.actor.cause, plan.at, {}, is_new=is_new)
                found.append(new_dispatch(home_id, uid, meeting_of(organizer, uid), sending))
        return tuple(found)

    async def _mailboxes(self) -> _Mailboxes:
        owner = self._plan.owner.id
        recipients = self._plan.requests.recipients.values()
        wanted = sorted({owner} | {user.principal_id for user in recipients if user.principal_id is not None})
        old, new = [
            {each.principal_id: each for each in await self._storage.mailboxes(owner, wanted, uid)}
            for uid in (self._plan.original.uid, self._plan.split.uid)
        ]
        return _Mailboxes(old, new)

    async def _own(self, parts: Parts, mailbox: Mailbox | None) -> list[tuple[str | None, Write]]:
        """The writes of the object that is divided."""
        assert parts.later is not None
        assert parts.earlier is not None
        known = None if mailbox is None else mailbox.addresses
        member, collection = self._plan.member, self._plan.collection
        later = await self._objects.content(collection, parts.later.text.encode(), member, known)
        earlier = await self._objects.content(collection, parts.earlier.text.encode(), None, known)
        properties = member.properties
        return [
            (None, await self._objects.put_of(collection, member.name, later, member)),
            (None, await self._objects.put_of(collection, self._name, earlier, None, properties, like=member)),
        ]

    async def _writes_of(self, old: Mailbox, new: Mailbox, made: SplitCopy) -> list[Write]:
        """The writes of an attendee's parts. The earlier one lies where the copy is."""
        writes: list[Write] = []
        later, earlier = made.parts.later, made.parts.earlier
        if later is None and old.object is not None and old.collection is not None:
            state = ObjectState(old.object.id, old.object.revision)
            writes.append(Delete(old.collection, old.object.name, state))
        elif later is not None:
            put = await put_object(self._storage, self._objects, old, later, keep_tag=False)
            if put is not None:
                writes.append(put)
        if earlier is not None and new.object is None:
            beside = replace(new, collection=old.collection)
            put = await put_object(self._storage, self._objects, beside, earlier, keep_tag=False, like=old.object)
            if put is not None:
                writes.append(put)
        return writes


def _remembered(
    mailbox: Mailbox | None, uid: str, known: memory.Known, stored: SchedulingObject | None
) -> Sequence[Remember]:
    """What a home remembers of a UID, where that changes."""
    if mailbox is None:
        return ()
    state = memory.write(known, stored)
    return () if state == mailbox.state else (Remember(mailbox.home.id, uid, state, mailbox.version),)
