"""Messages of organizers elsewhere that arrive by mail: requests, additions, cancellations, declined proposals."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial

from server.imip.group_members import Through, members_of, with_member
from server.imip.parties import lines_of
from server.itip.calendar_users import CalendarUser, Directory
from server.itip.message_text import read_message
from server.itip.messages import Method
from server.itip.participants import all_attendees, organizer
from server.itip.scheduling_object import SchedulingObject
from server.services.changing import change
from server.services.mail.held import Reason
from server.services.mail.incoming_effects import Effects, Outcome, Source
from server.services.scheduling.groups import groups_of, people_in
from server.storage.scheduling import Mailbox


async def take_invitation(effects: Effects, found: SchedulingObject, source: Source) -> Sequence[Outcome]:
    """A message of an organizer, to each recipient."""
    directory = await effects.directory(found, source)
    own = organizer(found, directory)
    if own is None:
        return [Outcome.UNREADABLE]
    if own.is_here:
        return [Outcome.LOCAL]
    invited = {key: user for key, user in all_attendees(found, directory).items() if user.is_here}
    named = {user.key for user in map(directory.user, source.recipients) if user.is_here}
    people = {key: user for key, user in invited.items() if not user.is_group and (not named or key in named)}
    members: Through | None = {}
    groups = [user for user in invited.values() if user.is_group]
    if groups:
        known = groups_of((await effects.services.storage.group_members(sorted(map(_id, groups)), 0, ""))[0])
        directory = Directory([*directory.users, *people_in(known)])
        members = members_of([each.key for each in groups], known, own, effects.services.max_attendees)
    outcomes = [await _invited(effects, found, own, each, (), source, directory) for each in people.values()]
    for key, (user, through) in (members or {}).items():
        # Mail servers may have put the members in the place of the group.
        if key not in invited and (not named or key in named or not named.isdisjoint(through)):
            outcomes.append(await _invited(effects, found, own, user, through, source, directory))
    return outcomes or [Outcome.NOT_CONCERNED if members is not None else Outcome.REFUSED]


async def _invited(
    effects: Effects,
    found: SchedulingObject,
    own: CalendarUser,
    recipient: CalendarUser,
    groups: Collection[str],
    source: Source,
    directory: Directory,
) -> Outcome:
    """A message of an organizer, to a recipient, whom it may name by groups alone."""

    ids = tuple(sorted(_id(user) for user in directory.users if user.key in groups))

    async def decide(mailbox: Mailbox | None) -> Outcome:
        if mailbox is None or mailbox.inbox is None:
            return Outcome.NOT_CONCERNED
        stored = None if mailbox.object is None else mailbox.object.text or ""
        copy = None if stored is None else effects.services.objects.scheduling_object(stored)
        text = (with_member(found, recipient, groups, copy, directory) if groups else found).text
        message = read_message(text, own, recipient, directory)
        if not effects.is_from(own, lines_of(found, "ORGANIZER"), source, mailbox, directory):
            return await effects.hold(source, mailbox, message, Reason.UNTRUSTED, ids)
        if copy is not None:
            organizes = organizer(copy, directory)
            if organizes is None or organizes.key != own.key:
                return Outcome.REFUSED
        elif not await _is_welcome(effects, own, mailbox):
            if message.method not in (Method.REQUEST, Method.ADD):
                return Outcome.NOT_CONCERNED
            return await effects.hold(source, mailbox, message, Reason.UNKNOWN_SENDER, ids)
        return await effects.post(message, source, directory, ids)

    return await change(partial(effects.mailbox, recipient, found.uid), decide)


async def _is_welcome(effects: Effects, sender: CalendarUser, mailbox: Mailbox) -> bool:
    """Whether the invitations of an organizer elsewhere are put into the recipient's calendar."""
    if effects.settings.invitations != "known":
        return effects.settings.invitations == "all"
    kind, _, address = sender.key.partition(":")
    if kind != "mailto":
        return kind == "principal"  # somebody of the organisation whose calendar is elsewhere
    if address.rpartition("@")[2] in effects.settings.domains:
        return True
    return await effects.incoming.knows_sender(mailbox.principal_id, address)


def _id(user: CalendarUser) -> int:
    assert user.principal_id is not None
    return user.principal_id
