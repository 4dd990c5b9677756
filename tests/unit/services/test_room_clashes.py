"""A room declines what it has no time for any more, and tells those who have the time."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest

from server.services.mail.incoming import Outcome
from server.services.rooms.clashes import Clashes
from server.storage.directory import PrincipalChange
from tests.unit.services.incoming_mail_world import MailWorld, request
from tests.unit.services.test_auto_schedule import ROOM, answers, series
from tests.unit.services.test_implicit_scheduling import ANNA, BEN, copies, meeting, unfolded
from tests.unit.services.world import INSTALLATION, NOW, World, event


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
    clashes = Clashes(world.scheduling, lambda: NOW + timedelta(minutes=1))
    rows = [row for row in world.memory.tables.objects.values() if row.deleted_revision is None]
    return [await clashes.decline(row.home_id, row.id) for row in rows]


async def inbox(world: World, who: str) -> list[str]:
    """The messages in somebody's inbox."""
    return [await world.text("cli", f"{who}/inbox/{name}") or "" for name in await world.names(f"{who}/inbox")]


async def told(world: World, who: str) -> list[tuple[str, str]]:
    """The answers with a COMMENT in somebody's inbox, in order of their times, and what each says."""
    found = []
    for text in await inbox(world, who):
        for component in re.findall(r"BEGIN:VEVENT.*?END:VEVENT", unfolded(text), re.DOTALL):
            comment = re.search(r"^COMMENT:(.*?)\r?$", component, re.MULTILINE)
            if comment is not None:
                start = re.search(r"^DTSTART[^:]*:(\w+)", component, re.MULTILINE)
                assert start is not None
                assert "METHOD:REPLY" in text
                found.append((start[1], answers(component)[0].split()[0], comment[1].replace("\\", "")))
    return [(partstat, said) for _, partstat, said in sorted(found)]


async def both_book(world: World, younger: str) -> None:
    """Ben books an hour of 1 April, then Anna books what she wants."""
    await world.invite("ben", "ben/calendar/n.ics", series(count=1).replace(ANNA, BEN).replace("UID:m", "UID:n"))
    await world.invite("anna", "anna/calendar/m.ics", younger)


TIME = "Wednesday, 1 April 2026, 09:00 – 10:00 (UTC+00:00)"
KEPT = f"Another booking overlaps this one now and is declined: {TIME}. This booking stays."


async def test_both_organizers_are_told(world: World) -> None:
    await both_book(world, series(count=3))
    assert answers(await world.text("anna", "anna/calendar/m.ics")) == ["ACCEPTED"]
    before = await world.text("ben", "ben/calendar/n.ics")
    await takes_one(world)
    assert (await decline_all(world)).count(True) == 1
    assert answers(await world.text("anna", "anna/calendar/m.ics")) == ["ACCEPTED", "DECLINED"]
    assert await told(world, "anna") == [("DECLINED", f"It is taken: {TIME}.")]
    after = await world.text("ben", "ben/calendar/n.ics")
    assert answers(after) == answers(before) == ["ACCEPTED"]
    assert await told(world, "ben") == [("ACCEPTED", KEPT)]
    assert sum("PARTSTAT=DECLINED" in copy for copy in await copies(world, "hall")) == 1
    assert not any(await decline_all(world)), "that is all"
    assert len(await told(world, "ben")) == 1


async def test_the_instance_of_a_series_that_stays_is_named(world: World) -> None:
    await world.invite("ben", "ben/calendar/n.ics", series().replace(ANNA, BEN).replace("UID:m", "UID:n"))
    await world.invite("anna", "anna/calendar/m.ics", meeting(ROOM, start="20260402T093000Z"))
    await takes_one(world)
    await decline_all(world)
    ((partstat, said),) = await told(world, "ben")
    assert partstat == "ACCEPTED"
    assert "Thursday, 2 April 2026, 09:30 – 10:30" in said
    (item,) = [text for text in await inbox(world, "ben") if "COMMENT:" in text]
    assert "RECURRENCE-ID:20260402T090000Z" in unfolded(item)
    assert answers(await world.text("ben", "ben/calendar/n.ics")) == ["ACCEPTED"], "no override is made of it"
    assert await told(world, "anna") == [
        ("DECLINED", "It is taken: Thursday, 2 April 2026, 09:00 – 10:00 (UTC+00:00).")
    ]


