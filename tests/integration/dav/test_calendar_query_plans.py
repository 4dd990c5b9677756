"""A calendar-query that columns narrow finds what the texts say, for any filter, in a calendar and in a share."""

from __future__ import annotations

import itertools

import pytest_asyncio
from hypothesis import HealthCheck, given, settings

from server.calendar.component import parse_calendar
from server.calendar.filters import CompFilter, matches
from server.calendar.timerange import TimeRangeMatcher
from server.calendar.zones import UTC_ZONE
from tests.integration.dav.conftest import NewPerson
from tests.integration.dav.person import Person, xml
from tests.integration.dav.sharing import Share, shown
from tests.unit.calendar.filter_strategies import as_xml, calendar_filters
from tests.unit.calendar.texts import BERLIN, calendar, event, todo

Places = tuple[tuple[Person, str, dict[str, str]], ...]
"""Who asks, the URL of the calendar, and the texts that this person sees in it, by href."""

ALARM = "BEGIN:VALARM\nACTION:DISPLAY\nTRIGGER:-PT5M\nEND:VALARM"
STARTS = (
    "DTSTART:20260105T100000Z",
    "DTSTART;TZID=Europe/Berlin:20260106T093000",
    "DTSTART:20260107T090000",
    "DTSTART;VALUE=DATE:20260108",
)
RULES = ("", "RRULE:FREQ=DAILY;COUNT=3", "RRULE:FREQ=WEEKLY")


def texts() -> list[str]:
    """Events and tasks of every kind of time."""
    found = []
    for number, (start, rule) in enumerate(itertools.product(STARTS, RULES)):
        status = ("SUMMARY:Weekly", "STATUS:CONFIRMED\nLOCATION:Room 1", "STATUS:CANCELLED")[number % 3]
        alarm = ALARM if number % 2 else ""
        lines = "\n".join(line for line in (start, rule, status, alarm) if line)
        zone = [BERLIN] if "TZID" in start or number % 4 == 0 else []
        found.append(calendar(*zone, event(lines, f"{number % 3}@example.com-{number}", start="")))
        found.append(calendar(*zone, todo(lines, f"{number % 3}@EXAMPLE.com-t{number}"), "BEGIN:X-NOTE\nEND:X-NOTE"))
    found.append(calendar(event("SUMMARY:x")))
    found.append(calendar(todo("SUMMARY:weekly", "2@example.com")))
    return found


@pytest_asyncio.fixture(loop_scope="session")
async def places(person: Person, new_person: NewPerson, share: Share) -> Places:
    """A calendar of events and tasks, as its owner and somebody with whom it is shared see it."""
    path = f"{person.home}all/"
    components = '<C:comp name="VEVENT"/><C:comp name="VTODO"/>'
    prop = f"<C:supported-calendar-component-set>{components}</C:supported-calendar-component-set>"
    body = xml("C:mkcalendar", f"<D:set><D:prop>{prop}</D:prop></D:set>")
    assert (await person.http("MKCALENDAR", path, body)).status == 201
    for number, text in enumerate(texts()):
        await person.has(f"{path}{number}.ics", text)
    sharee = await new_person()
    await share(person, sharee, "read", "all")
    (shared,) = await shown(sharee)
    found = []
    for who, place in ((person, path), (sharee, shared)):
        names = [name for name in await who.names(place) if name.endswith(".ics")]
        found.append((who, place, {name: (await who.http("GET", name)).text for name in names}))
    assert all(len(seen) == len(texts()) for _, _, seen in found)
    return tuple(found)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(comp_filter=calendar_filters)
async def test_a_query_finds_what_the_texts_say(places: Places, comp_filter: CompFilter) -> None:
    for who, path, seen in places:
        expected = set()
        for href, text in seen.items():
            tree = parse_calendar(text)
            if matches(comp_filter, tree, TimeRangeMatcher(tree, UTC_ZONE)):
                expected.add(href)
        reply = await who.report(
            path, "C:calendar-query", f"<D:prop><D:getetag/></D:prop><C:filter>{as_xml(comp_filter)}</C:filter>"
        )
        assert set(reply.multistatus.hrefs) == expected
