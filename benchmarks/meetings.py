"""Meetings and requests for busy times as apps write them, and what copies and answers must say."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from html import unescape

from benchmarks.events import ZONE

HEAD = "BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//Koyomi//benchmarks//EN\n"
EVENT = """BEGIN:VEVENT
UID:{uid}
DTSTAMP:20260101T000000Z
CREATED:20260101T000000Z
LAST-MODIFIED:20260101T000000Z
SEQUENCE:{sequence}
SUMMARY:Planning of the next quarter
DESCRIPTION:Agenda: figures of the last quarter\\, what is planned\\, who
  does what. Please read the documents before.
LOCATION:Berlin\\, Invalidenstr. 5
{times}{people}TRANSP:OPAQUE
BEGIN:VALARM
ACTION:DISPLAY
DESCRIPTION:Reminder
TRIGGER:-PT15M
END:VALARM
END:VEVENT
END:VCALENDAR
"""
_DATA = re.compile(r"<[\w-]*:?href[^>]*>([^<]+)<.*?calendar-data[^>]*>(.*?)</[\w-]*:?calendar-data>", re.DOTALL)
_RECIPIENT = re.compile(r"<[\w-]*:?response[ >](.*?)</[\w-]*:?response>", re.DOTALL)
_ADDRESS = re.compile(r"mailto:(\w+)@localhost", re.IGNORECASE)
_CDATA = re.compile(r"<!\[CDATA\[(.*?)\]\]>", re.DOTALL)


def address(person: str) -> str:
    """A person's calendar user address on both servers."""
    return f"mailto:{person}@localhost"


def unfolded(text: str) -> list[str]:
    """The content lines of a text."""
    return re.sub(r"\r?\n[ \t]", "", text).splitlines()


@dataclass(frozen=True, slots=True)
class Copy:
    """A person's copy of a meeting."""

    path: str
    text: str


@dataclass(slots=True)
class Meeting:
    """A meeting of one hour, as it must be in all copies."""

    uid: str
    organizer: str
    attendees: Sequence[str]
    start: datetime
    """The local time in Berlin; its zone does not count."""
    sequence: int = 0
    answers: dict[str, str] = field(default_factory=dict)
    """PARTSTAT of those who have answered."""

    @property
    def times(self) -> list[str]:
        """The content lines of its times."""
        end = self.start + timedelta(hours=1)
        return [
            f"DTSTART;TZID=Europe/Berlin:{self.start:%Y%m%dT%H%M%S}",
            f"DTEND;TZID=Europe/Berlin:{end:%Y%m%dT%H%M%S}",
        ]

    @property
    def text(self) -> str:
        """The organizer's text. The organizer attends, too, as apps have it."""
        people = [f"ORGANIZER;CN={self.organizer}:{address(self.organizer)}"]
        people.append(f"ATTENDEE;CN={self.organizer};ROLE=CHAIR;PARTSTAT=ACCEPTED:{address(self.organizer)}")
        people += [
            f"ATTENDEE;CN={person};CUTYPE=INDIVIDUAL;PARTSTAT={self.answers.get(person, 'NEEDS-ACTION')};RSVP=TRUE:\n "
            f"{address(person)}"
            for person in self.attendees
        ]
        times = "".join(f"{line}\n" for line in (*self.times, *people))
        return (HEAD + ZONE + EVENT.format(uid=self.uid, sequence=self.sequence, times=times, people="")).replace(
            "\n", "\r\n"
        )

    def is_right(self, text: str) -> bool:
        """Whether a copy has the times, and what everybody has answered."""
        lines = unfolded(text)
        if not set(self.times) <= set(lines):
            return False
        found = {}
        for line in lines:
            if line.startswith("ATTENDEE"):
                named = _ADDRESS.search(line)
                answer = re.search(r";PARTSTAT=([\w-]+)", line)
                if named is not None:
                    found[named[1]] = "NEEDS-ACTION" if answer is None else answer[1]
        return all(found.get(person) == self.answers.get(person, "NEEDS-ACTION") for person in self.attendees)


def answered(text: str, person: str) -> str:
    """A person's copy as their app sends it when they accept."""
    lines = []
    for line in unfolded(text):
        if line.startswith("ATTENDEE") and address(person) in line.lower():
            line = re.sub(r";(PARTSTAT|RSVP)=[\w-]+", "", line).replace("ATTENDEE", "ATTENDEE;PARTSTAT=ACCEPTED", 1)
        lines.append("\r\n ".join(line[at : at + 70] for at in range(0, len(line), 70)) or line)
    return "\r\n".join(lines) + "\r\n"


