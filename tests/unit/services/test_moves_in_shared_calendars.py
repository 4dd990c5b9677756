"""MOVE between two shared calendars of one owner: what each person has for themselves stays theirs."""

from __future__ import annotations

import pytest

from server.services.permissions import member_of
from tests.unit.services.test_copied_and_moved_meetings import may_act, transfer
from tests.unit.services.test_moves_by_put import new_calendar
from tests.unit.services.test_shared_calendars import own_alarm
from tests.unit.services.world import ALARM, World, event

ANNA, ZOE = "urn:x-uid:id-anna", "mailto:zoe@elsewhere.example"
MEETING = ("SUMMARY:Plan", f"ORGANIZER:{ANNA}", f"ATTENDEE;PARTSTAT=ACCEPTED:{ANNA}", f"ATTENDEE:{ZOE}")


async def shared(world: World) -> dict[str, tuple[str, str]]:
    """The paths of anna's two calendars as anna, ben, who may write, and cleo, who may read, have them."""
    await new_calendar(world, "anna")
    paths = {"anna": ("anna/calendar", "anna/work")}
    for who, rights in (("ben", "write"), ("cleo", "read")):
        made = [await world.share(path, who, rights) for path in paths["anna"]]  # type: ignore[arg-type]
        paths[who] = (made[0], made[1])
    return paths


@pytest.mark.parametrize("mover", ["anna", "ben"])
@pytest.mark.parametrize("lines", [("SUMMARY:Plan",), MEETING], ids=["plain", "meeting"])
@pytest.mark.parametrize("replaces", [False, True])
async def test_a_move_keeps_what_each_has_for_themselves(
    world: World, mover: str, lines: tuple[str, ...], replaces: bool
) -> None:
    paths = await shared(world)
    await world.invite("anna", "anna/calendar/a", event("a", *lines, "TRANSP:TRANSPARENT", *ALARM))
    known = (await world.text("anna", "anna/calendar/a") or "").replace("TRANSP:TRANSPARENT\r\n", "")
    for who, minutes in (("ben", 5), ("cleo", 7)):
        alarm = "\r\n".join(own_alarm(minutes))
        await world.put(who, f"{paths[who][0]}/a", known.replace("\r\n".join(ALARM), alarm))
    before = {who: await world.text(who, f"{paths[who][0]}/a") for who in paths}
    etags = {who: member_of(await world.find(who, f"{paths[who][0]}/a")).etag for who in paths}
    jobs = len(world.memory.tables.mails)
    if replaces and lines != MEETING:
        await world.put("anna", "anna/work/b", event("a", "SUMMARY:Old", *own_alarm(40)))
        await world.put("ben", f"{paths['ben'][1]}/b", event("a", "SUMMARY:Old", *own_alarm(41)))

    put = await transfer(world, mover, f"{paths[mover][0]}/a", f"{paths[mover][1]}/b")
    for who, (old, new) in paths.items():
        assert await world.text(who, f"{old}/a") is None
        assert await world.text(who, f"{new}/b") == before[who]
        assert member_of(await world.find(who, f"{new}/b")).etag == etags[who]
    assert put.etag == etags[mover]
    assert len(world.memory.tables.mails) == jobs


async def test_who_moves_something_without_a_view_of_it_gets_none(world: World) -> None:
    paths = await shared(world)
    await world.put("anna", "anna/calendar/a", event("a", *ALARM))
    await transfer(world, "ben", f"{paths['ben'][0]}/a", f"{paths['ben'][1]}/a")
    assert await world.text("anna", "anna/work/a") == event("a", *ALARM)
    assert await world.text("ben", f"{paths['ben'][1]}/a") == event("a")
    await world.put("anna", "anna/work/a", event("a", "SUMMARY:New", *ALARM))
    assert await world.text("ben", f"{paths['ben'][1]}/a") == event("a", "SUMMARY:New")


async def test_a_move_to_another_owner_takes_what_the_mover_sees(world: World) -> None:
    paths = await shared(world)
    await may_act(world, "cleo", "ben")
    await world.put("anna", "anna/calendar/a", event("a", *ALARM))
    await world.put("ben", f"{paths['ben'][0]}/a", event("a", *own_alarm(5)))
    await transfer(world, "ben", f"{paths['ben'][0]}/a", "cleo/calendar/a")
    assert await world.text("cleo", "cleo/calendar/a") == event("a", *own_alarm(5))
