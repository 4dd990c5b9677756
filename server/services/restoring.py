"""Restoring what somebody deleted: members, through the same call as every other write, and whole collections."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import PurePosixPath

from server.domain.changes import Cause, PropertyChanges
from server.domain.errors import AlreadyExists, NotFound, UidConflict
from server.domain.objects import Collection, HomeKind, Target
from server.services.changing import change
from server.services.objects import Objects
from server.storage import Storage
from server.storage.reads import Resolution


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
    `AlreadyExists` when there is an object with its UID, `Unavailable` when every attempt conflicted, and what
    `Objects.put` raises.
    """
    path = PurePosixPath(name)
    names = (name, f"{path.stem}-restored-{deleted_id}{path.suffix}")
    place = Target(owner, "uid", home, collection)

    async def put(found: tuple[str, Collection]) -> str:
        free, holder = found
        try:
            await objects.put(holder, free, text.encode(), None, cause)
        except UidConflict as error:
            raise AlreadyExists(f"It is there already, as {error.name}.") from None
        return free

    free = await change(partial(_free_name, storage, place, names), put)
    if properties:
        await _set_properties(storage, objects, replace(place, object=free), properties, cause)
    return free


async def _free_name(storage: Storage, place: Target, names: tuple[str, ...]) -> tuple[str, Collection]:
    """The first name that is free in a collection, and the collection. Raises `NotFound`, `AlreadyExists`."""
    for free in names:
        found = await storage.resolve(None, replace(place, object=free))
        if found.collection is None:
            raise NotFound("The collection was deleted too: restore it first.")
        if found.object is None:
            return free, found.collection
    raise AlreadyExists(f"It has been restored already, as {names[-1]}.")


async def _set_properties(
    storage: Storage, objects: Objects, place: Target, properties: dict[str, str], cause: Cause
) -> None:
    """Set the dead properties of a restored object, unless it has been deleted again."""

    async def set_properties(found: Resolution) -> None:
        if found.collection is not None and found.object is not None:
            await objects.set_properties(found.collection, found.object, PropertyChanges(dict(properties)), cause)

    await change(partial(storage.resolve, None, place), set_properties)
