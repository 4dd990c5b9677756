"""RFC 7953: CALDAV:calendar-availability on the inbox; VAVAILABILITY objects lie in calendars that take them."""

from __future__ import annotations

from server.calendar.calendar_object import read_calendar_object
from server.dav.core import names, xml
from server.dav.core.errors import Refused
from server.dav.core.names import caldav
from server.dav.core.registry import Property, Standard
from server.dav.core.request import Request
from server.dav.core.resource import INBOX, Kind, Resource
from server.dav.core.xml import Element
from server.domain.errors import InvalidData
from server.process.computing import computed


def _nothing(request: Request, resource: Resource) -> None:
    return None


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
    properties=(Property(caldav("calendar-availability"), INBOX, _nothing, read=_read, stored=True),),
    tokens=(("calendar-availability", frozenset({Kind.CALENDAR_HOME, Kind.CALENDAR, Kind.INBOX, Kind.PRINCIPAL})),),
)
