"""Zones against zoneinfo reading the same files, and what TZIDs mean."""

from __future__ import annotations

import random
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from importlib import resources
from threading import Barrier
from zoneinfo import ZoneInfo

import pytest

from server.calendar.component import parse_components
from server.calendar.iana import (
    NameKind,
    data_year,
    iana_zone,
    name_kind,
    named_zone,
    posix_rule,
    version,
    windows_zones,
    zone_names,
)
from server.calendar.materialise import materialise
from server.calendar.vtimezone import CalendarZones, observances, zone_of_component, zone_of_rules
from server.calendar.zones import UTC_ZONE, Zone
from server.domain.errors import InvalidCalendarData, TooManyInstances, UnknownTimezone
from tests.unit.calendar.time.texts import calendar, event


def reference(name: str) -> ZoneInfo:
    package, _, file = f"tzdata.zoneinfo.{name.replace('/', '.')}".rpartition(".")
    with resources.files(package).joinpath(file).open("rb") as data:
        return ZoneInfo.from_file(data, name)


def test_every_zone_as_zoneinfo_has_it_from_1900_to_9999() -> None:
    chance = random.Random(5545)
    around = [timedelta(seconds=seconds) for seconds in (-3601, -3600, -1, 0, 1, 1799, 1800, 3599, 3600)]
    for name in zone_names().values():
        zone, info = iana_zone(name), reference(name)
        assert zone is not None
        times = [datetime(1900, 1, 1) + timedelta(hours=chance.randrange(24 * 365 * 8000)) for _ in range(12)]
        for at, offset in zone.transitions(datetime(1900, 1, 1), datetime(2100, 1, 1))[-60:]:
            times += [at + offset + step for step in around]
        for local in times:
            expected = local.replace(tzinfo=info).astimezone(UTC)
            back = expected.astimezone(info).replace(tzinfo=None)
            assert zone.to_utc(local) == expected, (name, local)
            assert zone.to_local(expected) == back, (name, local)
            assert zone.exists(local) == (back == local), (name, local)


@pytest.mark.parametrize("name", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca"])
def test_gaps_and_latest_local_far_in_the_future(name: str) -> None:
    zone, info = iana_zone(name), reference(name)
    assert zone is not None
    for year in (2026, 2099, 2101, 2503, 9990):
        for first, after in zone.gaps(datetime(year, 1, 1), datetime(year + 1, 1, 1)):
            assert first.year == year
            for local in (first, after - timedelta(seconds=1)):
                assert local.replace(tzinfo=info).astimezone(UTC).astimezone(info).replace(tzinfo=None) != local
    start = datetime(2030, 1, 1, tzinfo=UTC)
    for hour in range(24 * 366):
        utc = start + timedelta(hours=hour, minutes=15)
        latest = zone.latest_local(utc)
        assert zone.to_utc(latest) <= utc
        assert all(zone.to_utc(latest + timedelta(minutes=more)) > utc for more in (1, 30, 60, 90))


def test_bounds_of_the_calendar_are_not_left() -> None:
    for zone in (iana_zone("Pacific/Kiritimati"), iana_zone("America/Adak"), UTC_ZONE):
        assert zone is not None
        for local in (datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59)):
            assert zone.to_local(zone.to_utc(local)).year in (1, 9999)


def test_version() -> None:
    assert version()[:2] == "20"
    assert 2025 <= data_year() < 2100


