"""DELETE of a calendar over HTTP: a job cancels and declines its meetings (RFC 6638 §3.2.3.2)."""

from __future__ import annotations

import asyncio

from tests.integration.dav.conftest import NewPerson, Serve, Served, make_person
from tests.integration.dav.person import Person
from tests.integration.dav.test_implicit_scheduling import line, meeting, text_of


async def two_meetings(person: Person, ben: Person) -> str:
    """A calendar of the person with an own meeting and one of Ben's; gives its URL."""
    work = f"{person.home}work/"
    assert (await person.http("MKCALENDAR", work)).status == 201
    await person.has(f"{work}own.ics", meeting(person, ben, uid="own"))
    await ben.has(f"{ben.calendar}m.ics", meeting(ben, person))
    (copy,) = await person.names(person.calendar)
    assert (await person.http("MOVE", copy, Destination=f"{work}m.ics")).status == 201
    return work


async def test_meetings_are_cancelled_and_declined_by_a_job(serve: Serve) -> None:
    async with serve({"scheduling.removal_delay": 0}) as served:
        person, ben = await make_person(served), await make_person(served)
        work = await two_meetings(person, ben)
        assert (await person.http("DELETE", work)).status == 204
        async with asyncio.timeout(30):
            while "PARTSTAT=DECLINED" not in line(await text_of(ben, f"{ben.calendar}m.ics"), person):
                await asyncio.sleep(0.05)
            (copy,) = [each for each in await ben.names(ben.calendar) if not each.endswith("/m.ics")]
            while "STATUS:CANCELLED" not in await text_of(ben, copy):
                await asyncio.sleep(0.05)


async def test_nothing_is_sent_at_first(person: Person, new_person: NewPerson, served: Served) -> None:
    ben = await new_person()
    work = await two_meetings(person, ben)
    assert (await person.http("DELETE", work)).status == 204
    assert "DECLINED" not in await text_of(ben, f"{ben.calendar}m.ics")
    waits = "select not_before - now() from job where kind = 'removals' and payload ->> 'principal' = $1"
    pause = await served.storage.database.fetchval(waits, str(person.id))
    assert 500 < pause.total_seconds() <= 600
