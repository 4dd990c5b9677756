"""Shared and personal parts: taken apart and put together line by line."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.calendar.personal import busy_types, compose, neutral, same_order, same_shared, split
from server.domain.errors import InvalidCalendarData, KoyomiError
from server.domain.occurrences import Busy


def text(*lines: str) -> str:
    return "\r\n".join(("BEGIN:VCALENDAR", *lines, "END:VCALENDAR", ""))


ALARM = ("BEGIN:VALARM", "TRIGGER:-PT1M", "X-MOZ-LASTACK:1", "BEGIN:VLOCATION", "UID:l", "END:VLOCATION", "END:VALARM")
EVENT = text(
    "VERSION:2.0",
    "BEGIN:VEVENT",
    "UID:1",
    "TRANSP:TRANSPARENT",
    "DTSTART:20260101T100000Z",
    "X-MOZ-LASTACK:20260101T100000Z",
    "X-MOZ-SNOOZE-TIME-1767261600000000:20260101T100000Z",
    "RRULE:FREQ=DAILY",
    "X-MICROSOFT-CDO-BUSYSTATUS:FREE",
    "X-APPLE-TRAVEL-DURATION;VALUE=DURATION:PT30M",
    *ALARM,
    "END:VEVENT",
    "BEGIN:VEVENT",
    "UID:1",
    "RECURRENCE-ID:20260102T100000Z",
    "DTSTART:20260102T110000Z",
    "X-APPLE-STRUCTURED-LOCATION:geo:1,2",
    *ALARM,
    "BEGIN:PARTICIPANT",
    "UID:p",
    "END:PARTICIPANT",
    "END:VEVENT",
)
NEUTRAL = text(
    "VERSION:2.0",
    "BEGIN:VEVENT",
    "UID:1",
    "DTSTART:20260101T100000Z",
    "RRULE:FREQ=DAILY",
    "END:VEVENT",
    "BEGIN:VEVENT",
    "UID:1",
    "RECURRENCE-ID:20260102T100000Z",
    "DTSTART:20260102T110000Z",
    "X-APPLE-STRUCTURED-LOCATION:geo:1,2",
    "BEGIN:PARTICIPANT",
    "UID:p",
    "END:PARTICIPANT",
    "END:VEVENT",
)


def test_what_is_personal_and_what_is_shared() -> None:
    parts = split(EVENT)
    assert parts.shared == neutral(EVENT) == NEUTRAL
    assert compose(parts.shared, parts.personal) == EVENT
    assert busy_types(EVENT) == (Busy.FREE, Busy.BUSY)
    assert busy_types(NEUTRAL) == (Busy.BUSY, Busy.BUSY)


def test_other_components_have_nothing_personal() -> None:
    zone = ("BEGIN:VTIMEZONE", "TZID:Z", "BEGIN:STANDARD", "TRANSP:OPAQUE", "END:STANDARD", "END:VTIMEZONE")
    busy = ("BEGIN:VFREEBUSY", "UID:f", "TRANSP:OPAQUE", "END:VFREEBUSY")
    whole = text("X-MOZ-LASTACK:1", *zone, *busy)
    assert split(whole).shared == whole


def test_a_task_has_alarms() -> None:
    task = text("BEGIN:VTODO", "UID:1", *ALARM, "END:VTODO")
    assert neutral(task) == text("BEGIN:VTODO", "UID:1", "END:VTODO")


def test_the_personal_part_of_one_text_in_another() -> None:
    personal = split(EVENT).personal
    changed = text(
        "BEGIN:VEVENT",
        "SUMMARY:Another",
        "DTSTART:20260105T100000Z",
        "END:VEVENT",
        "BEGIN:VEVENT",
        "RECURRENCE-ID:20260106T100000Z",
        "END:VEVENT",
        "BEGIN:VEVENT",
        "recurrence-id:20260102t100000z",
        "END:VEVENT",
    )
    travel = ("X-MICROSOFT-CDO-BUSYSTATUS:FREE", "X-APPLE-TRAVEL-DURATION;VALUE=DURATION:PT30M")
    acknowledged = ("X-MOZ-LASTACK:20260101T100000Z", "X-MOZ-SNOOZE-TIME-1767261600000000:20260101T100000Z")
    assert compose(changed, personal) == text(
        "BEGIN:VEVENT",
        "SUMMARY:Another",
        "DTSTART:20260105T100000Z",
        "TRANSP:TRANSPARENT",
        *acknowledged,
        *travel,
        *ALARM,
        "END:VEVENT",
        # what was not known has what the series has
        "BEGIN:VEVENT",
        "RECURRENCE-ID:20260106T100000Z",
        "TRANSP:TRANSPARENT",
        *acknowledged,
        *travel,
        *ALARM,
        "END:VEVENT",
        "BEGIN:VEVENT",
        "recurrence-id:20260102t100000z",
        *ALARM,
        "END:VEVENT",
    )


def test_an_exception_without_personal_parts_keeps_none() -> None:
    series = ("BEGIN:VEVENT", "UID:1", *ALARM, "END:VEVENT")
    exception = ("BEGIN:VEVENT", "UID:1", "RECURRENCE-ID:20260102T100000Z", "END:VEVENT")
    whole = text(*series, *exception)
    parts = split(whole)
    assert compose(parts.shared, parts.personal) == whole


def test_what_is_the_same_however_it_is_written() -> None:
    again = text(
        "PRODID:other",
        "BEGIN:VEVENT",
        "RRULE:FREQ=DAILY",
        "DTSTART:2026010\r\n 1T100000Z",
        "DTSTAMP:20260101T000000Z",
        "LAST-MODIFIED:20260101T000000Z",
        "SEQUENCE:4",
        "UID:1",
        *ALARM,
        "END:VEVENT",
        "BEGIN:VEVENT",
        "X-APPLE-STRUCTURED-LOCATION:geo:1,2",
        "RECURRENCE-ID:20260102T100000Z",
        "DTSTART:20260102T110000Z",
        "UID:1",
        "BEGIN:PARTICIPANT",
        "UID:p",
        "END:PARTICIPANT",
        "END:VEVENT",
    )
    assert same_shared(EVENT, again)
    assert same_order(EVENT, again)
    turned = text("BEGIN:VEVENT", "RECURRENCE-ID:2", "END:VEVENT", "BEGIN:VEVENT", "UID:1", "END:VEVENT")
    straight = text("BEGIN:VEVENT", "UID:1", "END:VEVENT", "BEGIN:VEVENT", "RECURRENCE-ID:2", "END:VEVENT")
    assert same_shared(turned, straight)
    assert not same_order(turned, straight)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("UID:p", "UID:q"),
        ("FREQ=DAILY", "FREQ=WEEKLY"),
        ("DTSTART:20260101", "DTSTART;X=1:20260101"),
        ("END:PARTICIPANT\r\n", "END:PARTICIPANT\r\nBEGIN:PARTICIPANT\r\nEND:PARTICIPANT\r\n"),
        ("RRULE:FREQ=DAILY\r\n", ""),
    ],
)
def test_what_is_another_shared_part(old: str, new: str) -> None:
    assert not same_shared(EVENT, EVENT.replace(old, new, 1))


@pytest.mark.parametrize(
    "broken",
    [
        "",
        "x",
        "BEGIN:VCALENDAR\nBEGIN:VEVENT\n",
        "END:VEVENT\n",
        "BEGIN:VCALENDAR\nX-KOYOMI-AFTER:\nEND:VCALENDAR\n",
        "BEGIN:A\n" * 50 + "END:A\n" * 50,
    ],
)
def test_what_cannot_be_read(broken: str) -> None:
    for act in (lambda: same_shared(broken, EVENT), lambda: split(broken), lambda: compose(NEUTRAL, broken)):
        with contextlib.suppress(InvalidCalendarData):
            act()


NAMES = st.sampled_from(["SUMMARY", "ATTENDEE", "X-A", "TRANSP", "X-MOZ-LASTACK", "X-APPLE-TRAVEL-START", "DTSTART"])
VALUES = st.text('abc;,:\\ ="', max_size=12)
LINES = st.builds(lambda name, value, fold: f"{name}:{value}{fold}", NAMES, VALUES, st.sampled_from(["", "\r\n x"]))


def component(name: str, inner: st.SearchStrategy[list[str]]) -> st.SearchStrategy[list[str]]:
    return inner.map(lambda lines: [f"BEGIN:{name}", *lines, f"END:{name}"])


def together(*parts: st.SearchStrategy[list[str]]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.one_of(*parts), max_size=6).map(lambda found: [line for part in found for line in part])


PROPERTIES = LINES.map(lambda line: [line])
BELOW = st.sampled_from(["VALARM", "VLOCATION", "X-CHILD"]).flatmap(lambda name: component(name, together(PROPERTIES)))
RECURRENCE = st.sampled_from([[], ["RECURRENCE-ID:20260101"], ["RECURRENCE-ID;TZID=Z:20260102T100000"]])
INSIDE = st.tuples(together(PROPERTIES, BELOW), RECURRENCE, together(PROPERTIES, BELOW)).map(
    lambda parts: sum(parts, [])
)
MAIN = st.sampled_from(["VEVENT", "VTODO", "VJOURNAL", "VTIMEZONE"]).flatmap(lambda name: component(name, INSIDE))
OBJECTS = st.lists(MAIN, max_size=4).map(lambda found: text(*[line for part in found for line in part]))


@given(OBJECTS)
def test_taking_apart_and_putting_together_leaves_every_byte(whole: str) -> None:
    parts = split(whole)
    assert compose(parts.shared, parts.personal) == whole
    assert split(parts.shared).shared == parts.shared
    assert same_shared(whole, parts.shared)
    assert same_order(whole, parts.shared)


@given(OBJECTS, OBJECTS)
def test_anybodys_personal_part_leaves_what_is_shared(whole: str, other: str) -> None:
    composed = compose(neutral(whole), split(other).personal)
    assert neutral(composed) == neutral(whole)
    assert len(busy_types(composed)) == len(busy_types(whole))


@given(st.text('BEGIN:VCALENDARTO\r\n ;x,"', max_size=200), OBJECTS)
def test_only_domain_errors(wild: str, whole: str) -> None:
    broken = whole[: len(whole) // 2] + wild
    for act in (
        lambda: split(broken),
        lambda: compose(broken, split(whole).personal),
        lambda: compose(whole, broken),
        lambda: same_shared(broken, whole),
        lambda: same_order(broken, whole),
        lambda: busy_types(broken),
    ):
        with contextlib.suppress(KoyomiError):
            act()
