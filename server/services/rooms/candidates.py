"""Rooms and equipment as candidates for a meeting: what they have, and when they can be booked by who asks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from server.auth import policy as rights
from server.booking.finding import Candidate, Needs, lacking
from server.booking.opening_times import closed_times
from server.booking.places import Place
from server.booking.policy import Policy, Requester, policy_of_mode
from server.calendar.iana import iana_zone
from server.calendar.zones import UTC_ZONE, Zone
from server.domain.actors import Actor
from server.domain.errors import InvalidData
from server.domain.principals import Principal, name_key
from server.domain.rooms import ListedRoom, Room, RoomSearch
from server.services.lookup import Lookup
from server.services.scheduling.room_policies import matches, policy_of
from server.services.time.time_ranges import zone_or_utc
from server.storage import Storage

_PAGE = 1000
_NO_RULES = policy_of_mode("automatic")
"""Of rooms without a policy."""


@dataclass(frozen=True, slots=True)
class BookableRoom:
    """A room with what decides when it can be booked."""

    listed: ListedRoom
    policy: Policy
    zone: Zone
    """Of times without a zone in its opening times."""

    def closed(self, start: datetime, end: datetime) -> Sequence[tuple[datetime, datetime]]:
        """When it is closed (`server.booking.opening_times.closed_times`). One whose times cannot be computed is always
        open."""
        try:
            return closed_times(self.listed.room.opening_times, self.zone, start, end)
        except InvalidData:
            return ()

    def candidate(
        self, who: Requester | None, window: tuple[datetime, datetime], now: datetime, *, hidden: bool
    ) -> Candidate:
        """The room as a candidate for meetings in a window, without the times at which it is taken.

        :param who: None: the installation, which asks for anybody.
        :param hidden: whether its busy times are not for the eyes of who asks.
        """
        room, policy = self.listed.room, self.policy
        may_book = who is None or who.belongs_to(policy.book_in_policy)
        may_request = who is None or any(map(who.belongs_to, (policy.request_in_policy, policy.request_out_of_policy)))
        return Candidate(
            self.listed.principal.uid,
            self.listed.principal.display_name,
            room.type,
            room.capacity,
            room.features,
            bool(room.accessibility),
            place_of(room),
            closed=self.closed(*window),
            shortest=_minutes(policy.min_duration_minutes),
            longest=_minutes(policy.max_duration_minutes),
            bookable_until=None if policy.booking_window_days is None else now + timedelta(policy.booking_window_days),
            may_book=(may_book or may_request) and not hidden,
            by_approval=policy.automation != "accept" or not may_book,
        )


async def bookable_rooms(storage: Storage, search: RoomSearch) -> list[BookableRoom]:
    """The rooms that a search finds, without disabled ones, in order of names."""
    found: list[BookableRoom] = []
    after = None
    while True:
        page = await storage.rooms_found(search, after=after, limit=_PAGE)
        enabled = [each for each in page if not each.principal.disabled]
        zones = await _zones(storage, [each.room for each in enabled])
        found += [
            BookableRoom(each, policy_of(each.room) or _NO_RULES, zones[each.room.principal_id]) for each in enabled
        ]
        if len(page) < _PAGE:
            return found
        after = name_key(page[-1].principal.name)


async def candidates(
    storage: Storage,
    lookup: Lookup,
    actor: Actor,
    search: RoomSearch,
    needs: Needs,
    duration: timedelta,
    window: tuple[datetime, datetime],
    now: datetime,
    *,
    besides: int | None = None,
) -> list[Candidate]:
    """The rooms that a search finds, as candidates for a meeting in a window that the actor organizes.

    Who may not ask when a room is busy (CALDAV:schedule-query-freebusy on its inbox) may not book it either. Only times
    are read, and nothing of who booked what; of rooms that do not fit at any time, not even these.

    :param besides: the id of a room that is left out.
    """
    rooms = [each for each in await bookable_rooms(storage, search) if each.listed.principal.id != besides]
    hidden = await _not_askable(storage, lookup, actor.principal, [each.listed.principal for each in rooms])
    named = frozenset(name for each in rooms for name in each.policy.named)
    # None: the installation, which asks for anybody.
    who = None if actor.principal is None else Requester(await matches(storage, named, actor.principal))
    found: dict[int, Candidate] = {}
    for room in rooms:
        id_ = room.listed.principal.id
        found[id_] = room.candidate(who, window, now, hidden=id_ in hidden)
    fitting = [id_ for id_, each in found.items() if lacking(each, needs, duration) is None]
    taken = await storage.taken_times(fitting, *window)
    for room in rooms:
        id_ = room.listed.principal.id
        if taken.get(id_) and not room.policy.allow_conflicts:
            found[id_] = replace(found[id_], taken=taken[id_])
    return list(found.values())


async def _not_askable(
    storage: Storage, lookup: Lookup, asker: Principal | None, rooms: Iterable[Principal]
) -> Collection[int]:
    """The ids of the rooms whose busy times somebody may not ask for. Everyone may ask a room without a list."""
    by_id = {each.id: each for each in rooms}
    if asker is None or asker.is_admin:
        return ()
    guarded = await storage.guarded(list(by_id))
    if not guarded:
        return ()
    return {
        mailbox.principal_id
        for mailbox in await storage.inboxes(asker.id, sorted(guarded))
        if mailbox.inbox is not None
        and not rights.may_ask(
            asker, by_id[mailbox.principal_id], mailbox.inbox, mailbox.grants, asked_by_all=lookup.asked_by_all
        )
    }


async def _zones(storage: Storage, rooms: Sequence[Room]) -> Mapping[int, Zone]:
    """The zones of rooms: their own, or that of their first calendar where opening times need it."""
    named = {name: _named(name) for name in {each.time_zone for each in rooms}}
    found = {each.principal_id: named[each.time_zone] for each in rooms}
    unknown = [each.principal_id for each in rooms if each.opening_times and not each.time_zone]
    if unknown:
        for mailbox in await storage.mailboxes(0, unknown, ""):
            text = next((each.timezone for each in mailbox.calendars), None)
            found[mailbox.principal_id] = await zone_or_utc(text or "")
    return found


def place_of(room: Room) -> Place:
    """Where a room is."""
    return Place(room.site, room.building, room.floor)


def _named(name: str) -> Zone:
    return (iana_zone(name) if name else None) or UTC_ZONE


def _minutes(number: int | None) -> timedelta | None:
    return None if number is None else timedelta(minutes=number)
