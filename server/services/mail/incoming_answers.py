"""Messages of attendees elsewhere that arrive by mail: answers, proposals, requests for a refresh."""

from __future__ import annotations

from functools import partial

from server.imip.parties import attendee_of, is_delegate, lines_of, tagged_attendee, to_organizer, with_parties
from server.imip.tags import ReplyTag
from server.itip.calendar_users import CalendarUser, addresses
from server.itip.message_text import read_message
from server.itip.participants import all_attendees, attendee_line, organizer
from server.itip.scheduling_object import SchedulingObject
from server.services.changing import change
from server.services.mail.held import Reason
from server.services.mail.incoming_effects import Effects, Outcome, Source
from server.services.scheduling.calendar_users import address_of
from server.services.scheduling.former_organizers import address_digest
from server.storage.scheduling import Mailbox


async def take_answer(effects: Effects, found: SchedulingObject, source: Source) -> Outcome:
    """A message of an attendee, to the organizer; where they have handed the meeting over, to who organizes it now."""
    tag, directory = _tag_of(effects, found, source), await effects.directory(found, source)
    if tag is not None:
        owner = await effects.incoming.owner_of_home(tag.home_id)
        candidates = [] if owner is None else [address_of(owner)]
    else:
        stated = organizer(found, directory)
        candidates = list(source.recipients) if stated is None else [stated.address]
    directory = await effects.directory(found, source, candidates)
    users = {user.key: user for user in map(directory.user, candidates) if user.is_here}
    for recipient in users.values():
        outcome = await change(
            partial(effects.mailbox, recipient, found.uid), partial(_answered, effects, found, source, tag, recipient)
        )
        if outcome is not Outcome.NOT_CONCERNED:
            return outcome
    digests = [] if tag is not None else [address_digest(each, effects.secret) for each in candidates]
    home_id = None if tag is None else tag.home_id
    successors = list(map(address_of, await effects.incoming.organizers_after(found.uid, home_id, digests)))
    directory = await effects.directory(found, source, successors) if successors else directory
    for recipient in map(directory.user, successors):
        outcome = await change(
            partial(effects.mailbox, recipient, found.uid),
            partial(_answered, effects, to_organizer(found, recipient), source, tag, recipient),
        )
        if outcome is not Outcome.NOT_CONCERNED:
            return outcome
    return Outcome.NOT_CONCERNED


def _tag_of(effects: Effects, found: SchedulingObject, source: Source) -> ReplyTag | None:
    """The tag of the envelope, or of ORGANIZER, that is about the meeting."""
    if effects.tags is None:
        return None
    stated = [line.value.strip() for line in lines_of(found, "ORGANIZER")[:1]]
    in_text = [effects.tags.read(each[7:]) for each in stated if each.lower().startswith("mailto:")]
    tags = [*source.tags, *(each for each in in_text if isinstance(each, ReplyTag))]
    return next((each for each in tags if effects.tags.is_about(each, found.uid)), None)


async def _answered(
    effects: Effects,
    found: SchedulingObject,
    source: Source,
    tag: ReplyTag | None,
    recipient: CalendarUser,
    mailbox: Mailbox | None,
) -> Outcome:
    if mailbox is None or mailbox.inbox is None or mailbox.object is None:
        return Outcome.NOT_CONCERNED
    meeting = effects.services.objects.scheduling_object(mailbox.object.text or "")
    directory = await effects.directory(found, source, [recipient.address, *addresses(meeting)])
    recipient = directory.user(recipient.address)
    organizes = organizer(meeting, directory)
    if organizes is None or organizes.key != recipient.key:
        return Outcome.NOT_CONCERNED
    if tag is None or effects.tags is None:
        attendee = attendee_of(found, source.address, directory)
    else:
        attendee = tagged_attendee(effects.tags, tag, found, meeting, directory)
        if attendee is not None:
            found = with_parties(found, attendee, recipient, directory)
    if attendee is None:
        return Outcome.NOT_CONCERNED
    if attendee.is_here:
        return Outcome.LOCAL
    message = read_message(found.text, attendee, recipient, directory)
    own = [line for each in message.object.components if (line := attendee_line(each, attendee, directory))]
    if tag is None and not effects.is_from(attendee, own, source, mailbox, directory):
        return await effects.hold(source, mailbox, message, Reason.UNTRUSTED)
    if len({address for line in own for address in line.params.get("DELEGATED-TO", [])}) > 1:
        return Outcome.REFUSED  # each delegate elsewhere would get a mail
    if attendee.key not in all_attendees(meeting, directory) and not is_delegate(meeting, attendee, directory):
        return await effects.hold(source, mailbox, message, Reason.NOT_INVITED)
    return await effects.post(message, source, directory)
