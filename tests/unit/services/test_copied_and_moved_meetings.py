"""COPY and MOVE of scheduling objects (RFC 6638 §3.2.3.3, §3.2.3.4): who is told, and what the copy is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from server.domain.errors import AccessDenied, SchedulingObjectExists, UidConflict, WriteConflict
from server.domain.grants import Ace
from server.domain.privileges import Privilege
from server.domain.scheduling import SchedulingRole
from server.services.objects import Put
from server.services.permissions import member_of
from server.services.scheduling.sent import Sent
from tests.unit.services.test_implicit_scheduling import (
    ANNA,
    BEN,
    CLEO,
    answer,
    copies,
    items,
    line_of,
    meeting,
    unfolded,
)
from tests.unit.services.test_moves_by_put import new_calendar, place
from tests.unit.services.world import ALARM, World, event

DORA = "urn:x-uid:id-dora"


async def transfer(world: World, who: str, path: str, to: str, *, keep: bool = False) -> Put:
    found, target = await world.find(who, path), await world.find(who, to)
    return await world.scheduling.transfer(await world.actor(who), found, target, Sent(), keep=keep)


async def may_write(world: World, path: str, whom: str) -> None:
    """Let somebody write in a calendar, not as a sharee."""
    await grant(world, path, whom, Privilege.READ, Privilege.WRITE)


async def may_act(world: World, owner: str, whom: str) -> None:
    """Let somebody write in a calendar, and send messages in the owner's name."""
    await may_write(world, f"{owner}/calendar", whom)
    await grant(world, f"{owner}/outbox", whom, Privilege.SCHEDULE_SEND_INVITE, Privilege.SCHEDULE_SEND_REPLY)


async def grant(world: World, path: str, whom: str, *privileges: Privilege) -> None:
    found = await world.find("cli", path)
    assert found.collection is not None
    entry = Ace(found.collection.id, world.ids[whom], True, privileges)
    await world.granting.set_acl(await world.actor(path.split("/")[0]), found, [entry])


async def role(world: World, path: str) -> SchedulingRole:
    return member_of(await world.find("cli", path)).role


@pytest.mark.parametrize("shared", [False, True])
async def test_a_move_between_calendars_of_one_owner_sends_nothing(world: World, shared: bool) -> None:
    await new_calendar(world, "anna")
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN))
    before = member_of(await world.find("anna", "anna/calendar/m.ics", text=True))
    if shared:
        await world.share("anna/work", "cleo")
    put = await transfer(world, "anna", "anna/calendar/m.ics", "anna/work/m.ics")
    after = member_of(await world.find("anna", "anna/work/m.ics", text=True))
    assert after.text == before.text
    assert put.etag == after.etag == before.etag
    # RFC 6638 §3.2.10: the tag changes with a MOVE.
    assert put.schedule_tag == after.schedule_tag
    assert after.schedule_tag not in (before.schedule_tag, None)
    assert after.role is SchedulingRole.ORGANIZER
    assert (after.id == before.id) is not shared
    assert await items(world, "ben") == ["REQUEST"]
    await answer(world, "ben", BEN, "ACCEPTED")
    assert "PARTSTAT=ACCEPTED" in line_of(await world.text("anna", "anna/work/m.ics"), "ATTENDEE", BEN)


async def test_a_copy_inside_a_home_is_refused(world: World) -> None:
    await new_calendar(world, "ben")
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN))
    held = await place(world, "ben")
    with pytest.raises(SchedulingObjectExists) as raised:
        await transfer(world, "ben", held, "ben/work/m.ics", keep=True)
    assert f"ben/{raised.value.collection}/{raised.value.name}" == held
    with pytest.raises(UidConflict):
        await transfer(world, "ben", held, "ben/calendar/m.ics", keep=True)


