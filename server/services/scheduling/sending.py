"""One change of a scheduling object with its messages: what a request writes, and what it leaves to jobs."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Protocol

from server.domain.actors import Actor
from server.domain.changes import (
    Delete,
    ObjectState,
    Unchanged,
    Write,
    WriteLimits,
    Written,
)
from server.domain.contents import ObjectContent, ObjectView
from server.domain.errors import WriteConflict
from server.domain.jobs import Job
from server.domain.principals import Principal
from server.domain.scheduling import SchedulingRole
from server.domain.values import value
from server.itip.calendar_users import Directory, addresses
from server.itip.change import Change, utc_stamp
from server.itip.messages import Message, Plan
from server.itip.participants import with_schedule_statuses
from server.itip.reception import DELIVERED, PENDING, resets_of
from server.itip.refreshing import refreshes
from server.itip.scheduling_object import SchedulingObject
from server.observe.scheduling_counts import SchedulingCounts
from server.services.lookup import Found
from server.services.mail.outgoing import NOTHING, Outgoing, OutgoingMails, withdrawing
from server.services.objects import NO_PROPERTIES, Objects, Put
from server.services.permissions import collection_of, member_of
from server.services.scheduling import memory
from server.services.scheduling.calendar_users import address_of, directory_of
from server.services.scheduling.delivery import (
    NO_CALENDAR_USER,
    NOT_DELIVERED,
    Delivered,
    Letter,
    by_recipient,
    deliver,
    item_writes,
    not_delivered,
    put_object,
)
from server.services.scheduling.dispatches import (
    meeting_of,
    new_dispatch,
    principal_key,
    refresh_job,
    sending_of,
    stable_address,
)
from server.services.scheduling.merging_answers import ANSWERED, merged_answers, replies_in
from server.services.scheduling.moving import demand_not_held, moving_writes
from server.services.scheduling.planned import (
    answered_stamp,
    demand_sending,
    organizer_of,
    owner_of,
    remembered_after,
    remembered_with,
)
from server.services.scheduling.removals import Removal
from server.services.scheduling.settings import SchedulingSettings
from server.services.scheduling.shared_sets import LeftOut, SharedSet, apply_shared
from server.services.scheduling.turns import Turns
from server.storage import Storage
from server.storage.scheduling import Mailbox

PATIENCE = 0.2
"""Seconds for which a request tries to change the object of a recipient that others change at the same time. After them
it leaves this recipient to jobs."""
PAUSE = 0.02
"""Seconds between two of these tries, at most."""


class Services(Protocol):
    """What `Sending` needs: `server.services.scheduling.implicit.Scheduling` has it."""

    storage: Storage
    objects: Objects
    limits: WriteLimits
    settings: SchedulingSettings
    counts: SchedulingCounts
    mails: OutgoingMails
    turns: Turns


_NOTHING = Written(0, 0, None)


@dataclass(slots=True)
class _Set(SharedSet[str]):
    """A change set; recipients by their key."""

    result: Put = Put(False, "", False, _NOTHING)  # noqa: RUF009 - a value
    """What it does to the owner's object."""


@value
class Intent:
    """A planned change of a scheduling object."""

    actor: Actor
    found: Found
    """The name that is put or deleted."""
    content: ObjectContent | None
    """What is put; None: the object is deleted."""
    change: Change
    plan: Plan
    unchanged: tuple[Unchanged, ...] = ()
    source: Found | None = None
    """Where the object lies that is moved to the found name; None: it is not moved in its home."""
    also: tuple[Write, ...] = ()
    """Other writes of the actor."""
    removal: Removal | None = None
    """What the removal of the meeting from another home sends, before this change. Jobs deliver all messages then."""
    properties: Mapping[str, str] = field(default_factory=lambda: NO_PROPERTIES)
    """Dead properties of a new object."""
    view: ObjectView | None = None
    """What a sharee who acts sees of it."""


