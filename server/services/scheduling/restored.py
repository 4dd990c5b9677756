"""An attendee's copy that was deleted and is restored."""

from __future__ import annotations

from datetime import datetime

from server.domain.changes import Remember
from server.domain.contents import ObjectContent
from server.domain.principals import Principal
from server.domain.scheduling import SchedulingRole
from server.domain.values import value
from server.itip.calendar_users import addresses
from server.itip.participants import organizer
from server.itip.restoring import restored_copy
from server.itip.scheduling_object import SchedulingObject, read_object
from server.services.lookup import Found
from server.services.objects import Objects
from server.services.permissions import collection_of
from server.services.scheduling import memory
from server.services.scheduling.calendar_users import directory_of
from server.services.scheduling.sending import address_of
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
    state = memory.write(memory.Known(rows=memory.read(own.state).rows), present)
    return Restored(content, (Remember(own.home.id, content.uid, state, own.version),))


def _organized(mailbox: Mailbox | None) -> SchedulingObject | None:
    """The organizer's object in a mailbox."""
    if mailbox is None or mailbox.object is None or mailbox.object.role is not SchedulingRole.ORGANIZER:
        return None
    return read_object(mailbox.object.text or "")
