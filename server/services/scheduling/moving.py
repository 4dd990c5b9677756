"""Moves of scheduling objects between the calendars of one owner, by MOVE and by a PUT under a new name.

Thunderbird and Evolution move an object so: they PUT it in the other calendar, then DELETE it in the first one.
Thunderbird also accepts a mailed invitation by a PUT with `If-None-Match: *`, under a name of its own, where the server
has put the invitation into the calendar already.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from server.domain.actors import Actor
from server.domain.changes import Delete, Put, StoredContent, Write
from server.domain.contents import ObjectContent
from server.domain.errors import AccessDenied, SchedulingObjectExists, SignInRequired, UidConflict, WriteConflict
from server.domain.objects import Collection, Object
from server.domain.privileges import Privilege
from server.domain.scheduling import SCHEDULING_OBJECTS
from server.services.lookup import Found, Lookup
from server.services.objects import Objects, state_of
from server.services.permissions import collection_of, member_of
from server.services.scheduling.delivery import is_delivered
from server.storage import Storage
from server.storage.scheduling import Mailbox

FORGIVEN = timedelta(minutes=1)
"""How long a DELETE of the old name succeeds after a move by PUT."""


class HeldElsewhere(Exception):
    """The home has the scheduling object of the UID under another name."""

    def __init__(self, collection: Collection, held: Object) -> None:
        super().__init__()
        self.collection = collection
        self.object = held


def demand_not_held(found: Found, content: ObjectContent | None, mailbox: Mailbox | None) -> None:
    """Raises `HeldElsewhere` if a put at the found name would make a second scheduling object of the UID."""
    if (
        found.object is not None
        or content is None
        or content.scheduling.role not in SCHEDULING_OBJECTS
        or mailbox is None
    ):
        return
    held, collection = mailbox.object, mailbox.collection
    if held is not None and collection is not None and held.role in SCHEDULING_OBJECTS:
        raise HeldElsewhere(collection, held)


async def source_of(storage: Storage, actor: Actor, found: Found, held: HeldElsewhere) -> Found:
    """The scheduling object that a put at the found name moves.

    In one calendar only an attendee's object is moved that the server has put there and no app has written yet.

    Raises `UidConflict` where it is not moved for this reason, `SchedulingObjectExists` if the actor may not remove it,
    and `WriteConflict` if it has changed.
    """
    if held.collection.id == collection_of(found).id and not is_delivered(held.object):
        raise UidConflict(held.object.name)
    assert found.target is not None
    target = replace(found.target, collection=held.collection.name, object=held.object.name)
    try:
        source = await Lookup(storage).find(actor, target, Privilege.UNBIND)
        source.require(Privilege.READ, Privilege.UNBIND)
    except (AccessDenied, SignInRequired):
        raise SchedulingObjectExists from None
    if source.object is None or source.object.id != held.object.id or collection_of(source).view is not None:
        raise WriteConflict
    return source


async def moving_writes(objects: Objects, found: Found, source: Found, content: ObjectContent) -> tuple[Write, ...]:
    """The writes that move a member to the found name, and put a content in its place.

    The first one is the put. What has the name is replaced. Between calendars of which one has views the member becomes
    another resource, as in every move there.
    """
    origin, target, member = collection_of(source), collection_of(found), member_of(source)
    state = state_of(member)
    assert state is not None
    deletion = Delete(origin, member.name, state)
    if (origin.views or target.views) and origin.id != target.id:
        moved = await objects.stored(origin, member) if origin.views and target.views else None
        put = await objects.put_of(target, found.name, content, found.object, member.properties, moved=moved)
        return put, deletion
    put = await objects.put_of(target, found.name, content, member)
    stored = StoredContent(origin, member.name, state)
    return put, Put(target, found.name, stored, state_of(found.object), keep_id=True), deletion


async def was_moved(storage: Storage, found: Found) -> bool:
    """Whether the found name, which is free, was that of a scheduling object that has moved a moment ago.

    Raises `AccessDenied` if the actor may not remove members there.
    """
    found.require(Privilege.UNBIND)
    return await storage.has_moved(collection_of(found), found.name, FORGIVEN)
