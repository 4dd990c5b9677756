"""calendar-query (RFC 4791 §7.8): from the index of occurrences where the filter allows it, else from the texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from server.calendar.component import parse_calendar
from server.calendar.filters import Alternative, CompFilter, alternatives, is_unconditional, matches
from server.calendar.iana import named_zone
from server.calendar.timerange import TimeRangeMatcher
from server.calendar.zones import Zone
from server.dav.core import xml
from server.dav.core.errors import Refused
from server.dav.core.names import caldav, escape
from server.dav.core.query import Query, Selection, Test, run
from server.dav.core.request import Answer, Request
from server.dav.core.resource import Kind, Resource
from server.dav.rfc4791.calendar_data import CALENDAR_DATA, asked_for, reader
from server.dav.rfc4791.filter_xml import CalendarQuery, read_query
from server.errors import InvalidData
from server.services.time_ranges import (
    StoredOccurrences,
    objects_in,
    ringing_in,
    stored_in,
    zone_of_calendar,
    zone_of_text,
)
from server.storage import Collection, MemberColumn, Row

CALENDARS = frozenset({Kind.CALENDAR})


async def calendar_query(request: Request, resource: Resource, root: xml.Element) -> Answer:
    """Answers the report."""
    wanted, data = asked_for(request, root)
    asked = read_query(root)
    own_zone = await zone_of_request(asked)
    choices = () if is_unconditional(asked.comp_filter) else alternatives(asked.comp_filter)

    async def zone_for(collection: Collection) -> Zone:
        return own_zone if own_zone is not None else await zone_of_calendar(collection)

    async def select(collection: Collection) -> Selection:
        zone = await zone_for(collection)
        stored = None
        if data is not None and data.expand is not None:
            stored = await stored_in(request.site.storage, collection, data.expand, zone)
        special = {CALENDAR_DATA: reader(data, zone, stored)}
        if is_unconditional(asked.comp_filter):
            return Selection(special=special)
        found = await selection(request, collection, asked.comp_filter, choices, zone, stored)
        return replace(found, special=special)

    query = Query(
        wanted,
        select,
        columns_for(choices),
        CALENDARS,
    )
    return await run(request, resource, query)


async def zone_of_request(asked: CalendarQuery) -> Zone | None:
    """The zone that a query names for floating times and dates (RFC 4791 §9.8, RFC 7809 §6.2)."""
    if asked.timezone is not None:
        try:
            return await zone_of_text(asked.timezone)
        except InvalidData as error:
            raise Refused(403, caldav("valid-calendar-data"), error.message, escape(error.message)) from None
    if asked.timezone_id is not None:
        zone = named_zone(asked.timezone_id)
        if zone is None:
            raise Refused(403, caldav("valid-timezone"), "The time zone is not known.")
        return zone
    return None


def columns_for(choices: tuple[Alternative, ...] | None) -> tuple[MemberColumn, ...]:
    """What the test needs: the text only where other columns do not tell."""
    if choices is None or any(not choice.exact for choice in choices):
        return ("id", "component", "text")
    return ("id", "component")


async def selection(
    request: Request,
    collection: Collection,
    comp_filter: CompFilter,
    choices: tuple[Alternative, ...] | None,
    zone: Zone,
    stored: StoredOccurrences | None,
) -> Selection:
    """What of a calendar may match, and how that is decided."""
    by_text = text_test(comp_filter, zone)
    if choices is None:
        return Selection(None, by_text, heavy=True)
    within: dict[Alternative, frozenset[int] | None] = {}
    for choice in choices:
        within[choice] = await _candidates(request, collection, choice, zone, stored)

    def test(row: Row, where: Mapping[MemberColumn, int]) -> bool:
        found = [
            choice
            for choice, ids in within.items()
            if choice.component == row[where["component"]] and (ids is None or row[where["id"]] in ids)
        ]
        return any(choice.exact for choice in found) or (bool(found) and by_text(row, where))

    heavy = any(not choice.exact for choice in choices)
    windows = [ids for ids in within.values() if ids is not None]
    if len(windows) < len(within):
        return Selection(None, test, heavy)
    return Selection(sorted(frozenset().union(*windows)), test, heavy)


async def _candidates(
    request: Request, collection: Collection, choice: Alternative, zone: Zone, stored: StoredOccurrences | None
) -> frozenset[int] | None:
    """Ids of the objects that fulfil what an alternative asks by time; None: it asks nothing."""
    storage, found = request.site.storage, None
    if choice.time_range is not None:
        found = await objects_in(storage, collection, choice.time_range, zone, stored)
    if choice.alarm_range is not None:
        ringing = await ringing_in(storage, collection, choice.alarm_range)
        found = ringing if found is None else found if ringing is None else found & ringing
    return found


def text_test(comp_filter: CompFilter, zone: Zone) -> Test:
    """A test that reads the text."""

    def test(row: Row, where: Mapping[MemberColumn, int]) -> bool:
        calendar = parse_calendar(row[where["text"]])
        return matches(comp_filter, calendar, TimeRangeMatcher(calendar, zone))

    return test
