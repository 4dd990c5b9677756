"""The zones of many objects in one stream: every TZID is defined, and no event moves."""

from __future__ import annotations

from datetime import UTC, datetime

import icalendar
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.calendar.aggregate import Aggregate
from server.calendar.calendar_object import folded_tzid, read_calendar_object
from server.calendar.component import Component, parse_calendar
from server.calendar.contentline import encode_parameter, escape_text
from server.calendar.materialise import materialise
from server.calendar.stream import CalendarStream
from server.calendar.values import property_times
from server.calendar.vtimezone import CalendarZones, observances, zone_of_rules
from server.domain.limits import Limits
from tests.unit.calendar.texts import BERLIN, aggregated, calendar, crlf, event


def fixed(offset: str, tzid: str = "Customized Time Zone") -> str:
    return (
        f"BEGIN:VTIMEZONE\nTZID:{tzid}\nBEGIN:STANDARD\nDTSTART:16010101T000000\nTZOFFSETFROM:{offset}\n"
        f"TZOFFSETTO:{offset}\nEND:STANDARD\nEND:VTIMEZONE"
    )


PARTIAL = (
    "BEGIN:VTIMEZONE\nTZID:X\nBEGIN:STANDARD\nDTSTART:20261025T030000\nTZOFFSETFROM:+0200\nTZOFFSETTO:+0100\n"
    "END:STANDARD\nEND:VTIMEZONE"
)
EASTERN = (
    "BEGIN:VTIMEZONE\nTZID:X\nBEGIN:STANDARD\nDTSTART:20071104T020000\nRRULE:FREQ=YEARLY;BYDAY=1SU;BYMONTH=11\n"
    "TZOFFSETFROM:-0400\nTZOFFSETTO:-0500\nEND:STANDARD\nBEGIN:DAYLIGHT\nDTSTART:20070311T020000\n"
    "RRULE:FREQ=YEARLY;BYDAY=2SU;BYMONTH=3\nTZOFFSETFROM:-0500\nTZOFFSETTO:-0400\nEND:DAYLIGHT\nEND:VTIMEZONE"
)


def instants(text: str) -> dict[str, list[tuple[str, list[datetime]]]]:
    """The times of each UID that refer to a zone, in UTC, as the server understands them."""
    tree = parse_calendar(text)
    return _instants(tree, lambda zones, tzid: zones.zone(tzid).to_utc)


def instants_by_definition(text: str) -> dict[str, list[tuple[str, list[datetime]]]]:
    """The same by the definitions alone, as a client reads that knows no zones."""
    tree = parse_calendar(text)
    defined = {child.text("TZID"): zone_of_rules(observances(child)) for child in tree.children("VTIMEZONE")}
    return _instants(tree, lambda _, tzid: defined[tzid].to_utc)


def _instants(tree: Component, reader) -> dict[str, list[tuple[str, list[datetime]]]]:
    zones = CalendarZones(tree)
    found: dict[str, list[tuple[str, list[datetime]]]] = {}
    for component in tree.components:
        if component.name == "VTIMEZONE":
            continue
        for part in component.walk():
            for prop in part.properties:
                tzid = prop.parameter("TZID")
                if tzid:
                    to_utc = reader(zones, tzid)
                    times = [to_utc(time.local) for time in property_times(prop)]
                    found.setdefault(component.text("UID") or "", []).append((prop.name, times))
    return found


def test_one_tzid_with_two_meanings_gets_two_names():
    """Outlook names every zone of its own alike."""
    texts = [
        calendar(fixed(offset), event(uid=uid, start="DTSTART;TZID=Customized Time Zone:20260901T090000"))
        for uid, offset in (("a", "+0100"), ("b", "-0800"), ("c", "+0100"))
    ]
    whole = aggregated(texts)
    assert instants(whole) == {
        "a": [("DTSTART", [datetime.fromisoformat("2026-09-01T08:00:00Z")])],
        "b": [("DTSTART", [datetime.fromisoformat("2026-09-01T17:00:00Z")])],
        "c": [("DTSTART", [datetime.fromisoformat("2026-09-01T08:00:00Z")])],
    }
    names = [child.text("TZID") for child in parse_calendar(whole).children("VTIMEZONE")]
    assert names[0] == "Customized Time Zone"
    assert names[1].startswith("Customized Time Zone-")
    assert aggregated(texts) == whole


