"""Apple's extensions of scheduling over HTTP: private comments, and when people answered."""

from __future__ import annotations

import re

from tests.integration.dav.conftest import NewPerson
from tests.integration.dav.multistatus import calendarserver
from tests.integration.dav.person import Person
from tests.integration.dav.test_implicit_scheduling import address, answer, line, meeting, text_of

COMMENT = "X-CALENDARSERVER-PRIVATE-COMMENT"
STAMP = "X-CALENDARSERVER-DTSTAMP=[0-9]{8}T[0-9]{6}Z"


async def comments(person: Person, path: str) -> list[str]:
    """The private comments of attendees in an object."""
    lines = (await text_of(person, path)).splitlines()
    return [each for each in lines if each.startswith("X-CALENDARSERVER-ATTENDEE-COMMENT")]


async def test_a_private_comment_reaches_the_organizer_alone(person: Person, new_person: NewPerson) -> None:
    """caldav-privatecomments §3."""
    path, ben, cleo = f"{person.calendar}m.ics", await new_person(), await new_person()
    await person.has(path, meeting(person, ben, cleo))
    (mine,) = await ben.names(ben.calendar)
    text = await text_of(ben, mine)
    await ben.has(mine, text.replace("END:VEVENT", f"{COMMENT}:Late\r\nEND:VEVENT"))
    assert COMMENT in await text_of(ben, mine)
    (made,) = await comments(person, path)
    assert made.endswith(":Late")
    assert f'X-CALENDARSERVER-ATTENDEE-REF="{address(ben)}"' in made
    assert re.search(STAMP, made)
    (theirs,) = await cleo.names(cleo.calendar)
    assert "COMMENT" not in await text_of(cleo, theirs)
    (item,) = await person.names(f"{person.home}inbox/")
    told = (await person.propfind(item, "S:schedule-changes")).only.found[calendarserver("schedule-changes")]
    assert f"name='{COMMENT}'" in told

    # Without the comment it is empty, and nobody but the server writes it.
    await ben.has(mine, text)
    (made,) = await comments(person, path)
    assert made.endswith(":")
    text = await text_of(person, path)
    forged = await person.put(path, text.replace(made, f"{made}Never"))
    forged.refused(403, calendarserver("valid-attendee-comment-change"))
    await person.has(path, text.replace(f"{made}\r\n", "").replace("SUMMARY:Plan", "SUMMARY:Other"))
    assert await comments(person, path) == [made]
    assert "COMMENT" not in await text_of(cleo, theirs)


async def test_ones_own_copy_says_when_one_answered(person: Person, new_person: NewPerson) -> None:
    path, ben, cleo = f"{person.calendar}m.ics", await new_person(), await new_person()
    await person.has(path, meeting(person, ben, cleo))
    assert await answer(ben, "ACCEPTED") == 204
    (mine,), (theirs,) = await ben.names(ben.calendar), await cleo.names(cleo.calendar)
    found = re.search(STAMP, line(await text_of(ben, mine), ben))
    assert found is not None
    for who, where in ((person, path), (cleo, theirs)):
        assert "X-CALENDARSERVER-DTSTAMP" not in await text_of(who, where)
    await person.has(path, (await text_of(person, path)).replace("SUMMARY:Plan", "SUMMARY:Other"))
    assert found[0] in line(await text_of(ben, mine), ben)
