"""RFC 7809, in part: CALDAV:calendar-timezone-id, and the zone that it gives floating times."""

from __future__ import annotations

import pytest

from server.calendar.calendar_object import read_timezone
from tests.integration.dav.multistatus import caldav
from tests.integration.dav.person import Person, calendar, event, xml
from tests.integration.dav.test_rfc4791_collections import TIMEZONE
from tests.integration.dav.test_rfc4791_time import busy, found, timed

ID, TEXT = caldav("calendar-timezone-id"), caldav("calendar-timezone")


def timezone_id(value: str) -> str:
    return f"<C:calendar-timezone-id>{value}</C:calendar-timezone-id>"


async def zone_of(person: Person, path: str) -> tuple[str | None, str | None]:
    """The identifier, and the TZID of the definition."""
    found = (await person.propfind(path, "C:calendar-timezone-id", "C:calendar-timezone")).only.found
    text = found.get(TEXT)
    return found.get(ID), None if text is None else read_timezone(text)[0]


@pytest.mark.parametrize("name", ["Europe/Berlin", "UTC", "America/St_Johns", "W. Europe Standard Time"])
async def test_3_1_5_the_identifier_and_the_definition_are_one_value(person: Person, name: str) -> None:
    assert await zone_of(person, person.calendar) == (None, None)
    assert list((await person.set(person.calendar, timezone_id(name))).props) == [200]
    assert await zone_of(person, person.calendar) == (name, name)
    await person.set(person.calendar, f"<C:calendar-timezone><![CDATA[{TIMEZONE}]]></C:calendar-timezone>")
    assert await zone_of(person, person.calendar) == ("US-Eastern", "US-Eastern")
    await person.set(person.calendar, timezone_id(name))
    assert await zone_of(person, person.calendar) == (name, name)
    removal = "<D:remove><D:prop><C:calendar-timezone-id/></D:prop></D:remove>"
    assert (await person.proppatch(person.calendar, removal)).status == 207
    assert await zone_of(person, person.calendar) == (None, None)


async def test_both_in_one_request_the_last_holds(person: Person) -> None:
    text = f"<C:calendar-timezone><![CDATA[{TIMEZONE}]]></C:calendar-timezone>"
    assert list((await person.set(person.calendar, text + timezone_id("Asia/Tokyo"))).props) == [200]
    assert await zone_of(person, person.calendar) == ("Asia/Tokyo", "Asia/Tokyo")
    assert list((await person.set(person.calendar, timezone_id("Asia/Tokyo") + text)).props) == [200]
    assert await zone_of(person, person.calendar) == ("US-Eastern", "US-Eastern")


@pytest.mark.parametrize("value", ["Europe/Nowhere", "", "Europe/Berlin&#10;X:y", "Europe/Berlin;VALUE=x"])
async def test_3_1_5_an_unknown_identifier_is_refused(person: Person, value: str) -> None:
    await person.set(person.calendar, timezone_id("Asia/Tokyo"))
    body = xml("D:propertyupdate", f"<D:set><D:prop>{timezone_id(value)}</D:prop></D:set>")
    reply = await person.http("PROPPATCH", person.calendar, body)
    assert reply.multistatus.only.status_of(ID) == 403
    assert "valid-timezone" in reply.text
    assert await zone_of(person, person.calendar) == ("Asia/Tokyo", "Asia/Tokyo")


@pytest.mark.parametrize("method", ["MKCALENDAR", "MKCOL"])
async def test_a_calendar_is_created_with_an_identifier(person: Person, method: str) -> None:
    path = f"{person.home}new/"
    kind = "<D:resourcetype><D:collection/><C:calendar/></D:resourcetype>" if method == "MKCOL" else ""
    root = "C:mkcalendar" if method == "MKCALENDAR" else "D:mkcol"
    body = xml(root, f"<D:set><D:prop>{kind}{timezone_id('Europe/Berlin')}</D:prop></D:set>")
    assert (await person.http(method, path, body)).status == 201
    assert await zone_of(person, path) == ("Europe/Berlin", "Europe/Berlin")


async def test_5_2_allprop_leaves_it_out(person: Person) -> None:
    await person.set(person.calendar, timezone_id("Europe/Berlin"))
    reply = await person.http("PROPFIND", person.calendar, xml("D:propfind", "<D:allprop/>"), Depth="0")
    assert not {ID, TEXT} & reply.multistatus.only.found.keys()


async def test_calendar_no_timezone_is_not_announced(person: Person) -> None:
    reply = await person.http("OPTIONS", person.calendar)
    assert "calendar-no-timezone" not in reply.headers["DAV"]
    assert (await person.propfind(person.home, "C:timezone-service-set")).only.status_of(
        caldav("timezone-service-set")
    ) == 404


async def test_it_gives_floating_times_and_dates_their_place(person: Person) -> None:
    """What is stored already moves, also in windows that are not stored."""
    await person.has(f"{person.calendar}time.ics", timed(":20260601T120000", "RRULE:FREQ=DAILY", uid="time"))
    day = ("BEGIN:VEVENT", "UID:day", "DTSTAMP:20260101T000000Z", "DTSTART;VALUE=DATE:20260601", "END:VEVENT")
    await person.has(f"{person.calendar}day.ics", calendar(*day))
    await person.has(f"{person.calendar}utc.ics", event("utc"))
    for name, noon, midnight in (
        ("America/New_York", "T16", "20260601T040000Z"),
        ("Asia/Tokyo", "T03", "20260531T150000Z"),
        ("UTC", "T12", "20260601T000000Z"),
    ):
        assert list((await person.set(person.calendar, timezone_id(name))).props) == [200]
        for date in ("20260601", "20560601"):
            times = (f"{date}{noon}0000Z", f"{date}{noon}0100Z")
            assert "time.ics" in await found(person, person.calendar, *times)
            start = f"FREEBUSY:{date}{noon}"
            assert any(line.startswith(start) for line in await busy(person, person.calendar, *times))
        assert "day.ics" in await found(person, person.calendar, midnight, midnight[:-2] + "1Z")
        assert "utc.ics" in await found(person, person.calendar, "20260601T093000Z", "20260601T093100Z")
