"""Content of the demo organisation: people, rooms, and calendars around a day. It is the same for the same day."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from server.calendar.contentline import escape_text, fold

DOMAIN = "kirschbaum.example"
ZONE = "Europe/Berlin"
_VTIMEZONE = (
    "BEGIN:VTIMEZONE",
    f"TZID:{ZONE}",
    "BEGIN:DAYLIGHT",
    "DTSTART:19810329T020000",
    "RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU",
    "TZNAME:CEST",
    "TZOFFSETFROM:+0100",
    "TZOFFSETTO:+0200",
    "END:DAYLIGHT",
    "BEGIN:STANDARD",
    "DTSTART:19961027T030000",
    "RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU",
    "TZNAME:CET",
    "TZOFFSETFROM:+0200",
    "TZOFFSETTO:+0100",
    "END:STANDARD",
    "END:VTIMEZONE",
)


@dataclass(frozen=True, slots=True)
class Person:
    """Someone of the organisation, or whom it works with."""

    name: str
    given: str
    family: str
    title: str
    phone: str
    company: str = "Kirschbaum Gärten"
    address: str = ""

    @property
    def display_name(self) -> str:
        """As apps show it."""
        return f"{self.given} {self.family}"

    @property
    def email(self) -> str:
        """The e-mail address."""
        return self.address or f"{self.name}@{DOMAIN}"


PEOPLE = (
    Person("clara", "Clara", "Brandt", "Director", "+49 30 5550 101"),
    Person("ben", "Ben", "Okafor", "Garden architect", "+49 30 5550 102"),
    Person("deniz", "Deniz", "Yıldız", "Site manager", "+49 30 5550 103"),
    Person("frieda", "Frieda", "Sørensen", "Plants and nursery", "+49 30 5550 104"),
    Person("jun", "Jun", "Satō", "Bookkeeping", "+49 30 5550 105"),
)
ROOMS = {
    "meadow": "Meadow (8 seats)",
    "greenhouse": "Greenhouse (20 seats)",
    "orchard": "Orchard (40 seats)",
    "arbour": "Arbour (4 seats)",
    "beamer": "Beamer",
    "transporter": "Transporter",
}
"""Rooms and equipment, as apps show them."""
_ATTRIBUTES: dict[str, dict[str, Any]] = {
    "meadow": {"floor": "1", "number": "1.04", "capacity": 8, "features": ["screen", "whiteboard"]},
    "greenhouse": {"floor": "0", "number": "0.01", "capacity": 20, "features": ["projector", "video"]},
    "orchard": {
        "floor": "0",
        "number": "0.02",
        "capacity": 40,
        "features": ["projector", "video", "microphone"],
        "accessibility": "wheelchair",
        "buffer_after_minutes": 15,
        "policy": {"max_duration_minutes": 480, "capacity": "enforce"},
    },
    "arbour": {"floor": "1", "number": "1.05", "capacity": 4, "policy": {"max_duration_minutes": 60}},
    "beamer": {"type": "EQUIPMENT", "features": ["projector"], "pieces": 2},
    "transporter": {"type": "PARKING", "number": "P 1", "capacity": 3},
}
_HOUSE = {
    "site": "Berlin",
    "building": "Gardeners' House",
    "position": "52.5163,13.3777",
    "time_zone": ZONE,
    "contact": f"mailto:jun@{DOMAIN}",
}
GROUP = "everyone"
_CONTACTS = (
    Person("", "Anneke", "de Vries", "Sales", "+31 20 555 0141", "Tulpen & Zonen", "anneke@tulpen.example"),
    Person("", "Paweł", "Nowak", "Drivers", "+48 22 555 0142", "Nowak Transport", "pawel@nowak.example"),
    Person("", "Maria", "Lindqvist", "Owner", "+49 30 5550 143", "Café am Ufer", "maria@ufer.example"),
    Person("", "Tom", "Hughes", "Facilities", "+44 20 5550 144", "Hughes & Hughes", "tom@hughes.example"),
    Person("", "Ines", "Kühn", "Tax adviser", "+49 30 5550 145", "Kühn Steuerberatung", "ines@kuehn.example"),
    Person("", "Omar", "Haddad", "Masonry", "+49 30 5550 146", "Haddad Naturstein", "omar@naturstein.example"),
)
_APPOINTMENTS = (
    ("Site visit Schlosspark", "Schlosspark, Gate 3"),
    ("Plan review", ""),
    ("Offer for Café am Ufer", ""),
    ("Call with Tulpen & Zonen", "by phone"),
    ("Planting plan, north side", ""),
    ("Interview: apprentice", ""),
    ("Acceptance of the stone terrace", "Uferstraße 12"),
    ("Budget", ""),
    ("Soil samples", "Nursery"),
    ("Supplier talk", ""),
)
_SLOTS = ((time(11, 0), 60), (time(13, 30), 45), (time(14, 30), 30), (time(16, 30), 30))
_TASKS = ("Send the offer", "Order 400 tulip bulbs", "Check the irrigation", "File the receipts", "Renew the insurance")


@dataclass(frozen=True, slots=True)
class Member:
    """A text to be put into a collection of a principal."""

    owner: str
    collection: str
    name: str
    text: str


def principals() -> dict[str, Any]:
    """The document to be loaded."""
    people = [
        {
            "kind": "individual",
            "name": each.name,
            "display_name": each.display_name,
            "emails": [each.email],
            "office": {"building": _HOUSE["building"], "floor": "1"},
        }
        for each in PEOPLE
    ]
    rooms = [
        {
            "kind": "resource" if "type" in _ATTRIBUTES[name] else "room",
            "name": name,
            "display_name": text,
            "emails": [f"{name}@{DOMAIN}"],
            "auto_schedule": {"mode": "automatic"},
            "groups": ["rooms"],
            "room": {**_HOUSE, **_ATTRIBUTES[name]},
        }
        for name, text in ROOMS.items()
    ]
    group = {
        "kind": "group",
        "name": GROUP,
        "display_name": "Everyone",
        "emails": [f"{GROUP}@{DOMAIN}"],
        "members": [each.name for each in PEOPLE],
    }
    all_rooms = {"kind": "group", "name": "rooms", "display_name": "Rooms and equipment"}
    return {"principals": [*people, *rooms, group, all_rooms]}


def members(today: date) -> list[Member]:
    """Everything in the calendars, task lists and address books."""
    monday = today - timedelta(days=today.weekday())
    found = _meetings(monday)
    for number, person in enumerate(PEOPLE):
        found += _appointments(person, monday)
        found += _private(person, number, monday)
        found += _tasks(person, today)
        found += _cards(person)
    return found


# -- calendars --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Event:
    uid: str
    summary: str
    start: datetime | date
    length: timedelta
    lines: Sequence[str] = ()
    location: str = ""
    extra: Sequence[str] = field(default=())
    """Further components."""

    def text(self) -> str:
        zone = _VTIMEZONE if isinstance(self.start, datetime) else ()
        return _calendar([*zone, *self.component(), *self.extra])

    def component(self) -> list[str]:
        lines = ["BEGIN:VEVENT", f"UID:{self.uid}", *_STAMPS, f"SUMMARY:{escape_text(self.summary)}"]
        lines += [_time("DTSTART", self.start), _time("DTEND", self.start + self.length)]
        if self.location:
            lines.append(f"LOCATION:{escape_text(self.location)}")
        return [*lines, *self.lines, "END:VEVENT"]


_STAMPS = ("DTSTAMP:20260101T080000Z", "CREATED:20260101T080000Z")


def _time(name: str, moment: datetime | date) -> str:
    if isinstance(moment, datetime):
        return f"{name};TZID={ZONE}:{moment:%Y%m%dT%H%M%S}"
    return f"{name};VALUE=DATE:{moment:%Y%m%d}"


def _calendar(lines: Iterable[str]) -> str:
    return _text(["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Koyomi//demo//EN", *lines, "END:VCALENDAR"])


def _text(lines: Iterable[str]) -> str:
    return "".join(map(fold, lines))


def _at(day: date, moment: time) -> datetime:
    return datetime.combine(day, moment)


def _meetings(monday: date) -> list[Member]:
    """Meetings of everybody: in each calendar, and in the room's."""
    first = monday - timedelta(weeks=3)
    moved = monday + timedelta(weeks=1, days=1)
    attendees = [
        f"ORGANIZER;CN={PEOPLE[0].display_name}:mailto:{PEOPLE[0].email}",
        *(f"ATTENDEE;CN={each.display_name};PARTSTAT=ACCEPTED:mailto:{each.email}" for each in PEOPLE),
    ]
    team = _Event(
        f"demo-team@{DOMAIN}",
        "Team meeting",
        _at(first + timedelta(days=1), time(10, 0)),
        timedelta(hours=1),
        (
            "RRULE:FREQ=WEEKLY;BYDAY=TU",
            _time("EXDATE", _at(monday + timedelta(weeks=3, days=1), time(10, 0))),
            *attendees,
        ),
        ROOMS["meadow"],
    )
    instance = _Event(
        team.uid,
        "Team meeting (a day later)",
        _at(moved + timedelta(days=1), time(10, 0)),
        timedelta(hours=1),
        (_time("RECURRENCE-ID", _at(moved, time(10, 0))), *attendees),
        ROOMS["meadow"],
    )
    events = {
        "meadow": (
            _Event(
                team.uid, team.summary, team.start, team.length, team.lines, team.location, tuple(instance.component())
            ),
        ),
        "greenhouse": (
            _Event(
                f"demo-all-hands@{DOMAIN}",
                "All hands",
                _at(_first_thursday(first), time(15, 0)),
                timedelta(minutes=90),
                ("RRULE:FREQ=MONTHLY;BYDAY=1TH", *attendees),
                ROOMS["greenhouse"],
            ),
            _Event(
                f"demo-outing@{DOMAIN}",
                "Summer outing" if 3 < monday.month < 10 else "Winter outing",
                monday + timedelta(weeks=3, days=4),
                timedelta(days=1),
                ("TRANSP:OPAQUE", *attendees),
            ),
        ),
    }
    found = []
    for room, of_room in events.items():
        for event in of_room:
            owners = [each.name for each in PEOPLE] + ([room] if event.location else [])
            found += [_member(owner, event) for owner in owners]
    return found


