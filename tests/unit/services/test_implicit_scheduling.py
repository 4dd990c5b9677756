"""What changes of scheduling objects send to people here (RFC 6638 §3)."""

from __future__ import annotations

import re

import pytest

from server.domain.errors import AccessDenied, AttendeeChangeRefused, QuotaExceeded
from server.domain.grants import Ace
from server.domain.objects import NewCollection
from server.domain.privileges import Privilege
from server.services.scheduling import delivery
from server.services.scheduling.sent import Sent
from tests.unit.services.conftest import BOTH_WAYS
from tests.unit.services.world import World, event

pytestmark = BOTH_WAYS
ANNA, BEN, CLEO = (f"urn:x-uid:id-{name}" for name in ("anna", "ben", "cleo"))


def meeting(*attendees: str, summary: str = "Plan", start: str = "20260301T090000Z", uid: str = "m") -> str:
    people = [f"ATTENDEE;PARTSTAT=ACCEPTED:{ANNA}", *(f"ATTENDEE:{each}" for each in attendees)]
    return event(uid, f"SUMMARY:{summary}", f"ORGANIZER:{ANNA}", *people, start=start)


def unfolded(text: str | None) -> str:
    return (text or "").replace("\r\n ", "")


def line_of(text: str | None, name: str, whom: str) -> str:
    """The ORGANIZER or ATTENDEE line of somebody."""
    (found,) = [each for each in unfolded(text).splitlines() if each.startswith(name) and each.endswith(whom)]
    return found


async def copies(world: World, who: str) -> list[str]:
    """The texts in somebody's calendar."""
    return [await world.text(who, f"{who}/calendar/{name}") or "" for name in await world.names(f"{who}/calendar")]


async def items(world: World, who: str) -> list[str]:
    """The methods of the messages in somebody's inbox, in order."""
    texts = [await world.text("cli", f"{who}/inbox/{name}") or "" for name in await world.names(f"{who}/inbox")]
    return sorted(re.findall("METHOD:([A-Z]+)", "".join(texts)))


async def answer(world: World, who: str, address: str, partstat: str) -> None:
    (name,) = await world.names(f"{who}/calendar")
    text = unfolded(await world.text(who, f"{who}/calendar/{name}"))
    before = line_of(text, "ATTENDEE", address)
    after = re.sub(";(PARTSTAT|RSVP)=[A-Z-]+", "", before).replace("ATTENDEE", f"ATTENDEE;PARTSTAT={partstat}")
    await world.invite(who, f"{who}/calendar/{name}", text.replace(before, after))


async def test_an_invitation_lies_in_calendar_and_inbox(world: World) -> None:
    put = await world.invite("anna", "anna/calendar/m.ics", meeting(BEN, CLEO))
    assert (put.created, put.as_sent) == (True, False)
    own = await world.text("anna", "anna/calendar/m.ics")
    for who, address in (("ben", BEN), ("cleo", CLEO)):
        assert "SCHEDULE-STATUS=1.2" in line_of(own, "ATTENDEE", address)
        (copy,) = await copies(world, who)
        assert "SUMMARY:Plan" in copy
        assert "RSVP=TRUE" in line_of(copy, "ATTENDEE", address)
        assert "METHOD" not in copy
        assert await items(world, who) == ["REQUEST"]


async def test_an_answer_reaches_organizer_and_others(world: World) -> None:
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN, CLEO))
    before = await world.member("anna", "anna/calendar/m.ics")
    await answer(world, "ben", BEN, "ACCEPTED")
    after = await world.member("anna", "anna/calendar/m.ics")
    assert before is not None
    assert after is not None
    assert "PARTSTAT=ACCEPTED" in line_of(after.text, "ATTENDEE", BEN)
    assert after.schedule_tag == before.schedule_tag
    assert after.etag != before.etag
    (copy,) = await copies(world, "cleo")
    assert "PARTSTAT=ACCEPTED" in line_of(copy, "ATTENDEE", BEN)
    assert await items(world, "anna") == ["REPLY"]
    assert await items(world, "cleo") == ["REQUEST"]