@pytest.mark.parametrize(
    ("tzid", "name"),
    [
        ("Europe/Berlin", "Europe/Berlin"),
        ("europe/berlin", "Europe/Berlin"),
        ("Europe/Berlin ", "Europe/Berlin"),
        ('"Europe/Berlin"', "Europe/Berlin"),
        ("America/New York", "America/New_York"),
        ("US/Eastern", "US/Eastern"),
        ("/freeassociation.sourceforge.net/Tzfile/Europe/Berlin", "Europe/Berlin"),
        ("/freeassociation.sourceforge.net/Europe/Berlin", "Europe/Berlin"),
        ("/softwarestudio.org/Olson_20011030_5/America/New_York", "America/New_York"),
        ("/citadel.org/20070227_1/America/Argentina/Buenos_Aires", "America/Argentina/Buenos_Aires"),
        ("/mozilla.org/20050126_1/Asia/Tokyo", "Asia/Tokyo"),
        ("W. Europe Standard Time", "Europe/Berlin"),
        ("w. europe standard time ", "Europe/Berlin"),
        ("Eastern Standard Time", "America/New_York"),
        ("India Standard Time", "Asia/Calcutta"),
        ("UTC", "UTC"),
        ("Z", "UTC"),
        ("Etc/UTC", "UTC"),
        ("tzone://Microsoft/Utc", "UTC"),
        ("/citadel.org/20070227_1/UTC", "UTC"),
    ],
)
def test_names(tzid: str, name: str) -> None:
    zone = named_zone(tzid)
    assert zone is not None
    assert zone.key == name


@pytest.mark.parametrize("tzid", ["", "Mars/Phobos", "Berlin", "Customized Time Zone", "a/b/UTC", "../Europe", "\0"])
def test_names_that_are_none(tzid: str) -> None:
    assert named_zone(tzid) is None


def test_all_windows_names_lead_to_zones() -> None:
    assert len(windows_zones()) > 130
    assert all(iana_zone(name) is not None or name == "Etc/UTC" for name in windows_zones().values())


def vtimezone(tzid: str, *observances: tuple[str, str, str, str, str]) -> str:
    lines = ["BEGIN:VTIMEZONE", f"TZID:{tzid}"]
    for kind, start, offset_from, offset_to, rule in observances:
        lines += [f"BEGIN:{kind}", f"DTSTART:{start}", f"TZOFFSETFROM:{offset_from}", f"TZOFFSETTO:{offset_to}"]
        lines += [*([rule] if rule else []), f"END:{kind}"]
    return "\r\n".join([*lines, "END:VTIMEZONE", ""])


EUROPE = (
    ("STANDARD", "16010101T030000", "+0200", "+0100", "RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10"),
    ("DAYLIGHT", "16010101T020000", "+0100", "+0200", "RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=3"),
)
NEW_YORK = (
    ("DAYLIGHT", "19670430T020000", "-0500", "-0400", "RRULE:FREQ=YEARLY;BYMONTH=4;BYDAY=-1SU;UNTIL=19730429T070000Z"),
    ("STANDARD", "19671029T020000", "-0400", "-0500", "RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU;UNTIL=20061029T060000Z"),
    ("DAYLIGHT", "19740106T020000", "-0500", "-0400", "RDATE:19750223T020000"),
    ("DAYLIGHT", "19760425T020000", "-0500", "-0400", "RRULE:FREQ=YEARLY;BYMONTH=4;BYDAY=-1SU;UNTIL=19860427T070000Z"),
    ("DAYLIGHT", "19870405T020000", "-0500", "-0400", "RRULE:FREQ=YEARLY;BYMONTH=4;BYDAY=1SU;UNTIL=20060402T070000Z"),
    ("DAYLIGHT", "20070311T020000", "-0500", "-0400", "RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=2SU"),
    ("STANDARD", "20071104T020000", "-0400", "-0500", "RRULE:FREQ=YEARLY;BYMONTH=11;BYDAY=1SU"),
)


def test_rfc5545_definition_of_new_york_is_new_york() -> None:
    """RFC 5545 §3.6.5's first example: by its rules from 1967 on the very zone of the database."""
    definition = parse_components(vtimezone("Somewhere", *NEW_YORK))[0]
    own, ours = zone_of_rules(observances(definition)), iana_zone("America/New_York")
    assert ours is not None
    from_, until = datetime(1970, 1, 1), datetime(2090, 1, 1)
    assert own.transitions(from_, until) == ours.transitions(from_, until)
    for year in (2200, 5000, 9998):
        for month in range(1, 13):
            assert own.to_utc(datetime(year, month, 15)) == ours.to_utc(datetime(year, month, 15))
    assert zone_of_component(definition, range(1970, 2030)) is ours