def _first_thursday(day: date) -> date:
    first = day.replace(day=1)
    return first + timedelta(days=(3 - first.weekday()) % 7)


def _member(owner: str, event: _Event) -> Member:
    return Member(owner, "calendar", f"{event.uid.partition('@')[0]}.ics", event.text())


def _appointments(person: Person, monday: date) -> list[Member]:
    """Two weeks back to four ahead, one or two on most working days."""
    choose = random.Random(f"{person.name} {monday}")  # noqa: S311 - for variety
    found = []
    for offset in range(-14, 28):
        day = monday + timedelta(days=offset)
        if day.weekday() > 4:
            continue
        for slot, (moment, minutes) in enumerate(_SLOTS):
            if choose.random() < 0.35:
                summary, location = choose.choice(_APPOINTMENTS)
                uid = f"demo-{person.name}-{day:%Y%m%d}-{slot}@{DOMAIN}"
                start, length = _at(day, moment), timedelta(minutes=minutes)
                found.append(_member(person.name, _Event(uid, summary, start, length, (), location)))
    return found


def _private(person: Person, number: int, monday: date) -> list[Member]:
    dentist = _Event(
        f"demo-{person.name}-dentist@{DOMAIN}",
        "Dentist",
        _at(monday + timedelta(days=7 + number), time(8, 15)),
        timedelta(minutes=45),
        (
            "CLASS:PRIVATE",
            *("BEGIN:VALARM", "ACTION:DISPLAY", "DESCRIPTION:Dentist", "TRIGGER:-PT1H", "END:VALARM"),
        ),
    )
    birthday = _Event(
        f"demo-{person.name}-birthday@{DOMAIN}",
        f"{person.given}'s birthday",
        date(1980 + number, 1 + 2 * number, 11 + number),
        timedelta(days=1),
        ("RRULE:FREQ=YEARLY", "TRANSP:TRANSPARENT"),
    )
    holiday = _Event(
        f"demo-{person.name}-holiday@{DOMAIN}",
        "Holiday",
        monday + timedelta(weeks=4 + number),
        timedelta(days=5 + number),
        ("TRANSP:OPAQUE", "X-MICROSOFT-CDO-BUSYSTATUS:OOF"),
    )
    return [_member(person.name, event) for event in (dentist, birthday, holiday)]