async def test_no_reply_is_sent_where_the_app_asks_for_none(world: World) -> None:
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN))
    (name,) = await world.names("ben/calendar")
    await world.cancel("ben", f"ben/calendar/{name}", Sent(reply=False))
    assert "DECLINED" not in unfolded(await world.text("anna", "anna/calendar/m.ics"))
    assert await items(world, "anna") == []


async def test_a_change_of_the_organizer_reaches_all(world: World) -> None:
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN))
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN, summary="Other"))
    (copy,) = await copies(world, "ben")
    assert "SUMMARY:Other" in copy
    assert await items(world, "ben") == ["REQUEST", "REQUEST"]


async def test_deletion_cancels(world: World) -> None:
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN))
    await world.cancel("anna", "anna/calendar/m.ics")
    (copy,) = await copies(world, "ben")
    assert "STATUS:CANCELLED" in copy
    assert await items(world, "ben") == ["CANCEL", "REQUEST"]
    await world.cancel("ben", f"ben/calendar/{(await world.names('ben/calendar'))[0]}")
    assert await items(world, "anna") == []


async def test_who_deletes_declines_and_gets_nothing_back_until_asked_anew(world: World) -> None:
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN))
    await world.cancel("ben", f"ben/calendar/{(await world.names('ben/calendar'))[0]}")
    assert "PARTSTAT=DECLINED" in line_of(await world.text("anna", "anna/calendar/m.ics"), "ATTENDEE", BEN)
    text = unfolded(await world.text("anna", "anna/calendar/m.ics"))
    await world.invite("anna", "anna/calendar/m.ics", text.replace("SUMMARY:Plan", "SUMMARY:Other"))
    assert await copies(world, "ben") == []
    text = unfolded(await world.text("anna", "anna/calendar/m.ics"))
    moved = text.replace("DTSTART:20260301T090000Z", "DTSTART:20260302T090000Z")
    await world.invite("anna", "anna/calendar/m.ics", moved)
    (copy,) = await copies(world, "ben")
    assert "20260302T090000Z" in copy


async def test_an_attendee_may_not_move_the_meeting(world: World) -> None:
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN))
    (name,) = await world.names("ben/calendar")
    text = unfolded(await world.text("ben", f"ben/calendar/{name}"))
    with pytest.raises(AttendeeChangeRefused):
        await world.invite("ben", f"ben/calendar/{name}", text.replace("T090000Z", "T100000Z"))


async def test_who_does_not_take_invitations_of_somebody_gets_none(world: World) -> None:
    found = await world.find("cli", "ben/inbox")
    assert found.collection is not None
    entry = Ace(found.collection.id, world.ids["anna"], False, (Privilege.SCHEDULE_DELIVER_INVITE,))
    await world.granting.set_acl(await world.actor("ben"), await world.find("ben", "ben/inbox"), [entry])
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN, CLEO))
    own = await world.text("anna", "anna/calendar/m.ics")
    assert "SCHEDULE-STATUS=3.8" in line_of(own, "ATTENDEE", BEN)
    assert "SCHEDULE-STATUS=1.2" in line_of(own, "ATTENDEE", CLEO)
    assert await copies(world, "ben") == []


async def test_a_full_home_does_not_fail_the_organizer(world: World) -> None:
    await world.add("dora", quota_bytes=10)
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN, "urn:x-uid:id-dora", CLEO))
    own = await world.text("anna", "anna/calendar/m.ics")
    assert "SCHEDULE-STATUS=5.1" in line_of(own, "ATTENDEE", "urn:x-uid:id-dora")
    for who, address in (("ben", BEN), ("cleo", CLEO)):
        assert "SCHEDULE-STATUS=1.2" in line_of(own, "ATTENDEE", address)
        assert len(await copies(world, who)) == 1
    assert await copies(world, "dora") == []


async def test_a_full_home_of_the_organizer_sends_nothing(world: World) -> None:
    await world.add("dora", quota_bytes=10)
    with pytest.raises(QuotaExceeded):
        await world.invite("dora", "dora/calendar/m.ics", meeting(BEN).replace(ANNA, "urn:x-uid:id-dora"))
    assert await copies(world, "ben") == []


