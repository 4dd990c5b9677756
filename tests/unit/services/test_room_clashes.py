"""A room declines what it has no time for any more."""

from __future__ import annotations

import pytest

from server.services.rooms.clashes import Clashes
from server.storage.directory import PrincipalChange
from tests.unit.services.test_auto_schedule import answers, series
from tests.unit.services.test_implicit_scheduling import ANNA, BEN, copies
from tests.unit.services.world import INSTALLATION, World, event


@pytest.fixture
async def world() -> World:
    made = World()
    await made.add("anna", "ben")
    await made.add("hall", kind="room", auto_schedule={"mode": "accept-always"})
    return made


async def takes_one(world: World) -> None:
    """From now on the room takes one booking at a time."""
    change = PrincipalChange(world.ids["hall"], auto_schedule={"mode": "automatic"})
    await world.directory.write_principals([change], INSTALLATION.cause)


async def decline_all(world: World) -> list[bool]:
    """What the jobs about all that lies in the room's calendar do."""
    clashes = Clashes(world.scheduling)
    rows = [row for row in world.memory.tables.objects.values() if row.deleted_revision is None]
    return [await clashes.decline(row.home_id, row.id) for row in rows]


async def test_the_organizer_of_the_younger_booking_is_told(world: World) -> None:
    other = series(count=1).replace(ANNA, BEN).replace("UID:m", "UID:n")
    await world.invite("ben", "ben/calendar/n.ics", other)
    await world.invite("anna", "anna/calendar/m.ics", series(count=3))
    assert answers(await world.text("anna", "anna/calendar/m.ics")) == ["ACCEPTED"]
    await takes_one(world)
    assert (await decline_all(world)).count(True) == 1
    assert answers(await world.text("anna", "anna/calendar/m.ics")) == ["ACCEPTED", "DECLINED"]
    assert answers(await world.text("ben", "ben/calendar/n.ics")) == ["ACCEPTED"]
    assert sum("PARTSTAT=DECLINED" in copy for copy in await copies(world, "hall")) == 1
    assert not any(await decline_all(world)), "that is all"


async def test_what_is_no_meeting_stays(world: World) -> None:
    await world.put("cli", "hall/calendar/a.ics", event("a", start="20260401T090000Z"))
    await world.put("cli", "hall/calendar/b.ics", event("b", start="20260401T090000Z"))
    await takes_one(world)
    assert not any(await decline_all(world))
    assert await world.names("hall/calendar") == ["a.ics", "b.ics"]


async def test_what_is_gone_meanwhile_is_nothing_to_do(world: World) -> None:
    assert not await Clashes(world.scheduling).decline(world.ids["hall"], 10**9)
