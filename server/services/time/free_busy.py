"""Busy times: from the stored occurrences of calendars, and from texts for windows that these do not cover."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType

from server.calendar.attendance import declined
from server.calendar.component import parse_calendar
from server.calendar.freebusy import DENSE_WINDOW, BusyPeriod, busy_of_object, clip, merge, unavailable
from server.calendar.zones import UTC_ZONE, Zone
from server.domain.actors import Actor
from server.domain.errors import InvalidData, TooManyInstances
from server.domain.occurrences import FLOATING_MARGIN, Busy, later
from server.domain.privileges import Privilege
from server.process.computing import computed
from server.services.lookup import Found, Lookup
from server.services.permissions import collection_of, readable
from server.services.text_pages import TEXTS, members_by_id
from server.services.time import distant
from server.services.time.time_ranges import zone_of_calendar, zone_or_utc
from server.storage import Storage
from server.storage.reads import BusyTimes
from server.storage.scheduling import PersonBusy

MAX_AVAILABILITY = 16 * 1024 * 1024
"""Characters of a calendar's VAVAILABILITY objects, which are read together because their priorities decide."""

_CALENDARS_AT_ONCE = 200
"""Calendars whose stored occurrences are merged by one statement."""
_FEW = 1_000
"""Periods up to which they are merged on the event loop."""


async def busy_periods(
    storage: Storage, calendars: Sequence[Found], start: datetime, end: datetime, availability: Sequence[str] = ()
) -> list[BusyPeriod]:
    """The merged busy periods of found calendars in a window (RFC 4791 §7.10), with the unavailable times (RFC 7953).

    `availability` are texts of CALDAV:calendar-availability (RFC 7953 §7.2.4); VAVAILABILITY objects in the calendars
    count, too. Raises `TooManyInstances` if a rule takes too much work because the window is long, and `AccessDenied`.
    """
    found: list[BusyPeriod] = []
    wide = (later(start, -FLOATING_MARGIN), later(end, FLOATING_MARGIN))
    for at in range(0, len(calendars), _CALENDARS_AT_ONCE):
        page = calendars[at : at + _CALENDARS_AT_ONCE]
        collections = [readable(calendar, Privilege.READ_FREE_BUSY) for calendar in page]
        for calendar, times in zip(page, await storage.busy_times(collections, (start, end), wide), strict=True):
            found += await _busy_in(storage, calendar, times, start, end)
    if availability and calendars:
        zone = await zone_of_calendar(collection_of(calendars[0]))
        found += await computed(_unavailable, availability, start, end, zone)
    return merge(found, start, end) if len(found) < _FEW else await computed(merge, found, start, end)


@dataclass(frozen=True, slots=True)
class InboxAvailability:
    """CALDAV:calendar-availability of a person's inbox (RFC 7953 §7.2.4)."""

    text: str
    timezone: str | None
    """CALDAV:calendar-timezone of the calendar that gives floating times their place, as iCalendar text."""


async def busy_people(
    storage: Storage,
    lookup: Lookup,
    people: Sequence[int],
    start: datetime,
    end: datetime,
    origin: str,
    *,
    availability: Mapping[int, InboxAvailability] = MappingProxyType({}),
    masked: Iterable[tuple[int, int]] = (),
) -> list[list[BusyPeriod] | None]:
    """The merged busy periods of each of these principals in a window, by their own calendars and views.

    None for a principal whose data cannot be computed with bounded work. `availability` is by principal; `masked` are
    pairs of a principal and an object that does not count for this principal.

    Says nothing of the privilege to ask: that is CALDAV:schedule-send-freebusy on an outbox and
    CALDAV:schedule-query-freebusy on an inbox (RFC 6638 §6.1.3, §6.2.3). Raises `TooManyInstances` if the window is
    too long for a rule.
    """
    wide = (later(start, -FLOATING_MARGIN), later(end, FLOATING_MARGIN))
    found: list[list[BusyPeriod] | None] = []
    read = await storage.busy_people(people, (start, end), wide, masked)
    for person, busy in zip(people, read, strict=True):
        actor = Actor(None, origin, acting_for=person)
        try:
            found.append(await _busy_person(storage, lookup, actor, busy, start, end, availability.get(person)))
        except InvalidData:
            if end - start > DENSE_WINDOW:
                raise
            found.append(None)
    return found


