"""Asking when calendar users are busy: VFREEBUSY with METHOD:REQUEST and REPLY (RFC 5546 §3.3, RFC 6638 §5)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from server.calendar.component import Component, parse_calendar
from server.calendar.contentline import Property, content_line, escape_text
from server.calendar.freebusy import BusyPeriod, freebusy_calendar
from server.calendar.values import CalendarTime, parse_calendar_time
from server.calendar.visibility import ACCESS
from server.domain.errors import InvalidCalendarData, InvalidSchedulingMessage, RestrictedMessage

MASKED_UID = "X-CALENDARSERVER-MASK-UID"
EXTENDED = "X-CALENDARSERVER-EXTENDED-FREEBUSY"
_END = "END:VCALENDAR\r\n"
_ONCE = ("UID", "DTSTAMP", "DTSTART", "DTEND", "ORGANIZER")
_ABSENT = ("FREEBUSY", "DURATION", "REQUEST-STATUS", "URL")
_AT_MOST_ONCE = ("CONTACT", MASKED_UID, EXTENDED)
_OTHER_COMPONENTS = frozenset({"VEVENT", "VTODO", "VJOURNAL", "VALARM"})


@dataclass(frozen=True, slots=True)
class FreeBusyRequest:
    """A request for the busy times of some calendar users in a window."""

    uid: str
    organizer: Property
    attendees: tuple[Property, ...]
    """Each calendar user once, as the request names them first."""
    start: datetime
    end: datetime
    masked_uid: str | None
    """UID of an event that does not count as busy where the asker organizes it."""
    extended: bool
    """Whether the events themselves are asked for, where the asker may read them."""


def read_request(text: str, max_attendees: int) -> FreeBusyRequest:
    """The request in an iCalendar text.

    :raises InvalidCalendarData: for what is no iCalendar.
    :raises InvalidSchedulingMessage: for what RFC 5546 §3.3.2 forbids, and for more attendees than given.
    :raises RestrictedMessage: for X-CALENDARSERVER-ACCESS.
    """
    calendar = parse_calendar(text)
    if any(line.name == ACCESS for line in calendar.properties):
        raise RestrictedMessage
    method = [line.value.strip().upper() for line in calendar.all("METHOD")]
    if method != ["REQUEST"]:
        raise InvalidSchedulingMessage("METHOD is REQUEST.")
    component = _only_component(calendar)
    for name in _ONCE:
        if len(component.all(name)) != 1:
            raise InvalidSchedulingMessage(f"A VFREEBUSY request has one {name}.")
    for name in _ABSENT:
        if component.first(name) is not None:
            raise InvalidSchedulingMessage(f"A VFREEBUSY request has no {name}.")
    for name in _AT_MOST_ONCE:
        if len(component.all(name)) > 1:
            raise InvalidSchedulingMessage(f"A VFREEBUSY request has at most one {name}.")
    attendees = tuple({line.value.strip().casefold(): line for line in reversed(component.all("ATTENDEE"))}.values())
    if not attendees:
        raise InvalidSchedulingMessage("A VFREEBUSY request names an ATTENDEE.")
    if len(attendees) > max_attendees:
        raise InvalidSchedulingMessage(f"A VFREEBUSY request names at most {max_attendees} attendees.")
    start, end = _time(component, "DTSTART"), _time(component, "DTEND")
    if start >= end:
        raise InvalidSchedulingMessage("DTEND is later than DTSTART.")
    return FreeBusyRequest(
        component.text("UID") or "",
        _line(component, "ORGANIZER"),
        attendees[::-1],
        start,
        end,
        component.text(MASKED_UID) or None,
        (component.text(EXTENDED) or "").strip().upper() in ("T", "TRUE"),
    )


def reply(
    request: FreeBusyRequest,
    attendee: Property,
    periods: Iterable[BusyPeriod],
    now: datetime,
    product: str,
    events: str = "",
) -> str:
    """The answer for one attendee, who is named as in the request, with the parameters.

    :param periods: as `server.calendar.freebusy.merge` returns them.
    :param events: VEVENTs that stand beside the VFREEBUSY.
    """
    lines = content_line("UID", {}, escape_text(request.uid))
    lines += content_line("ORGANIZER", request.organizer.params, request.organizer.value)
    lines += content_line("ATTENDEE", attendee.params, attendee.value)
    found = freebusy_calendar(periods, request.start, request.end, now, product, lines, method="REPLY")
    return f"{found.removesuffix(_END)}{events}{_END}" if events else found


def _only_component(calendar: Component) -> Component:
    found = calendar.children("VFREEBUSY")
    if len(found) != 1:
        raise InvalidSchedulingMessage("A request has one VFREEBUSY.")
    for component in calendar.walk():
        if component.name in _OTHER_COMPONENTS:
            raise InvalidSchedulingMessage(f"A VFREEBUSY request has no {component.name}.")
    return found[0]


def _line(component: Component, name: str) -> Property:
    line = component.first(name)
    assert line is not None
    return line


def _time(component: Component, name: str) -> datetime:
    line = _line(component, name)
    try:
        time: CalendarTime = parse_calendar_time(line.value)
    except InvalidCalendarData as error:
        raise InvalidSchedulingMessage(f"{name}: {error.message}") from None
    if not time.utc:
        raise InvalidSchedulingMessage(f"{name} is a UTC time.")
    return time.local.replace(tzinfo=UTC)
