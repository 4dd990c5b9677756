"""What one change of a scheduling object does at its recipients, and what others learn of their answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from server.domain.changes import Delete
from server.domain.jobs import Job
from server.domain.principals import Principal
from server.itip.calendar_users import Directory, addresses
from server.itip.change import utc_stamp
from server.itip.messages import Message, Method
from server.itip.participants import with_schedule_statuses
from server.itip.reception import DELIVERED, resets_of
from server.itip.refreshing import refreshes
from server.services.scheduling import memory
from server.services.scheduling.calendar_users import address_of, directory_of
from server.services.scheduling.delivery import Delivered, by_recipient, delivery_of, not_delivered, put_object
from server.services.scheduling.dispatches import (
    meeting_of,
    new_dispatch,
    principal_key,
    refresh_job,
    sending_of,
)
from server.services.scheduling.intent import Intent, Services
from server.services.scheduling.letters import NO_CALENDAR_USER, NOT_DELIVERED, Letter, Reception, reception_of
from server.services.scheduling.planned import (
    answered_stamp,
    organizer_of,
    owner_of,
)
from server.services.scheduling.shared_sets import LeftOut, SharedSet
from server.storage.scheduling import Mailbox


class ChangeDeliveries:
    """The deliveries of one change."""

    def __init__(self, services: Services, intent: Intent) -> None:
        self._storage, self._objects = services.storage, services.objects.for_one_set()
        self._settings, self._mails = services.settings, services.mails
        self._actor, self._change, self._plan, self._also = intent.actor, intent.change, intent.plan, intent.also
        self._owner = owner_of(intent.found)
        named = self._change.old if self._change.new is None else self._change.new
        self._uid = "" if named is None else named.uid
        self._meeting = meeting_of(organizer_of(self._change, self._plan), self._uid)
        self._left: LeftOut[str] = LeftOut()
        """Recipients in whose homes nothing is written any more. Jobs deliver to those whose objects are busy."""

    async def _tell(
        self, made: SharedSet[str], messages: Sequence[Message], mailboxes: Mapping[int, Mailbox], known: memory.Known
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
        *,
        invites: bool = False,
    ) -> Delivered:
        """The delivery of messages to one recipient. The parameters are as those of `_received`."""
        recipient = messages[0].recipient
        if recipient.key in self._left.failed:
            return not_delivered(NOT_DELIVERED)
        mailbox = None if recipient.principal_id is None else mailboxes.get(recipient.principal_id)
        if mailbox is None:
            return not_delivered(NO_CALENDAR_USER)
        received = await self._received(sender, messages, mailbox, directory, known, invites=invites)
        return await self._written(received)

    async def _received(
        self,
        sender: Principal | None,
        messages: Sequence[Message],
        mailbox: Mailbox,
        directory: Directory,
        known: memory.Known,
        *,
        invites: bool = False,
    ) -> Reception:
        """What messages do in the home of one recipient, before anything is written.

        :param sender: whose messages the recipient must take; None for those that refresh a copy.
        :param known: what the home of the meeting's owner knows.
        :param invites: whether they are an organizer's, for a delegate of the sender.
        """
        is_own = sender is not None and not invites
        is_new = self._change.old is None and is_own
        resets = resets_of(known.rows.resets, messages[0].recipient)
        about = answered_stamp(self._change, self._plan, known) if is_own else ""
        now = self._change.now
        letter = Letter(sender, messages, now, resets, is_new, known.since, about)
        return await reception_of(
            self._storage,
            self._objects,
            mailbox,
            [letter],
            directory,
            self._mails.language,
            rooms_in_location=self._settings.rooms_in_location,
        )

    async def _written(self, reception: Reception) -> Delivered:
        """The delivery of what was received."""
        delivered = await delivery_of(self._storage, self._objects, reception)
        gone = [write.expected for write in self._also if isinstance(write, Delete)]
        if any(write.expected in gone for write in delivered.writes):
            return not_delivered(NOT_DELIVERED)  # what they have of the meeting is moved away
        return delivered

    async def _follow_up(
        self, made: SharedSet[str], delivered: Mapping[str, Delivered], mailboxes: Mapping[int, Mailbox]
    ) -> None:
        """Add to a set what others learn of the answers that were delivered."""
        known = (self._change.owner.key, *delivered)
        for key, done in delivered.items():
            changed = frozenset(instance for result in done.received for instance in result.changed)
            sent = [each for result in done.received for each in result.messages if each.recipient.key not in known]
            self._send_back(made, key, done, mailboxes)
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
            mailbox = _mailbox_of(key, mailboxes)
            job = self._refresh_job(mailbox, [each for each in others if each.recipient.key not in invited])
            if job is not None:
                made.jobs += job
                others = [each for each in others if each.recipient.key in invited]
            more = [*(each for each in others if each.quiet), *sent]
            if mailbox is not None:
                await self._invite(made, mailbox, done, by_recipient(each for each in others if not each.quiet))
                by_mail = self._mails.of(mailbox.home, mailbox.collection, more, self._meeting, self._change.now)
                made.mails += by_mail.mails
            await self._refresh(made, more, directory, done.known)

    def _send_back(
        self, made: SharedSet[str], key: str, delivered: Delivered, mailboxes: Mapping[int, Mailbox]
    ) -> None:
        """Leave to a job what a recipient sends back to those whose objects the change writes itself.

        :param key: the recipient's.
        """
        sent = (message for result in delivered.received for message in result.messages if message.quiet)
        back = [each for each in sent if each.method is Method.REPLY or each.recipient.key == self._change.owner.key]
        mailbox = _mailbox_of(key, mailboxes)
        if back and mailbox is not None:
            now = self._change.now
            sending = sending_of(by_recipient(back), delivered.known, self._actor.cause, now, {}, is_new=False)
            made.dispatches.append(new_dispatch(mailbox.home.id, self._uid, self._meeting, sending))

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
            self._send_back(made, key, done, found)
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
                self._send_back(made, key, done, mailboxes)
                made.refreshes += bool(done.writes)


def _mailbox_of(key: str, mailboxes: Mapping[int, Mailbox]) -> Mailbox | None:
    return next((each for each in mailboxes.values() if principal_key(each.principal_id) == key), None)
