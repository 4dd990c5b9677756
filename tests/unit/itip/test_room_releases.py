"""The copy of a room that ends early."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from server.itip.room_releases import NO_SHOW, released, with_releases
from server.itip.scheduling_component import MASTER
from server.itip.scheduling_object import SchedulingObject, read_object

NINE = datetime(2027, 3, 27, 9, tzinfo=UTC)
"""The day before summer time begins in Berlin."""
HOUR = timedelta(hours=1)
SERIES = "RRULE:FREQ=DAILY;COUNT=4"


def meeting(
    *lines: str, start: str = "TZID=Europe/Berlin:20270327T100000", end: str = "DURATION:PT1H"
) -> SchedulingObject:
    body = ("UID:m", "DTSTAMP:20270101T000000Z", f"DTSTART;{start}", end, *lines)
    text = (
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//Test//EN",
        "BEGIN:VEVENT",
        *body,
        "END:VEVENT",
        "END:VCALENDAR",
    )
    return read_object("\r\n".join((*text, "")))


def cut(copy: SchedulingObject, instance: str = MASTER, start: datetime = NINE, after: timedelta = HOUR / 4) -> str:
    made = released(copy, instance, start, start + HOUR, start + after)
    assert made is not None
    return made.by_instance[instance].value("DURATION") or ""


@given(st.integers(1, 3599), st.sampled_from(["DURATION:PT1H", "DTEND;TZID=Europe/Berlin:20270327T110000"]))
def test_a_meeting_ends_when_it_is_released(seconds: int, end: str) -> None:
    copy = meeting(end=end)
    made = released(copy, MASTER, NINE, NINE + HOUR, NINE + timedelta(seconds=seconds))
    assert made is not None
    (component,) = made.components
    assert (component.value("DURATION"), component.first("DTEND")) == (f"PT{seconds}S", None)
    assert component.value("DTSTART") == "20270327T100000"
    read = read_object(made.text)
    assert released(read, MASTER, NINE, NINE + HOUR, NINE + HOUR / 2) is None, "it is released already"
    again = with_releases(read, copy)
    assert again.components[0].value("DURATION") == f"PT{seconds}S"
    assert with_releases(read, again).text == again.text


def test_an_instance_of_a_series_ends_over_the_change_of_the_clock() -> None:
    copy = meeting(SERIES)
    eight = NINE + 23 * HOUR
    instance = f"{eight:%Y%m%dT%H%M%SZ}"
    assert cut(copy, instance, eight) == "PT900S"
    made = released(copy, instance, eight, eight + HOUR, eight + HOUR / 4)
    assert made is not None
    assert made.master is not None
    assert made.master.value("DURATION") == "PT1H"
    assert with_releases(made, copy).text == made.text


def test_what_has_other_times_or_none_of_its_own_stays() -> None:
    assert released(meeting(), MASTER, NINE + HOUR, NINE + 2 * HOUR, NINE + HOUR * 1.5) is None
    assert released(meeting(), MASTER, NINE, NINE + HOUR, NINE) is None
    assert released(meeting(), MASTER, NINE, NINE + HOUR, NINE + HOUR) is None
    assert released(meeting(SERIES), "20270401T080000Z", NINE, NINE + HOUR, NINE + HOUR / 2) is None
    day = meeting(start="VALUE=DATE:20270327", end="DURATION:P1D")
    assert released(day, MASTER, NINE - 9 * HOUR, NINE + 15 * HOUR, NINE) is None
    floating = meeting(start="X-A=1:20270327T090000")
    assert released(floating, MASTER, NINE, NINE + HOUR, NINE + HOUR / 2) is None


def test_an_update_that_moves_the_instance_books_it_again() -> None:
    before = released(meeting(), MASTER, NINE, NINE + HOUR, NINE + HOUR / 4)
    assert before is not None
    moved = meeting(start="TZID=Europe/Berlin:20270328T100000")
    assert with_releases(before, moved) is moved
    longer = meeting(end="DURATION:PT2H")
    assert with_releases(before, longer) is longer
    line = before.components[0].value(NO_SHOW)
    kept = meeting(f"{NO_SHOW}:{line}", start="TZID=Europe/Berlin:20270328T100000")
    assert with_releases(before, kept).components[0].first(NO_SHOW) is None


@given(st.text(max_size=60).filter(lambda text: "\r" not in text and "\n" not in text))
def test_what_others_write_there_does_nothing(text: str) -> None:
    before = meeting().with_component(meeting().components[0].with_value(NO_SHOW, text))
    after = meeting()
    assert with_releases(before, after) is after
