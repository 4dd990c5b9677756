"""The events that make somebody busy, beside their busy times (X-CALENDARSERVER-EXTENDED-FREEBUSY).

Apple's apps ask for them; no document describes them. An answer has the events of calendars that the asker may read:
their own, and those of people whose delegate they are. Events of rooms and equipment are in every answer, without
SUMMARY and LOCATION.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from server.calendar.attendance import declined
from server.calendar.component import parse_calendar
from server.calendar.contentline import content_line
from server.calendar.expand import recurrence_id_line, time_line, written_time
from server.calendar.filters import TimeRange
from server.calendar.materialise import rows_within
from server.calendar.recurrence_set import Instance, recurrence_set
from server.calendar.vtimezone import CalendarZones
from server.calendar.work import Work
from server.calendar.zones import Zone
from server.domain.actors import Actor
from server.domain.errors import AccessDenied, NotFound, TooManyInstances
from server.domain.objects import Target
from server.domain.occurrences import Busy, Kind, Occurrence
from server.domain.principals import Principal
from server.domain.privileges import Privilege
from server.process.computing import computed
from server.services.lookup import Found, Lookup
from server.services.permissions import collection_of, home_of
from server.services.text_pages import TEXTS, members_by_id
from server.services.time.time_ranges import objects_in, zone_of_calendar
from server.storage import Storage

MAX_EVENTS = 1_000
"""Instances in the answer for one person: the first that are found."""
_TRANSPARENCY = "{urn:ietf:params:xml:ns:caldav}schedule-calendar-transp"
_TRANSPARENT = re.compile("[<:]transparent[ />]")
_OF_PEOPLE = ("SUMMARY", "LOCATION", "STATUS", "ORGANIZER")
_OF_RESOURCES = ("ORGANIZER",)
_RESOURCES = ("room", "resource")


async def busy_events(
    storage: Storage,
    lookup: Lookup,
    actor: Actor,
    person: Principal,
    window: tuple[datetime, datetime],
    masked: Sequence[int] = (),
) -> str:
    """VEVENTs of the instances in a window that make a person busy; empty where the actor may not read them.

    :param masked: ids of objects that do not count.
    """
    names: tuple[str, ...] = _OF_PEOPLE
    home = await _home(lookup, actor, person)
    if home is None and person.kind in _RESOURCES:
        home, names = await _home(lookup, Actor(None, actor.origin, acting_for=person.id), person), _OF_RESOURCES
    if home is None:
        return ""
    owner = await storage.owner_addresses(home_of(home).id)
    found: list[str] = []
    for shown in await storage.collections(home_of(home), person.id):
        if shown.kind != "calendar" or _TRANSPARENT.search(shown.properties.get(_TRANSPARENCY, "")):
            continue
        # Who asks is nobody there: of a private meeting in a room's calendar the block is in the answer.
        calendar = home.child(replace(shown, blocks=shown.blocks or names is _OF_RESOURCES))
        found += await _in_calendar(storage, calendar, window, masked, owner, names)
        if len(found) >= MAX_EVENTS:
            break
    return "".join(found[:MAX_EVENTS])


async def _home(lookup: Lookup, actor: Actor, person: Principal) -> Found | None:
    """The person's home of calendars; None where the actor may not read it."""
    try:
        found = await lookup.find(actor, Target(person.uid, "uid", "calendar"), Privilege.READ)
    except (AccessDenied, NotFound):
        return None
    return found if found.home is not None and Privilege.READ in found.privileges else None


async def _in_calendar(
    storage: Storage,
    calendar: Found,
    window: tuple[datetime, datetime],
    masked: Sequence[int],
    owner: frozenset[str],
    names: Sequence[str],
) -> list[str]:
    zone = await zone_of_calendar(collection_of(calendar))
    ids = await objects_in(storage, calendar, TimeRange(*window), zone, components=("VEVENT",))
    found: list[str] = []
    async for rows in members_by_id(
        storage, calendar, sorted(ids.difference(masked)), ("id", "text"), TEXTS, components=("VEVENT",)
    ):
        found += await computed(_of_texts, [row[1] for row in rows], window, zone, owner, names)
        if len(found) >= MAX_EVENTS:
            break
    return found


def _of_texts(
    texts: Sequence[str], window: tuple[datetime, datetime], zone: Zone, owner: frozenset[str], names: Sequence[str]
) -> list[str]:
    found: list[str] = []
    for text in texts:
        try:
            for each in _of_text(text, window, zone, owner, names):
                found.append(each)
                if len(found) >= MAX_EVENTS:
                    return found
        except TooManyInstances:
            continue
    return found


def _of_text(
    text: str, window: tuple[datetime, datetime], zone: Zone, owner: frozenset[str], names: Sequence[str]
) -> Iterator[str]:
    calendar = parse_calendar(text)
    events = [pair for pair in enumerate(calendar.components) if pair[1].name == "VEVENT"]
    recurrences = recurrence_set(events, CalendarZones(calendar), Work(), declined(calendar, owner))
    for row, instance in rows_within(recurrences, *window, zone):
        if row.busy is not Busy.FREE and row.start < row.end:
            yield _event(row, instance, names)


def _event(row: Occurrence, instance: Instance, names: Sequence[str]) -> str:
    """The VEVENT of one instance, with some of its properties."""
    component = instance.times.component
    lines = ["BEGIN:VEVENT\r\n"]
    for name in ("UID", "DTSTAMP"):
        first = component.first(name)
        if first is not None:
            lines.append(content_line(name, {}, first.value))
    if row.kind is Kind.DATE:
        start, end = instance.start_utc, instance.end_utc
    else:
        start, end = row.start, row.end
    kind = Kind.DATE if row.kind is Kind.DATE else Kind.TIMED
    lines += [time_line("DTSTART", written_time(start, kind), kind), time_line("DTEND", written_time(end, kind), kind)]
    if row.recurrence_id:
        lines.append(recurrence_id_line(row.recurrence_id))
    for name in names:
        first = component.first(name)
        if first is not None:
            lines.append(content_line(name, first.params, first.value))
    return "".join((*lines, "END:VEVENT\r\n"))
