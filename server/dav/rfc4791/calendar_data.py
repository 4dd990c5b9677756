"""CALDAV:calendar-data in reports (RFC 4791 §9.6): which properties are asked for, and the object, whole or in part."""

from __future__ import annotations

from server.calendar.partial import select
from server.dav.core import xml
from server.dav.core.names import caldav, dav, escape
from server.dav.core.registry import MemberValue
from server.dav.core.request import Request
from server.dav.core.resource import Kind
from server.dav.rfc4791.filter_xml import CalendarDataRequest, read_calendar_data
from server.dav.rfc4918.propfind import ALLPROP, PROP, PROPNAME, names_in
from server.errors import UnsupportedFilter

CALENDAR_DATA = caldav("calendar-data")


def asked_for(request: Request, root: xml.Element) -> tuple[list[str], MemberValue]:
    """The properties that a report asks for, and how calendar-data is read from rows.

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
    return wanted, reader(data)


def reader(data: CalendarDataRequest | None) -> MemberValue:
    """How calendar-data is read from the text of a row."""
    if data is None:
        return MemberValue(("text",), escape)
    if data.expand or data.limit_recurrence_set or data.limit_freebusy_set:
        raise UnsupportedFilter("Expansion is not offered.")
    selection = data.selection
    if selection is None:
        return MemberValue(("text",), escape)
    return MemberValue(("text",), lambda text: escape(select(text, selection)))
