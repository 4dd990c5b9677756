"""Which series the server divides by itself, and where."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.itip.long_series import Thresholds, dividing_time, may_be_long
from server.itip.scheduling_object import read_object
from server.itip.splitting import Split, divided, split_point

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
RULES = Thresholds(past=timedelta(days=100), overrides=3, kept=timedelta(days=10))
ZONE = (
    "BEGIN:VTIMEZONE",
    "TZID:Somewhere",
    "BEGIN:STANDARD",
    "DTSTART:19700101T000000",
    "RRULE:FREQ=YEARLY",
    "TZOFFSETFROM:+0100",
    "TZOFFSETTO:+0100",
    "END:STANDARD",
    "END:VTIMEZONE",
)


def text_of(*lines: str, overrides: tuple[str, ...] = (), zone: bool = False) -> str:
    body = ["BEGIN:VEVENT", "UID:s", "DTSTAMP:20260101T000000Z", *lines, "END:VEVENT"]
    for each in overrides:
        start = each.replace("T09", "T10")
        more = (f"RECURRENCE-ID:{each}", f"DTSTART:{start}", "DURATION:PT1H")
        body += ["BEGIN:VEVENT", "UID:s", "DTSTAMP:20260101T000000Z", *more, "END:VEVENT"]
    head = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Test//EN", *(ZONE if zone else ())]
    return "\r\n".join([*head, *body, "END:VCALENDAR", ""])


def daily(start: str, *more: str) -> tuple[str, ...]:
    return (f"DTSTART{start}", "DURATION:PT1H", "RRULE:FREQ=DAILY", *more)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (text_of(*daily(":20251101T090000Z")), "20260219T120000Z"),
        (text_of(*daily(":20251101T090000")), "20260219T120000"),
        (text_of(*daily(";VALUE=DATE:20251101")).replace("PT1H", "P1D"), "20260219"),
        (text_of(*daily(";TZID=Somewhere:20251101T090000"), zone=True), "20260219T120000Z"),
        # It began lately.
        (text_of(*daily(":20260101T090000Z")), None),
        (text_of(*daily(";TZID=Somewhere:20260101T090000"), zone=True), None),
        # It is over.
        (text_of(*daily(":20251101T090000Z")).replace("DAILY", "DAILY;COUNT=9"), None),
        # No series, a task, and what cannot be divided.
        (text_of("DTSTART:20200101T090000Z", "DURATION:PT1H"), None),
        (text_of(*daily(":20251101T090000Z")).replace("VEVENT", "VTODO"), None),
        (
            text_of(*daily(":20251101T090000Z"), overrides=("20260201T090000Z",)).replace(
                "RECURRENCE-ID", "RECURRENCE-ID;RANGE=THISANDFUTURE"
            ),
            None,
        ),
        # Three overrides count, if they are past.
        (
            text_of(*daily(":20260101T090000Z"), overrides=tuple(f"2026020{day}T090000Z" for day in (1, 2, 3))),
            "20260219T120000Z",
        ),
        (
            text_of(*daily(":20260101T090000Z"), overrides=tuple(f"2026030{day}T090000Z" for day in (1, 2, 3))),
            None,
        ),
    ],
)
def test_the_time(text: str, expected: str | None) -> None:
    assert dividing_time(read_object(text), NOW, RULES) == expected
    if expected is not None:
        assert may_be_long(text, NOW, RULES)


def test_the_fast_look_sees_no_zone_as_a_series() -> None:
    assert not may_be_long(text_of("DTSTART;TZID=Somewhere:20260101T090000", zone=True), NOW, RULES)
    assert not may_be_long(text_of(*daily(";TZID=Somewhere:20260101T090000"), zone=True), NOW, RULES)


@given(
    age=st.integers(0, 400),
    rule=st.sampled_from(["DAILY", "WEEKLY", "MONTHLY", "DAILY;COUNT=120", "DAILY;INTERVAL=3", "YEARLY"]),
    changed=st.sets(st.integers(0, 400), max_size=6),
    form=st.sampled_from([":%Y%m%dT090000Z", ":%Y%m%dT090000", ";VALUE=DATE:%Y%m%d"]),
)
def test_what_was_divided_is_not_divided_again(age: int, rule: str, changed: set[int], form: str) -> None:
    start = NOW - timedelta(days=age)
    lines = (f"DTSTART{start:{form}}", f"RRULE:FREQ={rule}")
    overrides = tuple(f"{start + timedelta(days=each):%Y%m%dT090000Z}" for each in changed) if form[-1] == "Z" else ()
    text = text_of(*lines, overrides=overrides)
    value = read_object(text)
    time = dividing_time(value, NOW, RULES)
    if time is None:
        return
    assert may_be_long(text, NOW, RULES)
    parts = divided(value, Split(split_point(value, time), "past", "related", None))
    assert parts.later is not None
    assert parts.earlier is not None
    assert dividing_time(parts.later, NOW, RULES) is None
    assert dividing_time(parts.earlier, NOW, RULES) is None
