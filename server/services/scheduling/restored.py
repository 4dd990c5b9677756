"""An attendee's copy that was deleted, and is restored or made anew."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from server.domain.changes import Remember
from server.domain.contents import ObjectContent
from server.domain.principals import Principal
from server.domain.scheduling import SchedulingRole
from server.domain.values import value
from server.itip.attendee import left_to_client, scheduled_by_server
from server.itip.calendar_users import CalendarUser, Directory, addresses
from server.itip.participants import organizer
from server.itip.planning import scheduling_role
from server.itip.restoring import restored_copy
from server.itip.scheduling_object import SchedulingObject, read_object
from server.services.lookup import Found
from server.services.objects import Objects
from server.services.permissions import collection_of
from server.services.scheduling import memory
from server.services.scheduling.calendar_users import address_of, directory_of
from server.storage.scheduling import Mailbox, Scheduling


@value
class Restored:
    """A copy as it is restored."""

    content: ObjectContent
    remembered: tuple[Remember, ...]
    """The attendee's home forgets that the copy was declined and removed."""


async def restored_content(
    storage: Scheduling, objects: Objects, owner: Principal, found: Found, content: ObjectContent, now: datetime
) -> Restored:
    """What is stored for an attendee, `owner`, who restores a copy: what the organizer's object says now.

    The text of the copy stays where there is no such object here.
    """
    address = address_of(owner)
    deleted = read_object(content.text)
    directory = await directory_of(storage, addresses(deleted) | {address})
    to = organizer(deleted, directory)
    ids = {owner.id} if to is None or to.principal_id is None else {owner.id, to.principal_id}
    mailboxes = {each.principal_id: each for each in await storage.mailboxes(owner.id, sorted(ids), content.uid)}
    present = None
    held = None if to is None or to.principal_id is None else _organized(mailboxes.get(to.principal_id))
    if held is not None:
        directory = await directory_of(storage, addresses(deleted, held) | {address})
        present = restored_copy(deleted, held, directory.user(address), directory, now)
    if present is not None:
        content = await objects.content(collection_of(found), present.text.encode(), None)
    own = mailboxes.get(owner.id)
    if own is None or own.state is None:
        return Restored(content, ())
    state = memory.write(replace(memory.read(own.state), memory=None), present)
    return Restored(content, (Remember(own.home.id, content.uid, state, own.version),))


async def made_anew(
    storage: Scheduling, owner: Principal, value: SchedulingObject, user: CalendarUser, directory: Directory
) -> SchedulingObject:
    """A new object of its calendar's owner, without SCHEDULE-AGENT if that is a copy of what the server sends them.

    CalDAV Synchronizer writes SCHEDULE-AGENT=CLIENT when it puts a copy into a calendar after it has deleted it in
    another one. As in a copy that is there, this does not count where the organizer is here.
    """
    if scheduling_role(value, user, directory) is not SchedulingRole.ATTENDEE or not left_to_client(value):
        return value
    to = organizer(value, directory)
    if to is None or to.principal_id is None:
        return value
    mailboxes = await storage.mailboxes(owner.id, [to.principal_id], value.uid)
    held = _organized(mailboxes[0] if mailboxes else None)
    if held is None:
        return value
    directory = await directory_of(storage, addresses(value, held) | {address_of(owner)})
    return scheduled_by_server(value, held, user, directory)


def _organized(mailbox: Mailbox | None) -> SchedulingObject | None:
    """The organizer's object in a mailbox."""
    if mailbox is None or mailbox.object is None or mailbox.object.role is not SchedulingRole.ORGANIZER:
        return None
    return read_object(mailbox.object.text or "")
