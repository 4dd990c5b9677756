"""Restoring what somebody deleted: members, through the same call as every other write, and whole collections."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath

from server.domain.changes import Cause, PropertyChanges
from server.domain.errors import AlreadyExists, NotFound, UidConflict, WriteConflict
from server.domain.objects import HomeKind, Target
from server.services.objects import Objects
from server.storage import Storage

_ATTEMPTS = 12
"""How often a write is tried while others write to the same calendar."""


async def restore_object(
    storage: Storage,
    objects: Objects,
    owner: str,
    home: HomeKind,
    collection: str,
    name: str,
    deleted_id: int,
    text: str,
    properties: dict[str, str] | None,
    cause: Cause,
) -> str:
    """Put a text back into its collection, under its name, or under another if that was taken meanwhile; returns it.

    `owner` is a principal's stable id. Clients see a new resource. Raises `NotFound` when there is no such collection,
    `AlreadyExists` when there is an object with its UID, `WriteConflict` when every attempt conflicted, and what
    `Objects.put` raises.
    """
    path = PurePosixPath(name)
    names = (name, f"{path.stem}-restored-{deleted_id}{path.suffix}")
    for _ in range(_ATTEMPTS):
        try:
            free = await _put(storage, objects, Target(owner, "uid", home, collection), names, text, cause)
            break
        except WriteConflict:
            continue
    else:
        raise WriteConflict
    if properties:
        await _set_properties(storage, objects, Target(owner, "uid", home, collection, free), properties, cause)
    return free


async def _put(
    storage: Storage, objects: Objects, place: Target, names: tuple[str, ...], text: str, cause: Cause
) -> str:
    """Create an object under the first name that is free; returns the name."""
    for free in names:
        found = await storage.resolve(None, replace(place, object=free))
        if found.collection is None:
            raise NotFound("The collection was deleted too: restore it first.")
        if found.object is None:
            break
    else:
        raise AlreadyExists(f"It has been restored already, as {free}.")
    try:
        await objects.put(found.collection, free, text.encode(), None, cause)
    except UidConflict as error:
        raise AlreadyExists(f"It is there already, as {error.name}.") from None
    return free


async def _set_properties(
    storage: Storage, objects: Objects, place: Target, properties: dict[str, str], cause: Cause
) -> None:
    """Set the dead properties of a restored object, unless it has been deleted again."""
    for _ in range(_ATTEMPTS):
        found = await storage.resolve(None, place)
        if found.collection is None or found.object is None:
            return
        try:
            await objects.set_properties(found.collection, found.object, PropertyChanges(dict(properties)), cause)
            return
        except WriteConflict:
            continue
    raise WriteConflict
