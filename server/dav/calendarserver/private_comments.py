"""calendarserver private comments: what an attendee tells the organizer alone (caldav-privatecomments).

`server.itip.attendee` sends X-CALENDARSERVER-PRIVATE-COMMENT with the answer, and `server.itip.answers` makes
X-CALENDARSERVER-ATTENDEE-COMMENT of it in the organizer's object.
"""

from __future__ import annotations

from server.dav.core.registry import Standard
from server.dav.core.request import Request
from server.dav.rfc6638_scheduling import SCHEDULED

STANDARD: Standard[Request] = Standard(
    "calendarserver private comments", tokens=(("calendarserver-private-comments", SCHEDULED),)
)
