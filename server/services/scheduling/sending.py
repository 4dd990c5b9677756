"""One change of a scheduling object with its messages: what a request writes, and what it leaves to jobs."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

from server.domain.changes import (
    Delete,
    ObjectState,
    Write,
    Written,
)
from server.domain.errors import WriteConflict
from server.domain.scheduling import SchedulingRole
from server.itip.calendar_users import Directory
from server.itip.messages import Message
from server.itip.reception import PENDING
from server.itip.scheduling_object import SchedulingObject
from server.services.mail.outgoing import NOTHING, Outgoing, withdrawing
from server.services.objects import Put
from server.services.permissions import collection_of, member_of
from server.services.scheduling import memory
from server.services.scheduling.answered_items import is_settled, item_deletions
from server.services.scheduling.change_deliveries import ChangeDeliveries
from server.services.scheduling.check_in_links import link_jobs, sends_links
from server.services.scheduling.delivery import Delivered, by_recipient, item_writes
from server.services.scheduling.dispatches import (
    new_dispatch,
    sending_of,
    stable_address,
)
from server.services.scheduling.intent import Intent, Services
from server.services.scheduling.letters import NOT_DELIVERED, Reception, with_answers_of_others
from server.services.scheduling.long_series import split_jobs_after
from server.services.scheduling.merging_answers import ANSWERED, Merged, merged_answers, replies_in
from server.services.scheduling.moving import demand_not_held, moving_writes
from server.services.scheduling.planned import (
    answered_stamp,
    demand_sending,
    organizer_of,
    remembered_after,
    remembered_with,
)
from server.services.scheduling.room_policies import ROOMS
from server.services.scheduling.shared_sets import LeftOut, SharedSet, apply_shared
from server.storage.scheduling import Mailbox

PATIENCE = 0.2
"""Seconds for which a request tries to change the object of a recipient that others change at the same time. After them
it leaves this recipient to jobs."""
PAUSE = 0.02
"""Seconds between two of these tries, at most."""


_NOTHING = Written(0, 0, None)
_MOST_TAKEN = 10
"""How often a request decides again because others took the time of a room. Then a job decides."""


@dataclass(slots=True)
class _Set(SharedSet[str]):
    """A change set; recipients by their key."""

    result: Put = Put(False, "", False, _NOTHING)  # noqa: RUF009 - a value
    """What it does to the owner's object."""