async def test_a_copy_for_another_owner_sends_nothing_and_has_its_role(world: World) -> None:
    await may_write(world, "cleo/calendar", "anna")
    await may_write(world, "ben/calendar", "anna")
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN))
    await transfer(world, "anna", "anna/calendar/m.ics", "cleo/calendar/m.ics", keep=True)
    assert await role(world, "cleo/calendar/m.ics") is SchedulingRole.NONE
    await world.cancel("ben", await place(world, "ben"))
    assert await world.names("ben/calendar") == []
    put = await transfer(world, "anna", "anna/calendar/m.ics", "ben/calendar/m.ics", keep=True)
    assert await role(world, "ben/calendar/m.ics") is SchedulingRole.ATTENDEE
    assert put.schedule_tag == member_of(await world.find("ben", "ben/calendar/m.ics")).schedule_tag is not None
    assert await items(world, "anna") == ["REPLY"]
    assert await items(world, "ben") == ["REQUEST"]
    with pytest.raises(UidConflict):
        await transfer(world, "anna", "anna/calendar/m.ics", "ben/calendar/second.ics", keep=True)


async def test_an_organizer_who_moves_a_meeting_away_cancels_it(world: World) -> None:
    await may_write(world, "cleo/calendar", "anna")
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN))
    put = await transfer(world, "anna", "anna/calendar/m.ics", "cleo/calendar/m.ics")
    assert (put.created, put.schedule_tag) == (True, None)
    assert await world.names("anna/calendar") == []
    assert await role(world, "cleo/calendar/m.ics") is SchedulingRole.NONE
    (copy,) = await copies(world, "ben")
    assert "STATUS:CANCELLED" in copy
    assert await items(world, "ben") == ["CANCEL", "REQUEST"]
    assert await items(world, "cleo") == []


async def test_an_attendee_who_moves_a_copy_away_declines(world: World) -> None:
    await may_write(world, "cleo/calendar", "ben")
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN))
    await transfer(world, "ben", await place(world, "ben"), "cleo/calendar/m.ics")
    assert await world.names("ben/calendar") == []
    assert await world.names("cleo/calendar") == ["m.ics"]
    assert "PARTSTAT=DECLINED" in line_of(await world.text("anna", "anna/calendar/m.ics"), "ATTENDEE", BEN)
    assert await items(world, "anna") == ["REPLY"]


async def test_a_meeting_that_comes_home_to_its_organizer_invites(world: World) -> None:
    """It lay in the calendar of somebody who has no part in it."""
    await may_write(world, "cleo/calendar", "anna")
    await world.put("anna", "cleo/calendar/m.ics", meeting(BEN))
    assert await copies(world, "ben") == []
    put = await transfer(world, "anna", "cleo/calendar/m.ics", "anna/calendar/m.ics")
    assert await role(world, "anna/calendar/m.ics") is SchedulingRole.ORGANIZER
    assert put.schedule_tag is not None
    assert await world.names("cleo/calendar") == []
    assert "SCHEDULE-STATUS=1.2" in line_of(await world.text("anna", "anna/calendar/m.ics"), "ATTENDEE", BEN)
    assert await items(world, "ben") == ["REQUEST"]


async def test_a_meeting_does_not_move_to_a_participant_who_has_it(world: World) -> None:
    await may_write(world, "ben/calendar", "anna")
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN))
    held = await place(world, "ben")
    for name in (held, "ben/calendar/m.ics"):
        with pytest.raises(SchedulingObjectExists) as raised:
            await transfer(world, "anna", "anna/calendar/m.ics", name)
        assert f"ben/{raised.value.collection}/{raised.value.name}" == held
    assert await world.names("anna/calendar") == ["m.ics"]
    assert await items(world, "ben") == ["REQUEST"]


async def deletes(world: World, who: str) -> None:
    """Somebody deletes a meeting, and nobody hears of it."""
    await world.delete(who, await place(world, who))


async def declines(world: World, who: str) -> None:
    await world.cancel(who, await place(world, who))


Loss = Callable[[World, str], Awaitable[None]]


