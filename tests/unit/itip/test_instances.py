"""Components for single instances."""

from __future__ import annotations

import pytest

from server.itip.instances import derived, excluded, master_instance, with_exdates
from server.itip.scheduling_object import SchedulingObject, read_object
from tests.unit.calendar.texts import BERLIN, calendar
from tests.unit.itip.texts import attendee, event, organizer


def series(start: str, end: str, *lines: str, overrides: tuple[str, ...] = ()) -> SchedulingObject:
    return read_object(calendar(BERLIN, event(organizer(), attendee(2), *lines, start=start, end=end), *overrides))


TIMED = ("DTSTART;TZID=Europe/Berlin:20270322T100000", "DTEND;TZID=Europe/Berlin:20270322T110000")


@pytest.mark.parametrize(
    ("start", "end", "rule", "instance", "expected"),
    [
        (
            *TIMED,
            "RRULE:FREQ=WEEKLY",
            "20270329T080000Z",
            [
                "RECURRENCE-ID;TZID=Europe/Berlin:20270329T100000",
                "DTSTART;TZID=Europe/Berlin:20270329T100000",
                "DTEND;TZID=Europe/Berlin:20270329T110000",
            ],
        ),
        (
            "DTSTART;VALUE=DATE:20270104",
            "DTEND;VALUE=DATE:20270106",
            "RRULE:FREQ=DAILY",
            "20270301",
            ["RECURRENCE-ID;VALUE=DATE:20270301", "DTSTART;VALUE=DATE:20270301", "DTEND;VALUE=DATE:20270303"],
        ),
        (
            "DTSTART:20270104T100000Z",
            "DURATION:PT1H",
            "RRULE:FREQ=DAILY",
            "20270105T100000Z",
            ["RECURRENCE-ID:20270105T100000Z", "DTSTART:20270105T100000Z"],
        ),
        (
            "DTSTART:20270104T100000",
            "DURATION:PT1H",
            "RDATE:20270109T080000",
            "20270109T080000",
            ["RECURRENCE-ID:20270109T080000", "DTSTART:20270109T080000"],
        ),
    ],
)
def test_an_instance_has_the_form_of_its_series(
    start: str, end: str, rule: str, instance: str, expected: list[str]
) -> None:
    value = series(start, end, rule, "EXDATE:20270701T100000Z")
    made = derived(value, instance)
    assert made is not None
    written = [line.written.strip() for line in made.lines]
    assert [line for line in expected if line not in written] == []
    assert made.first("RRULE") is made.first("EXDATE") is made.first("RDATE") is None
    assert len(made.all("ATTENDEE")) == 1
    assert value.instance_of(made.first("RECURRENCE-ID")) == instance == made.instance
    assert master_instance(value, instance) is not None


def test_an_override_or_a_range_describes_an_instance_before_the_master_does() -> None:
    override = event("RECURRENCE-ID:20270105T100000Z", "SUMMARY:Own", start="DTSTART:20270105T120000Z", end="")
    ranged = event(
        "RECURRENCE-ID;RANGE=THISANDFUTURE:20270107T100000Z",
        "SUMMARY:Range",
        start="DTSTART:20270107T150000Z",
        end="DTEND:20270107T153000Z",
    )
    value = series("DTSTART:20270104T100000Z", "DURATION:PT1H", "RRULE:FREQ=DAILY", overrides=(override, ranged))
    assert derived(value, "20270105T100000Z") is value.by_instance["20270105T100000Z"]
    later = derived(value, "20270109T100000Z")
    assert later is not None
    wanted = ("RECURRENCE-ID", "DTSTART", "DTEND", "SUMMARY")
    assert sorted(line.content for line in later.lines if line.name in wanted) == [
        ("DTEND", "", "20270109T153000Z"),
        ("DTSTART", "", "20270109T150000Z"),
        ("RECURRENCE-ID", "", "20270109T100000Z"),
        ("SUMMARY", "", "Range"),
    ]
    earlier = derived(value, "20270106T100000Z")
    assert earlier is not None
    assert earlier.value("DTSTART") == "20270106T100000Z"


def test_exdates_are_found_by_what_they_mean_and_added_in_the_form_of_the_series() -> None:
    value = series(*TIMED, "RRULE:FREQ=WEEKLY", "EXDATE:20270329T080000Z,20270405T080000Z")
    assert set(excluded(value)) == {"20270329T080000Z", "20270405T080000Z"}
    assert master_instance(value, "20270329T080000Z") is None
    assert master_instance(value, "20270330T080000Z") is None
    assert value.master is not None
    more = value.with_component(with_exdates(value, value.master, ["20270412T080000Z"]))
    assert "EXDATE;TZID=Europe/Berlin:20270412T100000\r\n" in more.text
    assert set(excluded(more)) == {"20270329T080000Z", "20270405T080000Z", "20270412T080000Z"}


def test_what_no_component_describes_has_no_component() -> None:
    value = read_object(calendar(event("RECURRENCE-ID:20270104T100000Z")))
    assert derived(value, "20270105T100000Z") is None
    assert derived(value, "20270104T100000Z") is value.components[0]
    assert derived(series(*TIMED, "RRULE:FREQ=DAILY"), "zone:odd") is None
