"""Meetings that are restored or imported: who is told, and whose object they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.domain.errors import AlreadyExists
from server.domain.scheduling import SchedulingRole
from server.services.restoring import invite_again, restore_object
from server.services.transfer.importing import Imported, Importer
from tests.unit.services.test_copied_and_moved_meetings import role
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
from tests.unit.services.test_transfer import HASHER, file
from tests.unit.services.world import ALARM, INSTALLATION, World, target_of


async def deleted(world: World, who: str, path: str) -> str:
    """Delete an object as an app does; gives its text."""
    text = await world.text("cli", path) or ""
    await world.cancel(who, path)
    return text


async def restore(world: World, path: str, text: str, **properties: str) -> str:
    return await restore_object(world.lookup, world.scheduling, INSTALLATION, target_of(path), 7, text, properties)


async def bring(world: World, folder: Path, name: str, text: str, *, invite: bool = False) -> Imported:
    """Import a text into a calendar of Ben."""
    scheduling = world.scheduling if invite else None
    importer = Importer(
        world.storage, world.directory, HASHER, world.limits, INSTALLATION, print, scheduling=scheduling
    )
    return await importer.run([file(folder, "in.ics", text)], "ben", name)


async def test_an_organizer_who_restores_a_meeting_invites_again(world: World) -> None:
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN))
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN, summary="Other"))
    await answer(world, "ben", BEN, "ACCEPTED")
    text = await deleted(world, "anna", "anna/calendar/m.ics")
    assert "SEQUENCE:1" in text
    assert await restore(world, "anna/calendar/m.ics", text, **{"{x}y": "<y/>"}) == "m.ics"
    member = await world.member("anna", "anna/calendar/m.ics")
    assert member is not None
    assert "SEQUENCE:2" in (member.text or "")
    assert member.properties == {"{x}y": "<y/>"}
    assert member.schedule_tag is not None
    (copy,) = await copies(world, "ben")
    assert "SEQUENCE:2" in copy
    assert "STATUS:CANCELLED" not in copy
    assert await items(world, "ben") == ["CANCEL", "REQUEST", "REQUEST", "REQUEST"]
    await answer(world, "ben", BEN, "TENTATIVE")
    assert "PARTSTAT=TENTATIVE" in line_of(await world.text("anna", "anna/calendar/m.ics"), "ATTENDEE", BEN)


async def test_an_attendee_who_restores_a_copy_has_what_the_organizer_has_now(world: World) -> None:
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN))
    path = await place(world, "ben")
    text = await world.text("ben", path) or ""
    await world.invite("ben", path, text.replace("END:VEVENT", "\r\n".join((*ALARM, "END:VEVENT"))))
    text = await deleted(world, "ben", path)
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN, CLEO, summary="Other"))
    assert await copies(world, "ben") == []
    sent = await items(world, "anna"), await items(world, "ben"), await items(world, "cleo")
    await restore(world, path, text)
    (copy,) = await copies(world, "ben")
    assert "SUMMARY:Other" in copy
    assert "BEGIN:VALARM" in copy
    assert "PARTSTAT=DECLINED" in line_of(copy, "ATTENDEE", BEN)
    assert "METHOD" not in copy
    assert await role(world, path) is SchedulingRole.ATTENDEE
    assert (await items(world, "anna"), await items(world, "ben"), await items(world, "cleo")) == sent
    # It follows the organizer again, and can be answered.
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN, CLEO, summary="Third"))
    assert "SUMMARY:Third" in (await copies(world, "ben"))[0]
    await answer(world, "ben", BEN, "ACCEPTED")
    assert "PARTSTAT=ACCEPTED" in line_of(await world.text("anna", "anna/calendar/m.ics"), "ATTENDEE", BEN)


async def test_a_copy_of_what_the_organizer_no_longer_has_comes_back_as_it_was(world: World) -> None:
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN))
    path = await place(world, "ben")
    text = await deleted(world, "ben", path)
    await world.cancel("anna", "anna/calendar/m.ics")
    await restore(world, path, text)
    assert unfolded(await world.text("ben", path)) == unfolded(text)
    assert await items(world, "anna") == ["REPLY"]


async def test_what_the_home_has_again_becomes_a_plain_object(world: World) -> None:
    await new_calendar(world, "anna")
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN))
    text = await deleted(world, "anna", "anna/calendar/m.ics")
    await world.invite("anna", "anna/work/m.ics", meeting(BEN))
    before = await items(world, "ben")
    await restore(world, "anna/calendar/m.ics", text)
    assert await role(world, "anna/calendar/m.ics") is SchedulingRole.NONE
    assert await items(world, "ben") == before
    with pytest.raises(AlreadyExists):
        await restore(world, "anna/work/other.ics", text)


async def test_a_restored_calendar_sends_only_if_that_is_asked_for(world: World) -> None:
    """Its meetings are plain objects since their attendees were told."""
    await new_calendar(world, "ben")
    own = meeting(ANNA, uid="own").replace(f"ORGANIZER:{ANNA}", f"ORGANIZER:{BEN}")
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN, summary="Other"))
    await world.cancel("ben", await place(world, "ben"))
    for name, text in (("own.ics", own), ("m.ics", meeting(BEN))):
        await world.put("ben", f"ben/work/{name}", text)
        found = await world.find("cli", f"ben/work/{name}", text=True)
        await world.objects.make_plain(INSTALLATION, found)
    before = await items(world, "anna")
    asked = (world.lookup, world.reading, world.scheduling, INSTALLATION, target_of("ben/work"))
    assert await invite_again(*asked) == (2, 0)
    assert await role(world, "ben/work/own.ics") is SchedulingRole.ORGANIZER
    assert await role(world, "ben/work/m.ics") is SchedulingRole.ATTENDEE
    assert "SUMMARY:Other" in (await world.text("ben", "ben/work/m.ics") or "")
    assert "SEQUENCE:1" in (await world.text("ben", "ben/work/own.ics") or "")
    assert await items(world, "anna") == sorted([*before, "REQUEST"])
    assert await invite_again(*asked) == (0, 0)


async def test_a_plain_meeting_that_an_app_writes_is_sent_as_a_new_one(world: World) -> None:
    """RFC 6638 §3.2.3.1: what was no scheduling object before is created, not modified."""
    await world.put("anna", "anna/calendar/m.ics", meeting(BEN))
    await world.objects.make_plain(INSTALLATION, await world.find("cli", "anna/calendar/m.ics", text=True))
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN))
    assert await role(world, "anna/calendar/m.ics") is SchedulingRole.ORGANIZER
    assert await items(world, "ben") == ["REQUEST"]


async def test_an_import_sends_only_if_that_is_asked_for(world: World, tmp_path: Path) -> None:
    text = meeting(ANNA, uid="own").replace(f"ORGANIZER:{ANNA}", f"ORGANIZER:{BEN}")
    text = text.replace(f"ATTENDEE:{ANNA}", f"ATTENDEE;PARTSTAT=TENTATIVE:{ANNA}")
    await bring(world, tmp_path, "calendar", text)
    (name,) = await world.names("ben/calendar")
    assert await role(world, f"ben/calendar/{name}") is SchedulingRole.ORGANIZER
    member = await world.member("ben", f"ben/calendar/{name}")
    assert member is not None
    assert member.text == text
    assert member.schedule_tag is not None
    assert await items(world, "anna") == []
    await world.delete("ben", f"ben/calendar/{name}")
    assert (await bring(world, tmp_path, "calendar", text, invite=True)).created == 1
    assert await items(world, "anna") == ["REQUEST"]
    assert (await bring(world, tmp_path, "calendar", text, invite=True)).changed == 1  # it was changed when sent
    changed = text.replace("SUMMARY:Plan", "SUMMARY:Other")
    assert (await bring(world, tmp_path, "calendar", changed, invite=True)).changed == 1
    assert "SUMMARY:Other" in (await copies(world, "anna"))[0]


async def test_of_imported_duplicates_one_takes_part_in_scheduling(world: World, tmp_path: Path) -> None:
    """The one in the default calendar, else the newest."""
    for name, kept in (("first", "first"), ("second", "second"), ("calendar", "calendar"), ("third", "calendar")):
        await bring(world, tmp_path, name, meeting(BEN))
        found = [each for each in ("first", "second", "calendar", "third") if await _has_role(world, each)]
        assert found == [kept]
    await bring(world, tmp_path, "second", meeting(BEN, summary="Other"))
    assert await _has_role(world, "calendar")


async def _has_role(world: World, calendar: str) -> bool:
    if (await world.find("cli", f"ben/{calendar}")).collection is None:
        return False
    names = await world.names(f"ben/{calendar}")
    return bool(names) and await role(world, f"ben/{calendar}/{names[0]}") is SchedulingRole.ATTENDEE


async def test_a_refused_meeting_does_not_end_an_import(world: World, tmp_path: Path) -> None:
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN))
    moved = meeting(BEN).replace("20260301T090000Z", "20260302T090000Z")
    result = await bring(world, tmp_path, "calendar", moved, invite=True)
    assert (result.refused, result.changed) == (1, 0)
