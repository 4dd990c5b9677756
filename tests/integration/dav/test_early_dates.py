"""Dates before 1900, down to the year 1, in every component: stored, found by time, expanded and given back."""

from __future__ import annotations

import pytest

from tests.integration.dav.multistatus import caldav
from tests.integration.dav.person import Person, calendar, xml

ALARM = ("BEGIN:VALARM", "ACTION:DISPLAY", "DESCRIPTION:x")
TOKYO = "DTSTART;TZID=Asia/Tokyo"

COMPONENTS = {
    "birthday": ("VEVENT", ("DTSTART;VALUE=DATE:16040507", "RRULE:FREQ=YEARLY"), "1604"),
    "birthday-0001": ("VEVENT", ("DTSTART;VALUE=DATE:00010102", "RRULE:FREQ=YEARLY"), "0001"),
    "first": ("VEVENT", ("DTSTART:00010101T000000Z", "DURATION:PT1H"), "0001"),
    "zoned": (
        "VEVENT",
        (f"{TOKYO}:00010101T000000", "DURATION:PT1H", "RRULE:FREQ=DAILY;UNTIL=00010301T000000Z"),
        "0001",
    ),
    "floating": ("VEVENT", ("DTSTART:00010101T000000", "RRULE:FREQ=HOURLY;COUNT=3"), "0001"),
    "dates": ("VEVENT", ("DTSTART:20260601T090000Z", "RDATE:18990601T090000Z,00010601T090000Z"), "1899"),
    "task": ("VTODO", ("DUE;VALUE=DATE:15821015",), "1582"),
    "task-of-times": (
        "VTODO",
        ("DTSTART:12340101T000000Z", "DUE:12350101T000000Z", "COMPLETED:12340601T000000Z"),
        "1234",
    ),
    "timeless": ("VTODO", ("CREATED:00010101T000000Z", "COMPLETED:00010102T000000Z"), "0001"),
    "journal": ("VJOURNAL", ("DTSTART;VALUE=DATE:17890714",), "1789"),
    "journals": ("VJOURNAL", ("DTSTART:17890714T120000Z", "RRULE:FREQ=MONTHLY;COUNT=3"), "1789"),
}


def written(name: str, component: str, lines: tuple[str, ...]) -> str:
    return calendar(
        f"BEGIN:{component}", f"UID:{name}", "DTSTAMP:20260101T000000Z", *lines, f"SUMMARY:{name}", f"END:{component}"
    )


def query(component: str, year: str, inner: str = "") -> str:
    window = f'start="{year}0101T000000Z" end="{int(year) + 1:04}0101T000000Z"'
    return (
        f"<D:prop><C:calendar-data>{inner.format(window=window)}</C:calendar-data></D:prop>"
        f'<C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="{component}"><C:time-range {window}/>'
        "</C:comp-filter></C:comp-filter></C:filter>"
    )


@pytest.fixture
async def everything(person: Person) -> str:
    """A calendar that takes all components."""
    path = f"{person.home}everything/"
    components = "".join(f'<C:comp name="{name}"/>' for name in ("VEVENT", "VTODO", "VJOURNAL"))
    body = xml(
        "C:mkcalendar",
        "<D:set><D:prop><C:supported-calendar-component-set>"
        f"{components}</C:supported-calendar-component-set></D:prop></D:set>",
    )
    assert (await person.http("MKCALENDAR", path, body)).status == 201
    return path


@pytest.mark.parametrize("name", COMPONENTS)
async def test_stored_found_expanded_and_given_back(person: Person, everything: str, name: str) -> None:
    component, lines, year = COMPONENTS[name]
    text = written(name, component, lines)
    await person.has(f"{everything}{name}.ics", text)
    assert (await person.http("GET", f"{everything}{name}.ics")).text == text
    for inner in ("", "<C:expand {window}/>", "<C:limit-recurrence-set {window}/>"):
        reply = await person.report(everything, "C:calendar-query", query(component, year, inner))
        (found,) = reply.multistatus.responses.values()
        assert f"SUMMARY:{name}" in found.found[caldav("calendar-data")]
    assert not (await person.report(everything, "C:calendar-query", query(component, "1950"))).multistatus.hrefs or (
        "RRULE" in text
    )


async def test_birthdays_are_found_in_every_year(person: Person, everything: str) -> None:
    for name in ("birthday", "birthday-0001"):
        await person.has(f"{everything}{name}.ics", written(name, *COMPONENTS[name][:2]))
    for year in ("1604", "1752", "1899", "1950", "2026", "2500", "9998"):
        reply = await person.report(everything, "C:calendar-query", query("VEVENT", year, "<C:expand {window}/>"))
        texts = [item.found[caldav("calendar-data")] for item in reply.multistatus.responses.values()]
        assert len(texts) == 2
        assert all(f":{year}" in text for text in texts)


async def test_free_busy_and_alarms(person: Person, everything: str) -> None:
    lines = (*COMPONENTS["first"][1], *ALARM, "TRIGGER:-PT15M", "END:VALARM")
    await person.has(f"{everything}relative.ics", written("relative", "VEVENT", lines))
    at = ("TRIGGER;VALUE=DATE-TIME:16040501T090000Z", "END:VALARM")
    await person.has(
        f"{everything}absolute.ics", written("absolute", "VEVENT", (*COMPONENTS["birthday"][1], *ALARM, *at))
    )
    window = 'start="16040501T000000Z" end="16040502T000000Z"'
    asked = (
        '<D:prop><D:getetag/></D:prop><C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT">'
        f'<C:comp-filter name="VALARM"><C:time-range {window}/></C:comp-filter>'
        "</C:comp-filter></C:comp-filter></C:filter>"
    )
    assert (await person.report(everything, "C:calendar-query", asked)).multistatus.hrefs == [
        f"{everything}absolute.ics"
    ]
    range_ = '<C:time-range start="00010101T000000Z" end="00010102T000000Z"/>'
    reply = await person.report(everything, "C:free-busy-query", range_, "1")
    assert reply.status == 200
    assert "FREEBUSY:00010101T000000Z/00010101T010000Z" in reply.text
