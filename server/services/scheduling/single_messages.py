"""Messages that no change of an object sends: proposals and their rejection, and what comes from elsewhere.

Each is one change set: what it does at its recipient, what is sent in return, and what others learn of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from server.domain.changes import Cause, Unchanged, Write
from server.domain.mails import NewMails
from server.domain.principals import Principal
from server.domain.values import value
from server.itip.calendar_users import Directory, addresses
from server.itip.change import utc_stamp
from server.itip.messages import Message
from server.itip.participants import organizer
from server.itip.reception import resets_of
from server.itip.refreshing import refreshes
from server.services.mail.outgoing import NO_WAY, NOTHING, Outgoing
from server.services.scheduling import memory
from server.services.scheduling.calendar_users import directory_of
from server.services.scheduling.delivery import Delivered, by_recipient, deliver, not_delivered
from server.services.scheduling.dispatches import meeting_of
from server.services.scheduling.intent import Services
from server.services.scheduling.letters import NO_CALENDAR_USER, NOT_DELIVERED, Letter
from server.services.scheduling.long_series import split_jobs_after
from server.services.scheduling.shared_sets import LeftOut, SharedSet, apply_shared


@value
class Post:
    """A message on its way."""

    message: Message
    sender: Principal | None
    """In whose name it is sent; None: somebody elsewhere."""
    directory: Directory
    """The calendar users of both."""
    now: datetime
    """When it is sent; aware."""
    groups: tuple[int, ...] | None = None
    """As in `Letter`."""


async def post(
    services: Services,
    cause: Cause,
    sent: Post,
    also: Sequence[Write] = (),
    unchanged: Sequence[Unchanged] = (),
    mails: Sequence[NewMails] = (),
) -> str:
    """Deliver a message; returns the SCHEDULE-STATUS of its recipient.

    No state of a recipient raises an error.

    :param also: other writes that are made with it, whatever becomes of it.
    :param mails: what is mailed with it.
    :raises WriteConflict: if something has changed since it was read.
    """

    async def make(left: LeftOut[str]) -> SharedSet[str]:
        delivered, mailed = await _deliveries(services, sent, left.failed)
        made: SharedSet[str] = SharedSet(writes=[(None, write) for write in also], mails=[*mails, *mailed])
        for key, each in delivered.items():
            made.deliver(key, each)
            made.merges += sum(bool(result.answers) for result in each.received)
        made.outcomes = [(sent.message.method, delivered[sent.message.recipient.key].statuses[0])]
        made.refreshes = len(delivered) - 1
        made.jobs += split_jobs_after(services.settings, delivered.values(), sent.now)
        return made

    room = sent.message.recipient.principal_id
    async with services.turns.rooms.of() as booking:

        async def taken(_: str, __: LeftOut[str]) -> None:
            if room is not None:
                await booking.conflicted(room)

        made, _ = await apply_shared(services.storage, make, services.limits, cause, unchanged, taken=taken)
    if made.writes or made.remembered:
        services.counts.delivered(made.outcomes, made.merges, made.refreshes)
    return made.outcomes[0][1]


async def _deliveries(
    services: Services, sent: Post, failed: set[str]
) -> tuple[dict[str, Delivered], tuple[NewMails, ...]]:
    """The deliveries of a message and of what follows from it, by the key of the recipient, who comes first; and what
    goes by mail."""
    recipient = sent.message.recipient
    if not recipient.is_here:
        mailed = NOTHING if sent.sender is None else await _mailed(services, sent, sent.sender.id, [sent.message])
        return {recipient.key: not_delivered(mailed.statuses.get(recipient.key, NO_WAY))}, mailed.mails
    found = {
        recipient.key: await _delivery(
            services, sent, sent.sender, [sent.message], sent.directory, memory.Known(), failed
        )
    }
    done = found[recipient.key]
    if done.object is None:
        return found, ()
    directory = await directory_of(services.storage, addresses(done.object) | set(recipient.addresses))
    changed = frozenset(instance for each in done.received for instance in each.changed)
    invited = frozenset(user.key for each in done.received for user in each.invited)
    answered = frozenset((sent.message.sender.key, recipient.key))
    more = [message for each in done.received for message in each.messages]
    if changed:
        more += refreshes(done.object, changed, directory, utc_stamp(sent.now), answered, invited)
    for key, messages in by_recipient(more).items():
        if messages[0].recipient.is_here and key != recipient.key:
            found[key] = await _delivery(services, sent, None, messages, directory, done.known, failed)
    elsewhere = [message for message in more if not message.recipient.is_here]
    if not elsewhere or recipient.principal_id is None:
        return found, ()
    return found, (await _mailed(services, sent, recipient.principal_id, elsewhere)).mails


async def _mailed(services: Services, sent: Post, sender: int, messages: Sequence[Message]) -> Outgoing:
    """What of messages in the name of a principal here goes by mail."""
    uid = messages[0].uid
    mailboxes = await services.storage.mailboxes(sender, [sender], uid)
    by = organizer(messages[0].object, sent.directory) or messages[0].sender
    if not mailboxes:
        return NOTHING
    return services.mails.of(mailboxes[0].home, mailboxes[0].collection, messages, meeting_of(by, uid), sent.now)


async def _delivery(
    services: Services,
    sent: Post,
    sender: Principal | None,
    messages: Sequence[Message],
    directory: Directory,
    known: memory.Known,
    failed: set[str],
) -> Delivered:
    """The delivery of messages to one recipient. `known` is what the home knows that they come from."""
    recipient = messages[0].recipient
    if recipient.key in failed:
        return not_delivered(NOT_DELIVERED)
    if recipient.principal_id is None:
        return not_delivered(NO_CALENDAR_USER)
    by = recipient.principal_id if sent.sender is None else sent.sender.id
    mailboxes = await services.storage.mailboxes(by, [recipient.principal_id], messages[0].uid)
    if not mailboxes:
        return not_delivered(NO_CALENDAR_USER)
    resets = resets_of(known.rows.resets, recipient)
    groups = sent.groups if messages[0] is sent.message else None
    letter = Letter(sender, messages, sent.now, resets or None, since=known.since, groups=groups)
    return await deliver(services.storage, services.objects, mailboxes[0], [letter], directory, services.mails.language)
