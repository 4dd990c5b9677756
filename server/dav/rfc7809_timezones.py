"""RFC 7809 in part: CALDAV:calendar-timezone-id names the zone of CALDAV:calendar-timezone (§3.1.5, §5.2).

CALDAV:timezone-id in queries (§6.2) is read by `server.dav.rfc4791`. `calendar-no-timezone` is not announced: answers
keep the definitions of zones, and there is no time zone service.
"""

from __future__ import annotations

from functools import lru_cache

from server.calendar.aggregate import PRODUCT_ID
from server.calendar.calendar_object import timezone_id
from server.calendar.iana import named_zone
from server.calendar.zone_definition import definition
from server.dav.core import names, xml
from server.dav.core.errors import Refused
from server.dav.core.names import caldav
from server.dav.core.registry import Property, Standard
from server.dav.core.request import Request
from server.dav.core.resource import CALENDAR, CollectionResource, Resource
from server.dav.core.xml import Element

_KEPT_LENGTH = 10_000
"""Characters of a text up to which its TZID is kept."""

_kept_timezone_id = lru_cache(maxsize=256)(timezone_id)


def _timezone_id(request: Request, resource: CollectionResource) -> str | None:
    """The TZID in CALDAV:calendar-timezone."""
    text = resource.collection.timezone
    if not text:
        return None
    found = _kept_timezone_id(text) if len(text) <= _KEPT_LENGTH else timezone_id(text)
    return None if found is None else names.escape(found)


def _read_timezone_id(request: Request, resource: Resource, element: Element) -> str:
    """The CALDAV:calendar-timezone of an identifier. Raises `Refused` for an unknown one."""
    tzid = xml.text_of(element)
    zone = named_zone(tzid)
    if zone is None:
        raise Refused(403, caldav("valid-timezone"), f"The time zone {tzid[:80]!r} is not known.")
    head = f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:{PRODUCT_ID}\r\n"
    return f"{head}{definition(zone, tzid)}END:VCALENDAR\r\n"


STANDARD = Standard(
    "RFC 7809", properties=(Property(caldav("calendar-timezone-id"), CALENDAR, _timezone_id, read=_read_timezone_id),)
)