async def test_readers_send_nothing(world: World) -> None:
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN))
    shared = await world.share("anna/calendar", "cleo")
    with pytest.raises(AccessDenied):
        await world.cancel("ben", "anna/calendar/m.ics")
    text = unfolded(await world.text("cleo", f"{shared}/m.ics"))
    with pytest.raises(AccessDenied):
        await world.invite("cleo", f"{shared}/m.ics", text.replace("SUMMARY:Plan", "SUMMARY:Mine"))
    (copy,) = await copies(world, "ben")
    assert "SUMMARY:Plan" in copy


async def test_a_sharee_puts_meetings_of_others_as_plain_objects(world: World) -> None:
    shared = await world.share("anna/calendar", "cleo")
    others = meeting(BEN).replace(ANNA, "mailto:somebody@elsewhere.example")
    await world.invite("cleo", f"{shared}/others.ics", others)
    assert await world.names("anna/calendar") == ["others.ics"]
    assert await copies(world, "ben") == []
    for organizer in (ANNA, CLEO):
        with pytest.raises(AccessDenied) as denied:
            await world.invite("cleo", f"{shared}/m.ics", meeting(BEN).replace(ANNA, organizer))
        assert denied.value.privilege is Privilege.SCHEDULE_SEND_INVITE


async def grant(world: World, path: str, whom: str, *privileges: Privilege) -> None:
    found = await world.find("cli", path)
    assert found.collection is not None
    entry = Ace(found.collection.id, world.ids[whom], True, privileges)
    owner = path.partition("/")[0]
    await world.granting.set_acl(await world.actor(owner), await world.find(owner, path), [entry])


async def test_the_outbox_says_who_sends_in_the_name_of_its_owner(world: World) -> None:
    """RFC 6638 §6.2.2, §6.2.3: who writes into a calendar needs CALDAV:schedule-send-invite or -reply, too."""
    await grant(world, "anna/calendar", "cleo", Privilege.READ, Privilege.WRITE)
    for privileges in ((), (Privilege.SCHEDULE_SEND_REPLY,), (Privilege.SCHEDULE_SEND_FREE_BUSY,)):
        await grant(world, "anna/outbox", "cleo", Privilege.READ, *privileges)
        with pytest.raises(AccessDenied) as denied:
            await world.invite("cleo", "anna/calendar/m.ics", meeting(BEN))
        assert denied.value.privilege == Privilege.SCHEDULE_SEND_INVITE
    await grant(world, "anna/outbox", "cleo", Privilege.SCHEDULE_SEND_INVITE)
    await world.invite("cleo", "anna/calendar/m.ics", meeting(BEN))
    (copy,) = await copies(world, "ben")
    assert "SUMMARY:Plan" in copy

    await grant(world, "ben/calendar", "cleo", Privilege.READ, Privilege.WRITE)
    await grant(world, "ben/outbox", "cleo", Privilege.SCHEDULE_SEND_INVITE)
    (name,) = await world.names("ben/calendar")
    with pytest.raises(AccessDenied) as denied:
        await world.cancel("cleo", f"ben/calendar/{name}")
    assert denied.value.privilege == Privilege.SCHEDULE_SEND_REPLY
    await grant(world, "ben/outbox", "cleo", Privilege.SCHEDULE_SEND)
    await world.cancel("cleo", f"ben/calendar/{name}")
    assert "PARTSTAT=DECLINED" in line_of(await world.text("anna", "anna/calendar/m.ics"), "ATTENDEE", BEN)


async def test_plain_objects_are_written_as_ever(world: World) -> None:
    put = await world.invite("anna", "anna/calendar/e.ics", event("e"))
    assert put.as_sent
    member = await world.member("anna", "anna/calendar/e.ics")
    assert member is not None
    assert member.schedule_tag is None
    await world.cancel("anna", "anna/calendar/e.ics")
    assert await world.names("anna/calendar") == []


async def test_what_is_made_anew_with_an_old_uid_is_newer_than_what_was_cancelled(world: World) -> None:
    for _ in range(2):
        await world.invite("anna", "anna/calendar/m.ics", meeting(BEN))
        (copy,) = await copies(world, "ben")
        assert "STATUS:CANCELLED" not in copy
        await world.cancel("anna", "anna/calendar/m.ics")
    assert await items(world, "ben") == ["CANCEL", "CANCEL", "REQUEST", "REQUEST"]


