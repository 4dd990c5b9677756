"""The booking policies of rooms: setting and removing them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from server.booking.policy import as_json, parse_policy
from server.domain.actors import Actor
from server.domain.errors import InvalidPrincipal
from server.domain.privileges import Privilege
from server.domain.rooms import Room
from server.services.principals.changes import demand_in_directory
from server.services.rooms.policy_texts import policy_value
from server.services.rooms.rooms import find_room
from server.storage.directory import Directory, PrincipalChange, PrincipalRecord


async def set_policy(
    actor: Actor, directory: Directory, name: str, given: Mapping[str, str], *, has_links: bool = True
) -> Room:
    """Set parameters of a room's policy by texts; an empty one sets the default. Returns the room as it is now.

    Without any, the room gets the policy of all defaults where it has none.

    :param has_links: whether the server has a public URL: else no link checks in.

    Raises `InvalidPrincipal`, `NotFound`,
    `WriteConflict`, `AccessDenied`.
    """
    record, room = await find_room(actor, directory, name)
    wanted = dict(room.policy)
    for parameter, text in given.items():
        value = policy_value(parameter, text)
        if text.strip():
            wanted[parameter] = value
        else:
            wanted.pop(parameter, None)
    policy = parse_policy(wanted)
    if policy.release_no_shows and policy.check_in == "link" and not has_links:
        raise InvalidPrincipal("policy.release_no_shows with check_in link needs network.external_url for the links.")
    return await _store(actor, directory, record, replace(room, policy=as_json(policy)))


async def remove_policy(actor: Actor, directory: Directory, name: str) -> Room:
    """Take away a room's policy: its auto-schedule mode counts again. Raises as `set_policy`."""
    record, room = await find_room(actor, directory, name)
    return await _store(actor, directory, record, replace(room, policy={}))


async def _store(actor: Actor, directory: Directory, record: PrincipalRecord, room: Room) -> Room:
    demand_in_directory(actor, Privilege.WRITE_PROPERTIES)
    if room != record.room:
        await directory.write_principals([PrincipalChange(record.id, room=room)], actor.cause)
    return room