def test_all_references_follow():
    lines = (
        "DTEND;TZID=Here:20260901T100000\nEXDATE;TZID=Here:20260902T090000,20260903T090000\n"
        'RDATE;VALUE=DATE-TIME;TZID="Here":20261001T090000\nRECURRENCE-ID;tzid=HERE;RANGE=THISANDFUTURE:20260901T090000\n'
        'X-A;TZID=Here;X-B=";TZID=Here":1\nDESCRIPTION:;TZID=Here:20260901T090000\n'
        "BEGIN:VALARM\nTRIGGER;VALUE=DATE-TIME;TZ\n ID=He\n re:20260901T080000\nEND:VALARM"
    )
    body = event(lines, uid="b", start="DTSTART;TZID=Here:20260901T090000")
    first = calendar(fixed("+0100", "Here"), event(uid="a", start="DTSTART;TZID=Here:20260901T090000"))
    whole = aggregated([first, calendar(fixed("+0200", "Here"), body)])
    found = next(child for child in parse_calendar(whole).components if child.text("UID") == "b")
    tzids = {
        prop.name: prop.parameter("TZID") for part in found.walk() for prop in part.properties if prop.parameter("TZID")
    }
    assert set(tzids) == {"DTSTART", "DTEND", "EXDATE", "RDATE", "RECURRENCE-ID", "X-A", "TRIGGER"}
    (name,) = set(tzids.values())
    assert name.startswith("Here-")
    assert found.first("X-A").parameter("X-B") == ";TZID=Here"
    assert found.text("DESCRIPTION") == ";TZID=Here:20260901T090000"


@pytest.mark.parametrize("tzid", ["Europe/Berlin", "W. Europe Standard Time", "/citadel.org/20070227_1/Europe/Berlin"])
def test_a_zone_that_an_object_does_not_define_is_defined(tzid):
    """RFC 5545 §3.2.19."""
    whole = aggregated([calendar(event(start=f"DTSTART;TZID={tzid}:20260701T090000"))])
    (zone,) = parse_calendar(whole).children("VTIMEZONE")
    assert zone.text("TZID") == tzid
    assert instants_by_definition(whole) == instants(whole)
    assert icalendar.Calendar.from_ical(whole).walk("VEVENT")[0]["DTSTART"].dt.utcoffset().total_seconds() == 7200


def test_parts_of_one_zone_are_completed():
    winter = PARTIAL.replace("TZID:X", "TZID:Europe/Berlin")
    texts = [
        calendar(zone, event(uid=str(number), start=f"DTSTART;TZID=Europe/Berlin:{start}"))
        for number, (zone, start) in enumerate(((winter, "20261201T090000"), (BERLIN, "20260701T090000")))
    ]
    whole = aggregated(texts)
    assert whole.count("BEGIN:VTIMEZONE") == 1
    assert instants_by_definition(whole) == instants(whole)
    assert instants(whole) == instants(texts[0]) | instants(texts[1])


def test_what_an_object_defines_rightly_is_kept():
    """As it was sent, for the years in which it is right; those before get the whole history under another TZID."""
    texts = [
        calendar(BERLIN, event(uid=year, start=f"DTSTART;TZID=Europe/Berlin:{year}1015T090000"))
        for year in ("2026", "1997", "1990", "2027")
    ]
    whole = aggregated(texts)
    zones = whole.split("END:VTIMEZONE\r\n")[:-1]
    assert crlf(BERLIN).removesuffix("END:VTIMEZONE") in zones[0]
    assert "TZID:/koyomi/Europe/Berlin" in zones[1]
    assert whole.count("DTSTART;TZID=Europe/Berlin:") == 3
    assert instants_by_definition(whole) == instants(whole)


