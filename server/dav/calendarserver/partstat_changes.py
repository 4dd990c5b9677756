"""calendarserver partstat changes: when people answered, as X-CALENDARSERVER-DTSTAMP on their ATTENDEE.

It stands in a person's own copy alone, changes with their answer, and is in no message (`server.itip.attendee_copy`,
`server.itip.own_parts`). Apple's apps use it; no document describes it.
"""

from __future__ import annotations

from server.dav.core.registry import Standard
from server.dav.core.request import Request
from server.dav.rfc6638_scheduling import SCHEDULED

STANDARD: Standard[Request] = Standard(
    "calendarserver partstat changes", tokens=(("calendarserver-partstat-changes", SCHEDULED),)
)