@pytest.mark.parametrize(
    "tzid", ["Customized Time Zone", "tzone://Microsoft/Custom", "(UTC+01:00) Amsterdam, Berlin, Bern", "CET-Lotus "]
)
def test_unknown_names_are_known_by_their_rules(tzid: str) -> None:
    definition = parse_components(vtimezone(tzid, *EUROPE))[0]
    assert zone_of_component(definition, range(2020, 2021)).key == "Europe/Berlin"


def test_old_evolution_is_known_by_its_location() -> None:
    text = vtimezone("/some/where", *EUROPE).replace("BEGIN:STANDARD", "X-LIC-LOCATION:Europe/Paris\r\nBEGIN:STANDARD")
    assert zone_of_component(parse_components(text)[0]).key == "Europe/Paris"


def test_fixed_offsets() -> None:
    for offset, name in (("+0000", "UTC"), ("+0200", "Etc/GMT-2"), ("-0500", "Etc/GMT+5")):
        definition = parse_components(vtimezone("GMT?", ("STANDARD", "19700101T000000", offset, offset, "")))[0]
        assert zone_of_component(definition).key == name
    definition = parse_components(vtimezone("Odd", ("STANDARD", "19700101T000000", "+0017", "+0017", "")))[0]
    odd = zone_of_component(definition)
    assert odd.key.startswith("rules:")
    assert odd.to_utc(datetime(2026, 1, 1, 0, 17)) == datetime(2026, 1, 1, tzinfo=UTC)


MOON = (
    ("DAYLIGHT", "20200101T000000", "+0100", "+0330", "RRULE:FREQ=YEARLY;BYMONTH=2;BYDAY=1MO"),
    ("STANDARD", "20200701T000000", "+0330", "+0100", "RRULE:FREQ=YEARLY;BYMONTH=7;BYMONTHDAY=1"),
)


def test_rules_that_no_zone_has_are_followed() -> None:
    definition = parse_components(vtimezone("Moon", *MOON))[0]
    zone = zone_of_component(definition)
    assert zone.to_utc(datetime(2026, 3, 1, 12)) == datetime(2026, 3, 1, 8, 30, tzinfo=UTC)
    assert zone.to_utc(datetime(9000, 8, 1, 12)) == datetime(9000, 8, 1, 11, tzinfo=UTC)
    assert not zone.exists(datetime(2026, 2, 2, 1))
    same = parse_components(vtimezone("Another name", *reversed(MOON)))[0]
    assert zone_of_component(same).key == zone.key


def test_the_rules_must_hold_in_the_years_of_the_object() -> None:
    """Today's rule of Europe was not that of 1975: there an object follows what it brings."""
    lines = tuple(vtimezone("Custom", *EUROPE).split("\r\n")[:-1])
    now = CalendarZones(calendar(lines, event("DTSTART;TZID=Custom:20260701T090000")))
    assert now.zone("Custom").key == "Europe/Berlin"
    then = CalendarZones(calendar(lines, event("DTSTART;TZID=Custom:19750701T090000")))
    assert then.zone("Custom ").key.startswith("rules:")
    assert then.zone("Custom").to_utc(datetime(1975, 7, 1, 9)) == datetime(1975, 7, 1, 7, tzinfo=UTC)


EASTERN = (
    ("DAYLIGHT", "20070311T020000", "-0500", "-0400", "RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=2SU"),
    ("STANDARD", "20071104T020000", "-0400", "-0500", "RRULE:FREQ=YEARLY;BYMONTH=11;BYDAY=1SU"),
)
MOUNTAIN = tuple(
    (kind, start, {"-0500": "-0700", "-0400": "-0600"}[before], {"-0500": "-0700", "-0400": "-0600"}[after], rule)
    for kind, start, before, after, rule in EASTERN
)
ONLY_STANDARD = (("STANDARD", "16010101T000000", "-0500", "-0500", ""),)


def meant(tzid: str, start: str, rules: tuple[tuple[str, str, str, str, str], ...], *lines: str) -> datetime:
    """When an event begins whose zone has these rules, and what its VTIMEZONE is called."""
    definition = tuple(vtimezone(tzid, *rules).split("\r\n")[:-1])
    tree = calendar(definition, event(f"DTSTART;TZID={tzid}:{start}", *lines))
    return materialise(tree, datetime(2026, 1, 1, tzinfo=UTC)).occurrences[0].start


