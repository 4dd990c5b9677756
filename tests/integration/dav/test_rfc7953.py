"""RFC 7953 calendar availability: VAVAILABILITY in calendars and on the inbox, and what it makes busy."""

from __future__ import annotations

import re

import pytest

from tests.integration.dav.multistatus import caldav, calendarserver
from tests.integration.dav.person import Person, calendar, event, xml

TUESDAY = '<C:time-range start="20111004T000000Z" end="20111005T000000Z"/>'
UNAVAILABLE = "FREEBUSY;FBTYPE=BUSY-UNAVAILABLE:20111004T000000Z/20111004T130000Z,20111004T220000Z/20111005T000000Z"
"""Outside of 9:00 to 18:00 in Montreal, which is four hours behind UTC."""

AVAILABILITY = calendar(
    "BEGIN:VAVAILABILITY",
    "UID:9BADC1F6-0FC4-44BF-AC3D-993BEC8C962A",
    "DTSTAMP:20111005T133225Z",
    "DTSTART;TZID=America/Montreal:20111002T000000",
    "BEGIN:AVAILABLE",
    "UID:6C9F69C3-BDA8-424E-B2CB-7012E796DDF7",
    "DTSTAMP:20111005T133225Z",
    "SUMMARY:Monday to Friday from 9:00 to 18:00",
    "DTSTART;TZID=America/Montreal:20111002T090000",
    "DTEND;TZID=America/Montreal:20111002T180000",
    "RRULE:FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR",
    "END:AVAILABLE",
    "END:VAVAILABILITY",
)
"""The example of §7.2.4."""


async def busy(person: Person, path: str, depth: str = "1") -> list[str]:
    """The FREEBUSY properties of the Tuesday."""
    reply = await person.report(path, "C:free-busy-query", TUESDAY, depth)
    assert reply.status == 200, reply.body
    return sorted(line for line in reply.text.replace("\r\n ", "").split("\r\n") if line.startswith("FREEBUSY"))


async def availability_calendar(person: Person) -> str:
    path = f"{person.home}hours/"
    kinds = '<C:comp name="VEVENT"/><C:comp name="VAVAILABILITY"/>'
    prop = f"<C:supported-calendar-component-set>{kinds}</C:supported-calendar-component-set>"
    body = xml("C:mkcalendar", f"<D:set><D:prop>{prop}</D:prop></D:set>")
    assert (await person.http("MKCALENDAR", path, body)).status == 201
    return path


def value(text: str) -> str:
    return f"<C:calendar-availability>{text}</C:calendar-availability>"


async def test_7_2_1_options(person: Person) -> None:
    for path in (person.home, person.calendar, f"{person.home}inbox/", person.principal):
        tokens = ", ".join((await person.http("OPTIONS", path)).headers.getall("DAV")).split(", ")
        assert {"calendar-availability", "inbox-availability"} <= set(tokens), path


async def test_5_objects_in_a_calendar_count_in_free_busy(person: Person) -> None:
    path = await availability_calendar(person)
    await person.has(f"{path}hours.ics", AVAILABILITY)
    assert await busy(person, path) == [UNAVAILABLE]
    at_noon = event("1").replace("20260601T09", "20111004T15").replace("20260601T10", "20111004T16")
    await person.has(f"{path}1.ics", at_noon)
    assert await busy(person, path) == ["FREEBUSY:20111004T150000Z/20111004T160000Z", UNAVAILABLE]
    assert (await person.http("DELETE", f"{path}hours.ics")).status == 204
    assert await busy(person, path) == ["FREEBUSY:20111004T150000Z/20111004T160000Z"]


async def test_5_1_busytype(person: Person) -> None:
    path = await availability_calendar(person)
    tentative = AVAILABILITY.replace("BEGIN:VAVAILABILITY", "BEGIN:VAVAILABILITY\r\nBUSYTYPE:BUSY-TENTATIVE")
    await person.has(f"{path}hours.ics", tentative)
    assert await busy(person, path) == [UNAVAILABLE.replace("UNAVAILABLE", "TENTATIVE")]


async def test_7_2_2_time_ranges(person: Person) -> None:
    path = await availability_calendar(person)
    await person.has(f"{path}hours.ics", AVAILABILITY)
    for start, end, there in (
        ("20110901T000000Z", "20111002T040000Z", False),
        ("20110901T000000Z", "20111002T040001Z", True),
        ("20900901T000000Z", "20900902T000000Z", True),
    ):
        window = f'<C:comp-filter name="VAVAILABILITY"><C:time-range start="{start}" end="{end}"/></C:comp-filter>'
        condition = f'<C:filter><C:comp-filter name="VCALENDAR">{window}</C:comp-filter></C:filter>'
        reply = await person.report(path, "C:calendar-query", f"<D:prop><D:getetag/></D:prop>{condition}")
        assert reply.multistatus.hrefs == ([f"{path}hours.ics"] if there else []), (start, end)


