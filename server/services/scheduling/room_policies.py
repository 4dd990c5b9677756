"""By which policy a recipient's invitations are answered, who asks, and what a room brings to the decision."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from typing import Any, get_args

from server.booking.deciding import RoomRules
from server.booking.opening_times import closed_times
from server.booking.policy import Mode, Policy, Requester, parse_policy, policy_of_mode
from server.calendar.iana import iana_zone
from server.calendar.zones import UTC_ZONE, Zone
from server.domain.errors import InvalidData, InvalidPrincipal, TooManyInstances
from server.domain.principals import Principal, name_key
from server.domain.rooms import Room
from server.itip.calendar_users import CalendarUser
from server.itip.messages import Message
from server.itip.room_copies import discreet
from server.itip.room_releases import with_releases
from server.itip.scheduling_object import SchedulingObject
from server.services.scheduling.groups import groups_of
from server.services.time.time_ranges import zone_or_utc
from server.storage import Storage
from server.storage.scheduling import AddressSearch, Mailbox

ROOMS = ("room", "resource")
"""Kinds of principals that others book."""
_LEFT_TO_PEOPLE = Policy(automation="none")


def mode_of(settings: Mapping[str, Any] | None) -> Mode:
    """The auto-schedule mode of a recipient."""
    mode = (settings or {}).get("mode", "none")
    return mode if mode in get_args(Mode) else "none"


def own_policy(mailbox: Mailbox) -> Policy | None:
    """The policy of a room; None for one without a policy, and for people."""
    return None if mailbox.room is None else policy_of(mailbox.room)


def policy_of(room: Room) -> Policy | None:
    """The policy of a room; None for one without a policy."""
    return _policy(json.dumps(room.policy, sort_keys=True)) if room.policy else None


@lru_cache(maxsize=10_000)
def _policy(text: str) -> Policy:
    try:
        return parse_policy(json.loads(text))
    except InvalidPrincipal:
        # A newer version has stored what this one does not know.
        return _LEFT_TO_PEOPLE


async def policy_for(
    storage: Storage, mailbox: Mailbox, sender: Principal | None, organizer: CalendarUser
) -> tuple[Policy, Requester]:
    """The policy that answers an organizer, and who they are for it.

    Only a policy that names somebody, and a mode with an auto-accept group, cost statements.
    """
    external = not organizer.is_here
    policy = own_policy(mailbox)
    if policy is not None:
        return policy, Requester(await matches(storage, policy.named, sender), external)
    settings = mailbox.auto_schedule or {}
    group = settings.get("auto_accept_group")
    is_auto_accepted = bool(group) and group in await matches(storage, [str(group)], sender)
    return policy_of_mode("automatic" if is_auto_accepted else mode_of(settings)), Requester(external=external)


async def zone_for(mailbox: Mailbox) -> Zone:
    """The zone of a recipient: that of the room, else that of the calendar."""
    named = None if mailbox.room is None or not mailbox.room.time_zone else iana_zone(mailbox.room.time_zone)
    if named is not None:
        return named
    calendar = mailbox.collection or next(iter(mailbox.calendars), None)
    return UTC_ZONE if calendar is None or not calendar.timezone else await zone_or_utc(calendar.timezone)


def rules_of(mailbox: Mailbox, policy: Policy, zone: Zone, start: datetime, end: datetime) -> RoomRules | None:
    """What a room brings to a decision about a window; None for people."""
    if mailbox.kind not in ROOMS:
        return None
    room = mailbox.room
    if room is None:
        return RoomRules()
    try:
        closed = closed_times(room.opening_times, zone, start, end) if policy.opening_hours_only else ()
    except (InvalidData, TooManyInstances):
        closed = ()
    return RoomRules(room.buffer_before + room.buffer_after, room.capacity, tuple(closed))


def as_kept(
    mailbox: Mailbox, before: SchedulingObject | None, after: SchedulingObject | None
) -> SchedulingObject | None:
    """A recipient's object as it is stored: that of a room without what its policy strips, and with what was released.

    :param before: the stored object, which comes back where the two are alike.
    """
    if after is None or after is before:
        return after
    if before is not None and mailbox.kind in ROOMS:
        after = with_releases(before, after)
    policy = own_policy(mailbox)
    if policy is None:
        return after
    made = discreet(after, policy)
    return before if before is not None and made is not after and made.text == before.text else made


def discreet_message(mailbox: Mailbox, message: Message) -> Message:
    """A message as it lies in a recipient's inbox: for a room, without what its policy strips."""
    policy = own_policy(mailbox)
    made = message.object if policy is None else discreet(message.object, policy)
    return message if made is message.object else replace(message, object=made)


async def matches(storage: Storage, named: Iterable[str], sender: Principal | None) -> frozenset[str]:
    """Those of some names and ids of people and groups that are an organizer's, or of groups they belong to."""
    wanted = frozenset(named)
    if not wanted or sender is None:
        return frozenset()
    found = await storage.addressed(AddressSearch(wanted, frozenset(map(name_key, wanted))))
    by_id = {each.principal.id: each.principal for each in found}
    groups = [id_ for id_, each in by_id.items() if each.kind == "group"]
    mine = {sender.id} & by_id.keys()
    if groups:
        members, _ = await storage.group_members(sorted(groups), 0, "")
        mine |= {
            each.user.principal_id
            for each in groups_of(members).values()
            if each.user.principal_id is not None and sender.id in {user.principal_id for user in each.members}
        }
    keys = {key for id_ in mine for key in (by_id[id_].uid, name_key(by_id[id_].name))}
    return frozenset(each for each in wanted if each in keys or name_key(each) in keys)