async def test_a_plain_object_that_becomes_a_meeting_is_newer_than_what_was_cancelled(world: World) -> None:
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN))
    await world.cancel("anna", "anna/calendar/m.ics")
    await world.invite("anna", "anna/calendar/m.ics", event("m", "SUMMARY:Plan"))
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN))
    (copy,) = await copies(world, "ben")
    assert "STATUS:CANCELLED" not in copy
    assert await items(world, "ben") == ["CANCEL", "REQUEST", "REQUEST"]


async def test_the_tag_of_the_object_comes_with_the_result(world: World) -> None:
    put = await world.invite("anna", "anna/calendar/m.ics", meeting(BEN))
    member = await world.member("anna", "anna/calendar/m.ics")
    assert member is not None
    assert put.schedule_tag == member.schedule_tag is not None


async def test_the_oldest_items_of_a_full_inbox_make_room(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "MAX_ITEMS", 2)
    for number in range(4):
        await world.invite("anna", f"anna/calendar/{number}.ics", meeting(BEN, uid=f"m{number}"))
    texts = [await world.text("cli", f"ben/inbox/{name}") or "" for name in await world.names("ben/inbox")]
    assert sorted(re.findall(r"UID:(m\d)", "".join(texts))) == ["m2", "m3"]
    assert len(await copies(world, "ben")) == 4


async def test_what_is_made_anew_with_an_old_uid_asks_everybody_anew(world: World) -> None:
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN))
    await answer(world, "ben", BEN, "ACCEPTED")
    await world.cancel("anna", "anna/calendar/m.ics")
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN))
    (copy,) = await copies(world, "ben")
    for text in (copy, await world.text("anna", "anna/calendar/m.ics")):
        assert "PARTSTAT" not in line_of(text, "ATTENDEE", BEN)
    await answer(world, "ben", BEN, "DECLINED")
    assert "PARTSTAT=DECLINED" in line_of(await world.text("anna", "anna/calendar/m.ics"), "ATTENDEE", BEN)


@pytest.mark.parametrize("agent", ["CLIENT", "NONE"])
async def test_a_copy_that_is_deleted_and_made_anew_is_answered_by_the_server(world: World, agent: str) -> None:
    """CalDAV Synchronizer moves so from one profile to another, and writes SCHEDULE-AGENT=CLIENT."""
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN))
    await answer(world, "ben", BEN, "ACCEPTED")
    (name,) = await world.names("ben/calendar")
    text = unfolded(await world.text("ben", f"ben/calendar/{name}"))
    await world.cancel("ben", f"ben/calendar/{name}")
    assert "DECLINED" in line_of(await world.text("anna", "anna/calendar/m.ics"), "ATTENDEE", BEN)
    by_client = text.replace("ORGANIZER", f"ORGANIZER;SCHEDULE-AGENT={agent}")
    await world.invite("ben", "ben/calendar/again.ics", by_client)
    assert "ACCEPTED" in line_of(await world.text("anna", "anna/calendar/m.ics"), "ATTENDEE", BEN)
    (copy,) = await copies(world, "ben")
    assert "SCHEDULE-AGENT" not in copy


async def test_who_is_not_invited_by_the_server_keeps_schedule_agent(world: World) -> None:
    text = meeting(BEN).replace(f"ATTENDEE:{BEN}", f"ATTENDEE;SCHEDULE-AGENT=CLIENT:{BEN}")
    await world.invite("anna", "anna/calendar/m.ics", text)
    own = text.replace("ORGANIZER", "ORGANIZER;SCHEDULE-AGENT=CLIENT").replace(
        "ATTENDEE;SCHED", "ATTENDEE;PARTSTAT=ACCEPTED;SCHED"
    )
    await world.invite("ben", "ben/calendar/m.ics", own)
    (copy,) = await copies(world, "ben")
    assert "SCHEDULE-AGENT=CLIENT" in line_of(copy, "ORGANIZER", ANNA)
    assert await items(world, "anna") == []


