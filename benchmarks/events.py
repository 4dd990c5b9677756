"""Events as apps write them, for benchmarks that put them."""

from __future__ import annotations

import random

from benchmarks.in_turn import Request

ZONE = """BEGIN:VTIMEZONE
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
END:VTIMEZONE
"""
EVENT = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//Koyomi//benchmarks//EN
{zone}BEGIN:VEVENT
UID:{uid}@benchmarks.example
DTSTAMP:20260101T000000Z
CREATED:20260101T000000Z
LAST-MODIFIED:20260101T000000Z
SEQUENCE:{sequence}
SUMMARY:{summary} revision {sequence}
DESCRIPTION:{text}
CLASS:PUBLIC
LOCATION:Berlin\\, Invalidenstr. 5
{times}{further}{alarm}END:VEVENT
{override}END:VCALENDAR
"""
TIMES = "DTSTART;TZID=Europe/Berlin:{day}T{hour:02}0000\nDTEND;TZID=Europe/Berlin:{day}T{hour:02}3000\nTRANSP:OPAQUE\n"
ALL_DAY = "DTSTART;VALUE=DATE:{day}\nTRANSP:TRANSPARENT\n"
GUESTS = "ORGANIZER;CN=Organizer;SCHEDULE-AGENT=CLIENT:mailto:organizer@benchmarks.example\n" + "".join(
    f"ATTENDEE;CN=Guest {n};PARTSTAT=ACCEPTED;RSVP=TRUE:mailto:guest{n}@benchmarks.example\n" for n in range(5)
)
OVERRIDE = """BEGIN:VEVENT
UID:{uid}@benchmarks.example
DTSTAMP:20260101T000000Z
RECURRENCE-ID;TZID=Europe/Berlin:{day}T{hour:02}0000
SUMMARY:{summary} (moved)
DTSTART;TZID=Europe/Berlin:{day}T{hour:02}1500
DTEND;TZID=Europe/Berlin:{day}T{hour:02}4500
END:VEVENT
"""
ALARM = "BEGIN:VALARM\nACTION:DISPLAY\nDESCRIPTION:Reminder\nTRIGGER:-PT15M\nEND:VALARM\n"
WORDS = ("budget", "review", "planning", "customer", "roadmap", "sprint", "interview", "design", "weekly", "training")


def event(uid: str, sequence: int) -> bytes:
    """An event of 2026: four in ten ring; of 20 three recur, two take whole days, and one has guests.

    A third of the series has no end; the first instance of each is overridden.
    """
    drawn = random.Random(uid)
    kind = drawn.random()
    day, hour = f"2026{drawn.randrange(1, 13):02}{drawn.randrange(1, 29):02}", drawn.randrange(8, 18)
    summary = " ".join(drawn.choices(WORDS, k=4)).capitalize()
    further = override = ""
    if kind < 0.15:
        further = "RRULE:FREQ=WEEKLY\n" if kind < 0.05 else "RRULE:FREQ=WEEKLY;COUNT=30\n"
        override = OVERRIDE.format(uid=uid, day=day, hour=hour, summary=summary)
    elif kind < 0.2:
        further = GUESTS
    all_day = kind >= 0.9
    text = EVENT.format(
        zone="" if all_day else ZONE,
        uid=uid,
        sequence=sequence,
        summary=summary,
        text="\n ".join(" ".join(drawn.choices(WORDS, k=8)) for _ in range(drawn.randrange(1, 6))),
        times=(ALL_DAY if all_day else TIMES).format(day=day, hour=hour),
        further=further,
        alarm=ALARM if drawn.random() < 0.4 else "",
        override=override,
    )
    return text.replace("\n", "\r\n").encode()


def member(person: str, name: str) -> str:
    """The path of an event in a person's calendar."""
    return f"/calendars/users/{person}/calendar/{name}.ics"


def put(person: str, name: str, sequence: int, *, new: bool = False) -> Request:
    """Store an event, or replace it unless it is to be new."""
    headers = {"Content-Type": "text/calendar; charset=utf-8"}
    if new:
        headers["If-None-Match"] = "*"
    return Request("PUT", member(person, name), 201 if new else 204, event(f"{person}-{name}", sequence), headers)