def _tasks(person: Person, today: date) -> list[Member]:
    found = []
    for number, summary in enumerate(_TASKS):
        uid = f"demo-{person.name}-task-{number}@{DOMAIN}"
        due = today + timedelta(days=4 * number - 3)
        lines = ["BEGIN:VTODO", f"UID:{uid}", *_STAMPS, f"SUMMARY:{summary}", _time("DUE", due)]
        if number == 0:
            done = datetime.combine(due, time(9, 0), UTC)
            lines += ["STATUS:COMPLETED", "PERCENT-COMPLETE:100", f"COMPLETED:{done:%Y%m%dT%H%M%SZ}"]
        else:
            lines += ["STATUS:NEEDS-ACTION", f"PRIORITY:{1 + 2 * number}"]
        text = _calendar([*lines, "END:VTODO"])
        found.append(Member(person.name, "tasks", f"{uid.partition('@')[0]}.ics", text))
    return found


# -- contacts ---------------------------------------------------------------------------------------------------------


def _cards(person: Person) -> list[Member]:
    found = []
    for number, each in enumerate([*(other for other in PEOPLE if other != person), *_CONTACTS]):
        uid = f"demo-{person.name}-card-{number}"
        lines = [
            "BEGIN:VCARD",
            "VERSION:3.0",
            f"UID:{uid}",
            f"FN:{escape_text(each.display_name)}",
            f"N:{escape_text(each.family)};{escape_text(each.given)};;;",
            f"ORG:{escape_text(each.company)}",
            f"TITLE:{escape_text(each.title)}",
            f"EMAIL;TYPE=INTERNET,WORK:{each.email}",
            f"TEL;TYPE=WORK,VOICE:{each.phone}",
            "END:VCARD",
        ]
        found.append(Member(person.name, "addressbook", f"{uid}.vcf", _text(lines)))
    return found
