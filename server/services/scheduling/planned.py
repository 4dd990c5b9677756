"""What is known of a planned change before anything is delivered.

That is whether the actor may send its messages, which meeting they are about, and what the sender's home knows
afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import replace

from server.auth import policy
from server.domain.actors import Actor
from server.domain.changes import Remember
from server.domain.errors import AccessDenied
from server.domain.objects import Target
from server.domain.principals import Principal
from server.domain.privileges import SENDING, Privilege
from server.domain.scheduling import SchedulingRole
from server.itip.calendar_users import CalendarUser
from server.itip.change import Change, utc_stamp
from server.itip.messages import FROM_ATTENDEES, Message, Plan
from server.itip.participants import organizer
from server.itip.reception import Rows, after_change, memory_of, with_resets
from server.itip.scheduling_object import SchedulingObject
from server.services.lookup import Found, Lookup
from server.services.permissions import collection_of
from server.services.scheduling import memory
from server.services.scheduling.former_organizers import NOBODY, FormerOrganizers
from server.storage import Storage
from server.storage.scheduling import Mailbox


async def demand_sending(storage: Storage, actor: Actor, found: Found, messages: Sequence[Message]) -> None:
    """Raises `AccessDenied`, with the sender, if the actor may not send messages in the name of the owner of what was
    found (RFC 6638 §6.2)."""
    invite, reply = Privilege.SCHEDULE_SEND_INVITE, Privilege.SCHEDULE_SEND_REPLY
    await _demand(storage, actor, found, {reply if each.method in FROM_ATTENDEES else invite for each in messages})


async def may_send(storage: Storage, actor: Actor, found: Found) -> bool:
    """Whether the actor may send invitations in the name of the owner of what was found."""
    try:
        await _demand(storage, actor, found, {Privilege.SCHEDULE_SEND_INVITE})
    except AccessDenied:
        return False
    return True


async def _demand(storage: Storage, actor: Actor, found: Found, privileges: Set[Privilege]) -> None:
    """Raises `AccessDenied` for the first of these privileges that the actor lacks on the outbox of the owner."""
    owner, needed = owner_of(found), sorted(privileges)
    if not needed or policy.may_send(found.viewer, owner, collection_of(found).id, found.grants):
        return
    target = Target(owner.uid, "uid", "calendar", "outbox")
    try:
        outbox = await Lookup(storage).find(actor, target, needed[0], or_need=needed[-1])
    except AccessDenied as error:
        raise AccessDenied("", error.privilege, sender=owner) from None
    held = policy.sends_by_list(outbox.viewer, collection_of(outbox), outbox.grants) if outbox.viewer else SENDING
    for privilege in needed:
        if privilege not in held:
            raise AccessDenied("", privilege, sender=owner)


def remembered_after(
    change: Change, plan: Plan, uid: str, mailbox: Mailbox | None, former: FormerOrganizers = NOBODY
) -> tuple[tuple[Remember, ...], memory.Known]:
    """What the owner's home knows after a change: if it is to be stored, and all of it.

    :param former: who organized the meeting before the change hands it over to the owner.
    """
    if mailbox is None:
        return (), memory.Known()
    known, old = memory.read(mailbox.state), change.old
    if plan.role is SchedulingRole.ATTENDEE:
        before = memory_of(old) if known.memory is None else known.memory
        known = replace(known, memory=after_change(before, old, plan, change.owner, change.directory))
    elif old is None or plan.object is None:
        # What was answered before is about another meeting.
        since = utc_stamp(change.now) if known.since or plan.object is None else ""
        known = memory.Known(rows=with_resets(Rows(), plan.resets), since=since, former=known.former)
    else:
        known = replace(known, rows=with_resets(known.rows, plan.resets), former=known.former | former)
    if plan.role is SchedulingRole.ORGANIZER and plan.object is not None and change.groups is not None:
        known = replace(known, groups=replace(change.groups, statuses=()))
    return remembered_with(known, plan.object, uid, mailbox), known


def remembered_with(
    known: memory.Known, stored: SchedulingObject | None, uid: str, mailbox: Mailbox
) -> tuple[Remember, ...]:
    """What is to be stored of what a home knows; nothing if that is stored already."""
    state = memory.write(known, stored)
    return () if state == mailbox.state else (Remember(mailbox.home.id, uid, state, mailbox.version),)


def answered_stamp(change: Change, plan: Plan, known: memory.Known) -> str:
    """`Letter.about` of what a change sends.

    :param known: what the home knows after it. Apps may have put any DTSTAMP into the object.
    """
    if plan.role is not SchedulingRole.ATTENDEE or change.old is None:
        return ""
    received = memory_of(change.old) if known.memory is None else known.memory
    return max((version.dtstamp for version in received.versions.values()), default="")


def organizer_of(change: Change, plan: Plan) -> CalendarUser:
    """The organizer of a meeting that its owner changes."""
    if plan.role is SchedulingRole.ATTENDEE:
        for each in (change.old, change.new):
            found = None if each is None else organizer(each, change.directory)
            if found is not None:
                return found
    return change.owner


def owner_of(found: Found) -> Principal:
    """The owner of the home in which something was found."""
    assert found.owner is not None
    return found.owner
