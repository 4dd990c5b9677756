"""Recipients whose invitations the server answers."""

from __future__ import annotations

import re

import pytest

from server.storage.directory import PrincipalChange
from tests.unit.services.conftest import BOTH_WAYS
from tests.unit.services.test_implicit_scheduling import ANNA, BEN, copies, items, line_of, meeting, unfolded
from tests.unit.services.test_invited_groups import team
from tests.unit.services.world import INSTALLATION, World, event

pytestmark = BOTH_WAYS
ROOM = "urn:x-uid:id-hall"
MEETING = "anna/calendar/m.ics"


async def hall(world: World, mode: str = "automatic", **more: str) -> None:
    await world.add("hall", kind="room", auto_schedule={"mode": mode, **more})


async def block(world: World, start: str = "20260401T090000Z", who: str = "hall") -> None:
    """Something in a calendar that takes an hour."""
    await world.put(who if who != "hall" else "cli", f"{who}/calendar/block.ics", event("block", start=start))


def answers(text: str | None, address: str = ROOM) -> list[str]:
    """PARTSTAT of somebody in the components of a text, each with TRANSP."""
    found = []
    for component in re.findall(r"BEGIN:VEVENT.*?END:VEVENT", unfolded(text), re.DOTALL):
        line = line_of(component, "ATTENDEE", address)
        partstat = re.search("PARTSTAT=([A-Z-]+)", line)
        found.append((partstat[1] if partstat else "") + (" transparent" if "TRANSP:TRANSPARENT" in component else ""))
    return found


def series(start: str = "20260401T090000Z", count: int = 3, *more: str) -> str:
    return meeting(ROOM, *more, start=start).replace("SUMMARY", f"RRULE:FREQ=DAILY;COUNT={count}\r\nSUMMARY")


@pytest.mark.parametrize(
    ("mode", "free", "busy"),
    [
        ("none", "", ""),
        ("accept-always", "ACCEPTED", "ACCEPTED"),
        ("decline-always", "DECLINED", "DECLINED"),
        ("accept-if-free", "ACCEPTED", ""),
        ("decline-if-busy", "", "DECLINED"),
        ("automatic", "ACCEPTED", "DECLINED"),
    ],
)
@pytest.mark.parametrize("is_busy", [False, True])
async def test_a_mode_answers_in_the_change_of_the_organizer(
    world: World, mode: str, free: str, busy: str, is_busy: bool
) -> None:
    await hall(world, mode)
    if is_busy:
        await block(world)
    wanted = busy if is_busy else free
    await world.invite("anna", MEETING, meeting(ROOM, BEN, start="20260401T090000Z"))
    own = await world.text("anna", MEETING)
    assert answers(own) == [wanted]
    assert ("SCHEDULE-STATUS=2.0" if wanted else "SCHEDULE-STATUS=1.2") in line_of(own, "ATTENDEE", ROOM)
    assert await items(world, "anna") == ["REPLY"] * bool(wanted)
    assert await items(world, "hall") == ["REQUEST"] * (not wanted)
    (copy,) = [each for each in await copies(world, "hall") if "UID:m\r\n" in each]
    assert answers(copy) == [wanted if wanted == "ACCEPTED" else f"{wanted} transparent"]
    if not world.by_jobs:
        (other,) = await copies(world, "ben")
        assert answers(other) == [f"{wanted} transparent"]
        assert await items(world, "ben") == ["REQUEST"]


async def test_the_commoner_answer_is_that_of_the_series(world: World) -> None:
    await hall(world)
    await block(world, "20260402T093000Z")
    await world.invite("anna", MEETING, series())
    assert answers(await world.text("anna", MEETING)) == ["ACCEPTED", "DECLINED"]
    (copy,) = [each for each in await copies(world, "hall") if "UID:m\r\n" in each]
    assert answers(copy) == ["ACCEPTED", "DECLINED transparent"]
    assert await items(world, "anna") == ["REPLY"]


async def test_only_another_time_is_decided_anew(world: World) -> None:
    await hall(world)
    await world.invite("anna", MEETING, meeting(ROOM, start="20260401T090000Z"))
    await block(world, "20260401T103000Z")
    text = unfolded(await world.text("anna", MEETING))
    await world.invite("anna", MEETING, text.replace("SUMMARY:Plan", "SUMMARY:Other"))
    text = unfolded(await world.text("anna", MEETING))
    assert answers(text) == ["ACCEPTED"]
    await world.invite("anna", MEETING, text.replace("20260401T090000Z", "20260401T100000Z"))
    text = unfolded(await world.text("anna", MEETING))
    assert answers(text) == ["DECLINED"]
    await world.invite("anna", MEETING, text.replace("20260401T100000Z", "20260401T093000Z"))
    assert answers(await world.text("anna", MEETING)) == ["ACCEPTED"], "touching is no conflict"


async def test_what_is_over_is_not_answered(world: World) -> None:
    await hall(world)
    await world.invite("anna", MEETING, meeting(ROOM, start="20260201T090000Z"))
    assert answers(await world.text("anna", MEETING)) == [""]
    assert (await items(world, "anna"), await items(world, "hall")) == ([], [])


async def test_cancelled_meetings_and_instances_leave_a_room(world: World) -> None:
    await hall(world)
    await world.invite("anna", MEETING, series())
    text = unfolded(await world.text("anna", MEETING))
    await world.invite("anna", MEETING, text.replace("SUMMARY:Plan", "EXDATE:20260402T090000Z\r\nSUMMARY:Plan"))
    (copy,) = await copies(world, "hall")
    assert copy.count("EXDATE") == 1
    assert "CANCELLED" not in copy
    await world.cancel("anna", MEETING)
    assert await copies(world, "hall") == []
    assert await items(world, "hall") == []


async def test_an_organizer_of_the_auto_accept_group_gets_an_answer(world: World) -> None:
    await team(world, "anna")
    await hall(world, "none", auto_accept_group="team")
    await world.invite("anna", MEETING, meeting(ROOM, start="20260401T090000Z"))
    assert answers(await world.text("anna", MEETING)) == ["ACCEPTED"]
    other = meeting(ROOM, start="20260501T090000Z", uid="o").replace(ANNA, BEN)
    await world.invite("ben", "ben/calendar/o.ics", other)
    assert answers(await world.text("ben", "ben/calendar/o.ics")) == [""]


async def test_people_have_modes_and_disabled_ones_do_not_answer(world: World) -> None:
    await world.directory.write_principals(
        [PrincipalChange(world.ids["ben"], auto_schedule={"mode": "automatic"})], INSTALLATION.cause
    )
    await world.invite("anna", MEETING, meeting(BEN, start="20260401T090000Z"))
    assert answers(await world.text("anna", MEETING), BEN) == ["ACCEPTED"]
    await world.cancel("anna", MEETING)
    (copy,) = await copies(world, "ben")
    assert "STATUS:CANCELLED" in copy
    await world.directory.write_principals([PrincipalChange(world.ids["ben"], disabled=True)], INSTALLATION.cause)
    await world.invite("anna", "anna/calendar/o.ics", meeting(BEN, start="20260401T090000Z", uid="o"))
    assert answers(await world.text("anna", "anna/calendar/o.ics"), BEN) == [""]
