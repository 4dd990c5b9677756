"""Restoring deleted members, through the same write path as every other change; and what restored calendars send."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import PurePosixPath

from server.domain.actors import Actor
from server.domain.errors import (
    AlreadyExists,
    InvalidData,
    NotFound,
    QuotaExceeded,
    SchedulingRefused,
    UidConflict,
)
from server.domain.objects import Target
from server.domain.privileges import Privilege
from server.domain.scheduling import SchedulingRole
from server.services.changing import change
from server.services.lookup import Found, Lookup
from server.services.reading import Reading
from server.services.scheduling.implicit import Scheduling


async def restore_object(
    lookup: Lookup,
    scheduling: Scheduling,
    actor: Actor,
    place: Target,
    deleted_id: int,
    text: str,
    properties: Mapping[str, str] | None,
) -> str:
    """Put a text with its dead properties back in its place, or under another name if that was taken meanwhile.

    Returns the name. Clients see a new resource. A meeting is sent to its attendees again.

    Raises `NotFound` when there is no such collection, `AlreadyExists` when there is an object with its UID,
    `TooManyConflicts` when every attempt conflicted, and what `Scheduling.restore` raises.
    """
    path = PurePosixPath(place.object or "")
    names = (place.object or "", f"{path.stem}-restored-{deleted_id}{path.suffix}")

    async def free_name() -> Found:
        for name in names:
            found = await lookup.find(actor, replace(place, object=name), Privilege.BIND)
            if found.collection is None:
                raise NotFound("The collection was deleted too: restore it first.")
            if found.object is None:
                return found
        raise AlreadyExists(f"It was restored already, as {names[-1]}.")

    async def put(found: Found) -> str:
        try:
            await scheduling.restore(actor, found, text, properties or {})
        except UidConflict as error:
            raise AlreadyExists(f"It exists already, as {error.name}.") from None
        return found.name

    return await change(free_name, put)


async def invite_again(
    lookup: Lookup, reading: Reading, scheduling: Scheduling, actor: Actor, place: Target
) -> tuple[int, int]:
    """Make the meetings of a restored calendar scheduling objects again, as far as they are no longer: attendees are
    invited again, and the owner's copies of others' meetings become what their organizers have now.

    Returns how many there were, and of how many others the rules of scheduling, or a limit, do not allow it. Raises
    `NotFound` if there is no such calendar.
    """
    found = await lookup.find(actor, place, Privilege.READ)
    if found.collection is None or found.collection.kind != "calendar":
        raise NotFound
    invited = refused = 0
    async for page in reading.pages(found, ("name", "scheduling", "organizer")):
        for name, role, organizer in page:
            if organizer is None or role != SchedulingRole.NONE:
                continue
            member = partial(lookup.find, actor, replace(place, object=name), Privilege.WRITE_CONTENT, text=True)
            try:
                invited += await change(member, partial(_invite, scheduling, actor))
            except (SchedulingRefused, InvalidData, QuotaExceeded):
                refused += 1
    return invited, refused


async def _invite(scheduling: Scheduling, actor: Actor, found: Found) -> bool:
    """Make a plain object the scheduling object that it was; returns whether it is one now."""
    member = found.object
    if member is None or member.role is not SchedulingRole.NONE:
        return False
    put = await scheduling.restore(actor, found, member.text or "", {})
    return put.schedule_tag is not None