@pytest.mark.parametrize(
    ("tzid", "rules", "hour"),
    [
        ("EST", EASTERN, 13),
        ("EST", ONLY_STANDARD, 14),
        ("est", EASTERN, 13),
        ("/example.org/EST", EASTERN, 13),
        ("EST5EDT", ONLY_STANDARD, 14),
        ("MST", MOUNTAIN, 15),
        ("GMT", EUROPE, 7),
        ("Greenwich Mean Time", EUROPE, 7),
        ("CET", ONLY_STANDARD, 14),
        ("America/New_York", ONLY_STANDARD, 13),
        ("Japan", EUROPE, 0),
        ("UTC", EUROPE, 9),
        ("Eastern Standard Time", MOUNTAIN, 13),
        ("Eastern Standard Time", ONLY_STANDARD, 14),
        ("India Standard Time", EUROPE, 7),
        ("India Standard Time", ONLY_STANDARD, 3),
    ],
)
def test_which_names_are_believed(tzid: str, rules: tuple[tuple[str, str, str, str, str], ...], hour: int) -> None:
    """Places follow our data, abbreviations their rules, names of Windows ours unless only one has daylight saving."""
    assert meant(tzid, "20260701T090000", rules).hour == hour


def test_the_years_of_the_event_decide_on_a_name_of_windows() -> None:
    """Moscow has had no daylight saving time since 2011, when its offset changed for good."""
    name = "Russian Standard Time"
    then = (
        ("DAYLIGHT", "20000326T020000", "+0300", "+0400", "RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU"),
        ("STANDARD", "20001029T030000", "+0400", "+0300", "RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU"),
    )
    assert meant(name, "20090701T090000", then).hour == 5
    assert meant(name, "20090701T090000", (("STANDARD", "16010101T000000", "+0300", "+0300", ""),)).hour == 6
    assert meant(name, "20260701T090000", (("STANDARD", "16010101T000000", "+0400", "+0400", ""),)).hour == 6
    assert meant(name, "20260701T090000", then).hour == 5
    assert meant("Eastern Standard Time", "20260101T090000", ONLY_STANDARD, "RRULE:FREQ=DAILY").hour == 14


def test_an_object_depends_on_the_zone_that_a_windows_name_stands_for_also_where_its_rules_are_believed() -> None:
    """Other data of the zone may decide in another way, and the objects to compute again are found by keys."""
    definition = tuple(vtimezone("Eastern Standard Time", *ONLY_STANDARD).split("\r\n")[:-1])
    tree = calendar(definition, event("DTSTART;TZID=Eastern Standard Time:20260701T090000"))
    found = materialise(tree, datetime(2026, 1, 1, tzinfo=UTC))
    assert found.occurrences[0].start.hour == 14
    assert "America/New_York" in found.zones
    assert len(found.zones) == 2


def test_an_abbreviation_whose_rules_cannot_be_read_follows_our_data() -> None:
    broken = (("STANDARD", "20260101T000000", "-0500", "-0500", "RRULE:FREQ=SOMETIMES"),)
    assert meant("EST", "20260701T090000", broken).hour == 14
    assert meant("Eastern Standard Time", "20260701T090000", broken).hour == 13
    definition = parse_components(vtimezone("EST", *EASTERN))[0]
    assert zone_of_component(definition).key == "America/New_York"


def test_every_name_of_the_database_without_a_place_is_an_abbreviation_or_known_to_be_a_country() -> None:
    countries = "Cuba Egypt Eire GB GB-Eire Hongkong Iceland Iran Israel Jamaica Japan Kwajalein Libya NZ NZ-CHAT"
    countries += " Navajo PRC Poland Portugal ROC ROK Singapore Turkey UCT UTC Universal W-SU Zulu"
    plain = {name for name in zone_names().values() if "/" not in name}
    assert {name for name in plain if name_kind(name) is NameKind.PLACE} == set(countries.split())