class Sending(ChangeDeliveries):
    """One change of a scheduling object, with its messages."""

    def __init__(self, services: Services, intent: Intent) -> None:
        super().__init__(services, intent)
        self._limits, self._counts, self._turns = services.limits, services.counts, services.turns
        self._found, self._content, self._unchanged = intent.found, intent.content, intent.unchanged
        self._source, self._properties = intent.source, intent.properties
        self._removal, self._view, self._former = intent.removal, intent.view, intent.former
        self._turn: bool | None = None
        """Whether it has a turn in the queue of all workers; None: it does not queue there."""
        self._is_late = intent.removal is not None
        """Whether all messages are left to jobs: after those of a removal, or since other requests deliver messages of
        the meeting."""
        self._queuing = AsyncExitStack()
        """Ends the turn."""
        self._rooms = {
            user.key: user.principal_id
            for user in (message.recipient for message in self._plan.messages)
            if user.principal_id is not None and not user.may_organize
        }
        """The ids of the rooms and equipment that it invites, by their keys as recipients."""
        self._booking = self._turns.rooms.of(self._rooms.values())
        self._began = time.monotonic()

    async def apply(self) -> Put:
        """Write the object and deliver the messages. No recipient's state fails the change.

        Requests of one meeting queue. One that has waited for too long leaves its messages to jobs.
        """
        try:
            if not self._plan.messages or self._is_late:
                return await self._apply()
            async with self._turns.in_worker(self._meeting, PATIENCE) as came, self._queuing, self._booking:
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
                self._storage, self._set, self._limits, cause, self._unchanged, self._conflicted, self._taken
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

    async def _taken(self, key: str, left: LeftOut[str]) -> None:
        """Others took the time of a room: decide again, or leave the room to jobs, which have more time."""
        if left.taken[key] > _MOST_TAKEN:
            left.busy.add(key)
        elif key in self._rooms:
            await self._booking.conflicted(self._rooms[key])

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
        remembered, known = remembered_after(self._change, self._plan, self._uid, mailbox, self._former)
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
        told, merged = await self._answered(delivered, asked, mailboxes, known)
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
        plan = self._plan
        if merged is not None and mailbox is not None:
            statuses |= dict.fromkeys(merged.answered, ANSWERED)
            plan = replace(plan, object=merged.object)
            made.remembered[: len(remembered)] = remembered_with(merged.known, merged.object, self._uid, mailbox)
            items = await item_writes(self._storage, self._objects, mailbox, merged.items)
            made.writes += [(None, write) for write in items]
        stored = plan.with_statuses(statuses, directory)
        writes, made.result = await self._own(stored, None if mailbox is None else mailbox.addresses)
        made.writes[:0] = [(None, write) for write in writes]
        if mailbox is not None and self._owner.kind in ROOMS and self._plan.role is SchedulingRole.ATTENDEE:
            await self._answer_of_room(made, stored, mailbox)
        made.merges = sum(any(result.answers for result in done.received) for done in delivered.values())
        made.jobs += split_jobs_after(self._settings, delivered.values(), self._change.now)
        await self._follow_up(made, delivered, mailboxes)
        await self._tell(
            made, [each for key, of in told.items() if key not in messages for each in of], mailboxes, known
        )
        return made

    async def _answer_of_room(self, made: _Set, stored: SchedulingObject | None, mailbox: Mailbox) -> None:
        """Add to a set what follows where somebody answers for a room: its inbox has the request no more, and the
        organizer gets a link to check in.

        :param stored: the room's copy; None: it is deleted.
        """
        user, directory = self._change.owner, self._change.directory
        if user.key not in self._left.busy | self._left.failed and is_settled(mailbox, stored, user, directory):
            made.write(user.key, await item_deletions(self._storage, mailbox, self._uid))
        if stored is not None and self._plan.messages and sends_links(mailbox):
            made.jobs += link_jobs(mailbox)

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
    ) -> tuple[Mapping[str, Sequence[Message]], Merged | None]:
        """Deliver an organizer's messages to those for whom the server may answer.

        Returns what all learn of the answers, by the key of the recipient, and the organizer's object with them; None
        without any.
        """
        change, value = self._change, self._plan.object
        if value is None or self._plan.role is not SchedulingRole.ORGANIZER:
            return {}, None
        receptions: dict[str, Reception] = {}
        for key, each in messages.items():
            mailbox = mailboxes.get(each[0].recipient.principal_id or 0)
            if mailbox is not None and mailbox.answers and key not in self._left.failed:
                receptions[key] = await self._received(self._owner, each, mailbox, change.directory, known)
        while True:
            replies = replies_in(receptions.values(), change.owner)
            merged = self._merged(value, replies, known, change.directory) if replies else None
            told = {} if merged is None else merged.refreshes(change.owner, change.directory, change.now)
            for key, reception in receptions.items():
                if merged is not None and key in merged.answered:
                    reception = with_answers_of_others(reception, told.get(key, ()), change.directory)
                delivered[key] = await self._written(reception)
            # An answer counts if its copy can be stored.
            refused = {reply.sender.key for reply in replies if not delivered[reply.sender.key].received}
            if not refused:
                return told, merged
            receptions = {key: each for key, each in receptions.items() if key not in refused}

    def _merged(
        self, value: SchedulingObject, replies: Sequence[Message], known: memory.Known, directory: Directory
    ) -> Merged:
        located = self._change.rooms_in_location
        return merged_answers(value, replies, known, directory, self._change.now, rooms_in_location=located)

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
