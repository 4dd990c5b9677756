"""Restoring deleted members, through the same write path as every other change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePosixPath

from server.domain.actors import Actor
from server.domain.errors import AlreadyExists, NotFound, UidConflict
from server.domain.objects import Target
from server.domain.privileges import Privilege
from server.services.changing import change
from server.services.lookup import Found, Lookup
from server.services.objects import Objects


async def restore_object(
    lookup: Lookup,
    objects: Objects,
    actor: Actor,
    place: Target,
    deleted_id: int,
    text: str,
    properties: Mapping[str, str] | None,
) -> str:
    """Put a text with its dead properties back in its place, or under another name if that was taken meanwhile.

    Returns the name. Clients see a new resource. Raises `NotFound` when there is no such collection, `AlreadyExists`
    when there is an object with its UID, `TooManyConflicts` when every attempt conflicted, and what `Objects.put`
    raises.
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
            await objects.put(actor, found, text.encode(), properties=properties or {}, plain_if_taken=True)
        except UidConflict as error:
            raise AlreadyExists(f"It exists already, as {error.name}.") from None
        return found.name

    return await change(free_name, put)