class Sending:
    """One change of a scheduling object, with its messages."""

    def __init__(self, services: Services, intent: Intent) -> None:
        self._storage, self._limits = services.storage, services.limits
        self._objects = services.objects.for_one_set()
        self._settings, self._counts, self._mails = services.settings, services.counts, services.mails
        self._actor, self._found, self._content = intent.actor, intent.found, intent.content
        self._change, self._plan, self._unchanged = intent.change, intent.plan, intent.unchanged
        self._source, self._also, self._properties = intent.source, intent.also, intent.properties
        self._removal, self._view = intent.removal, intent.view
        change, plan = intent.change, intent.plan
        self._owner = owner_of(intent.found)
        named = change.old if change.new is None else change.new
        self._uid = "" if named is None else named.uid
        self._meeting = meeting_of(organizer_of(change, plan), self._uid)
        self._left: LeftOut[str] = LeftOut()
        """Recipients in whose homes nothing is written any more. Jobs deliver to those whose objects are busy."""
        self._turns = services.turns
        self._turn: bool | None = None
        """Whether it has a turn in the queue of all workers; None: it does not queue there."""
        self._is_late = intent.removal is not None
        """Whether all messages are left to jobs: after those of a removal, or since other requests deliver messages of
        the meeting."""
        self._queuing = AsyncExitStack()
        """Ends the turn."""
        self._began = time.monotonic()

    async def apply(self) -> Put:
        """Write the object and deliver the messages. No recipient's state fails the change.

        Requests of one meeting queue. One that has waited for too long leaves its messages to jobs.
        """
        try:
            if not self._plan.messages or self._is_late:
                return await self._apply()
            async with self._turns.in_worker(self._meeting, PATIENCE) as came, self._queuing:
                if not came:
                    self._counts.waits.inc()
                    self._is_late = True
                return await self._apply()
        except WriteConflict as error:
            self._turns.repeat_in_turn(error, self._meeting)
            raise

    async def _apply(self) -> Put:
        collection, cause = collection_of(self._found), self._actor.cause
        async with self._objects.naming_holder(collection, self._uid):
            made, written = await apply_shared(
                self._storage, self._set, self._limits, cause, self._unchanged, self._conflicted
            )
        self._counts.delivered(made.outcomes, made.merges, made.refreshes)
        return replace(made.result, written=written[0])

    async def _conflicted(self, key: str, left: LeftOut[str]) -> None:
        """Others have changed the object of a recipient: try again for a while, then leave it to jobs."""
        self._counts.waits.inc()
        if time.monotonic() - self._began > PATIENCE:
            left.busy.add(key)
        elif not await self._queue():
            await asyncio.sleep(random.uniform(0, PAUSE))  # noqa: S311 - no secret

    async def _queue(self) -> bool:
        """Queue among all workers, but for the first time only; whether the turn has come then."""
        if self._turn is not None:
            return False
        patience = max(0.0, self._began + PATIENCE - time.monotonic())
        self._turn = await self._queuing.enter_async_context(self._turns.of_all(self._meeting, patience))
        return self._turn

    async def _set(self, left: LeftOut[str]) -> _Set:
        """The change set."""
        self._left = left
        messages = by_recipient(self._plan.messages)
        direct = [key for key, each in messages.items() if each[0].recipient.is_here]
        # Rooms and equipment first: their answers are a part of the change.
        direct.sort(key=lambda key: messages[key][0].recipient.may_organize)
        direct = [] if self._is_late else direct[: self._settings.direct_recipients]
        mailboxes = await self._mailboxes([messages[key] for key in direct])
        mailbox = mailboxes.get(self._owner.id)
        if direct and mailbox is not None and mailbox.taken and self._turn is None:
            # What others do in their turn is not disturbed.
            if not await self._queue():
                direct = []
            mailboxes = await self._mailboxes([messages[key] for key in direct])
            mailbox = mailboxes.get(self._owner.id)
        await demand_sending(self._storage, self._actor, self._found, self._plan.messages)
        if self._source is None:
            demand_not_held(self._found, self._content, mailbox)
        remembered, known = remembered_after(self._change, self._plan, self._uid, mailbox)
        made, directory = _Set(remembered=[*remembered]), self._change.directory
        if self._removal is not None:
            made.remembered += self._removal.remembered
            made.dispatches += self._removal.dispatches
            made.mails += self._removal.mails
        delivered: dict[str, Delivered] = {}
        queued: dict[str, Sequence[Message]] = {}
        behind = mailbox is not None and mailbox.queued
        mailed = self._mailed(self._plan.messages, mailbox)
        made.mails += mailed.mails
        here = {key: each for key, each in messages.items() if each[0].recipient.is_here}
        asked = {} if behind else {key: messages[key] for key in direct if key not in left.busy}
        told, replies = await self._answered(delivered, asked, mailboxes, known)
        for key, done in delivered.items():
            made.deliver(key, done)
        for key, each in here.items():
            if key in delivered:
                continue
            each = [*each, *told.get(key, ())]
            if behind or key in left.busy or key not in direct or made.is_full:
                queued[key] = each
                continue
            delivered[key] = await self._deliver(self._owner, each, mailboxes, directory, known)
            made.deliver(key, delivered[key])
        failed = {key: done.statuses[0] for key, done in delivered.items() if done.statuses[0] == NOT_DELIVERED}
        waiting = {key: queued.get(key, each) for key, each in here.items() if key in queued or key in failed}
        if waiting and mailbox is not None:
            cause, is_new = self._actor.cause, self._change.old is None
            about = answered_stamp(self._change, self._plan, known)
            former = "" if self._change.former is None else stable_address(self._change.former)
            sending = sending_of(
                waiting, known, cause, self._change.now, failed, is_new=is_new, about=about, former=former
            )
            made.dispatches.append(new_dispatch(mailbox.home.id, self._uid, self._meeting, sending))
        statuses = {**{key: done.statuses[0] for key, done in delivered.items()}, **dict.fromkeys(queued, PENDING)}
        made.outcomes = [(message.method, statuses[key]) for key, each in here.items() for message in each]
        statuses |= mailed.statuses
        answered = {reply.sender.key: ANSWERED for reply in replies}
        stored = self._plan.with_statuses({**statuses, **answered}, directory)
        if replies and stored is not None and mailbox is not None:
            merged = merged_answers(stored, replies, known, directory, self._change.now)
            stored = merged.object
            made.remembered[: len(remembered)] = remembered_with(merged.known, stored, self._uid, mailbox)
            items = await item_writes(self._storage, self._objects, mailbox, merged.items)
            made.writes += [(None, write) for write in items]
        writes, made.result = await self._own(stored, None if mailbox is None else mailbox.addresses)
        made.writes[:0] = [(None, write) for write in writes]
        made.merges = sum(any(result.answers for result in done.received) for done in delivered.values())
        await self._follow_up(made, delivered, mailboxes)
        await self._tell(
            made, [each for key, of in told.items() if key not in messages for each in of], mailboxes, known
        )
        return made

    def _mailed(self, messages: Sequence[Message], mailbox: Mailbox | None) -> Outgoing:
        """What of messages in the owner's name is mailed."""
        if mailbox is None:
            return NOTHING
        change, collection = self._change, collection_of(self._found)
        organizes = self._plan.role is not SchedulingRole.ATTENDEE
        before = change.old if organizes else None
        sent = self._mails.of(mailbox.home, collection, messages, self._meeting, change.now, before, change.directory)
        if organizes or change.old is not None or organizer_of(change, self._plan).is_here:
            return sent
        return replace(sent, mails=(withdrawing(mailbox.home, self._uid, self._meeting), *sent.mails))

    async def _answered(
        self,
        delivered: dict[str, Delivered],
        messages: Mapping[str, Sequence[Message]],
        mailboxes: Mapping[int, Mailbox],
        known: memory.Known,
    ) -> tuple[Mapping[str, Sequence[Message]], Sequence[Message]]:
        """Deliver an organizer's messages to those for whom the server may answer.

        Returns what all learn of the answers, by the key of the recipient, and the answers.
        """
        change, value = self._change, self._plan.object
        if value is None or self._plan.role is not SchedulingRole.ORGANIZER:
            return {}, ()
        for key, each in messages.items():
            mailbox = mailboxes.get(each[0].recipient.principal_id or 0)
            if mailbox is not None and mailbox.auto_schedule is not None:
                delivered[key] = await self._deliver(self._owner, each, mailboxes, change.directory, known)
        replies = replies_in(delivered, change.owner)
        if not replies:
            return {}, ()
        merged = merged_answers(value, replies, known, change.directory, change.now)
        told = merged.refreshes(change.owner, change.directory, change.now)
        for key in {reply.sender.key for reply in replies}:
            # Once more, now that all answers are known.
            more = told.get(key, ())
            delivered[key] = await self._deliver(
                self._owner, messages[key], mailboxes, change.directory, known, afterwards=more
            )
        return told, replies

    async def _tell(
        self, made: _Set, messages: Sequence[Message], mailboxes: Mapping[int, Mailbox], known: memory.Known
    ) -> None:
        """Add to a set how those learn of answers to whom the change itself sends nothing."""
        job = self._refresh_job(mailboxes.get(self._owner.id), messages) if messages else ()
        if job is None:
            await self._refresh(made, messages, self._change.directory, known)
        else:
            made.jobs += job

    async def _mailboxes(self, messages: Iterable[Sequence[Message]]) -> dict[int, Mailbox]:
        """The mailboxes of recipients, and of the owner, by the id of their principal."""
        ids = {self._owner.id}
        for each in messages:
            recipient = each[0].recipient.principal_id
            if recipient is not None:
                ids.add(recipient)
        found = await self._storage.mailboxes(self._owner.id, sorted(ids), self._uid, self._meeting)
        return {each.principal_id: each for each in found}

    async def _deliver(
        self,
        sender: Principal | None,
        messages: Sequence[Message],
        mailboxes: Mapping[int, Mailbox],
        directory: Directory,
        known: memory.Known,
        afterwards: Sequence[Message] = (),
        *,
        invites: bool = False,
    ) -> Delivered:
        """The delivery of messages to one recipient.

        :param sender: whose messages the recipient must take; None for those that refresh a copy.
        :param invites: whether they are an organizer's, for a delegate of the sender.
        """
        recipient = messages[0].recipient
        if recipient.key in self._left.failed:
            return not_delivered(NOT_DELIVERED)
        mailbox = None if recipient.principal_id is None else mailboxes.get(recipient.principal_id)
        if mailbox is None:
            return not_delivered(NO_CALENDAR_USER)
        is_own = sender is not None and not invites
        is_new = self._change.old is None and is_own
        resets = resets_of(known.rows.resets, recipient)
        about = answered_stamp(self._change, self._plan, known) if is_own else ""
        now = self._change.now
        letter = Letter(sender, messages, now, resets, is_new, known.since, about, afterwards=afterwards)
        delivered = await deliver(self._storage, self._objects, mailbox, [letter], directory)
        gone = [write.expected for write in self._also if isinstance(write, Delete)]
        if any(write.expected in gone for write in delivered.writes):
            return not_delivered(NOT_DELIVERED)  # what they have of the meeting is moved away
        return delivered

    async def _own(
        self, stored: SchedulingObject | None, known: frozenset[str] | None
    ) -> tuple[tuple[Write, ...], Put]:
        """The writes of the owner's object, and what they do. `known` are the owner's addresses.

        :param stored: what takes the place of what the app sent; None: that itself.
        """
        collection, existing, source = collection_of(self._found), self._found.object, self._source
        if self._content is None:
            member = member_of(self._found)
            delete = Delete(collection, member.name, ObjectState(member.id, member.revision))
            return (*self._also, delete), Put(False, member.etag, False, _NOTHING)
        content = self._content
        if stored is not None and stored.text != content.text:
            content = await self._objects.content(collection, stored.text.encode(), existing, known)
        if source is None:
            put = await self._objects.put_of(
                collection, self._found.name, content, existing, self._properties, view=self._view
            )
            writes: tuple[Write, ...] = (put,)
        else:
            writes = await moving_writes(self._objects, self._found, source, content)
        writes = (*writes, *self._also)
        as_sent = content.text == self._content.text
        return writes, Put(existing is None, content.etag, as_sent, _NOTHING, content.schedule_tag)

    async def _follow_up(
        self, made: SharedSet[str], delivered: Mapping[str, Delivered], mailboxes: Mapping[int, Mailbox]
    ) -> None:
        """Add to a set what others learn of the answers that were delivered."""
        known = (self._change.owner.key, *delivered)
        for key, done in delivered.items():
            changed = frozenset(instance for result in done.received for instance in result.changed)
            sent = [message for result in done.received for message in result.messages]
            if done.object is None or not (changed or sent):
                continue
            directory = await self._directory(addresses(done.object))
            invited = frozenset(user.key for result in done.received for user in result.invited)
            stamp, answered = utc_stamp(self._change.now), frozenset((self._change.owner.key, key))
            others = [
                message
                for message in refreshes(done.object, changed, directory, stamp, answered, invited)
                if message.recipient.key not in known
            ]
            mailbox = next((each for each in mailboxes.values() if principal_key(each.principal_id) == key), None)
            job = self._refresh_job(mailbox, [each for each in others if each.recipient.key not in invited])
            if job is not None:
                made.jobs += job
                others = [each for each in others if each.recipient.key in invited]
            sent = [message for message in sent if message.recipient.key not in known]
            more = [*(each for each in others if each.quiet), *sent]
            if mailbox is not None:
                await self._invite(made, mailbox, done, by_recipient(each for each in others if not each.quiet))
                by_mail = self._mails.of(mailbox.home, mailbox.collection, more, self._meeting, self._change.now)
                made.mails += by_mail.mails
            await self._refresh(made, more, directory, done.known)

    async def _invite(
        self, made: SharedSet[str], mailbox: Mailbox, answered: Delivered, messages: Mapping[str, Sequence[Message]]
    ) -> None:
        """Add to a set the delivery of an organizer's messages to delegates here of the owner, by their key.

        The organizer's object says what is delivered. Jobs try again what is not, and tell the object the outcome.

        :param mailbox: the organizer's.
        :param answered: the delivery to the organizer.
        """
        if not messages or answered.object is None:
            return
        directory = await self._directory(addresses(answered.object))
        found, waiting = await self._mailboxes(messages.values()), dict[str, Sequence[Message]]()
        for key, each in messages.items():
            done = await self._deliver(self._owner, each, found, directory, answered.known, invites=True)
            made.deliver(key, done)
            if done.statuses[0] != DELIVERED:
                waiting[key] = each
        if waiting:
            sending = sending_of(waiting, answered.known, self._actor.cause, self._change.now, {}, is_new=False)
            made.dispatches.append(new_dispatch(mailbox.home.id, self._uid, self._meeting, sending))
        delivered = dict.fromkeys(messages.keys() - waiting.keys(), DELIVERED)
        stored = with_schedule_statuses(answered.object, delivered, directory)
        write = await put_object(self._storage, self._objects, mailbox, stored, keep_tag=True)
        if write is not None:
            made.writes = [(key, write if each is answered.writes[0] else each) for key, each in made.writes]

    async def _directory(self, named: frozenset[str]) -> Directory:
        """The calendar users of addresses, and the owner."""
        if named <= addresses(self._change.old, self._change.new):
            return self._change.directory
        return await directory_of(self._storage, named | {address_of(self._owner)})

    def _refresh_job(self, mailbox: Mailbox | None, messages: Sequence[Message]) -> tuple[Job, ...] | None:
        """The job that refreshes the copies of others after an answer to somebody; none if there are very many of them.

        None: the request refreshes them itself.
        """
        keys = {each.recipient.key for each in messages}
        if len(keys) > self._settings.max_refreshed:
            return ()
        if len(keys) <= self._settings.direct_refreshes and self._left.busy.isdisjoint(keys):
            return None
        if mailbox is None or mailbox.object is None:
            return ()
        return (refresh_job(mailbox.home.id, mailbox.object.id, self._settings.refresh_delay),)

    async def _refresh(
        self, made: SharedSet[str], messages: Sequence[Message], directory: Directory, known: memory.Known
    ) -> None:
        """Add to a set the delivery of messages to those who have not sent anything themselves."""
        concerned = by_recipient([message for message in messages if message.recipient.is_here])
        if concerned:
            mailboxes = await self._mailboxes(concerned.values())
            for key, each in concerned.items():
                done = await self._deliver(None, each, mailboxes, directory, known)
                made.deliver(key, done)
                made.refreshes += bool(done.writes)
