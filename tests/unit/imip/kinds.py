"""Mails of every kind, composed by the production code.

    python -m tests.unit.imip.kinds

writes them into `tests/unit/imip/golden`, where `test_golden.py` expects them.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from server.calendar.iana import iana_zone
from server.calendar.zone_definition import definition
from server.imip.catalogue import CATALOGUE
from server.imip.composing import Draft, Person, compose
from server.imip.tags import Tags
from server.itip.calendar_users import Directory, here
from server.itip.messages import Method
from server.itip.scheduling_object import read_object

GOLDEN = Path(__file__).parent / "golden"
SENT_AT = datetime(2026, 1, 2, 8, tzinfo=UTC)
TAGS = Tags(b"k" * 32, "calendar@example.org")
ANNA = Person("anna@example.org", "Anna Müller")
ZOE = Person("zoe@example.com", "Zoë Ö")
DIRECTORY = Directory(
    [
        here(1, ["mailto:anna@example.org", "urn:x-uid:id-anna"], "Anna Müller"),
        here(2, ["mailto:ben@example.org", "urn:x-uid:id-ben"], "Ben"),
        here(3, ["urn:x-uid:id-room"], "Room", "ROOM"),
    ]
)


def zone_text(name: str) -> str:
    zone = iana_zone(name)
    assert zone is not None
    return f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\n{definition(zone, name)}END:VCALENDAR\r\n"


def text(method: str, *components: tuple[str, ...], name: str = "VEVENT") -> str:
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//App//EN", f"METHOD:{method}"]
    for component in components:
        lines += [f"BEGIN:{name}", "UID:meeting@example.org", "DTSTAMP:20260101T120000Z", *component, f"END:{name}"]
    return "\r\n".join((*lines, "END:VCALENDAR", ""))


ORGANIZER = "ORGANIZER;CN=Anna Müller:mailto:anna@example.org"
ATTENDEES = (
    "ATTENDEE;CN=Anna Müller;PARTSTAT=ACCEPTED:mailto:anna@example.org",
    "ATTENDEE;CN=Ben;PARTSTAT=TENTATIVE:urn:x-uid:id-ben",
    'ATTENDEE;CN="Ö, Zoë";PARTSTAT=NEEDS-ACTION;RSVP=TRUE:mailto:zoe@example.com',
    "ATTENDEE;CUTYPE=ROOM:urn:x-uid:id-room",
)
BERLIN = ("DTSTART;TZID=Europe/Berlin:20260105T100000", "DTEND;TZID=Europe/Berlin:20260105T113000")
BASE = (
    *BERLIN,
    "SUMMARY:Plan für 2026 – Übersicht",
    "LOCATION:Großer Saal\\, 2. Stock",
    "DESCRIPTION:Erste Zeile\\nZweite <b>Zeile</b> & mehr",
    "URL:https://example.org/meeting?a=1&b=2",
    ORGANIZER,
    *ATTENDEES,
)
SERIES = (*BASE, "RRULE:FREQ=WEEKLY;BYDAY=MO;UNTIL=20260330T080000Z")
OVERRIDE = (
    "RECURRENCE-ID;TZID=Europe/Berlin:20260112T100000",
    "DTSTART;TZID=Europe/Berlin:20260112T140000",
    "DURATION:PT1H30M",
    "SUMMARY:Plan für 2026 – Übersicht",
    ORGANIZER,
    *ATTENDEES,
)


def reply(partstat: str, *more: str) -> str:
    line = f"ATTENDEE;CN=Ben;PARTSTAT={partstat}:mailto:ben@example.org"
    return text("REPLY", (*BERLIN, "SUMMARY:Kickoff", "ORGANIZER;CN=Zoë:mailto:zoe@example.com", line, *more))


def changed(value: str, *pairs: tuple[str, str]) -> str:
    for old, new in pairs:
        assert old in value, old
        value = value.replace(old, new)
    return value


def draft(method: Method, message: str, before: str | None = None) -> Draft:
    """A mail from Anna, or an answer from Ben, to Zoë."""
    answers = method in (Method.REPLY, Method.COUNTER, Method.REFRESH)
    return Draft(
        method=method,
        message=read_object(message),
        before=None if before is None else read_object(before),
        directory=DIRECTORY,
        sender=Person("ben@example.org", "Ben") if answers else ANNA,
        recipient=ZOE,
        reply_to=None if answers else TAGS.reply_address(7, "meeting@example.org", "mailto:zoe@example.com"),
        organizer=None,
        message_id=TAGS.message_id(7, 42),
        sent_at=SENT_AT,
        language="en",
        timezone=zone_text("Asia/Tokyo" if answers else "Europe/Berlin"),
    )


INVITATION = draft(Method.REQUEST, text("REQUEST", BASE))
MOVED = (
    ("20260105T100000", "20260106T150000"),
    ("20260105T113000", "20260106T160000"),
    ("Großer Saal", "Kleiner Saal"),
)
UPDATE = draft(Method.REQUEST, changed(text("REQUEST", BASE), *MOVED), text("REQUEST", BASE))
KINDS: Mapping[str, Draft] = {
    "invitation": INVITATION,
    "update": UPDATE,
    **{f"invitation-{language}": replace(INVITATION, language=language) for language in CATALOGUE if language != "en"},
    **{f"update-{language}": replace(UPDATE, language=language) for language in CATALOGUE if language != "en"},
    "series": draft(Method.REQUEST, text("REQUEST", SERIES, OVERRIDE)),
    "changed-day": draft(Method.REQUEST, text("REQUEST", OVERRIDE), text("REQUEST", SERIES)),
    "cancelled": draft(Method.CANCEL, text("CANCEL", (*BASE, "STATUS:CANCELLED", "SEQUENCE:1"))),
    "cancelled-days": draft(
        Method.CANCEL,
        text(
            "CANCEL",
            *(
                (
                    f"RECURRENCE-ID;TZID=Europe/Berlin:202601{day}T100000",
                    f"DTSTART;TZID=Europe/Berlin:202601{day}T100000",
                    "SUMMARY:Plan",
                    "STATUS:CANCELLED",
                    ORGANIZER,
                    ATTENDEES[2],
                )
                for day in (12, 19)
            ),
        ),
    ),
    "all-day": draft(
        Method.REQUEST,
        text("REQUEST", ("DTSTART;VALUE=DATE:20260105", "DTEND;VALUE=DATE:20260108", "SUMMARY:Trip", *BASE[6:])),
    ),
    "floating": draft(
        Method.REQUEST,
        text(
            "REQUEST",
            (
                "DTSTART:20260105T100000",
                "DTEND:20260105T110000",
                "RRULE:FREQ=DAILY;UNTIL=20260110T100000",
                "EXDATE:20260106T100000",
                "SUMMARY:Floating",
                *BASE[6:],
            ),
        ),
    ),  # fmt: skip
    "utc": draft(
        Method.REQUEST, text("REQUEST", ("DTSTART:20260105T090000Z", "DURATION:PT45M", "SUMMARY:UTC", *BASE[6:]))
    ),
    "task": draft(
        Method.REQUEST,
        text("REQUEST", ("DUE;TZID=Europe/Berlin:20260105T100000", "SUMMARY:Write", *BASE[6:]), name="VTODO"),
    ),
    "tagged-organizer": replace(INVITATION, organizer=INVITATION.reply_to),
    **{
        f"reply-{status.lower()}": draft(Method.REPLY, reply(status))
        for status in ("ACCEPTED", "DECLINED", "TENTATIVE")
    },
    "reply-with-comment": draft(Method.REPLY, reply("DECLINED", "COMMENT:Ich bin krank;\\nleider")),
    "counter": draft(Method.COUNTER, changed(reply("TENTATIVE"), ("METHOD:REPLY", "METHOD:COUNTER"))),
    "declined-counter": draft(Method.DECLINECOUNTER, text("DECLINECOUNTER", BASE)),
    "refresh": draft(Method.REFRESH, changed(reply("TENTATIVE"), ("METHOD:REPLY", "METHOD:REFRESH"))),
}


def main() -> int:
    """Write the files, and remove those of kinds that are gone."""
    for path in GOLDEN.glob("*.eml"):
        if path.stem not in KINDS:
            path.unlink()
    for name, made in KINDS.items():
        (GOLDEN / f"{name}.eml").write_bytes(compose(made))
    return 0


if __name__ == "__main__":
    sys.exit(main())
