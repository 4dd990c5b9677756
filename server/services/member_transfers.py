"""Copies and moves of members between calendars and address books (RFC 4918 §9.8, §9.9)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from server.auth import policy
from server.domain.actors import Actor
from server.domain.changes import (
    Cause,
    Delete,
    ObjectState,
    StoredContent,
    Unchanged,
    UnchangedObject,
    Written,
)
from server.domain.changes import Put as PutWrite
from server.domain.errors import (
    AccessDenied,
    AccessRestrictionChange,
    SameResource,
    UidConflict,
    UnsupportedComponent,
)
from server.domain.etags import etag_of
from server.domain.objects import Collection, Object
from server.domain.privileges import Privilege
from server.domain.scheduling import SchedulingRole
from server.process.computing import computed
from server.services import views
from server.services.contents import UNRESTRICTED
from server.services.lookup import Found
from server.services.objects import Objects, Put, state_of, text_of
from server.services.permissions import collection_of, demand_receivable, member_of
from server.storage import Storage


async def transfer(
    objects: Objects,
    actor: Actor,
    found: Found,
    target: Found,
    *,
    keep: bool,
    unchanged: Sequence[Unchanged] = (),
) -> Put:
    """Copy (`keep`) or move a member to a name that is free or whose member is replaced.

    Raises `SameResource`, `UnsupportedComponent`, `UidConflict` with the name of the member that has the UID,
    `SchedulingObjectExists` (a home has one scheduling object of a UID), `QuotaExceeded`, `TooManyMembers`,
    `WriteConflict`, `AccessDenied`.
    """
    demand_transferable(found, target, keep=keep)
    source, member = collection_of(found), member_of(found)
    destination, name, replaced, cause = collection_of(target), target.name, target.object, actor.cause
    state = ObjectState(member.id, member.revision)
    async with objects.naming_holder(destination, member.uid):
        if await _is_transferred_as_text(objects.storage, source, member, destination, keep=keep):
            return await _transfer_text(objects, found, target, cause, keep, unchanged)
        stored = StoredContent(source, member.name, state)
        put = PutWrite(destination, name, stored, state_of(replaced), keep_id=not keep)
        deletion = () if keep else (Delete(source, member.name, state),)
        written = await objects.apply((put, *deletion), cause, unchanged)
    return Put(replaced is None, member.etag, True, written)


async def _is_transferred_as_text(
    storage: Storage, source: Collection, member: Object, destination: Collection, *, keep: bool
) -> bool:
    """Whether a copy or move puts the text: between calendars of which one has views, and of a meeting that goes to
    another person, who may organize or attend it."""
    if source.home_id == destination.home_id or source.kind != "calendar":
        return (source.views or destination.views) and (keep or source.id != destination.id)
    if source.views or destination.views or member.role is not SchedulingRole.NONE:
        return True
    rows = await storage.members_by_id(source, [member.id], ("organizer",))
    return any(row[0] is not None for row in rows)


async def _transfer_text(
    objects: Objects, found: Found, target: Found, cause: Cause, keep: bool, unchanged: Sequence[Unchanged]
) -> Put:
    """As `transfer`: puts the text as a new resource. A move between calendars of one owner keeps what each person has
    for themselves; else it is the text in the actor's view."""
    source, member, destination = collection_of(found), member_of(found), collection_of(target)
    if keep or source.home_id != destination.home_id or not (source.views and destination.views):
        put, as_seen = await put_of_text(objects, found, target)
    else:
        put, as_seen = await _put_with_views(objects, found, target)
    state = ObjectState(member.id, member.revision)
    if keep:
        read = UnchangedObject(source.home_id, state)
        written = await objects.apply((put,), cause, (*unchanged, read))
    else:
        written = await objects.apply((put, Delete(source, member.name, state)), cause, unchanged)
    return replace(as_seen, written=written)


async def _put_with_views(objects: Objects, found: Found, target: Found) -> tuple[PutWrite, Put]:
    """As `put_of_text`, with the text of the owner and the views of all others. The actor's view stays as it is."""
    source, member, destination, replaced = collection_of(found), member_of(found), collection_of(target), target.object
    stored, former = await objects.stored(source, member), await objects.stored(destination, replaced)
    assert stored is not None
    seen, viewer = await text_of(objects.storage, found), destination.view
    view = None
    if viewer is not None and viewer in stored.personal:
        view = (await computed(views.decide, viewer, seen, stored, stored.owner)).view
    based_on = (0, 0) if former is None else former.state
    rendered = await computed(views.views_of, stored.text, stored.personal, based_on, view, stored.owner)
    content = await objects.content(destination, stored.text.encode(), None)
    put = PutWrite(destination, target.name, content, state_of(replaced), rendered, member.properties)
    result = Put(replaced is None, etag_of(seen.encode()), True, Written(0, 0, None), content.schedule_tag)
    return put, result


async def put_of_text(objects: Objects, found: Found, target: Found) -> tuple[PutWrite, Put]:
    """The write that puts the found member's text, in the actor's view, as a new resource at a target; and its
    result, when it has been applied.

    Raises `AccessRestrictionChange` for X-CALENDARSERVER-ACCESS that the actor may not set there.
    """
    member = member_of(found)
    destination, name, replaced = collection_of(target), target.name, target.object
    text = seen = await text_of(objects.storage, found)
    rendered = None
    if destination.views:
        stored = await objects.stored(destination, replaced)
        personal, based_on = ({}, (0, 0)) if stored is None else (stored.personal, stored.state)
        owner = await objects.owner_addresses(destination, stored)
        view = None
        if destination.view is not None:
            decision = await computed(views.decide, destination.view, text, None, owner)
            view, text = decision.view, decision.owner_text or text
        rendered = await computed(views.views_of, text, personal, based_on, view, owner)
        if view is not None:
            seen = rendered.view_of(view.principal_id).text
    content = await objects.content(destination, text.encode(), None)
    if (
        content.access not in UNRESTRICTED
        and collection_of(found).home_id != destination.home_id
        and not policy.may_restrict(target.viewer, target.owner, destination)
    ):
        raise AccessRestrictionChange
    put = PutWrite(destination, name, content, state_of(replaced), rendered, member.properties)
    result = Put(replaced is None, etag_of(seen.encode()), True, Written(0, 0, None), content.schedule_tag)
    return put, result


def demand_transferable(found: Found, target: Found, *, keep: bool) -> None:
    """Raises `AccessDenied`, `SameResource`, `UnsupportedComponent` or `UidConflict` if the found member may not be
    copied (`keep`) or moved to the target."""
    found.require(Privilege.READ if keep else Privilege.UNBIND)
    if found.sees_part:
        raise AccessDenied("", Privilege.READ)
    demand_receivable(target, keep=keep)
    source, member, destination, replaced = collection_of(found), member_of(found), collection_of(target), target.object
    if (source.id, member.name) == (destination.id, target.name):
        raise SameResource
    if destination.components and member.component not in destination.components:
        raise UnsupportedComponent(f"The calendar takes {', '.join(destination.components)} only.")
    if replaced is not None and replaced.uid != member.uid:
        raise UidConflict(replaced.name, "Another UID may not replace the one of the resource.")
