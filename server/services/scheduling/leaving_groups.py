"""Who leaves a group that an organizer elsewhere has invited: their copy is cancelled.

The organizer has invited the group, and nobody tells them who its members are (RFC 5546 and RFC 6047 have no message
for that). So the server acts in the place of the organizer, as for a member whom an organizer here removes: a CANCEL
lies in the inbox, and the copy has STATUS:CANCELLED. An organizer who has got an answer of the member counts on them,
and gets an answer that declines, as where the member deletes the copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from server.domain.changes import Cause
from server.imip.group_members import attends_as_member, cancelled_for_member, has_promised
from server.imip.past import is_over
from server.itip.attendee import plan_attendee_removal
from server.itip.calendar_users import CalendarUser, addresses
from server.itip.change import Change
from server.itip.groups import people_of
from server.itip.messages import Message, Method
from server.itip.participants import organizer
from server.itip.reception import DELIVERED
from server.itip.scheduling_object import read_object
from server.services.lookup import Found
from server.services.permissions import collection_of
from server.services.scheduling import memory
from server.services.scheduling.calendar_users import address_of, directory_of
from server.services.scheduling.dispatches import meeting_of
from server.services.scheduling.groups import groups_of
from server.services.scheduling.intent import Services
from server.services.scheduling.planned import owner_of
from server.services.scheduling.single_messages import Post, post


async def leave_groups(services: Services, found: Found, text: str, now: datetime) -> bool:
    """Cancel somebody's copy, unless they still belong to a group through which they are invited, are invited by name,
    or the meeting is over. Returns whether it was cancelled. Raises `WriteConflict`.

    :param found: the copy.
    :param text: that of the copy.
    """
    owner, copy = owner_of(found), read_object(text)
    directory = await directory_of(services.storage, addresses(copy) | {address_of(owner)})
    member, by = directory.user(address_of(owner)), organizer(copy, directory)
    if by is None or by.is_here or is_over(copy, now) or not attends_as_member(copy, member, directory):
        return False
    (mailbox,) = await services.storage.mailboxes(owner.id, [owner.id], copy.uid)
    if await _is_member(services, memory.read(mailbox.state).groups.ids, member, by):
        return False
    made = Change(copy, None, member, directory, now)
    cancel = cancelled_for_member(copy, member, directory, made.dtstamp)
    declined = plan_attendee_removal(made).messages if has_promised(copy, member, directory) else ()
    mailed = services.mails.of(mailbox.home, collection_of(found), declined, meeting_of(by, copy.uid), now)
    sent = Post(Message(Method.CANCEL, by, member, cancel), None, directory, now)
    return await post(services, Cause(None, "jobs"), sent, mails=mailed.mails) == DELIVERED


async def _is_member(services: Services, ids: Sequence[int], member: CalendarUser, by: CalendarUser) -> bool:
    """Whether a group through which somebody is invited leads to them. One that the organizer may not expand any more
    takes nobody out."""
    groups = groups_of((await services.storage.group_members(list(ids), 0, ""))[0])
    for id_ in ids:
        key = f"principal:{id_}"
        people = people_of(key, groups, by) if key in groups else []
        if people is None or any(each.key == member.key for each in people):
            return True
    return not ids
