"""CS:schedule-changes over HTTP (caldav-schedulingchanges §4.1.1)."""

from __future__ import annotations

import re

from tests.integration.dav.conftest import NewPerson
from tests.integration.dav.multistatus import calendarserver, dav
from tests.integration.dav.person import Person, xml
from tests.integration.dav.test_implicit_scheduling import meeting

CHANGES = calendarserver("schedule-changes")


async def test_the_items_of_an_inbox_have_it(person: Person, new_person: NewPerson) -> None:
    ben = await new_person()
    await person.has(f"{person.calendar}m.ics", meeting(person, ben))
    inbox = f"{ben.home}inbox/"
    (item,) = await ben.names(inbox)
    for path, depth in ((inbox, "1"), (item, "0")):
        value = (await ben.propfind(path, "S:schedule-changes", depth=depth))[item].found[CHANGES]
        assert f"<{calendarserver('action')}><{calendarserver('create')}></></>" in value
        assert re.search(f"<{calendarserver('dtstamp')}>[0-9]{{8}}T[0-9]{{6}}Z</>", value)
    wanted = f"<D:prop><S:schedule-changes/></D:prop><D:href>{item}</D:href>"
    assert CHANGES in (await ben.report(inbox, "C:calendar-multiget", wanted)).multistatus[item].found
    (copy,) = await ben.names(ben.calendar)
    assert (await ben.propfind(copy, "S:schedule-changes"))[copy].status_of(CHANGES) == 404


async def test_it_is_protected_and_not_among_all_properties(person: Person, new_person: NewPerson) -> None:
    ben = await new_person()
    await person.has(f"{person.calendar}m.ics", meeting(person, ben))
    inbox = f"{ben.home}inbox/"
    (item,) = await ben.names(inbox)
    for path, depth in ((inbox, "1"), (item, "0")):
        reply = await ben.http("PROPFIND", path, xml("D:propfind", "<D:allprop/>"), Depth=depth)
        found = reply.multistatus[item].found
        assert dav("getetag") in found
        assert CHANGES not in found
    assert (await ben.set(item, "<S:schedule-changes/>")).status_of(CHANGES) == 403
