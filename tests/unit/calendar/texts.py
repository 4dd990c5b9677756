"""Calendar texts for tests."""

from __future__ import annotations

from collections.abc import Iterable

from server.calendar.aggregate import Aggregate

BERLIN = """BEGIN:VTIMEZONE
TZID:Europe/Berlin
BEGIN:DAYLIGHT
TZOFFSETFROM:+0100
TZOFFSETTO:+0200
TZNAME:CEST
DTSTART:19700329T020000
RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU
END:DAYLIGHT
BEGIN:STANDARD
TZOFFSETFROM:+0200
TZOFFSETTO:+0100
TZNAME:CET
DTSTART:19701025T030000
RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU
END:STANDARD
END:VTIMEZONE"""


def crlf(text: str) -> str:
    """The text with CR LF line ends."""
    return text.replace("\n", "\r\n")


def calendar(*parts: str, head: str = "VERSION:2.0\nPRODID:-//Example//Test//EN") -> str:
    """A VCALENDAR with components, in CR LF lines."""
    lines = ["BEGIN:VCALENDAR", head, *parts, "END:VCALENDAR", ""]
    return crlf("\n".join(line for line in lines if line or line is lines[-1]))


def aggregated(texts: Iterable[str], calendar_name: str | None = None) -> str:
    """The one iCalendar stream over several objects."""
    whole = Aggregate(calendar_name)
    return "".join((whole.head(), *map(whole.add, texts), whole.tail()))


def component(name: str, lines: str, uid: str | None = "1@example.com") -> str:
    """A component with a UID in front of its lines."""
    first = "" if uid is None else f"UID:{uid}\n"
    return f"BEGIN:{name}\n{first}{lines}\nEND:{name}"


def event(lines: str = "", uid: str | None = "1@example.com", start: str = "DTSTART:20260105T100000Z") -> str:
    """A VEVENT with DTSTART (unless empty) and more lines."""
    body = "\n".join(line for line in ("DTSTAMP:20260101T000000Z", start, lines) if line)
    return component("VEVENT", body, uid)


def todo(lines: str, uid: str | None = "1@example.com") -> str:
    """A VTODO."""
    return component("VTODO", lines, uid)
