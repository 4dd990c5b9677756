"""Broken values that are accepted: each example of docs/standards.md means what a sound text means."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.calendar.calendar_object import read_calendar_object
from server.calendar.expand import expand
from server.calendar.filters import TimeRange
from server.calendar.materialise import materialise
from server.calendar.timerange import TimeRangeMatcher
from server.calendar.zones import UTC_ZONE
from server.domain.limits import Limits
from server.domain.occurrences import Materialised
from tests.unit.calendar.texts import calendar, component, event, todo

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TITLE = "## What is accepted although it is broken, and what it then means"
DATES = "DTSTART;VALUE=DATE:20260105"
RULE = "RRULE:FREQ=DAILY;COUNT=4"


def alarm(*lines: str) -> str:
    return "\n".join(("BEGIN:VALARM", "ACTION:DISPLAY", *lines, "END:VALARM"))


def busy(*lines: str) -> str:
    return component("VFREEBUSY", "\n".join(("DTSTART:20260101T000000Z", "DTEND:20260109T000000Z", *lines)))


CASES = {
    "TRIGGER:PT": (event(alarm("TRIGGER:PT")), event(alarm("TRIGGER:PT0S"))),
    "TRIGGER:-P": (event(alarm("TRIGGER:-P")), event(alarm("TRIGGER:PT0S"))),
    "DURATION:PT": (event("DURATION:PT"), event("DURATION:PT0S")),
    "TRIGGER:soon": (event(alarm("TRIGGER:soon")), event()),
    "TRIGGER:99999999T000000Z": (event(alarm("TRIGGER:99999999T000000Z")), event()),
    "a VALARM without TRIGGER": (event(alarm()), event()),
    "a REPEAT that is none": (
        event(alarm("TRIGGER:-PT5M", "REPEAT:often", "DURATION:PT5M")),
        event(alarm("TRIGGER:-PT5M")),
    ),
    "a DURATION that is none": (
        event(alarm("TRIGGER:-PT5M", "REPEAT:2", "DURATION:x")),
        event(alarm("TRIGGER:-PT5M")),
    ),
    "a VALARM beside the events": (event() + "\n" + alarm("TRIGGER:-PT5M"), event()),
    "CREATED:00001231T000000Z": (todo("CREATED:00001231T000000Z"), todo("SUMMARY:a")),
    "DTSTAMP:00000000T000000Z": (
        event().replace("DTSTAMP:20260101T000000Z", "DTSTAMP:00000000T000000Z"),
        event(),
    ),
    "LAST-MODIFIED:yesterday": (event("LAST-MODIFIED:yesterday"), event()),
    "COMPLETED:": (todo("COMPLETED:\nCREATED:20260101T000000Z"), todo("CREATED:20260101T000000Z")),
    "RRULE:": (event("RRULE:"), event()),
    "EXRULE:": (event(f"{RULE}\nEXRULE:"), event(RULE)),
    "RRULE:FREQ=DAILY;COUNT=-1": (event("RRULE:FREQ=DAILY;COUNT=-1"), event("RRULE:FREQ=DAILY")),
    "RRULE:FREQ=DAILY;COUNT=0": (event("RRULE:FREQ=DAILY;COUNT=0"), event("RRULE:FREQ=DAILY")),
    "RRULE:FREQ=DAILY;COUNT=3;INTERVAL=0": (
        event("RRULE:FREQ=DAILY;COUNT=3;INTERVAL=0"),
        event("RRULE:FREQ=DAILY;COUNT=3"),
    ),
    "RRULE:FREQ=DAILY;COUNT=3;INTERVAL=-1": (
        event("RRULE:FREQ=DAILY;COUNT=3;INTERVAL=-1"),
        event("RRULE:FREQ=DAILY;COUNT=3"),
    ),
    "RRULE:FREQ=DAILY;UNTIL=00000000T000000Z": (
        event("RRULE:FREQ=DAILY;UNTIL=00000000T000000Z"),
        event("RRULE:FREQ=DAILY"),
    ),
    "RRULE:FREQ=DAILY;UNTIL=": (event("RRULE:FREQ=DAILY;UNTIL="), event("RRULE:FREQ=DAILY")),
    "RRULE:FREQ=WEEKLY;UNTIL=20260118T230000Z": (
        event("RRULE:FREQ=WEEKLY;UNTIL=20260118T230000Z", start=DATES),
        event("RRULE:FREQ=WEEKLY;UNTIL=20260119", start=DATES),
    ),
    "RDATE:20260107Z": (event("RDATE:20260107Z"), event("RDATE;VALUE=DATE:20260107")),
    "EXDATE:20260107Z": (event(f"{RULE}\nEXDATE:20260107Z"), event(f"{RULE}\nEXDATE;VALUE=DATE:20260107")),
    "EXDATE;VALUE=DATE:20260107T150000Z": (
        event(f"{RULE}\nEXDATE;VALUE=DATE:20260107T150000Z"),
        event(f"{RULE}\nEXDATE;VALUE=DATE:20260107"),
    ),
    "DTSTART;VALUE=DATE:20260105T103000": (event(start="DTSTART;VALUE=DATE:20260105T103000"), event(start=DATES)),
    "RDATE:00000000T000000Z": (event(f"{RULE}\nRDATE:00000000T000000Z"), event(RULE)),
    "EXDATE:,": (event(f"{RULE}\nEXDATE:,"), event(RULE)),
    "DUE:00000000T000000": (
        todo("DTSTART:20260105T100000Z\nDUE:00000000T000000"),
        todo("DTSTART:20260105T100000Z"),
    ),
    "DTEND:": (event("DTEND:"), event()),
    "DTEND:00000000": (event("DTEND:00000000", start=DATES), event(start=DATES)),
    "DURATION:": (event("DURATION:"), event()),
    "DTEND:20260105T090000Z": (event("DTEND:20260105T090000Z"), event()),
    "DTEND;VALUE=DATE:20260106": (event("DTEND;VALUE=DATE:20260106"), event()),
    "DTEND:20260106T100000Z": (event("DTEND:20260106T100000Z", start=DATES), event(start=DATES)),
    "FREEBUSY:20260105T100000Z/-PT1H": (busy("FREEBUSY:20260105T100000Z/-PT1H"), busy()),
    "CALSCALE:": ("CALSCALE:\n" + event(), event()),
    "a VTIMEZONE without TZID": ("BEGIN:VTIMEZONE\nEND:VTIMEZONE\n" + event(), event()),
}


def read(part: str) -> Materialised:
    """What a text that a client sends is in time."""
    text = calendar(part)
    found = read_calendar_object(text.encode(), Limits())
    assert found.text == text
    return materialise(found.tree, NOW)


def test_the_documents_list_what_is_accepted() -> None:
    text = Path("docs/standards.md").read_text(encoding="utf-8").partition(TITLE)[2].partition("\n## ")[0]
    written = [line.split(" | ")[0] for line in text.splitlines() if line.startswith("| ")][2:]
    examples = {example for cell in written for example in re.findall(r"`([^`]+)`", cell)}
    assert examples == {name for name in CASES if ":" in name}


@pytest.mark.parametrize(("broken", "sound"), CASES.values(), ids=CASES.keys())
def test_the_broken_part_has_no_effect(broken: str, sound: str) -> None:
    found, expected = read(broken), read(sound)
    shift = found.occurrences[0].component - expected.occurrences[0].component
    moved = tuple(replace(row, component=row.component + shift) for row in expected.occurrences)
    alarms = tuple(replace(trigger, component=trigger.component + shift) for trigger in expected.alarms)
    assert found == replace(expected, occurrences=moved, alarms=alarms)


def test_an_event_with_a_broken_end_and_a_duration_has_the_duration() -> None:
    assert read(event("DTEND;VALUE=DATE:20260106\nDURATION:PT2H")) == read(event("DURATION:PT2H"))


@pytest.mark.parametrize("name", ["CREATED", "DTSTAMP", "LAST-MODIFIED", "COMPLETED"])
def test_a_time_range_on_a_stamp_that_is_none_does_not_match(name: str) -> None:
    tree = read_calendar_object(calendar(todo(f"{name}:99990000T000000Z")).encode(), Limits()).tree
    task = tree.components[0]
    test = TimeRangeMatcher(tree, UTC_ZONE)
    assert not test((tree, task), task.first(name), TimeRange(datetime(1, 1, 1, tzinfo=UTC), None))


@given(st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), max_size=20), st.booleans())
def test_no_alarm_and_no_stamp_costs_the_event(value: str, folded: bool) -> None:
    value = ("\n " if folded else "") + value
    lines = alarm(f"TRIGGER:{value}", f"REPEAT:{value}", f"DURATION:{value}")
    stamps = "\n".join(f"{name}:{value}" for name in ("CREATED", "LAST-MODIFIED", "COMPLETED"))
    found = read(event(f"{stamps}\n{lines}"))
    assert found.occurrences == read(event()).occurrences


@pytest.mark.parametrize("end", ["DTEND:20260105T090000Z", "DTEND;VALUE=DATE:20260106", "DTEND:"])
def test_expansion_of_a_broken_end(end: str) -> None:
    """It stays as far from the start as it is."""
    tree_text = calendar(event(f"{end}\nRRULE:FREQ=DAILY;COUNT=2"))
    tree = read_calendar_object(tree_text.encode(), Limits()).tree
    found = expand(tree_text, tree, NOW, datetime(2027, 1, 1, tzinfo=UTC), UTC_ZONE)
    expected = {
        "DTEND:20260105T090000Z": ["DTEND:20260105T090000Z", "DTEND:20260106T090000Z"],
        "DTEND;VALUE=DATE:20260106": ["DTEND;VALUE=DATE:20260106", "DTEND;VALUE=DATE:20260107"],
        "DTEND:": [],
    }
    assert re.findall(r"DTEND.*(?=\r)", found) == expected[end]
