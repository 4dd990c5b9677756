"""free-busy-query (RFC 4791 §7.10)."""

from __future__ import annotations

from datetime import UTC, datetime

from server.calendar.aggregate import PRODUCT_ID
from server.calendar.freebusy import freebusy_calendar
from server.dav.core import xml
from server.dav.core.errors import Refused
from server.dav.core.names import caldav, dav
from server.dav.core.request import Request
from server.dav.core.resource import CollectionResource, HomeResource, InHome
from server.dav.rfc4791.filter_xml import read_time_range
from server.dav.rfc4918.properties import CALENDAR_TYPE
from server.dav.rfc6638_scheduling import is_transparent
from server.domain.errors import BadRequest, InvalidFilter, TooManyInstances
from server.domain.privileges import Privilege
from server.http.answer import Answer
from server.process.computing import computed
from server.services.lookup import Found
from server.services.permissions import collection_of

AVAILABILITY = caldav("calendar-availability")
_FEW = 500
"""Periods up to which they are written on the event loop."""


async def free_busy_query(request: Request, resource: InHome, root: xml.Element) -> Answer:
    """Answers the report with a VFREEBUSY. At depth 0 a collection has no members that could be busy.

    Of a home, transparent calendars do not count (RFC 6638 §9.1). A query of one calendar asks for its own events:
    they count whether the calendar is transparent or not.
    """
    request.require(resource, Privilege.READ_FREE_BUSY)
    element = root.find(caldav("time-range"))
    if element is None:
        raise BadRequest("The report has no time-range.")
    try:
        window = read_time_range(element)
    except InvalidFilter as error:
        raise BadRequest(error.message) from None
    if window.start is None or window.end is None:
        raise BadRequest("The time-range of a free-busy-query has a start and an end.")
    depth = request.depth("1")
    calendars: list[Found] = []
    availability: list[str] = []
    if isinstance(resource, CollectionResource) and depth != "0":
        calendars = [resource.found]
    elif isinstance(resource, HomeResource) and depth == "infinity":
        # The transparency that the owner of the home has set decides, not the viewer's.
        shown = await request.site.reading.owners_collections(resource.found)
        collections = [(item, collection_of(item)) for item in shown]
        calendars = [found for found, item in collections if item.kind == "calendar" and not is_transparent(item)]
        availability = [
            xml.inner_text(item.properties[AVAILABILITY])
            for _, item in collections
            if item.kind == "inbox" and AVAILABILITY in item.properties
        ]
    try:
        busy = await request.site.reading.busy_periods(calendars, window.start, window.end, availability)
    except TooManyInstances as error:
        raise Refused(403, dav("number-of-matches-within-limits"), error.message) from None
    stamp = datetime.now(UTC)
    written = (busy, window.start, window.end, stamp, PRODUCT_ID)
    # Handing a few over to a thread takes longer than writing them.
    body = freebusy_calendar(*written) if len(busy) <= _FEW else await computed(freebusy_calendar, *written)
    return Answer(200, body.encode(), {"Content-Type": CALENDAR_TYPE})
