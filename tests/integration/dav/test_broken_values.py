"""Broken values that are accepted (docs/standards.md), through HTTP: stored as sent, and found and expanded by time."""

from __future__ import annotations

import pytest

from tests.integration.dav.multistatus import caldav
from tests.integration.dav.person import Person, xml
from tests.unit.calendar.test_broken_values import CASES
from tests.unit.calendar.texts import calendar

WINDOW = 'start="20260101T000000Z" end="20260201T000000Z"'


@pytest.fixture
async def everything(person: Person) -> str:
    """A calendar that takes the components of the cases."""
    path = f"{person.home}everything/"
    components = "".join(f'<C:comp name="{name}"/>' for name in ("VEVENT", "VTODO", "VFREEBUSY"))
    body = xml(
        "C:mkcalendar",
        "<D:set><D:prop><C:supported-calendar-component-set>"
        f"{components}</C:supported-calendar-component-set></D:prop></D:set>",
    )
    assert (await person.http("MKCALENDAR", path, body)).status == 201
    return path


async def test_stored_as_sent_and_found(person: Person, everything: str) -> None:
    names = {}
    for number, (name, (broken, _)) in enumerate(CASES.items()):
        text = calendar(broken.replace("UID:1@", f"UID:{number}@"))
        path = names[name] = f"{everything}{number}.ics"
        await person.has(path, text)
        assert (await person.http("GET", path)).text == text, name
    for inner in (
        "",
        f"<C:expand {WINDOW}/>",
        f"<C:limit-recurrence-set {WINDOW}/>",
        f"<C:limit-freebusy-set {WINDOW}/>",
    ):
        found = set()
        for component in ("VEVENT", "VTODO", "VFREEBUSY"):
            body = (
                f"<D:prop><C:calendar-data>{inner}</C:calendar-data></D:prop><C:filter>"
                f'<C:comp-filter name="VCALENDAR"><C:comp-filter name="{component}"><C:time-range {WINDOW}/>'
                "</C:comp-filter></C:comp-filter></C:filter>"
            )
            reply = (await person.report(everything, "C:calendar-query", body)).multistatus
            for href, item in reply.responses.items():
                assert f"BEGIN:{component}" in item.found[caldav("calendar-data")], href
                found.add(href)
        assert {name for name, path in names.items() if path not in found} == set(), inner


async def test_busy_time(person: Person, everything: str) -> None:
    """A start without an end that has an effect is no time that is busy, and no report fails for one object."""
    for number, (broken, _) in enumerate(CASES.values()):
        await person.has(f"{everything}{number}.ics", calendar(broken.replace("UID:1@", f"UID:{number}@")))
    reply = await person.report(everything, "C:free-busy-query", f"<C:time-range {WINDOW}/>", "1")
    assert reply.status == 200
    assert "BEGIN:VFREEBUSY" in reply.text