def test_an_outdated_definition_is_kept_while_it_is_right():
    """For single times by which it agrees with the zone data; a series and other times get a definition of ours."""
    old = EASTERN.replace("TZID:X", "TZID:US/Eastern").replace("2SU;BYMONTH=3", "1SU;BYMONTH=4")
    texts = [
        calendar(old, event(more, uid=uid, start=f"DTSTART;TZID=US/Eastern:{start}"))
        for uid, more, start in (
            ("winter", "", "20270101T100000"), ("spring", "", "20270320T100000"), ("summer", "", "20270701T100000"),
            ("series", "RRULE:FREQ=DAILY", "20270101T100000"),
        )
    ]  # fmt: skip
    whole = aggregated(texts)
    assert [child.text("TZID") for child in parse_calendar(whole).children("VTIMEZONE")] == [
        "US/Eastern", "/koyomi/US/Eastern",
    ]  # fmt: skip
    assert crlf(old) in whole
    assert whole.count("DTSTART;TZID=/koyomi/US/Eastern:") == 2
    assert instants_by_definition(whole) == instants(whole)


def test_times_before_1970_get_the_whole_history():
    texts = [
        calendar(event(uid=year, start=f"DTSTART;TZID=Europe/Berlin:{year}0615T090000")) for year in ("1945", "2026")
    ]
    whole = aggregated(texts)
    assert [child.text("TZID") for child in parse_calendar(whole).children("VTIMEZONE")] == ["Europe/Berlin"]
    later_first = aggregated(texts[::-1])
    assert [child.text("TZID") for child in parse_calendar(later_first).children("VTIMEZONE")] == [
        "Europe/Berlin", "/koyomi/Europe/Berlin",
    ]  # fmt: skip
    for text in (whole, later_first):
        assert instants_by_definition(text) == instants(text)
        assert instants(text)["1945"] == [("DTSTART", [datetime.fromisoformat("1945-06-15T06:00:00Z")])]


def test_a_tzid_that_means_nothing_stays():
    """Times cannot refer to it; other properties may."""
    text = calendar(event("X-A;TZID=Nowhere:1", start="DTSTART;TZID=Europe/Berlin:20260701T090000"))
    whole = Aggregate(None).add(text)
    assert (whole.count("BEGIN:VTIMEZONE"), whole.count("X-A;TZID=Nowhere:1")) == (1, 1)


def test_objects_that_use_no_zone_bring_none():
    assert "VTIMEZONE" not in Aggregate(None).add(calendar(BERLIN, event()))


def test_objects_like_those_before_are_not_read(monkeypatch):
    whole = Aggregate(None)
    texts = [
        calendar(BERLIN, event(f"X-N:{number}", uid=str(number), start="DTSTART;TZID=Europe/Berlin:20260701T090000"))
        for number in range(3)
    ]
    assert "BEGIN:VTIMEZONE" in whole.add(texts[0])
    monkeypatch.setattr("server.calendar.aggregate_zones.content_lines", None)
    assert [whole.add(text).count("BEGIN:") for text in texts] == [1, 1, 1]


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from([BERLIN, fixed("-0800", "West"), fixed("+0530", "East"), ""]), min_size=1, max_size=4),
    st.sampled_from(["EXDATE", "RDATE", "RECURRENCE-ID", "UNTIL"]),
    st.sampled_from(["", "\n "]),
)
def test_days_that_are_given_by_times_in_utc_stay(zones, name, fold):
    """Exchange writes EXDATE and UNTIL of all-day series as local midnight in UTC; nothing refers to its VTIMEZONE."""
    texts = []
    for number, zone in enumerate(zones):
        time = {BERLIN: "20260111T230000Z", "": "20260111T230000Z"}.get(zone) or (
            "20260112T080000Z" if "West" in zone else "20260111T183000Z"
        )
        rule = f"RRULE:FREQ=DAILY;{fold}" + (f"UNTIL={time}" if name == "UNTIL" else "COUNT=10")
        more = "" if name in ("UNTIL", "RECURRENCE-ID") else f"\n{name}:{fold}{time}"
        parts = [event(rule + more, uid=str(number), start="DTSTART;VALUE=DATE:20260110")]
        if name == "RECURRENCE-ID":
            parts.append(event(f"RECURRENCE-ID:{time}", uid=str(number), start="DTSTART;VALUE=DATE:20260301"))
        texts.append(calendar(*filter(None, [zone]), *parts))
    whole = aggregated(texts)
    imported = {part.uid: part.body.decode() for part in CalendarStream(whole.encode()).objects()}
    for number, text in enumerate(texts):
        assert days(imported[str(number)]) == days(text)
    (alone,) = CalendarStream(texts[0].encode().replace(b"VERSION", b"METHOD:X\r\nVERSION")).objects()
    assert days(alone.body.decode()) == days(texts[0])