async def test_calendars_that_do_not_take_availability_refuse_it(person: Person) -> None:
    reply = await person.put(f"{person.tasks}hours.ics", AVAILABILITY)
    reply.refused(403, caldav("supported-calendar-component"))


async def test_7_2_4_the_property_of_the_inbox(person: Person) -> None:
    inbox = f"{person.home}inbox/"
    missing = (await person.propfind(inbox, "C:calendar-availability")).only
    assert missing.status_of(caldav("calendar-availability")) == 404
    assert list((await person.set(inbox, value(AVAILABILITY))).props) == [200]
    assert await person.prop(inbox, "C:calendar-availability") == AVAILABILITY.replace("\r\n", "\n").strip()
    everything = (await person.http("PROPFIND", inbox, xml("D:propfind", "<D:allprop/>"), Depth="0")).multistatus
    assert caldav("calendar-availability") not in everything.only.found
    # it is of all calendars of the home, not of one
    assert await busy(person, person.home, "infinity") == [UNAVAILABLE]
    assert await busy(person, person.calendar) == []
    remove = f"<D:remove><D:prop>{value('')}</D:prop></D:remove>"
    assert list((await person.proppatch(inbox, remove)).multistatus.only.props) == [200]
    assert await busy(person, person.home, "infinity") == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        event("1"),
        calendar(),
        AVAILABILITY.replace("END:VAVAILABILITY", ""),
        AVAILABILITY.replace("END:VCALENDAR", event("1").split("EN\r\n", 1)[1]),
    ],
    ids=["nothing", "nonsense", "event", "empty", "broken", "with-event"],
)
async def test_7_2_4_other_data_is_refused(person: Person, text: str) -> None:
    inbox = f"{person.home}inbox/"
    await person.set(inbox, value(AVAILABILITY))
    outcome = await person.set(inbox, value(text))
    assert outcome.status_of(caldav("calendar-availability")) == 403
    assert outcome.errors == {caldav("valid-calendar-data")}
    assert await person.prop(inbox, "C:calendar-availability") == AVAILABILITY.replace("\r\n", "\n").strip()


async def test_availability_in_a_window_too_long_for_it_is_refused(person: Person) -> None:
    path = await availability_calendar(person)
    daily = re.sub("RRULE:.*", "RRULE:FREQ=DAILY", AVAILABILITY)
    await person.has(f"{path}hours.ics", daily)
    assert len(await busy(person, path)) == 1
    span = '<C:time-range start="19000101T000000Z" end="99000101T000000Z"/>'
    reply = await person.report(path, "C:free-busy-query", span, "1")
    assert reply.status == 403
    assert "number-of-matches-within-limits" in reply.text


async def test_apples_name_of_the_property_is_the_same_value(person: Person) -> None:
    inbox, apples, standards = f"{person.home}inbox/", "S:calendar-availability", "C:calendar-availability"
    changed = AVAILABILITY.replace("SUMMARY:", "SUMMARY:1 < 2 & ")
    for written, text in ((apples, AVAILABILITY), (standards, changed), (apples, changed)):
        escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace("\r", "&#13;")
        assert set((await person.set(inbox, f"<{written}>{escaped}</{written}>")).props) == {200}
        found = (await person.http("PROPFIND", inbox, propfind(apples, standards), Depth="0")).xml
        values = [found.findtext(f".//{name('calendar-availability')}") for name in (calendarserver, caldav)]
        assert values == [text, text]
        assert await busy(person, person.home, "infinity") == [UNAVAILABLE]
    reply = await person.proppatch(inbox, f"<D:remove><D:prop><{apples}/></D:prop></D:remove>")
    assert set(reply.multistatus.only.props) == {200}
    found = (await person.http("PROPFIND", inbox, propfind(apples, standards), Depth="0")).multistatus.only
    assert set(found.props) == {404}
    assert await busy(person, person.home, "infinity") == []


@pytest.mark.parametrize("text", ["This is not a calendar!", "", event("1")])
async def test_apples_name_takes_availabilities_only(person: Person, text: str) -> None:
    name = "S:calendar-availability"
    response = await person.set(f"{person.home}inbox/", f"<{name}>{text}</{name}>")
    assert set(response.props) == {403}


def propfind(*wanted: str) -> str:
    return xml("D:propfind", "<D:prop>" + "".join(f"<{name}/>" for name in wanted) + "</D:prop>")
