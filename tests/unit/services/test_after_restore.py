"""The first message about a meeting after a restore has a higher SEQUENCE, whatever act sends it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

import pytest

from server.services.scheduling.organized import Organized
from tests.unit.services.test_copied_and_moved_meetings import may_act, may_write, transfer
from tests.unit.services.test_moves_by_put import new_calendar, place
from tests.unit.services.world import INSTALLATION, NOW, World, event

ANNA, BEN, ZOE = "urn:x-uid:id-anna", "urn:x-uid:id-ben", "mailto:zoe@elsewhere.example"
PATH = "anna/work/m.ics"


def meeting(*attendees: str, lines: tuple[str, ...] = ()) -> str:
    people = [f"ATTENDEE;PARTSTAT=ACCEPTED:{ANNA}", *(f"ATTENDEE:{each}" for each in attendees)]
    return event("m", "SEQUENCE:3", f"ORGANIZER:{ANNA}", *people, *lines, start="20260401T090000Z")


def sequences(world: World) -> list[tuple[str, int]]:
    """METHOD and SEQUENCE of each mail, in order."""
    mails = [row for _, row in sorted(world.memory.tables.mails.items())]
    return [(each.method, max(map(int, re.findall(r"SEQUENCE:(\d+)", each.text)))) for each in mails]


async def deletes_calendar(world: World) -> None:
    await world.collections.delete(await world.actor("anna"), await world.find("anna", "anna/work"))
    await world.run_jobs()


async def deletes(world: World) -> None:
    await world.cancel("anna", PATH)


async def moves_away(world: World) -> None:
    await may_write(world, "cleo/calendar", "anna")
    await transfer(world, "anna", PATH, "cleo/calendar/m.ics")


async def moves_to_attendee(world: World) -> None:
    await may_act(world, "ben", "anna")
    await world.delete("ben", await place(world, "ben"))
    await transfer(world, "anna", PATH, "ben/calendar/m.ics")
    await world.run_jobs()


async def hands_over(world: World) -> None:
    person, to = [(await world.actor(who)).principal for who in ("anna", "cleo")]
    assert person is not None
    assert to is not None
    acts = Organized(world.scheduling, INSTALLATION, person, NOW).hand_over(to)  # type: ignore[arg-type]
    assert [each.error async for each in acts] == [None]


async def divides(world: World) -> None:
    found = await world.find("anna", PATH)
    await world.splitting.split(await world.actor("anna"), found, "20260403T090000Z", "earlier")


@pytest.mark.parametrize(
    ("act", "method"),
    [
        (deletes, "CANCEL"),
        (deletes_calendar, "CANCEL"),
        (moves_away, "CANCEL"),
        (moves_to_attendee, "CANCEL"),
        (hands_over, "REQUEST"),
        (divides, "REQUEST"),
    ],
)
@pytest.mark.parametrize("restored", [False, True])
async def test_an_act_after_a_restore(
    act: Callable[[World], Awaitable[None]], method: str, restored: bool, world: World
) -> None:
    await new_calendar(world, "anna")
    await world.invite("anna", PATH, meeting(BEN, ZOE, lines=("RRULE:FREQ=DAILY;COUNT=9",)))
    known = len(sequences(world))
    if restored:
        world.restore_backup()
    await act(world)
    assert set(sequences(world)[known:]) == {(method, 1003 if restored else 4)}


async def test_a_meeting_of_people_here_alone_is_not_raised(world: World) -> None:
    await new_calendar(world, "anna")
    await world.invite("anna", PATH, meeting(BEN))
    world.restore_backup()
    await deletes_calendar(world)
    (name,) = await world.names("ben/calendar")
    assert "SEQUENCE:4\r" in (await world.text("ben", f"ben/calendar/{name}") or "")


@pytest.mark.parametrize("restored", [False, True])
async def test_a_copy_that_moves_to_its_organizer_invites(world: World, restored: bool) -> None:
    await may_act(world, "anna", "ben")
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN, ZOE))
    await world.delete("anna", "anna/calendar/m.ics")
    if restored:
        world.restore_backup()
    await transfer(world, "ben", await place(world, "ben"), "anna/calendar/m.ics")
    expected = 1003 if restored else 3
    assert sequences(world)[1:] == [("REQUEST", expected)]


@pytest.mark.parametrize("restored", [False, True])
async def test_a_deleted_meeting_that_is_restored_invites(world: World, restored: bool) -> None:
    text = meeting(BEN, ZOE)
    if restored:
        world.restore_backup()
    found = await world.find("cli", "anna/calendar/m.ics")
    await world.scheduling.restore(INSTALLATION, found, text, {})
    assert sequences(world) == [("REQUEST", 1003 if restored else 4)]