async def test_a_later_answer_does_not_repeat_the_reason(world: World) -> None:
    await both_book(world, meeting(ROOM, start="20260401T090000Z"))
    await takes_one(world)
    await decline_all(world)
    text = unfolded(await world.text("anna", "anna/calendar/m.ics"))
    assert answers(text) == ["DECLINED"]
    await world.invite("anna", "anna/calendar/m.ics", text.replace("20260401T090000Z", "20260405T090000Z"))
    assert answers(await world.text("anna", "anna/calendar/m.ics")) == ["ACCEPTED"]
    assert [partstat for partstat, _ in await told(world, "anna")] == ["DECLINED"]


@pytest.mark.parametrize("explains", [True, False])
async def test_a_policy_without_details_declines_without_a_reason(world: World, explains: bool) -> None:
    await both_book(world, meeting(ROOM, start="20260401T090000Z"))
    stored = (await world.storage.rooms([world.ids["hall"]]))[world.ids["hall"]]
    room = replace(stored, policy={"automation": "accept", "response_details": explains})
    await world.directory.write_principals([PrincipalChange(world.ids["hall"], room=room)], INSTALLATION.cause)
    await decline_all(world)
    assert answers(await world.text("anna", "anna/calendar/m.ics")) == ["DECLINED"]
    assert len(await told(world, "anna")) == explains
    assert await told(world, "ben") == [("ACCEPTED", KEPT)]


async def test_an_organizer_elsewhere_is_told_by_mail() -> None:
    world = await MailWorld().populated()
    await world.add("hall", kind="room", addresses=("hall@example.com",), auto_schedule={"mode": "accept-always"})
    assert await world.receive(request("hall@example.com"), "hall@example.com") is Outcome.APPLIED
    (first,) = world.memory.tables.mails
    block = meeting("mailto:hall@example.com", start="20260301T090000Z", uid="n")
    await world.invite("anna", "anna/calendar/n.ics", block)
    await takes_one(world)
    assert (await decline_all(world)).count(True) == 1
    mails = [mail for id_, mail in world.memory.tables.mails.items() if id_ != first]
    assert [(each.method, each.address) for each in mails] == [("REPLY", "dora@contoso.example")]
    assert "COMMENT:Another booking overlaps this one now" in unfolded(mails[0].text)
    assert "PARTSTAT=ACCEPTED" in mails[0].text


async def test_what_is_no_meeting_stays(world: World) -> None:
    await world.put("cli", "hall/calendar/a.ics", event("a", start="20260401T090000Z"))
    await world.put("cli", "hall/calendar/b.ics", event("b", start="20260401T090000Z"))
    await takes_one(world)
    assert not any(await decline_all(world))
    assert await world.names("hall/calendar") == ["a.ics", "b.ics"]


async def test_nobody_is_told_of_what_the_room_has_by_itself(world: World) -> None:
    await world.put("cli", "hall/calendar/a.ics", event("a", start="20260401T090000Z"))
    await world.invite("anna", "anna/calendar/m.ics", meeting(ROOM, start="20260401T090000Z"))
    await takes_one(world)
    assert (await decline_all(world)).count(True) == 1
    assert await told(world, "anna") == [("DECLINED", f"It is taken: {TIME}.")]


async def test_what_is_gone_meanwhile_is_nothing_to_do(world: World) -> None:
    assert not await Clashes(world.scheduling).decline(world.ids["hall"], 10**9)
