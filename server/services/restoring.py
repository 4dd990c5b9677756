"""Restoring what somebody deleted: members, through the same call as every other write, and whole collections."""

from __future__ import annotations

from pathlib import PurePosixPath

from server.errors import AlreadyExists, NotFound, UidConflict
from server.services.objects import Objects
from server.storage import Cause, HomeKind, PropertyChanges, Storage, Target


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
    """Put a text back into its collection, under its name, or under another if that was taken meanwhile; gives it.

    `owner` is a principal's stable id. Clients see a new resource. Raises `NotFound` when the collection is not there,
    `AlreadyExists` when an object with its UID is, and what `Objects.put` raises.
    """
    path = PurePosixPath(name)
    for free in (name, f"{path.stem}-restored-{deleted_id}{path.suffix}"):
        found = await storage.resolve(None, Target(owner, "uid", home, collection, free))
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
    if properties:
        made = (await storage.resolve(None, Target(owner, "uid", home, collection, free))).object
        if made is not None:
            await objects.set_properties(found.collection, made, PropertyChanges(dict(properties)), cause)
    return free