def query(uid: str) -> str:
    """A calendar-query for the objects of a UID."""
    return (
        '<?xml version="1.0" encoding="utf-8"?>'
        '<C:calendar-query xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav">'
        "<D:prop><D:getetag/><C:calendar-data/></D:prop><C:filter><C:comp-filter name='VCALENDAR'>"
        "<C:comp-filter name='VEVENT'><C:prop-filter name='UID'>"
        f"<C:text-match collation='i;octet'>{uid}</C:text-match></C:prop-filter></C:comp-filter></C:comp-filter>"
        "</C:filter></C:calendar-query>"
    )


def copies_in(multistatus: str) -> list[Copy]:
    """The objects in the answer to a calendar-query."""
    return [Copy(unescape(path), _plain(data)) for path, data in _DATA.findall(multistatus)]


def _plain(data: str) -> str:
    """The text of an element."""
    found = _CDATA.search(data)
    return found[1] if found is not None else unescape(data)


@dataclass(frozen=True, slots=True)
class Own:
    """An event without attendees."""

    uid: str
    text: str
    start: datetime
    end: datetime


def own_event(person: str, number: int, start: datetime) -> Own:
    """One of a person's own events in the 30 days from `start`: no two of them touch."""
    at = start + timedelta(hours=7 * number + int(person[4:]) % 5)
    end = at + timedelta(minutes=30 + 15 * (number % 7))
    times = f"DTSTART:{at:%Y%m%dT%H%M%SZ}\nDTEND:{end:%Y%m%dT%H%M%SZ}\n"
    uid = f"own-{person}-{number}-{start:%Y%m%d}"
    text = HEAD + EVENT.format(uid=uid, sequence=0, times=times, people="")
    return Own(uid, text.replace("\n", "\r\n"), at, end)


def free_busy_request(people: Sequence[str], start: datetime, days: int) -> str:
    """The request of the first person for the busy times of all (RFC 6638 §5)."""
    end = start + timedelta(days=days)
    lines = [
        "BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Koyomi//benchmarks//EN", "METHOD:REQUEST", "BEGIN:VFREEBUSY",
        "UID:busy", "DTSTAMP:20260101T000000Z", f"DTSTART:{start:%Y%m%dT%H%M%SZ}", f"DTEND:{end:%Y%m%dT%H%M%SZ}",
        f"ORGANIZER:{address(people[0])}", *(f"ATTENDEE:{address(person)}" for person in people), "END:VFREEBUSY",
        "END:VCALENDAR", "",
    ]  # fmt: skip
    return "\r\n".join(lines)


def busy_expected(person: str, events: int, start: datetime) -> list[tuple[datetime, datetime]]:
    """When a person's own events make them busy."""
    found = (own_event(person, number, start) for number in range(events))
    return [(event.start, event.end) for event in found]


def busy_in(response: str) -> dict[str, list[tuple[datetime, datetime]]]:
    """The busy times in the answer to a request, by person."""
    found: dict[str, list[tuple[datetime, datetime]]] = {}
    for part in _RECIPIENT.findall(response):
        named = _ADDRESS.search(part)
        if named is None:
            continue
        periods = set()
        for line in unfolded(_plain(part)):
            if line.startswith("FREEBUSY") and "FBTYPE=FREE" not in line.split(":")[0]:
                periods |= {_period(value) for value in line.split(":", 1)[1].split(",")}
        found[named[1]] = sorted(periods)
    return found


def _period(value: str) -> tuple[datetime, datetime]:
    """A PERIOD in UTC."""
    begin, _, end = value.strip().partition("/")
    start = _time(begin)
    if not end.startswith("P"):
        return start, _time(end)
    amounts = {unit: int(number) for number, unit in re.findall(r"(\d+)([WDHMS])", end)}
    return start, start + timedelta(
        weeks=amounts.get("W", 0),
        days=amounts.get("D", 0),
        hours=amounts.get("H", 0),
        minutes=amounts.get("M", 0),
        seconds=amounts.get("S", 0),
    )


def _time(value: str) -> datetime:
    return datetime.strptime(value, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
