"""calendar-query (RFC 4791 §7.8): from the index of occurrences where the filter allows it, else from the texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from server.calendar.calendar_object import CALENDAR_COMPONENTS
from server.calendar.component import parse_calendar
from server.calendar.filter_plan import Alternative, alternatives, covers_uid, is_unconditional, uid_search
from server.calendar.filters import CompFilter, matches
from server.calendar.iana import named_zone
from server.calendar.timerange import TimeRangeMatcher
from server.calendar.zones import Zone
from server.dav.core import xml
from server.dav.core.errors import Refused
from server.dav.core.names import caldav, escape
from server.dav.core.query import Query, Selection, Test, run
from server.dav.core.request import Request
from server.dav.core.resource import CALENDAR, InHome
from server.dav.rfc4791.calendar_data import CALENDAR_DATA, asked_for, reader
from server.dav.rfc4791.filter_xml import CalendarQuery, read_query
from server.domain.errors import InvalidData, TooManyInstances
from server.domain.objects import Collection
from server.domain.rows import MemberColumn, Row
from server.http.answer import Answer
from server.process.computing import computed
from server.services.lookup import Found
from server.services.permissions import collection_of
from server.services.time.time_ranges import (
    StoredOccurrences,
    zone_of_calendar,
    zone_of_text,
)

_FEW = 100
"""Rows of UIDs that are compared on the event loop."""


async def calendar_query(request: Request, resource: InHome, root: xml.Element) -> Answer:
    """Answers the report."""
    wanted, data = asked_for(request, root)
    asked = read_query(root)
    own_zone = await zone_of_request(asked)
    plan = None if is_unconditional(asked.comp_filter) else alternatives(asked.comp_filter)

    async def zone_for(collection: Collection) -> Zone:
        return own_zone if own_zone is not None else await zone_of_calendar(collection)

    async def select(found: Found) -> Selection:
        if plan is not None and not plan:
            return Selection(ids=())
        zone = await zone_for(collection_of(found))
        stored = None
        if data is not None and data.expand is not None:
            stored = await request.site.reading.stored_in(found, data.expand, zone)
        special = {CALENDAR_DATA: reader(data, zone, stored)}
        if plan is None:
            return Selection(special=special)
        selected = await selection(request, found, asked.comp_filter, plan, zone, stored)
        return replace(selected, special=special)

    return await run(request, resource, Query(wanted, select, columns_for(plan), CALENDAR))


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


def columns_for(plan: Sequence[Alternative] | None) -> tuple[MemberColumn, ...]:
    """The columns that the test of each member needs. The text is one only if other columns do not decide."""
    if plan is None or not needs_test(plan):
        return ()
    return ("id", "component") if all(choice.exact for choice in plan) else ("id", "component", "text")


def needs_test(plan: Sequence[Alternative]) -> bool:
    """Whether some of the members that a plan selects do not match."""
    inexact = any(not choice.exact for choice in plan)
    return inexact or (len(plan) > 1 and any(choice.is_narrow for choice in plan))


async def selection(
    request: Request,
    calendar: Found,
    comp_filter: CompFilter,
    plan: Sequence[Alternative],
    zone: Zone,
    stored: StoredOccurrences | None,
) -> Selection:
    """Which members of a calendar may match a plan of at least one alternative, and how that is decided."""
    within = {choice: await candidates(request, calendar, choice, zone, stored) for choice in plan}
    windows = [ids for ids in within.values() if ids is not None]
    ids = sorted(frozenset().union(*windows)) if len(windows) == len(within) else None
    names = {choice.component for choice in plan}
    components = None if names == CALENDAR_COMPONENTS else sorted(names)
    if not needs_test(plan):
        return Selection(ids, components=components)
    by_text = text_test(comp_filter, zone)

    def test(row: Row, where: Mapping[MemberColumn, int]) -> bool:
        found = [
            choice
            for choice, among in within.items()
            if choice.component == row[where["component"]] and (among is None or row[where["id"]] in among)
        ]
        return any(choice.exact for choice in found) or (bool(found) and by_text(row, where))

    return Selection(ids, test, heavy=any(not choice.exact for choice in plan), components=components)


async def candidates(
    request: Request, calendar: Found, choice: Alternative, zone: Zone, stored: StoredOccurrences | None
) -> frozenset[int] | None:
    """Ids of the objects that an alternative covers, of any component type; None if it asks for the type only."""
    reading = request.site.reading
    found: list[frozenset[int]] = []
    if choice.uid:
        rows = await reading.uids(calendar, uid_search(choice.uid))
        found.append(covered(choice, rows) if len(rows) <= _FEW else await computed(covered, choice, rows))
    if choice.time_range is not None:
        component = (choice.component,)
        found.append(await reading.objects_in(calendar, choice.time_range, zone, stored, components=component))
    if choice.alarm_range is not None:
        found.append(await reading.ringing_in(calendar, choice.alarm_range))
    return frozenset.intersection(*found) if found else None


def covered(choice: Alternative, rows: Sequence[Row]) -> frozenset[int]:
    """Ids of the objects whose UID fulfils an alternative, from rows of id and UID."""
    return frozenset(row[0] for row in rows if covers_uid(choice, row[1]))


def text_test(comp_filter: CompFilter, zone: Zone) -> Test:
    """A test that reads the text. An object whose rule takes too much work matches."""

    def test(row: Row, where: Mapping[MemberColumn, int]) -> bool:
        calendar = parse_calendar(row[where["text"]])
        try:
            return matches(comp_filter, calendar, TimeRangeMatcher(calendar, zone))
        except TooManyInstances:
            return True

    return test
