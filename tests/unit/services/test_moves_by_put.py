"""A PUT of a scheduling object that another calendar of the home has moves that object."""

from __future__ import annotations

import pytest

from server.domain.errors import (
    AccessDenied,
    AttendeeChangeRefused,
    SchedulingObjectExists,
    UidConflict,
)
from server.domain.grants import Ace
from server.domain.objects import NewCollection
from server.domain.privileges import Privilege
from server.services.changing import change
from server.services.lookup import Found
from server.services.objects import Put
from server.services.permissions import member_of
from server.services.scheduling.sent import Sent
from tests.unit.services.conftest import BOTH_WAYS
from tests.unit.services.test_implicit_scheduling import ANNA, BEN, CLEO, answer, copies, items, line_of, meeting
from tests.unit.services.world import ALARM, INSTALLATION, World, event

pytestmark = BOTH_WAYS
WORK = NewCollection("work", "calendar", ("VEVENT",))


async def new_calendar(world: World, who: str) -> None:
    await world.collections.create(INSTALLATION, await world.find("cli", f"{who}/work"), WORK)


async def place(world: World, who: str, calendar: str = "calendar") -> str:
    (name,) = await world.names(f"{who}/{calendar}")
    return f"{who}/{calendar}/{name}"


async def was_moved(world: World, who: str, path: str) -> bool:
    return await world.scheduling.was_moved(await world.find(who, path))


@pytest.mark.parametrize("shared", ["", "calendar", "work"])
async def test_an_organizer_moves_and_nothing_is_sent(world: World, shared: str) -> None:
    await new_calendar(world, "anna")
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN))
    before = await world.member("anna", "anna/calendar/m.ics")
    assert before is not None
    if shared:
        await world.share(f"anna/{shared}", "cleo")
    put = await world.invite("anna", "anna/work/other.ics", before.text or "")
    assert (put.created, put.etag) == (True, before.etag)
    assert await world.names("anna/calendar") == []
    moved = member_of(await world.find("anna", "anna/work/other.ics", text=True))
    assert moved.text == before.text
    assert moved.schedule_tag == put.schedule_tag != before.schedule_tag
    assert (moved.id == before.id) is not bool(shared)
    assert moved.role is before.role
    assert await items(world, "ben") == ["REQUEST"]
    # Answers find it there, and its occurrences came along.
    await answer(world, "ben", BEN, "ACCEPTED")
    assert "PARTSTAT=ACCEPTED" in line_of(await world.text("anna", "anna/work/other.ics"), "ATTENDEE", BEN)
    assert await was_moved(world, "anna", "anna/calendar/m.ics")
    assert not await was_moved(world, "anna", "anna/calendar/absent.ics")


async def test_what_changes_with_the_move_is_sent(world: World) -> None:
    await new_calendar(world, "anna")
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN))
    await world.invite("anna", "anna/work/m.ics", meeting(BEN, CLEO, summary="Other"))
    (copy,) = await copies(world, "ben")
    assert "SUMMARY:Other" in copy
    assert await items(world, "ben") == ["REQUEST", "REQUEST"]
    assert await items(world, "cleo") == ["REQUEST"]
    assert "SEQUENCE:1" in (await world.text("anna", "anna/work/m.ics") or "")


async def test_an_attendee_moves_and_answers(world: World) -> None:
    await new_calendar(world, "ben")
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN))
    old = await place(world, "ben")
    text = (await world.text("ben", old) or "").replace("\r\n ", "")
    stale = line_of(text, "ATTENDEE", BEN)
    await world.invite("ben", "ben/work/m.ics", text.replace(stale, f"ATTENDEE;PARTSTAT=TENTATIVE:{BEN}"))
    assert await world.names("ben/calendar") == []
    assert "PARTSTAT=TENTATIVE" in line_of(await world.text("anna", "anna/calendar/m.ics"), "ATTENDEE", BEN)
    assert await items(world, "anna") == ["REPLY"]
    # A change of the organizer finds it in its new calendar.
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN, summary="Other"))
    assert "SUMMARY:Other" in (await world.text("ben", "ben/work/m.ics") or "")
    assert await world.names("ben/calendar") == []


async def test_a_refused_change_moves_nothing(world: World) -> None:
    await new_calendar(world, "ben")
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN))
    old = await place(world, "ben")
    text = await world.text("ben", old) or ""
    with pytest.raises(AttendeeChangeRefused):
        await world.invite("ben", "ben/work/m.ics", text.replace("T090000Z", "T100000Z"))
    assert await place(world, "ben") == old
    assert await world.names("ben/work") == []


