"""Proposals of another time (RFC 5546 §3.2.7, §3.2.8): an attendee makes one, the organizer rejects it.

A proposal lies in the organizer's inbox and sets nothing. The organizer accepts it by moving the meeting, as any app
does, and rejects it by deleting the item while the meeting is at another time.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

from server.domain.actors import Actor
from server.domain.changes import Delete, ObjectState, Unchanged
from server.domain.errors import AttendeeChangeRefused, InvalidData
from server.domain.privileges import Privilege
from server.domain.scheduling import SchedulingRole
from server.itip import proposing
from server.itip.acting import sent_for
from server.itip.calendar_users import Directory, addresses
from server.itip.change import utc_stamp
from server.itip.counters import declined_counter
from server.itip.messages import Message, Method
from server.itip.participants import organizer
from server.itip.scheduling_component import MASTER
from server.itip.scheduling_object import SchedulingObject, read_object
from server.services.lookup import Found
from server.services.objects import text_of
from server.services.permissions import collection_of, member_of
from server.services.scheduling.acting import acting_addresses, acting_user
from server.services.scheduling.calendar_users import address_of, directory_of
from server.services.scheduling.intent import Services
from server.services.scheduling.originator import originator_of
from server.services.scheduling.planned import demand_sending, owner_of
from server.services.scheduling.single_messages import Post, post


async def propose(
    services: Services,
    actor: Actor,
    found: Found,
    start: datetime | date,
    end: datetime | date,
    instance: str = MASTER,
    comment: str = "",
    *,
    now: datetime,
) -> str:
    """Propose another time for the found meeting, or for an instance of it, to its organizer.

    Returns the SCHEDULE-STATUS of the delivery. Times are as `server.itip.proposing.propose` takes them.

    :raises AttendeeChangeRefused: for what is no copy of an attendee, and for what that function refuses.
    :raises AccessDenied: if the actor may not answer in the owner's name.
    :raises WriteConflict: if something has changed since it was read.
    """
    found.require(Privilege.WRITE_CONTENT)
    member, collection, owner = member_of(found), collection_of(found), owner_of(found)
    if member.role is not SchedulingRole.ATTENDEE or collection.view is not None:
        raise AttendeeChangeRefused("Only attendees propose another time.")
    copy = await _object(services, found)
    directory = await directory_of(services.storage, addresses(copy) | {address_of(owner), *acting_addresses(found)})
    user = directory.user(address_of(owner))
    try:
        message = proposing.propose(copy, user, directory, utc_stamp(now), start, end, instance, comment)
    except InvalidData:
        raise AttendeeChangeRefused("There is no such meeting.") from None
    await demand_sending(services.storage, actor, found, [message])
    message = sent_for(message, acting_user(found, directory), directory)
    return await post(services, actor.cause, Post(message, owner, directory, now))


async def delete_proposal(
    services: Services, actor: Actor, found: Found, *, unchanged: Sequence[Unchanged] = (), now: datetime
) -> bool:
    """Delete an item that is a proposal, and reject it; False of any other item, and where nobody is to be told.

    Nobody is told if the meeting is at the proposed time, is gone, or no longer invites who proposed it.

    :raises AccessDenied: if the actor may not send in the owner's name.
    :raises WriteConflict: if something has changed since it was read.
    """
    member, owner = member_of(found), owner_of(found)
    address = originator_of(member.properties)
    if address is None:
        return False
    proposal = await _object(services, found)
    named = {address, address_of(owner), *acting_addresses(found)}
    directory = await directory_of(services.storage, addresses(proposal) | named)
    user = directory.user(address_of(owner))
    mailboxes = await services.storage.mailboxes(owner.id, [owner.id], proposal.uid)
    stored = None if not mailboxes else mailboxes[0].object
    meeting = None if stored is None or stored.text is None else read_object(stored.text)
    if meeting is None or not _organizes(meeting, user.key, directory):
        return False
    counter = Message(Method.COUNTER, directory.user(address), user, proposal)
    message = declined_counter(counter, meeting, directory, utc_stamp(now))
    if message is None:
        return False
    await demand_sending(services.storage, actor, found, [message])
    message = sent_for(message, acting_user(found, directory), directory)
    delete = Delete(collection_of(found), member.name, ObjectState(member.id, member.revision))
    await post(services, actor.cause, Post(message, owner, directory, now), (delete,), unchanged)
    return True


def _organizes(meeting: SchedulingObject, key: str, directory: Directory) -> bool:
    own = organizer(meeting, directory)
    return own is not None and own.key == key


async def _object(services: Services, found: Found) -> SchedulingObject:
    """The stored object of the found member. Raises `WriteConflict` if it is gone."""
    return read_object(await text_of(services.storage, found))
