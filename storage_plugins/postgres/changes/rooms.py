"""Writes of the attributes of rooms, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence

from server.domain.changes import UnchangedRoom
from server.domain.errors import NotFound, WriteConflict
from server.domain.jobs import Job
from server.domain.principals import PrincipalKind, name_key
from server.domain.rooms import Room, default_type, searched
from server.storage.jobs import ROOM_CARDS
from storage_plugins.postgres.database import Connection

_COLUMNS = (
    "type, site, building, floor, number, capacity, features, accessibility, latitude, longitude, photograph, contact, "
    "time_zone, opening_times, metadata, buffer_before, buffer_after, pieces, allowed_overlaps, parent_id, policy, "
    "site_key, building_key, floor_key, words"
)
_VALUES = ", ".join(f"${number}" for number in range(3, 3 + len(_COLUMNS.split(", "))))
_PARENT = """
    select exists (
        select from principal p where p.id = $1 and p.kind in ('room', 'resource') and p.deleted_at is null
    )
"""
_ABOVE = """
    with recursive above (id) as (
        select $1::bigint
        union
        select r.parent_id from above a join room r on r.principal_id = a.id where r.parent_id is not null
    )
    select exists (select from above where id = $2)
"""
_CHANGED = """
    select exists (
        select from unnest($1::bigint[], $2::bigint[]) as u (id, version)
        where coalesce((select r.version from room r where r.principal_id = u.id), 0) <> u.version
           or not exists (select from principal p where p.id = u.id and p.deleted_at is null)
    )
"""


CARDS_JOB = Job(ROOM_CARDS, lock_key=ROOM_CARDS, queueing_key=ROOM_CARDS)
"""Stored with every change of a room: its card follows."""


async def create(connection: Connection, principal_id: int, kind: PrincipalKind, wanted: Room | None) -> None:
    """Store the attributes of a new room or resource."""
    await connection.execute("insert into room (principal_id, type) values ($1, $2)", principal_id, default_type(kind))
    if wanted is not None:
        await _set(connection, principal_id, wanted, 1, 1)


async def change(connection: Connection, principal_id: int, wanted: Room | None) -> bool:
    """Store the attributes of a room or resource that is changed; None: they stay, and the version moves.

    The state that they replace has the version `wanted.version`. Raises `WriteConflict` if it has another, and
    `NotFound` if there is no such room or parent. Returns whether the principal is a room or resource.
    """
    kind = await connection.fetchval("select kind from principal where id = $1", principal_id)
    if kind not in ("room", "resource"):
        if wanted is not None:
            raise NotFound("There is no such room.")
        return False
    there = await connection.fetchval("select version from room where principal_id = $1 for update", principal_id)
    if wanted is not None and wanted.version != (there or 0):
        raise WriteConflict
    if there is None:
        await create(connection, principal_id, kind, wanted)
    elif wanted is None:
        await connection.execute("update room set version = version + 1 where principal_id = $1", principal_id)
    else:
        await _set(connection, principal_id, wanted, there, there + 1)
    return True


async def _set(connection: Connection, principal_id: int, wanted: Room, there: int, version: int) -> None:
    if wanted.parent is not None:
        if not await connection.fetchval(_PARENT, wanted.parent):
            raise NotFound("There is no such room, of which it is to be a part.")
        if await connection.fetchval(_ABOVE, wanted.parent, principal_id):
            raise NotFound("A room cannot be a part of itself.")
    position = wanted.position
    await connection.execute(
        f"update room set ({_COLUMNS}, version) = ({_VALUES}, {version:d}) "  # noqa: S608
        "where principal_id = $1 and version = $2",
        principal_id,
        there,
        wanted.type,
        wanted.site,
        wanted.building,
        wanted.floor,
        wanted.number,
        wanted.capacity,
        sorted(wanted.features),
        wanted.accessibility,
        None if position is None else position.latitude,
        None if position is None else position.longitude,
        wanted.photograph,
        wanted.contact,
        wanted.time_zone,
        wanted.opening_times,
        wanted.metadata,
        wanted.buffer_before,
        wanted.buffer_after,
        wanted.pieces,
        wanted.allowed_overlaps,
        wanted.parent,
        wanted.policy,
        name_key(wanted.site),
        name_key(wanted.building),
        name_key(wanted.floor),
        _words(wanted),
    )


def _words(room: Room) -> str:
    """The folded attributes that are searched, as `name=text`, one a line; of the metadata as `metadata=text`."""
    named: list[tuple[str, str]] = [
        (name, text) for name, texts in searched(room).items() if name != "type" for text in texts
    ]
    named += [("metadata", text) for _, text in sorted(room.metadata.items())]
    return "\n".join(f"{name}={name_key(text)}" for name, text in named)


async def require_unchanged(connection: Connection, states: Sequence[UnchangedRoom]) -> None:
    """Hold the rooms as they are until the end of the transaction.

    Raises `WriteConflict` if one of them has changed or was deleted.
    """
    ids = sorted({state.principal_id for state in states})
    await connection.execute(
        "select from room where principal_id = any($1::bigint[]) order by principal_id for share", ids
    )
    versions = [state.version for state in states]
    if await connection.fetchval(_CHANGED, [state.principal_id for state in states], versions):
        raise WriteConflict
