"""CALDAV:calendar-data in reports (RFC 4791 §9.6): which properties are asked for, and the object, whole or in part."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from server.calendar.component import parse_calendar
from server.calendar.expand import expand, limit_freebusy_set, limit_recurrence_set
from server.calendar.expand_stored import expand_stored
from server.calendar.filters import TimeRange
from server.calendar.partial import select
from server.calendar.zones import Zone
from server.dav.core import xml
from server.dav.core.errors import Refused
from server.dav.core.names import caldav, dav, escape
from server.dav.core.registry import MemberValue, TakesLong
from server.dav.core.request import Request
from server.dav.core.resource import Kind
from server.dav.rfc4791.filter_xml import CalendarDataRequest, read_calendar_data
from server.dav.rfc4918.propfind import ALLPROP, PROP, PROPNAME, names_in
from server.domain.errors import TooManyInstances
from server.domain.objects import Collection
from server.services.time.time_ranges import StoredOccurrences, zone_of_calendar

CALENDAR_DATA = caldav("calendar-data")
WHOLE = MemberValue(("text",), escape)
_LIGHT = 50_000
"""Characters of an object's expansion, about; longer ones are written off the event loop."""


def asked_for(request: Request, root: xml.Element) -> tuple[list[str], CalendarDataRequest | None]:
    """The properties that a report asks for, and what it asks of calendar-data.

    Raises `UnsupportedMediaType` for a media type or version that is not offered, `InvalidFilter`.
    """
    prop = root.find(PROP)
    data: CalendarDataRequest | None = None
    if prop is not None:
        element = prop.find(CALENDAR_DATA)
        if element is not None:
            data = read_calendar_data(element)
        wanted = names_in(prop)
    elif root.find(ALLPROP) is not None or root.find(PROPNAME) is not None:
        known = request.site.registry.by_kind[Kind.CALENDAR_OBJECT]
        wanted = [name for name, item in known.items() if item.in_allprop]
    else:
        wanted = [dav("getetag")]
    return wanted, data


def reader(data: CalendarDataRequest | None, zone: Zone, stored: StoredOccurrences | None = None) -> MemberValue:
    """How calendar-data is read from the text of a row.

    `zone` gives floating times and dates their place; `stored` are the occurrences of the window to be expanded.
    """
    if data is None or data == CalendarDataRequest(None, None, None, None):
        return WHOLE

    def render(text: str, object_id: int, revision: int) -> str:
        timings = None if stored is None else stored.of(object_id, revision)
        expanded = None if timings is None else expand_stored(text, timings)
        if expanded is None:
            try:
                expanded = edited(text)
            except TooManyInstances as error:
                # Only the response of this member is a refusal.
                raise Refused(403, caldav("max-instances"), error.message) from None
        if data.selection is None:
            return escape(expanded)
        return escape(select(expanded, data.selection, expanded=data.expand is not None))

    def edited(text: str) -> str:
        for edit, window in ((expand, data.expand), (limit_recurrence_set, data.limit_recurrence_set)):
            if window is not None:
                text = edit(text, parse_calendar(text), *_bounds(window), zone)
        if data.limit_freebusy_set is not None:
            text = limit_freebusy_set(text, parse_calendar(text), *_bounds(data.limit_freebusy_set))
        return text

    def attempt(text: str, object_id: int, revision: int) -> str:
        timings = None if stored is None or data.selection is not None else stored.of(object_id, revision)
        if timings is None or len(text) * (1 + len(timings)) > _LIGHT:
            raise TakesLong
        expanded = expand_stored(text, timings)
        if expanded is None:
            raise TakesLong
        return escape(expanded)

    return MemberValue(("text", "id", "revision"), render, heavy=True, attempt=attempt)


def _bounds(window: TimeRange) -> tuple[datetime, datetime]:
    """Both bounds, which these elements always have."""
    assert window.start is not None
    assert window.end is not None
    return window.start, window.end


async def readers(data: CalendarDataRequest | None, collection: Collection) -> Mapping[str, MemberValue]:
    """How calendar-data of a calendar's members is read where the request names no time zone."""
    return {CALENDAR_DATA: reader(data, await zone_of_calendar(collection))}