async def test_an_event_of_ones_own_with_the_uid_stays_beside_the_meeting(world: World) -> None:
    """It has its calendar's UID no longer (RFC 4791 §4.1), and all else as it was."""
    own = event("m", "SUMMARY:Mine", "BEGIN:VALARM", "ACTION:AUDIO", "TRIGGER:PT0S", "END:VALARM")
    await world.invite("ben", "ben/calendar/mine.ics", own)
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN, CLEO))
    assert "SCHEDULE-STATUS=1.2" in line_of(await world.text("anna", "anna/calendar/m.ics"), "ATTENDEE", BEN)
    assert await items(world, "ben") == ["REQUEST"]
    invited, mine = sorted(await copies(world, "ben"), key=lambda text: "SUMMARY:Mine" in text)
    assert "SUMMARY:Plan" in invited
    assert "VALARM" not in invited
    (uid,) = re.findall("UID:(.*)\r\n", mine)
    assert uid != "m"
    assert mine == own.replace("UID:m\r\n", f"UID:{uid}\r\n")
    assert await world.text("ben", "ben/calendar/mine.ics") == invited
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN, CLEO, summary="Other"))
    assert sorted(await copies(world, "ben"), key=lambda text: "SUMMARY:Mine" in text)[1] == mine
    await world.cancel("anna", "anna/calendar/m.ics")
    assert mine in await copies(world, "ben")


async def test_an_event_of_ones_own_in_another_calendar_stays_as_it_is(world: World) -> None:
    home = await world.find("ben", "ben")
    await world.collections.create(await world.actor("ben"), home, NewCollection("other", "calendar", ("VEVENT",)))
    own = event("m", "SUMMARY:Mine")
    await world.invite("ben", "ben/other/mine.ics", own)
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN))
    (copy,) = await copies(world, "ben")
    assert "SUMMARY:Plan" in copy
    assert await world.text("ben", "ben/other/mine.ics") == own
    await world.cancel("anna", "anna/calendar/m.ics")
    assert await world.text("ben", "ben/other/mine.ics") == own


async def test_who_is_added_to_a_meeting_made_anew_with_an_old_uid_is_invited(world: World) -> None:
    """What they know of the deleted meeting has a greater SEQUENCE."""
    for day in (1, 2, 3):
        await world.invite("anna", "anna/calendar/m.ics", meeting(BEN, start=f"2026030{day}T090000Z"))
    await answer(world, "ben", BEN, "ACCEPTED")
    await world.cancel("anna", "anna/calendar/m.ics")
    await world.invite("anna", "anna/calendar/m.ics", meeting(CLEO, summary="Second"))
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN, CLEO, summary="Second"))
    (copy,) = await copies(world, "ben")
    assert "SUMMARY:Second" in copy
    assert "STATUS:CANCELLED" not in copy
    assert "PARTSTAT" not in line_of(copy, "ATTENDEE", BEN)
    assert "PARTSTAT" not in line_of(await world.text("anna", "anna/calendar/m.ics"), "ATTENDEE", BEN)
    await answer(world, "ben", BEN, "DECLINED")
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN, CLEO, summary="Third"))
    (copy,) = await copies(world, "ben")
    assert "SUMMARY:Third" in copy
    assert "PARTSTAT=DECLINED" in line_of(copy, "ATTENDEE", BEN)
    assert "PARTSTAT=DECLINED" in line_of(await world.text("anna", "anna/calendar/m.ics"), "ATTENDEE", BEN)


async def test_answers_count_whatever_dtstamp_an_app_writes(world: World) -> None:
    """Also to a meeting that was made anew with the UID of a deleted one."""
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN, summary="First"))
    await world.cancel("anna", "anna/calendar/m.ics")
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN, summary="Second"))
    for partstat in ("ACCEPTED", "DECLINED"):
        await answer(world, "ben", BEN, partstat)
        (name,) = await world.names("ben/calendar")
        text = await world.text("ben", f"ben/calendar/{name}")
        await world.invite("ben", f"ben/calendar/{name}", re.sub(r"DTSTAMP:\w+", "DTSTAMP:20051222T205953Z", text))
        assert f"PARTSTAT={partstat}" in line_of(await world.text("anna", "anna/calendar/m.ics"), "ATTENDEE", BEN)