def test_a_name_of_the_database_wins_over_the_rules_beside_it() -> None:
    lines = tuple(vtimezone("Asia/Tokyo", *EUROPE).split("\r\n")[:-1])
    assert CalendarZones(calendar(lines)).zone("Asia/Tokyo").key == "Asia/Tokyo"


def test_unknown_without_rules() -> None:
    with pytest.raises(UnknownTimezone):
        CalendarZones(calendar()).zone("Nowhere")


@pytest.mark.parametrize(
    "text",
    [
        "BEGIN:VTIMEZONE\r\nTZID:x\r\nEND:VTIMEZONE\r\n",
        "BEGIN:VTIMEZONE\r\nTZID:x\r\nBEGIN:STANDARD\r\nTZOFFSETTO:+0100\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\n",
        vtimezone("x", ("STANDARD", "20200101T000000", "+0100", "+2500", "")),
        vtimezone("x", ("STANDARD", "20200101T000000", "+0100", "+0200", "RRULE:FREQ=SECONDLY")),
        vtimezone("x", ("STANDARD", "20200101T000000", "+0100", "+0200", "RRULE:nonsense")),
    ],
)
def test_hostile_definitions(text: str) -> None:
    with pytest.raises(InvalidCalendarData):
        zone_of_component(parse_components(text)[0])


def test_a_definition_with_a_change_every_few_minutes_is_refused() -> None:
    rule = "RRULE:FREQ=DAILY;BYMINUTE=" + ",".join(map(str, range(0, 60, 2))) + ";BYHOUR=1,2,3,4,5,6,7"
    with pytest.raises(TooManyInstances):
        zone_of_component(parse_components(vtimezone("x", ("STANDARD", "19000101T000000", "+0100", "+0200", rule)))[0])


@pytest.mark.parametrize(
    ("definition", "kept"),
    [
        (EUROPE, True),
        (NEW_YORK, True),
        (MOON, True),
        ((("STANDARD", "20200101T000000", "+0100", "+0017", "RRULE:FREQ=DAILY;INTERVAL=30"),), False),
        ((("STANDARD", "20200101T000000", "+0100", "+0018", "RRULE:FREQ=MONTHLY"),), False),
        ((("STANDARD", "20200101T000000", "+0100", "+0019", "RRULE:FREQ=YEARLY;BYDAY=MO"),), False),
        (tuple(("STANDARD", f"20200101T0000{n:02}", "+0100", f"+00{n:02}", "") for n in range(60)), True),
        (
            tuple(("STANDARD", f"20{n // 60:02}0101T0000{n % 60:02}", "+0100", "+0019", "") for n in range(501)),
            False,
        ),
    ],
)
def test_zones_that_are_large_are_not_kept_in_memory(
    definition: tuple[tuple[str, str, str, str, str], ...], kept: bool
) -> None:
    """There are as many as somebody makes up."""
    parts = observances(parse_components(vtimezone("Custom", *definition))[0])
    zone = zone_of_rules(parts)
    assert (zone_of_rules(parts) is zone) is kept
    assert zone_of_rules(parts).key == zone.key


def test_threads_that_ask_for_far_years_at_once_get_the_right_times() -> None:
    def made() -> Zone:
        return Zone("x", timedelta(hours=1), (), posix_rule("CET-1CEST,M3.5.0,M10.5.0/3"))

    times = [datetime(year, month, 15, 12) for year in range(2090, 9000, 137) for month in (1, 7)]
    reference = made()
    expected = [(reference.to_utc(time), reference.exists(time)) for time in times]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(5) as pool:
            for _ in range(40):
                zone, together = made(), Barrier(5)

                def ask(zone: Zone = zone, together: Barrier = together) -> list[tuple[datetime, bool]]:
                    together.wait()
                    return [(zone.to_utc(time), zone.exists(time)) for time in times]

                for future in [pool.submit(ask) for _ in range(5)]:
                    assert future.result() == expected
                begin, end = datetime(1970, 1, 1), datetime(9999, 1, 1)
                assert zone.gaps(begin, end) == reference.gaps(begin, end)
    finally:
        sys.setswitchinterval(interval)
