"""Meetings of somebody who leaves: administrators cancel them, or hand them over."""

from __future__ import annotations

import re

import pytest

from server.domain.errors import AccessDenied
from server.itip.scheduling_object import read_object
from server.services.scheduling.organized import Organized
from server.services.scheduling.settings import SchedulingSettings
from tests.unit.services.world import INSTALLATION, NOW, World, event

UID = "plan"
PEOPLE = (
    "ORGANIZER:mailto:ann@example.com",
    "ATTENDEE;PARTSTAT=ACCEPTED:mailto:ann@example.com",
    "ATTENDEE:mailto:bea@example.com",
    "ATTENDEE:mailto:carl@example.com",
)


async def world(*, by_jobs: bool = False) -> World:
    made = World(scheduling=SchedulingSettings(direct_recipients=0 if by_jobs else 50))
    for name in ("ann", "bea", "carl", "dora"):
        await made.add(name, addresses=(f"{name}@example.com",), display_name=name.title())
    return made


async def organized(made: World, name: str = "ann") -> Organized:
    found = await made.directory.principal(name)
    assert found is not None
    person = (await made.storage.resolve(found.id, None)).viewer
    assert person is not None
    return Organized(made.scheduling, INSTALLATION, person, NOW)


async def hand_over(made: World, to: str = "dora") -> list[str]:
    person = (await made.actor(to)).principal
    assert person is not None
    return [each.meeting.uid async for each in (await organized(made)).hand_over(person) if each.error is None]


async def text_of(made: World, name: str, uid: str = UID) -> str:
    """The text of somebody's scheduling object, or an empty one."""
    (mailbox,) = await made.storage.mailboxes(made.ids[name], [made.ids[name]], uid)
    return "" if mailbox.object is None else mailbox.object.text or ""


async def answer(made: World, name: str, partstat: str) -> None:
    """Answer as an app does, which writes the copy back."""
    (mailbox,) = await made.storage.mailboxes(made.ids[name], [made.ids[name]], UID)
    assert mailbox.object is not None
    address = f"mailto:{name}@example.com"
    copy = (mailbox.object.text or "").replace("\r\n ", "")
    text = re.sub(f"ATTENDEE[^\r\n]*:{address}", f"ATTENDEE;PARTSTAT={partstat}:{address}", copy)
    await made.invite(name, f"{name}/calendar/{mailbox.object.name}", text)


def lines(text: str, name: str) -> list[str]:
    return [line for line in text.replace("\r\n ", "").splitlines() if line.startswith(name)]


async def items(made: World, name: str) -> list[str]:
    """The METHODs of what lies in somebody's inbox, the oldest first."""
    inbox = (await made.find(name, f"{name}/inbox")).collection
    assert inbox is not None
    rows = sorted(made.memory.tables.members(inbox.id), key=lambda row: row.id)
    return [lines(row.content.text, "METHOD")[0].removeprefix("METHOD:") for row in rows]


@pytest.mark.parametrize("by_jobs", [False, True])
@pytest.mark.parametrize("to", ["dora", "carl"])
async def test_a_meeting_that_is_handed_over_is_organized_by_somebody_else(by_jobs: bool, to: str) -> None:
    made = await world(by_jobs=by_jobs)
    await made.invite("ann", "ann/calendar/plan.ics", event(UID, *PEOPLE, start="20260401T090000Z"))
    await answer(made, "bea", "ACCEPTED")
    assert any("PARTSTAT=ACCEPTED" in line and "bea@" in line for line in lines(await text_of(made, "ann"), "ATTENDEE"))

    assert await hand_over(made, to) == [UID]
    await made.run_jobs()
    assert await text_of(made, "ann") == ""
    own = await text_of(made, to)
    assert lines(own, "ORGANIZER") == [f"ORGANIZER;CN={to.title()}:mailto:{to}@example.com"]
    assert "ann@" not in own
    assert lines(own, "SEQUENCE") == ["SEQUENCE:1"]
    assert any("PARTSTAT=ACCEPTED" in line and "bea@" in line for line in lines(own, "ATTENDEE"))
    assert all("SCHEDULE-STATUS=1.2" in line for line in lines(own, "ATTENDEE") if f"{to}@" not in line)
    copy = await text_of(made, "bea")
    assert lines(copy, "ORGANIZER")[0].endswith(f":mailto:{to}@example.com")
    assert lines(copy, "SEQUENCE") == ["SEQUENCE:1"]
    assert (await items(made, "bea"))[-2:] == ["REQUEST", "REQUEST"]
    assert [each async for each in (await organized(made)).meetings()] == []

    # The new organizer goes on with it, and gets the answers.
    await answer(made, "bea", "DECLINED")
    assert any("PARTSTAT=DECLINED" in line and "bea@" in line for line in lines(await text_of(made, to), "ATTENDEE"))
    (box,) = await made.storage.mailboxes(made.ids[to], [made.ids[to]], UID)
    assert box.object is not None
    own = (box.object.text or "").replace("DTSTART:20260401T09", "DTSTART:20260401T10")
    await made.invite(to, f"{to}/calendar/{box.object.name}", own)
    assert lines(await text_of(made, "bea"), "DTSTART") == ["DTSTART:20260401T100000Z"]


async def test_meetings_that_are_over_stay() -> None:
    made = await world()
    await made.invite("ann", "ann/calendar/plan.ics", event(UID, *PEOPLE, start="20260101T090000Z"))
    assert await hand_over(made) == []
    assert [each async for each in (await organized(made)).cancel()] == []
    assert "ann@" in await text_of(made, "ann")


async def test_a_series_that_is_cancelled_keeps_what_has_begun() -> None:
    made = await world()
    series = event(UID, *PEOPLE, "RRULE:FREQ=WEEKLY", start="20260202T090000Z")
    await made.invite("ann", "ann/calendar/plan.ics", series)
    await made.invite("ann", "ann/calendar/single.ics", event("single", *PEOPLE, start="20260401T090000Z"))
    assert [(each.meeting.uid, each.error) async for each in (await organized(made)).cancel()] == [
        (UID, None),
        ("single", None),
    ]
    assert lines(await text_of(made, "bea"), "RRULE") == ["RRULE:FREQ=WEEKLY;UNTIL=20260302T085959Z"]
    assert lines(await text_of(made, "bea"), "STATUS") == []
    assert lines(await text_of(made, "bea", "single"), "STATUS") == ["STATUS:CANCELLED"]
    assert await text_of(made, "ann", "single") == ""


async def test_one_meeting_that_cannot_be_handed_over_stops_no_other() -> None:
    made = await world()
    for uid in ("one", "two"):
        await made.invite("ann", f"ann/calendar/{uid}.ics", event(uid, *PEOPLE, start="20260401T090000Z"))
    await made.invite("dora", "dora/calendar/one.ics", event("one", start="20260401T090000Z"))
    dora = (await made.actor("dora")).principal
    assert dora is not None
    found = [(each.meeting.uid, each.error) async for each in (await organized(made)).hand_over(dora)]
    assert [(uid, error is None) for uid, error in found] == [("one", False), ("two", True)]
    assert lines(await text_of(made, "ann", "one"), "ORGANIZER") != []
    assert read_object(await text_of(made, "dora", "one")).components[0].first("ORGANIZER") is None


async def test_only_administrators_see_all_meetings_of_somebody() -> None:
    made = await world()
    person = (await made.actor("ann")).principal
    assert person is not None
    found = Organized(made.scheduling, await made.actor("bea"), person, NOW)
    with pytest.raises(AccessDenied):
        [each async for each in found.meetings()]
