"""RFC 4791, CalDAV: MKCALENDAR, the properties, the three reports, and GET on a calendar."""

from server.dav.core.names import caldav
from server.dav.core.registry import Standard
from server.dav.core.resource import Kind
from server.dav.core.shapes import SHAPES
from server.dav.rfc4791.free_busy import free_busy_query
from server.dav.rfc4791.get_calendar import get_calendar
from server.dav.rfc4791.mkcalendar import mkcalendar
from server.dav.rfc4791.multiget import calendar_multiget
from server.dav.rfc4791.properties import PROPERTIES
from server.dav.rfc4791.query import calendar_query
from server.domain.privileges import Privilege
from server.http.routes import Route

IN_HOME = frozenset(
    {
        Kind.CALENDAR_HOME,
        Kind.CALENDAR,
        Kind.INBOX,
        Kind.OUTBOX,
        Kind.NOTIFICATIONS,
        Kind.CALENDAR_OBJECT,
        Kind.NOTIFICATION,
    }
)

TOKENS = ("calendar-access", "calendar-query-extended")
"""The second says that component filters may stand side by side, and that `test` and `match-type` are known."""

STANDARD = Standard(
    "RFC 4791",
    properties=PROPERTIES,
    routes=(Route("MKCALENDAR", SHAPES, mkcalendar),),
    offers=(("MKCALENDAR", frozenset({Kind.CALENDAR_HOME})),),
    reports=(
        (
            caldav("calendar-multiget"),
            frozenset({Kind.CALENDAR_HOME, Kind.CALENDAR, Kind.INBOX, Kind.CALENDAR_OBJECT}),
            calendar_multiget,
        ),
        (
            caldav("calendar-query"),
            frozenset({Kind.CALENDAR_HOME, Kind.CALENDAR, Kind.INBOX, Kind.CALENDAR_OBJECT}),
            calendar_query,
        ),
        (caldav("free-busy-query"), frozenset({Kind.CALENDAR_HOME, Kind.CALENDAR}), free_busy_query),
    ),
    report_privileges=((caldav("free-busy-query"), Privilege.READ_FREE_BUSY),),
    getters=((Kind.CALENDAR, get_calendar),),
    tokens=tuple((token, IN_HOME | {Kind.PRINCIPAL, Kind.ROOT}) for token in TOKENS),
)
