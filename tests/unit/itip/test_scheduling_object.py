"""Objects that can be edited keep every byte that nobody changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.calendar.calendar_object import read_calendar_object
from server.domain.limits import Limits
from server.itip.lines import made
from server.itip.scheduling_component import MASTER
from server.itip.scheduling_object import read_object
from tests.unit.calendar.texts import BERLIN, calendar
from tests.unit.itip.texts import UID, attendee, event, organizer, read

ODD = (
    "\ufeffBEGIN:VCALENDAR\nVERSION:2.0\n\nBEGIN:VEV\n ENT\nUID:1\n"
    "DTSTART:20270104T100000Z\r\nSUMMARY:Lo\r\n ng\r\n\r\n"
    "BEGIN:VALARM\nACTION:DISPLAY\nEND:VALARM\nX-LATE:1\nEND:VEVENT\r\nX-BEHIND:2\r\nEND:VCALENDAR\n\n"
)
SERIES = calendar(
    BERLIN,
    event("RRULE:FREQ=DAILY;COUNT=5", start="DTSTART;TZID=Europe/Berlin:20270104T100000", end="DURATION:PT1H"),
    event(
        "RECURRENCE-ID;TZID=Europe/Berlin:20270105T100000",
        start="DTSTART;TZID=Europe/Berlin:20270105T120000",
        end="DURATION:PT1H",
    ),
)


@pytest.mark.parametrize("text", [ODD, SERIES, calendar(event(organizer(), attendee(2)))])
def test_a_text_that_nobody_changes_is_the_same(text: str) -> None:
    assert read_object(text).text == text
    parsed = read_calendar_object(text.encode(), Limits())
    assert read_object(parsed.text, parsed.tree).text == text


@given(
    st.lists(st.sampled_from(["SUMMARY:A", "X-A;B=C:D", "DESCRIPTION:" + "long " * 30, ""]), max_size=8),
    st.booleans(),
    st.sampled_from(["\n", "\r\n"]),
)
def test_any_lines_keep_their_bytes(lines: list[str], alarm: bool, line_end: str) -> None:
    inner = ["BEGIN:VALARM", "ACTION:AUDIO", "END:VALARM"] if alarm else []
    event_lines = ["BEGIN:VEVENT", "UID:1", *lines, *inner, *lines, "END:VEVENT"]
    text = line_end.join(
        ["BEGIN:VCALENDAR", *event_lines, *event_lines[:1], "UID:1", "END:VEVENT", "END:VCALENDAR", ""]
    )
    value = read_object(text)
    assert value.text == text
    assert [component.first("UID") is not None for component in value.components] == [True, True]


def test_components_are_found_by_the_instance_that_they_mean() -> None:
    value = read_object(SERIES)
    assert [component.instance for component in value.components] == [MASTER, "20270105T090000Z"]
    assert value.master is value.components[0]
    assert value.overrides == [value.components[1]]
    assert value.uid == UID
    assert value.name == "VEVENT"


def test_an_override_without_a_master() -> None:
    value = read(event("RECURRENCE-ID:20270104T100000Z"))
    assert value.master is None
    assert value.components[0].instance == "20270104T100000Z"


def test_a_changed_line_leaves_its_neighbours_alone() -> None:
    value = read_object(ODD)
    changed = value.map_components(lambda component: component.with_value("SUMMARY", "Short"))
    whole = ODD.replace("\r\n", "\n").replace("\n", "\r\n")
    assert changed.text == whole.replace("SUMMARY:Lo\r\n ng\r\n", "SUMMARY:Short\r\n")


def test_a_text_with_a_new_line_has_the_line_ends_of_the_standard() -> None:
    """curl and scripts send LF alone: what leaves the server has CRLF (RFC 5545 §3.1)."""
    value = read_object(SERIES.replace("\r\n", "\n"))
    message = value.with_method("REQUEST").text
    assert message == read_object(SERIES).with_method("REQUEST").text
    assert message.count("\n") == message.count("\r\n")


def test_new_lines_stand_behind_the_properties() -> None:
    component = read(event("SUMMARY:A\nBEGIN:VALARM\nACTION:AUDIO\nEND:VALARM")).components[0]
    assert [item.name for item in component.with_value("STATUS", "CANCELLED").items][-2:] == ["STATUS", "VALARM"]
    assert component.without("STATUS") is component


@pytest.mark.parametrize(
    ("before", "parameters", "after"),
    [
        ("ATTENDEE:mailto:a@b", {"PARTSTAT": "ACCEPTED"}, "ATTENDEE;PARTSTAT=ACCEPTED:mailto:a@b"),
        (
            'ATTENDEE;CN="A; B";partstat=DECLINED;X=1:mailto:a@b',
            {"PARTSTAT": "ACCEPTED", "RSVP": None},
            'ATTENDEE;CN="A; B";PARTSTAT=ACCEPTED;X=1:mailto:a@b',
        ),
        ("ATTENDEE;RSVP=TRUE;CN=A:mailto:a@b", {"RSVP": None}, "ATTENDEE;CN=A:mailto:a@b"),
        ("ATTENDEE;RSVP=TRUE:mailto:a@b", {"CN": "B, C"}, 'ATTENDEE;RSVP=TRUE;CN="B, C":mailto:a@b'),
    ],
)
def test_parameters_that_are_not_named_stay_as_spelled(
    before: str, parameters: dict[str, str | None], after: str
) -> None:
    line = read(event(before)).components[0].all("ATTENDEE")[0]
    assert line.with_parameters(parameters).written == after + "\r\n"
    assert line.with_parameters({name: line.params.get(name) for name in parameters}) is line


def test_components_are_replaced_in_place_and_added_behind() -> None:
    value = read_object(SERIES)
    master, override = value.components
    other = override.with_items(override.items, "20270106T090000Z")
    changed = value.with_components([other, master.with_value("SUMMARY", "A")])
    assert [component.instance for component in changed.components] == [MASTER, "20270106T090000Z"]
    assert value.with_components([override, master]) is value
    assert value.without_instances("20270105T090000Z").overrides == []
    assert changed.timezones == value.timezones


def test_method_stands_among_the_lines_of_the_calendar() -> None:
    value = read_object(SERIES).with_method("REQUEST")
    assert value.method == "REQUEST"
    assert value.text.split("BEGIN:VTIMEZONE")[0].endswith("METHOD:REQUEST\r\n")
    assert value.with_method(None).text == SERIES
    assert read_object(value.text).method == "REQUEST"


@pytest.mark.parametrize(
    ("written", "sequence"),
    [
        ("", 0),
        ("3", 3),
        (" 007 ", 7),
        ("-1", 0),
        ("x", 0),
        ("" + "9" * 60, 2**31 - 1),
    ],
)
def test_sequence_is_a_number_whatever_is_written(written: str, sequence: int) -> None:
    assert read(event(f"SEQUENCE:{written}")).sequence == sequence


def test_a_made_line_is_folded() -> None:
    line = made("ATTENDEE", "mailto:a@b", {"CN": ["x" * 80], "ROLE": ["CHAIR"]})
    assert max(map(len, line.written.split("\r\n"))) <= 75
    assert line.parameter("CN") == "x" * 80