@pytest.mark.parametrize(
    ("source", "target", "loses"),
    [
        ("anna", "ben", declines),
        ("anna", "ben", deletes),
        ("ben", "anna", deletes),
        ("ben", "anna", declines),
        ("ben", "cleo", declines),
    ],
)
@pytest.mark.parametrize("accepts", [True, False])
async def test_a_move_to_another_participant_is_deletion_and_put(
    source: str, target: str, loses: Loss, accepts: bool
) -> None:
    """Whoever is the target has lost the meeting before. A copy that moves shows the decline of its former owner."""
    ends = []
    for moves in (True, False):
        world = World()
        await world.add("anna", "ben", "cleo", "dora")
        await may_act(world, target, source)
        await world.invite("anna", "anna/calendar/m.ics", meeting(BEN, CLEO, DORA))
        if accepts:
            await answer(world, "ben", BEN, "ACCEPTED")
        await loses(world, target)
        held = await place(world, source)
        text = await world.text(source, held)
        assert text is not None
        if moves:
            put = await transfer(world, source, held, f"{target}/calendar/moved.ics")
            assert put.schedule_tag is not None
            await world.run_jobs()
        else:
            await world.cancel(source, held)
            await world.invite(target, f"{target}/calendar/moved.ics", text)
        ends.append(await all_homes(world))
    if target == "cleo":
        copy, put = ends[0].pop("cleo"), ends[1].pop("cleo")
        assert copy[1] == put[1]
        assert "PARTSTAT=DECLINED" in line_of(copy[0][0], "ATTENDEE", BEN)
        assert "PARTSTAT=DECLINED" in line_of(copy[0][0], "ATTENDEE", CLEO)
    else:
        assert len(ends[0][target][0]) == 1
    assert ends[0] == ends[1]


async def all_homes(world: World) -> dict[str, tuple[list[str], list[str]]]:
    """The objects and inbox items of everybody."""
    return {who: (await copies(world, who), await items(world, who)) for who in ("anna", "ben", "cleo", "dora")}


async def test_a_move_to_another_participant_with_schedule_reply_f_declines_nothing(world: World) -> None:
    await may_act(world, "cleo", "ben")
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN, CLEO))
    await world.cancel("cleo", await place(world, "cleo"))
    found, target = await world.find("ben", await place(world, "ben")), await world.find("ben", "cleo/calendar/m.ics")
    await world.scheduling.transfer(await world.actor("ben"), found, target, Sent(reply=False), keep=False)
    await world.run_jobs()
    own = await world.text("anna", "anna/calendar/m.ics")
    assert "PARTSTAT" not in line_of(own, "ATTENDEE", BEN)
    assert await world.names("ben/calendar") == []
    assert await role(world, "cleo/calendar/m.ics") is SchedulingRole.ATTENDEE


async def test_a_copy_that_comes_meanwhile_refuses_the_move(world: World) -> None:
    await may_act(world, "cleo", "ben")
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN, CLEO))
    await world.cancel("cleo", await place(world, "cleo"))
    invited = unfolded(await world.text("anna", "anna/calendar/m.ics"))
    later = invited.replace("DTSTART:20260301T090000Z", "DTSTART:20260302T090000Z")
    world.meanwhile(lambda: world.invite("anna", "anna/calendar/m.ics", later))
    with pytest.raises((WriteConflict, SchedulingObjectExists)):
        await transfer(world, "ben", await place(world, "ben"), "cleo/calendar/m.ics")
    assert len(await world.names("ben/calendar")) == len(await world.names("cleo/calendar")) == 1


async def test_who_may_not_send_moves_no_meeting_away(world: World) -> None:
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN))
    shown = await world.share("anna/calendar", "cleo")
    with pytest.raises(AccessDenied):
        await transfer(world, "cleo", f"{shown}/m.ics", "cleo/calendar/m.ics")
    # Nor does a sharee send what goes to the organizer's calendar.
    await world.put("cleo", "cleo/calendar/x.ics", event("x", f"ORGANIZER:{ANNA}", f"ATTENDEE:{BEN}"))
    with pytest.raises(AccessDenied):
        await transfer(world, "cleo", "cleo/calendar/x.ics", f"{shown}/x.ics")
    assert await world.names("anna/calendar") == ["m.ics"]
    assert await items(world, "ben") == ["REQUEST"]