async def _busy_person(
    storage: Storage,
    lookup: Lookup,
    actor: Actor,
    busy: PersonBusy,
    start: datetime,
    end: datetime,
    availability: InboxAvailability | None,
) -> list[BusyPeriod]:
    if not busy.calendars and availability is None:
        return clip(busy.merged, start, end)
    periods = [BusyPeriod(begin, finish, kind) for kind, begin, finish in busy.merged]
    for calendar in busy.calendars:
        zone = UTC_ZONE if calendar.timezone is None else await zone_or_utc(calendar.timezone)
        periods += _placed(calendar.times.floating, zone)
        if calendar.times.unexpanded or calendar.times.availability:
            shown = await lookup.find(actor, calendar.place, Privilege.READ_FREE_BUSY)
            if shown.collection is not None:
                periods += await _busy_in(storage, shown, replace(calendar.times, floating=()), start, end)
    if availability is not None:
        zone = UTC_ZONE if availability.timezone is None else await zone_or_utc(availability.timezone)
        periods += await computed(_unavailable, (availability.text,), start, end, zone)
    return merge(periods, start, end) if len(periods) < _FEW else await computed(merge, periods, start, end)


def _placed(floating: Iterable[tuple[Busy, datetime, datetime]], zone: Zone) -> list[BusyPeriod]:
    """Floating times in a zone."""
    return [
        BusyPeriod(zone.to_utc(begin.replace(tzinfo=None)), zone.to_utc(finish.replace(tzinfo=None)), busy)
        for busy, begin, finish in floating
    ]


async def _busy_in(
    storage: Storage, calendar: Found, times: BusyTimes, start: datetime, end: datetime
) -> list[BusyPeriod]:
    """The busy periods of one calendar in a window, neither merged nor clipped."""
    collection, need = collection_of(calendar), Privilege.READ_FREE_BUSY
    zone = await zone_of_calendar(collection)
    found = [BusyPeriod(begin, finish, busy) for busy, begin, finish in times.merged]
    found += _placed(times.floating, zone)
    if times.unexpanded:
        periods, known = await distant.busy(storage, calendar, times.unexpanded, distant.Window(start, end, zone))
        found += periods
        left = [object_id for object_id in times.unexpanded if object_id not in known]
        owner = await storage.owner_addresses(collection.home_id) if left else frozenset()
        async for rows in members_by_id(storage, calendar, left, ("id", "text"), TEXTS, need=need):
            found += await computed(_busy, [row[1] for row in rows], start, end, zone, owner)
    if times.availability:
        texts: list[str] = []
        size = 0
        async for rows in members_by_id(storage, calendar, times.availability, ("id", "text"), TEXTS, need=need):
            texts += [row[1] for row in rows]
            size += sum(len(row[1]) for row in rows)
            if size > MAX_AVAILABILITY:
                raise TooManyInstances(f"The availabilities have more than {MAX_AVAILABILITY} characters.")
        found += await computed(_unavailable, texts, start, end, zone)
    return found


def _busy(texts: Iterable[str], start: datetime, end: datetime, zone: Zone, owner: frozenset[str]) -> list[BusyPeriod]:
    calendars = map(parse_calendar, texts)
    # merged in the thread: few periods remain, even of a rule for every second
    found = (
        period
        for calendar in calendars
        for period in busy_of_object(calendar, start, end, zone, declined=declined(calendar, owner))
    )
    return merge(found, start, end)


def _unavailable(texts: Iterable[str], start: datetime, end: datetime, zone: Zone) -> list[BusyPeriod]:
    return unavailable([parse_calendar(text) for text in texts], start, end, zone)
