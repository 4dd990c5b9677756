"""A meeting as an event of one person."""

from __future__ import annotations

from server.itip.plain_event import plain_event
from server.itip.scheduling_object import read_object
from tests.unit.services.world import calendar

PEOPLE = ("ORGANIZER:mailto:a@example.com", "ATTENDEE;CN=B:mailto:b@example.com", "REQUEST-STATUS:2.0;Success")
MAIL = (
    "BEGIN:VALARM",
    "ACTION:EMAIL",
    "SUMMARY:x",
    "DESCRIPTION:x",
    "ATTENDEE:mailto:me@example.com",
    "TRIGGER:-PT5M",
    "END:VALARM",
)


def event(uid: str, *lines: str) -> tuple[str, ...]:
    return ("BEGIN:VEVENT", f"UID:{uid}", "DTSTAMP:20260101T000000Z", *lines, "END:VEVENT")


def test_series_and_overrides_lose_everybody_and_get_one_uid() -> None:
    rest = ("DTSTART:20260301T090000Z", "RRULE:FREQ=DAILY;COUNT=3", "SUMMARY:É", "X-OWN:1", *MAIL)
    moved = ("RECURRENCE-ID:20260302T090000Z", "DTSTART:20260302T110000Z")
    before = calendar(*event("old", *PEOPLE, *rest), *event("old", *moved, *PEOPLE))
    after = calendar(*event("new", *rest), *event("new", *moved))
    assert plain_event(read_object(before), "new").text == after
