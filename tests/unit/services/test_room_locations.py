"""LOCATION of meetings follows the rooms, where the setting says so."""

from __future__ import annotations

import pytest

from server.itip.room_locations import WRITTEN
from server.services.scheduling.settings import SchedulingSettings
from tests.unit.services.test_implicit_scheduling import ANNA, BEN, line_of, meeting, unfolded
from tests.unit.services.world import World, event

HALL, DEN = "urn:x-uid:id-hall", "urn:x-uid:id-den"
PLACE = "anna/calendar/m.ics"
APRIL = "20260401T090000Z"


async def office(*, on: bool, by_jobs: bool = False) -> World:
    direct = {"direct_recipients": 0} if by_jobs else {}
    world = World(scheduling=SchedulingSettings(rooms_in_location=on, **direct))
    await world.add("anna", addresses=("anna@example.com",))
    await world.add("ben", addresses=("ben@example.com",))
    for name in ("hall", "den"):
        await world.add(name, kind="room", display_name=name.title(), auto_schedule={"mode": "automatic"})
    return world


def locations(text: str | None) -> list[str]:
    return [line.partition(":")[2] for line in unfolded(text).split("\r\n") if line.startswith("LOCATION")]


async def copies_of(world: World, who: str) -> list[str]:
    names = await world.names(f"{who}/calendar")
    return [str(await world.text(who if who == "ben" else "cli", f"{who}/calendar/{name}")) for name in names]


async def test_it_is_off_unless_it_is_set() -> None:
    world = await office(on=False)
    await world.invite("anna", PLACE, meeting(BEN, HALL))
    assert locations(await world.text("anna", PLACE)) == []


async def test_rooms_are_named_in_all_copies_and_the_mark_in_the_organizers_alone() -> None:
    world = await office(on=True)
    put = await world.invite("anna", PLACE, meeting(BEN, HALL, DEN))
    assert not put.as_sent
    stored = str(await world.text("anna", PLACE))
    assert locations(stored) == ["Hall\\; Den"]
    for who in ("ben", "hall"):
        (copy,) = await copies_of(world, who)
        assert locations(copy) == ["Hall\\; Den"]
        assert WRITTEN not in copy
    # The app sends what it has, without the line that it does not know, and without a room.
    edited = meeting(BEN, DEN).replace("SUMMARY", "LOCATION:Hall\\; Den\r\nSUMMARY", 1)
    await world.invite("anna", PLACE, edited)
    assert locations(await world.text("anna", PLACE)) == ["Den"]
    (copy,) = await copies_of(world, "ben")
    assert locations(copy) == ["Den"]
    own = meeting(BEN, HALL).replace("SUMMARY", "LOCATION:Lyon\r\nSUMMARY", 1)
    await world.invite("anna", PLACE, own)
    assert locations(await world.text("anna", PLACE)) == ["Lyon"]
    assert ANNA in own


async def test_a_room_that_is_taken_is_not_named_in_any_copy() -> None:
    world = await office(on=True)
    await world.put("cli", "hall/calendar/block.ics", event("block", start=APRIL))
    await world.invite("anna", PLACE, meeting(BEN, HALL, DEN, start=APRIL))
    assert locations(await world.text("anna", PLACE)) == ["Den"]
    (copy,) = await copies_of(world, "ben")
    assert locations(copy) == ["Den"]
    await world.invite("anna", "anna/calendar/n.ics", meeting(HALL, uid="n", start=APRIL))
    assert locations(await world.text("anna", "anna/calendar/n.ics")) == []


async def test_instances_whose_room_is_taken_do_not_name_it() -> None:
    world = await office(on=True)
    await world.put("cli", "hall/calendar/block.ics", event("block", start="20260402T090000Z"))
    series = meeting(BEN, HALL, DEN, start=APRIL).replace("SUMMARY", "RRULE:FREQ=DAILY;COUNT=3\r\nSUMMARY")
    await world.invite("anna", PLACE, series)
    for who in ("anna", "ben"):
        text = await world.text("anna", PLACE) if who == "anna" else (await copies_of(world, who))[0]
        assert sorted(locations(text)) == ["Den", "Hall\\; Den"], who


@pytest.mark.parametrize("by_jobs", [False, True])
async def test_a_room_that_declines_later_is_named_no_more(by_jobs: bool) -> None:
    world = await office(on=True, by_jobs=by_jobs)
    series = meeting(BEN, HALL, DEN, start=APRIL).replace("SUMMARY", "RRULE:FREQ=DAILY;COUNT=3\r\nSUMMARY")
    await world.invite("anna", PLACE, series)
    (before,) = {(await world.member("anna", PLACE)).schedule_tag}  # type: ignore[union-attr]
    assert locations(await world.text("anna", PLACE)) == ["Hall\\; Den"]
    (name,) = await world.names("den/calendar")
    copy = unfolded(await world.text("cli", f"den/calendar/{name}"))
    own = line_of(copy, "ATTENDEE", DEN)
    declined = copy.replace(own, f"ATTENDEE;PARTSTAT=DECLINED:{DEN}")
    await world.invite("cli", f"den/calendar/{name}", declined)
    await world.run_jobs()
    assert locations(await world.text("anna", PLACE)) == ["Hall"]
    member = await world.member("anna", PLACE)
    assert member is not None
    assert member.schedule_tag != before, "an app that has the old text writes over nothing"
    for who in ("ben", "hall"):
        (copy,) = await copies_of(world, who)
        assert set(locations(copy)) == {"Hall"}, who


async def test_an_answer_of_a_room_leaves_what_the_organizer_wrote() -> None:
    world = await office(on=True)
    await world.invite("anna", PLACE, meeting(BEN, HALL).replace("SUMMARY", "LOCATION:Lyon\r\nSUMMARY", 1))
    (name,) = await world.names("hall/calendar")
    copy = unfolded(await world.text("cli", f"hall/calendar/{name}"))
    own = line_of(copy, "ATTENDEE", HALL)
    await world.invite("cli", f"hall/calendar/{name}", copy.replace(own, f"ATTENDEE;PARTSTAT=DECLINED:{HALL}"))
    assert locations(await world.text("anna", PLACE)) == ["Lyon"]