async def test_sharees_who_may_invite_move_meetings_as_delegates_do(world: World) -> None:
    alarm = "\r\n".join((*ALARM, "END:VEVENT"))
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN))
    shown = await world.share("anna/calendar", "cleo", may_invite=True)
    # Away from the organizer: everybody hears that it is cancelled.
    text = unfolded(await world.text("cleo", f"{shown}/m.ics")).replace("END:VEVENT", alarm)
    await world.invite("cleo", f"{shown}/m.ics", text)
    await transfer(world, "cleo", f"{shown}/m.ics", "cleo/calendar/m.ics")
    assert await world.names("anna/calendar") == []
    assert await role(world, "cleo/calendar/m.ics") is SchedulingRole.NONE
    assert "VALARM" in (await world.text("cleo", "cleo/calendar/m.ics") or "")
    assert await items(world, "ben") == ["CANCEL", "REQUEST"]
    # To the organizer: they are invited; the alarm is the sharee's alone.
    await world.delete("ben", await place(world, "ben"))
    text = unfolded(await world.text("cleo", "cleo/calendar/m.ics")).replace("STATUS:CANCELLED\r\n", "")
    await world.put("cleo", "cleo/calendar/m.ics", text)
    await transfer(world, "cleo", "cleo/calendar/m.ics", f"{shown}/back.ics")
    assert await role(world, "anna/calendar/back.ics") is SchedulingRole.ORGANIZER
    assert await world.names("cleo/calendar") == []
    assert await items(world, "ben") == ["CANCEL", "REQUEST", "REQUEST"]
    assert "VALARM" in (await world.text("cleo", f"{shown}/back.ics") or "")
    assert "VALARM" not in (await world.text("anna", "anna/calendar/back.ics") or "")
    # From one participant to another.
    theirs = await world.share("ben/calendar", "cleo", may_invite=True)
    await world.cancel("ben", await place(world, "ben"))
    await transfer(world, "cleo", f"{shown}/back.ics", f"{theirs}/m.ics")
    await world.run_jobs()
    assert await world.names("anna/calendar") == []
    assert await role(world, "ben/calendar/m.ics") is SchedulingRole.ATTENDEE
    assert "VALARM" in (await world.text("cleo", f"{theirs}/m.ics") or "")


async def test_a_message_to_what_moves_away_is_not_delivered(world: World) -> None:
    """The source's owner is invited, and what they have of the meeting is what is moved."""
    await new_calendar(world, "cleo")
    await may_write(world, "cleo/calendar", "anna")
    await world.put("cleo", "cleo/work/first.ics", meeting(CLEO))
    cleo, found = await world.actor("cleo"), await world.find("cleo", "cleo/calendar/m.ics")
    await world.objects.put(cleo, found, meeting(CLEO).encode(), plain_if_taken=True)
    await world.delete("cleo", "cleo/work/first.ics")
    await transfer(world, "anna", "cleo/calendar/m.ics", "anna/calendar/m.ics")
    assert await world.names("cleo/calendar") == []
    assert "SCHEDULE-STATUS=5.1" in line_of(await world.text("anna", "anna/calendar/m.ics"), "ATTENDEE", CLEO)


async def test_plain_events_move_and_are_copied_as_ever(world: World) -> None:
    await may_write(world, "cleo/calendar", "anna")
    await new_calendar(world, "anna")
    await world.invite("anna", "anna/calendar/p.ics", event("p"))
    await transfer(world, "anna", "anna/calendar/p.ics", "anna/work/p.ics", keep=True)
    await transfer(world, "anna", "anna/calendar/p.ics", "cleo/calendar/p.ics")
    assert await world.names("cleo/calendar") == ["p.ics"]
    assert await world.names("anna/calendar") == []
