"""Opening times as people write them, and as they are stored: a calendar with VAVAILABILITY (RFC 7953)."""

from __future__ import annotations

import re
from datetime import date, timedelta

from server.calendar.calendar_object import read_calendar_object
from server.domain.errors import InvalidData, InvalidPrincipal
from server.domain.limits import Limits

MAX_OPENING_TIMES = 20_000
"""Characters of the calendar."""
_DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_DAY = "(?:MO|TU|WE|TH|FR|SA|SU)"
_PART = re.compile(rf"({_DAY}(?:[-,]{_DAY})*|DAILY) +([0-2]\d):([0-5]\d) ?- ?([0-2]\d):([0-5]\d)")
_MONDAY = date(2020, 1, 6)
_EXAMPLE = "opening_times must be as MO-FR 08:00-18:00; SA 09:00-12:00, or an iCalendar text with VAVAILABILITY."


def opening_times(text: str) -> str:
    """The calendar of opening times; empty where it is always open.

    `MO-FR 08:00-18:00; SA 09:00-12:00` is by the clock of the room's zone; an iCalendar text stays as it is. Raises
    `InvalidPrincipal`.
    """
    text = text.strip()
    if not text or text.upper() == "ALWAYS":
        return ""
    if len(text) > MAX_OPENING_TIMES:
        raise InvalidPrincipal(f"opening_times may have at most {MAX_OPENING_TIMES} characters.")
    if text[:15].upper() != "BEGIN:VCALENDAR":
        return _calendar([_available(part.strip().upper()) for part in text.split(";") if part.strip()])
    try:
        made = read_calendar_object((text + "\r\n").encode(), Limits())
    except (InvalidData, UnicodeEncodeError) as error:
        reason = error.message if isinstance(error, InvalidData) else "it has characters that are none."
        raise InvalidPrincipal(f"opening_times is no iCalendar text: {reason}") from None
    if made.component != "VAVAILABILITY":
        raise InvalidPrincipal(_EXAMPLE)
    return made.text


def _available(part: str) -> list[str]:
    match = _PART.fullmatch(part)
    if match is None:
        raise InvalidPrincipal(_EXAMPLE)
    named, *numbers = match.groups()
    opens, closes = (60 * int(numbers[at]) + int(numbers[at + 1]) for at in (0, 2))
    if max(opens, closes) > 24 * 60 or opens == 24 * 60:
        raise InvalidPrincipal(_EXAMPLE)
    days = _days(named)
    first = _MONDAY + timedelta(days=min(map(_DAYS.index, days)))
    minutes = (closes - opens - 1) % (24 * 60) + 1
    return [
        "BEGIN:AVAILABLE",
        f"UID:{'-'.join(days)}-{opens}-{closes}",
        "DTSTAMP:20200101T000000Z",
        f"DTSTART:{first:%Y%m%d}T{opens // 60:02}{opens % 60:02}00",
        f"DURATION:PT{minutes}M",
        f"RRULE:FREQ=WEEKLY;BYDAY={','.join(days)}",
        "END:AVAILABLE",
    ]


def _days(named: str) -> list[str]:
    if named == "DAILY":
        return list(_DAYS)
    found: set[int] = set()
    for span in named.split(","):
        ends = [_DAYS.index(day) for day in span.split("-")]
        if len(ends) > 2:
            raise InvalidPrincipal(_EXAMPLE)
        length = (ends[-1] - ends[0]) % 7
        found |= {(ends[0] + day) % 7 for day in range(length + 1)}
    return [_DAYS[day] for day in sorted(found)]


def _calendar(available: list[list[str]]) -> str:
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Koyomi//rooms//EN", "BEGIN:VAVAILABILITY"]
    lines += ["UID:opening-times", "DTSTAMP:20200101T000000Z", *(line for part in available for line in part)]
    return "\r\n".join([*lines, "END:VAVAILABILITY", "END:VCALENDAR", ""])