async def test_an_invitation_that_no_app_has_written_gets_the_name_of_the_app(world: World) -> None:
    """Thunderbird accepts what came by mail under a name of its own, with `If-None-Match: *`."""
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN, CLEO))
    await answer(world, "cleo", CLEO, "ACCEPTED")  # refreshes the copy of Ben
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN, CLEO, summary="Other"))
    old = await place(world, "ben")
    before = await world.member("ben", old)
    mailed = meeting(BEN, CLEO).replace(f"ATTENDEE:{BEN}", f"ATTENDEE;PARTSTAT=ACCEPTED:{BEN}")
    put = await world.invite("ben", "ben/calendar/m.ics", mailed)
    assert put.created
    after = await world.member("ben", "ben/calendar/m.ics")
    assert await world.names("ben/calendar") == ["m.ics"]
    assert before is not None
    assert after is not None
    assert after.id == before.id
    assert "SUMMARY:Other" in (after.text or "")
    assert "PARTSTAT=ACCEPTED" in line_of(await world.text("anna", "anna/calendar/m.ics"), "ATTENDEE", BEN)
    assert await was_moved(world, "ben", old)
    # Now an app has written it: a second name is refused.
    with pytest.raises(UidConflict) as raised:
        await world.invite("ben", "ben/calendar/second.ics", mailed)
    assert raised.value.name == "m.ics"


async def test_alarms_of_sharees_stay_where_an_invitation_gets_the_name_of_the_app(world: World) -> None:
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN))
    shown = await world.share("ben/calendar", "cleo")
    (name,) = await world.names("ben/calendar")
    text = await world.text("cleo", f"{shown}/{name}") or ""
    await world.invite("cleo", f"{shown}/{name}", text.replace("END:VEVENT", "\r\n".join((*ALARM, "END:VEVENT"))))
    before = member_of(await world.find("ben", f"ben/calendar/{name}"))
    accepted = meeting(BEN).replace(f"ATTENDEE:{BEN}", f"ATTENDEE;PARTSTAT=ACCEPTED:{BEN}")
    await world.invite("ben", "ben/calendar/m.ics", accepted)
    after = member_of(await world.find("ben", "ben/calendar/m.ics", text=True))
    assert after.id == before.id
    assert "VALARM" not in (after.text or "")
    assert "VALARM" in (await world.text("cleo", f"{shown}/m.ics") or "")


async def test_an_answered_copy_keeps_its_name_in_its_calendar(world: World) -> None:
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN))
    await answer(world, "ben", BEN, "ACCEPTED")
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN, summary="Other"))
    text = await world.text("ben", await place(world, "ben")) or ""
    with pytest.raises(UidConflict):
        await world.invite("ben", "ben/calendar/m.ics", text)
    text = await world.text("anna", "anna/calendar/m.ics") or ""
    with pytest.raises(UidConflict):
        await world.invite("anna", "anna/calendar/second.ics", text)


async def test_the_uid_of_another_organizer_is_refused(world: World) -> None:
    await new_calendar(world, "ben")
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN))
    (name,) = await world.names("ben/calendar")
    with pytest.raises(SchedulingObjectExists) as raised:
        await world.invite("ben", "ben/work/m.ics", event("m", f"ORGANIZER:{BEN}", f"ATTENDEE:{ANNA}"))
    assert (raised.value.collection, raised.value.name) == ("calendar", name)
    assert await world.names("ben/work") == []


async def test_a_rival_write_is_not_lost(world: World) -> None:
    await new_calendar(world, "anna")
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN))
    text = await world.text("anna", "anna/calendar/m.ics") or ""

    async def answered() -> None:
        await answer(world, "ben", BEN, "ACCEPTED")

    async def find() -> Found:
        return await world.find("anna", "anna/work/m.ics")

    async def put(found: Found) -> Put:
        return await world.scheduling.put(await world.actor("anna"), found, text.encode(), Sent())

    world.meanwhile(answered)
    await change(find, put)
    assert "PARTSTAT=ACCEPTED" in line_of(await world.text("anna", "anna/work/m.ics"), "ATTENDEE", BEN)


async def test_the_old_calendar_needs_the_privilege(world: World) -> None:
    """A delegate of the new calendar alone learns nothing of the old one."""
    await new_calendar(world, "anna")
    await world.invite("anna", "anna/calendar/m.ics", meeting())
    text = await world.text("anna", "anna/calendar/m.ics") or ""
    found = await world.find("cli", "anna/work")
    assert found.collection is not None
    entry = Ace(found.collection.id, world.ids["ben"], True, (Privilege.READ, Privilege.WRITE))
    await world.granting.set_acl(await world.actor("anna"), await world.find("anna", "anna/work"), [entry])
    with pytest.raises((SchedulingObjectExists, AccessDenied)) as raised:
        await world.invite("ben", "anna/work/m.ics", text)
    assert not isinstance(raised.value, SchedulingObjectExists) or raised.value.name is None
    with pytest.raises(AccessDenied):
        await was_moved(world, "ben", "anna/calendar/m.ics")
    assert await world.names("anna/calendar") == ["m.ics"]