def days(text: str) -> list[tuple[str, datetime]]:
    rows = materialise(parse_calendar(text), datetime(2026, 6, 1, tzinfo=UTC)).occurrences
    return sorted((row.recurrence_id, row.start) for row in rows)


_TZIDS = (
    "Customized Time Zone", "Europe/Berlin", "europe/berlin", "W. Europe Standard Time", "EST", "CET", "GMT",
    "(UTC+01:00) Amsterdam, Berlin", "Customized Time Zone-1", "/koyomi/Europe/Berlin", "America/New_York",
    "Eastern Standard Time", "Africa/Cairo", "UTC",
)  # fmt: skip
_RULES = (
    fixed("+0100"),
    fixed("-0800"),
    PARTIAL,
    EASTERN,
    BERLIN,
    fixed("+0100").replace("BEGIN:ST", "X-A:1\nBEGIN:ST"),
)
_KNOWN = (
    "Europe/Berlin",
    "europe/berlin",
    "W. Europe Standard Time",
    "America/New_York",
    "Eastern Standard Time",
    "UTC",
)


@st.composite
def objects(draw: st.DrawFn) -> list[str]:
    texts = []
    for number in range(draw(st.integers(1, 8))):
        zones, events = [], []
        for tzid in draw(st.lists(st.sampled_from(_TZIDS), min_size=1, max_size=2, unique_by=str.casefold)):
            if tzid not in _KNOWN or draw(st.booleans()):
                lines = draw(st.sampled_from(_RULES)).split("\n")
                lines[1] = f"TZID:{escape_text(tzid)}"
                zones.append("\n".join(lines))
            year = draw(st.sampled_from(["1950", "1969", "1975", "1999", "2008", "2026"]))
            written = draw(
                st.sampled_from([encode_parameter(tzid), f'"{tzid}"', tzid.upper() if "(" not in tzid else f'"{tzid}"'])
            )
            day = draw(st.sampled_from(["0115", "0615", "1028"]))
            events.append(
                event(
                    f"DTEND;TZID={written}:{year}{day}T100000\nEXDATE;TZID={written}:{year}{day}T090000,{year}0815T090000"
                    if draw(st.booleans())
                    else f"RDATE;TZID={written}:{year}1231T090000",
                    uid=str(number),
                    start=f"DTSTART;TZID={written}:{year}{day}T090000"
                    + (f"\nRECURRENCE-ID:{year}{day}T090000Z" if events else ""),
                )
            )
        text = calendar(*zones, *events)
        if draw(st.booleans()):
            text = text.replace(";TZID=", ";\r\n TZID=") if draw(st.booleans()) else text.replace(":20", ":\r\n 20")
        texts.append(text)
    return texts


@settings(max_examples=300)
@given(objects())
def test_exported_and_imported_again_all_instants_are_equal(texts):
    whole = aggregated(texts)
    tree = parse_calendar(whole)
    defined = [folded_tzid(child.text("TZID") or "") for child in tree.children("VTIMEZONE")]
    assert len(defined) == len(set(defined))
    names = {child.text("TZID") for child in tree.children("VTIMEZONE")}
    used = {
        tzid
        for child in tree.components
        if child.name != "VTIMEZONE"
        for prop in child.properties
        if (tzid := prop.parameter("TZID"))
    }
    assert used <= names
    before = {uid: found for text in texts for uid, found in instants(text).items()}
    assert instants_by_definition(whole) == before
    parts = list(CalendarStream(whole.encode()).objects())
    assert {uid: found for part in parts for uid, found in instants(part.body.decode()).items()} == before
    for part in parts:
        read_calendar_object(part.body, Limits())
    again = aggregated(part.body.decode() for part in parts)
    assert instants_by_definition(again) == before
