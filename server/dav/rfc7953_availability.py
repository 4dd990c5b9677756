"""RFC 7953: CALDAV:calendar-availability on the inbox; VAVAILABILITY objects lie in calendars that take them.

Apple's apps name the property in the namespace of their own extensions: it is the same value by another name.
"""

from __future__ import annotations

from server.calendar.calendar_object import read_calendar_object
from server.dav.core import names, xml
from server.dav.core.errors import Refused
from server.dav.core.names import caldav, calendarserver
from server.dav.core.registry import Property, Standard
from server.dav.core.request import Request
from server.dav.core.resource import INBOX, CollectionResource, Kind, Resource
from server.dav.core.xml import Element
from server.domain.errors import InvalidData
from server.process.computing import computed

AVAILABILITY = caldav("calendar-availability")
_KINDS = frozenset({Kind.CALENDAR_HOME, Kind.CALENDAR, Kind.INBOX, Kind.PRINCIPAL})


def _nothing(request: Request, resource: Resource) -> None:
    return None


def _by_other_name(request: Request, resource: CollectionResource) -> str | None:
    stored = resource.collection.properties.get(AVAILABILITY)
    return None if stored is None else names.escape(xml.inner_text(stored))


async def _read_other_name(request: Request, resource: Resource, element: Element) -> str:
    await _read(request, resource, element)
    start, end, _ = names.tags(AVAILABILITY)
    return f"{start[:-1]} {names.DECLARATIONS}>{names.escape(element.text or '')}{end}"


async def _read(request: Request, resource: Resource, element: Element) -> str:
    """The value is an iCalendar object with VAVAILABILITY components only (§7.2.4)."""
    text = (element.text or "").strip().encode() + b"\r\n"
    try:
        component = (await computed(read_calendar_object, text, request.site.limits)).component
        message = "The value holds VAVAILABILITY."
    except InvalidData as error:
        component, message = "", error.message
    if component != "VAVAILABILITY":
        raise Refused(403, caldav("valid-calendar-data"), message, names.escape(message))
    return xml.to_fragment(element)


STANDARD = Standard(
    "RFC 7953",
    properties=(
        Property(AVAILABILITY, INBOX, _nothing, read=_read, stored=True),
        Property(
            calendarserver("calendar-availability"),
            INBOX,
            _by_other_name,
            read=_read_other_name,
            stored_as=AVAILABILITY,
        ),
    ),
    tokens=(("calendar-availability", _KINDS), ("inbox-availability", _KINDS)),
)
