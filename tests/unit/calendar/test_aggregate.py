from __future__ import annotations

from collections import Counter

import icalendar
from hypothesis import given, settings
from hypothesis import strategies as st

from server.calendar.aggregate import Aggregate
from server.calendar.component import parse_calendar
from tests.unit.calendar.texts import BERLIN, aggregated, calendar, crlf, event

NEW_LINE = "\n"
LONDON = BERLIN.replace("Europe/Berlin", "Europe/London")


def test_an_empty_calendar_is_bare():
    assert aggregated([]) == "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Koyomi//Koyomi//EN\r\nEND:VCALENDAR\r\n"


def test_each_zone_once_and_only_the_name_added():
    here, there = (BERLIN.replace("Europe/Berlin", name) for name in ("Here", "There"))
    first, second = event(uid="1", start="DTSTART;TZID=Here:20260105T100000"), event(uid="2")
    third = event(uid="3", start="DTSTART;TZID=There:20260105T100000")
    texts = [calendar(here, first), calendar(second, here), calendar(third, there), calendar(here, first)]
    assert aggregated(texts, "Team; rooms, and more") == crlf(
        "BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//Koyomi//Koyomi//EN\nX-WR-CALNAME:Team\\; rooms\\, and more\n"
        + "\n".join([here, first, second, there, third, first])
        + "\nEND:VCALENDAR\n"
    )


def test_line_ends_become_crlf_and_all_else_stays():
    body = event("SUMMARY:a\n b\nX-A;B:\\c\nBEGIN:VALARM\nTRIGGER:-PT5M\nEND:VALARM")
    for line_end in ("\r\n", "\n", "\r\r\n"):
        for end in ("", line_end * 3):
            text = calendar(body).replace("\r\n", line_end).rstrip() + end
            for mark in ("", "\ufeff"):
                assert Aggregate(None).add(mark + text) == crlf(body) + "\r\n"


def test_long_and_foreign_names_are_folded():
    head = Aggregate("é" * 100).head()
    assert all(len(line.encode()) <= 75 for line in head.split("\r\n"))
    assert parse_calendar(head + "END:VCALENDAR").text("X-WR-CALNAME") == "é" * 100


@settings(max_examples=100)
@given(
    st.lists(
        st.tuples(st.lists(st.sampled_from([BERLIN, LONDON]), max_size=2), st.integers(1, 3), st.booleans()), max_size=6
    )
)
def test_every_component_and_each_zone_once(objects):
    texts = []
    for number, (zones, count, zones_last) in enumerate(objects):
        uses = "".join(f"X-T;TZID={zone.split(NEW_LINE)[1][5:]}:1\n" for zone in zones)
        events = [event(f"{uses}X-N:{number}-{part}", uid=str(number)) for part in range(count)]
        texts.append(calendar(*events, *zones) if zones_last else calendar(*zones, *events))
    whole = aggregated(texts)
    tree = parse_calendar(whole)
    zones = Counter(child.text("TZID") for child in tree.children("VTIMEZONE"))
    assert set(zones) == {zone.split(NEW_LINE)[1][5:] for used, _, _ in objects for zone in used}
    assert set(zones.values()) <= {1}
    assert [child.text("X-N") for child in tree.children("VEVENT")] == [
        f"{number}-{part}" for number, (_, count, _) in enumerate(objects) for part in range(count)
    ]
    assert len(icalendar.Calendar.from_ical(whole).subcomponents) == len(tree.components)
