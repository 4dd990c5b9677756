"""RFC 4791, CalDAV: MKCALENDAR, the properties, the three reports, and GET on a calendar."""

from server.dav.core.names import caldav
from server.dav.core.registry import Getter, Report, Standard
from server.dav.core.resource import CALENDAR, InHome, Kind, Kinds
from server.dav.core.shapes import SHAPES
from server.dav.rfc4791.free_busy import free_busy_query
from server.dav.rfc4791.get_calendar import get_calendar
from server.dav.rfc4791.mkcalendar import mkcalendar
from server.dav.rfc4791.multiget import calendar_multiget
from server.dav.rfc4791.properties import PROPERTIES
from server.dav.rfc4791.query import calendar_query
from server.domain.privileges import Privilege
from server.http.routes import Route

QUERIED = Kinds.of(InHome, Kind.CALENDAR_HOME, Kind.CALENDAR, Kind.INBOX, Kind.CALENDAR_OBJECT)
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
        Report(caldav("calendar-multiget"), QUERIED, calendar_multiget),
        Report(caldav("calendar-query"), QUERIED, calendar_query),
        Report(
            caldav("free-busy-query"),
            Kinds.of(InHome, Kind.CALENDAR_HOME, Kind.CALENDAR),
            free_busy_query,
            Privilege.READ_FREE_BUSY,
        ),
    ),
    getters=(Getter(CALENDAR, get_calendar),),
    tokens=tuple((token, IN_HOME | {Kind.PRINCIPAL, Kind.ROOT}) for token in TOKENS),
)
