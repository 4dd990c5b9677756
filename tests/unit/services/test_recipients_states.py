"""What the state of a recipient does to a message, by the request and by jobs (RFC 6638 §3.2.9)."""

from __future__ import annotations

import pytest

from server.domain.limits import Limits
from server.services.scheduling.settings import SchedulingSettings
from server.storage.directory import PrincipalChange
from tests.unit.services.conftest import BOTH_WAYS
from tests.unit.services.memory_storage.space import space_of
from tests.unit.services.test_auto_schedule import answers
from tests.unit.services.test_implicit_scheduling import BEN, CLEO, answer, copies, items, line_of, meeting, unfolded
from tests.unit.services.world import INSTALLATION, World, event

PATH = "anna/calendar/m.ics"
HALL, YARD = "urn:x-uid:id-hall", "urn:x-uid:id-yard"


async def status(world: World, whom: str) -> str:
    line = line_of(await world.text("anna", PATH), "ATTENDEE", whom)
    return line.partition("SCHEDULE-STATUS=")[2].partition(":")[0].partition(";")[0]


async def leave(world: World, name: str, room: int) -> None:
    """Give somebody a quota that leaves room for so many bytes."""
    home = world.memory.tables.home(world.ids[name], "calendar")
    assert home is not None
    change = PrincipalChange(world.ids[name], quota_bytes=space_of(world.memory.tables, home.id).used + room)
    await world.directory.write_principals([change], INSTALLATION.cause)


async def without_calendars(world: World, name: str) -> None:
    for calendar in ("calendar", "tasks"):
        found = await world.find("cli", f"{name}/{calendar}")
        await world.collections.delete(INSTALLATION, found)


@BOTH_WAYS
async def test_what_others_send_takes_a_tenth_more_than_the_quota(world: World) -> None:
    await world.put("ben", "ben/calendar/own.ics", event("own", f"SUMMARY:{'x' * 20_000}"))
    await leave(world, "ben", 10)
    await world.invite("anna", PATH, meeting(BEN, CLEO))
    assert (await status(world, BEN), await status(world, CLEO)) == ("1.2", "1.2")
    assert len(await copies(world, "ben")) == 2
    for number in range(60):
        await world.invite("anna", PATH, meeting(BEN, CLEO, summary=f"{number}"))
    assert (await status(world, BEN), await status(world, CLEO)) == ("5.1", "1.2")


@BOTH_WAYS
async def test_whoever_has_no_calendar_gets_one(world: World) -> None:
    await without_calendars(world, "ben")
    await world.invite("anna", PATH, meeting(BEN, CLEO))
    assert (await status(world, BEN), await status(world, CLEO)) == ("1.2", "1.2")
    (copy,) = await copies(world, "ben")
    assert "SUMMARY:Plan" in copy
    assert await items(world, "ben") == ["REQUEST"]
    # What is sent later finds it, and none is made for what makes no copy.
    await world.invite("anna", PATH, meeting(BEN, CLEO, summary="Other"))
    assert len(await copies(world, "ben")) == 1
    await world.collections.delete(INSTALLATION, await world.find("cli", "ben/calendar"))
    await world.cancel("anna", PATH)
    assert (await world.find("cli", "ben/calendar")).collection is None


@pytest.mark.parametrize("direct", [0, 50])
async def test_a_copy_that_would_be_too_large_is_not_tried_again(direct: int) -> None:
    world = World(Limits(max_resource_size=20_000), SchedulingSettings(direct_recipients=direct))
    await world.add("anna", "ben", "cleo")
    await world.invite("anna", PATH, meeting(BEN, CLEO))
    (name,) = await world.names("ben/calendar")
    text = unfolded(await world.text("ben", f"ben/calendar/{name}"))
    await world.invite("ben", f"ben/calendar/{name}", text.replace("END:VEVENT", f"X-OWN:{'x' * 15_000}\r\nEND:VEVENT"))
    await world.invite("anna", PATH, meeting(BEN, CLEO).replace("SUMMARY:Plan", f"SUMMARY:{'x' * 10_000}"))
    assert (await status(world, BEN), await status(world, CLEO)) == ("5.3", "1.2")
    assert world.memory.tables.jobs == []


@pytest.mark.parametrize("direct", [0, 50])
async def test_an_inbox_makes_room_within_the_limit_on_members(direct: int) -> None:
    world = World(Limits(max_members=100), SchedulingSettings(direct_recipients=direct))
    await world.add("anna", "ben")
    for number in range(105):
        await world.invite("anna", PATH, meeting(BEN, summary=f"{number}"))
    assert await status(world, BEN) == "1.2"
    assert len(await world.names("ben/inbox")) == 100


@BOTH_WAYS
async def test_a_former_address_means_the_person_who_had_it(world: World) -> None:
    """The answer uses the line as the organizer wrote it."""
    await world.add("dora", addresses=("dora@example.com", "old@example.com"))
    await world.directory.write_principals(
        [PrincipalChange(world.ids["dora"], addresses=("dora@example.com",))], INSTALLATION.cause
    )
    old = "mailto:OLD@example.com"
    await world.invite("anna", PATH, meeting(old))
    (copy,) = await copies(world, "dora")
    assert line_of(copy, "ATTENDEE", old)
    (name,) = await world.names("dora/calendar")
    member = await world.member("dora", f"dora/calendar/{name}")
    assert member is not None
    assert member.schedule_tag is not None
    await answer(world, "dora", old, "ACCEPTED")
    assert "PARTSTAT=ACCEPTED" in line_of(await world.text("anna", PATH), "ATTENDEE", old)
    # Whoever has the address now is another attendee.
    await world.add("emil", addresses=("old@example.com",))
    await world.invite("anna", "anna/calendar/n.ics", meeting(old, uid="n"))
    assert len(await copies(world, "dora")) == 1
    assert len(await copies(world, "emil")) == 1


@pytest.mark.parametrize("direct", [0, 50])
async def test_an_answer_counts_only_with_a_copy_that_can_be_stored(direct: int) -> None:
    world = World(Limits(max_resource_size=20_000), SchedulingSettings(direct_recipients=direct))
    await world.add("anna")
    await world.add("hall", "yard", kind="room", auto_schedule={"mode": "automatic"})
    start = "20260401T090000Z"
    await world.invite("anna", PATH, meeting(HALL, YARD, start=start))
    (name,) = await world.names("hall/calendar")
    path = f"hall/calendar/{name}"
    own = f"X-OWN:{'x' * 15_000}\r\nEND:VEVENT"
    await world.put("cli", path, unfolded(await world.text("cli", path)).replace("END:VEVENT", own))
    moved = meeting(HALL, YARD, start="20260401T110000Z").replace("SUMMARY:Plan", f"SUMMARY:{'x' * 10_000}")
    await world.invite("anna", PATH, moved)
    text = await world.text("anna", PATH)
    assert (answers(text, HALL), answers(text, YARD)) == (["NEEDS-ACTION"], ["ACCEPTED"])
    assert "SCHEDULE-STATUS=5.3" in line_of(text, "ATTENDEE", HALL)
    assert "SCHEDULE-STATUS=2.0" in line_of(text, "ATTENDEE", YARD)
    (copy,) = await copies(world, "yard")
    assert (answers(copy, HALL), answers(copy, YARD)) == (["NEEDS-ACTION"], ["ACCEPTED"])
    (copy,) = await copies(world, "hall")
    assert start in copy
