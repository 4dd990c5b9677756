"""Who writes in the calendar of somebody else acts for them: SENT-BY (RFC 5545 §3.2.18), privileges (RFC 6638 §6.2)."""

from __future__ import annotations

import re

import pytest
import pytest_asyncio

from server.auth import policy
from server.domain.errors import AccessDenied, BadRequest
from server.domain.grants import Ace
from server.domain.objects import NewCollection
from server.domain.privileges import Privilege
from server.domain.scheduling import SchedulingRole
from server.services.scheduling.sent import Sent
from tests.unit.services.conftest import BOTH_WAYS
from tests.unit.services.test_implicit_scheduling import copies, items, line_of, unfolded
from tests.unit.services.world import ALARM, INSTALLATION, World, event

pytestmark = BOTH_WAYS
BOSS, AIDE, GUEST = (f"mailto:{name}@example.com" for name in ("boss", "aide", "guest"))
MEETING = "boss/calendar/m.ics"
MORE = NewCollection("more", "calendar", ("VEVENT",))
SENT_BY = f'SENT-BY="{AIDE}"'


@pytest_asyncio.fixture(loop_scope="session")
async def office(world: World) -> World:
    """An installation with a boss, an aide who is a delegate with write access, and a guest; all have mail
    addresses."""
    for name in ("boss", "aide", "guest"):
        await world.add(name, addresses=(f"{name}@example.com",), display_name=name.title())
    await delegate(world, "aide")
    return world


async def delegate(world: World, *names: str) -> None:
    """Let these people, and nobody else, act for the boss."""
    chosen = frozenset(world.ids[name] for name in names)
    await world.granting.set_delegates(
        await world.actor("boss"), await world.principal("boss", "boss"), "write", chosen
    )


async def grant(world: World, whom: str, place: str, *privileges: Privilege) -> None:
    """Set the access control list of a collection of the boss."""
    found = await world.find("boss", f"boss/{place}")
    assert found.collection is not None
    aces = [Ace(found.collection.id, world.ids[whom], True, privileges)]
    await world.granting.set_acl(await world.actor("boss"), found, aces)


def meeting(organizer: str, *attendees: str, summary: str = "Plan", uid: str = "m") -> str:
    return event(uid, f"SUMMARY:{summary}", f"ORGANIZER:{organizer}", *(f"ATTENDEE:{each}" for each in attendees))


async def text_of(world: World, path: str) -> str:
    return unfolded(await world.text("cli", path))


async def message(world: World, who: str, method: str) -> str:
    """The newest message of a method in somebody's inbox."""
    texts = [await text_of(world, f"{who}/inbox/{name}") for name in await world.names(f"{who}/inbox")]
    return [each for each in texts if f"METHOD:{method}" in each][-1]


async def answer(world: World, who: str, path: str, partstat: str) -> None:
    """Let somebody write the boss's answer into the boss's copy."""
    text = re.sub(f"ATTENDEE[^\r\n]*:{BOSS}", f"ATTENDEE;PARTSTAT={partstat}:{BOSS}", await text_of(world, path))
    await world.invite(who, path, text)


@pytest.mark.parametrize("written", [BOSS, AIDE, "urn:x-uid:id-aide"])
async def test_the_owner_organizes_what_a_delegate_writes(office: World, written: str) -> None:
    put = await office.invite("aide", MEETING, meeting(written, GUEST))
    assert not put.as_sent
    member = await office.member("boss", MEETING)
    assert member is not None
    assert member.role is SchedulingRole.ORGANIZER
    organizer = f"ORGANIZER;CN=Boss;{SENT_BY}:{BOSS}"
    (copy,) = await copies(office, "guest")
    for text in (member.text, copy, await message(office, "guest", "REQUEST")):
        assert sorted(line_of(text, "ORGANIZER", BOSS).split(";")) == sorted(organizer.split(";"))
    assert await copies(office, "aide") == []


async def test_an_update_and_a_deletion_say_who_acts(office: World) -> None:
    await office.invite("boss", MEETING, meeting(BOSS, GUEST))
    assert "SENT-BY" not in await text_of(office, MEETING)
    await office.invite("aide", MEETING, meeting(AIDE, GUEST, summary="Other"))
    for text in (await text_of(office, MEETING), *await copies(office, "guest")):
        assert SENT_BY in line_of(text, "ORGANIZER", BOSS)
    await office.invite("boss", MEETING, (await text_of(office, MEETING)).replace("Other", "Third"))
    for text in (await text_of(office, MEETING), *await copies(office, "guest")):
        assert "SENT-BY" not in text
        assert "SUMMARY:Third" in text
    await office.cancel("aide", MEETING)
    assert SENT_BY in line_of(await message(office, "guest", "CANCEL"), "ORGANIZER", BOSS)


async def test_sent_by_stays_while_nothing_is_sent(office: World) -> None:
    await office.invite("aide", MEETING, meeting(BOSS, GUEST))
    text = await text_of(office, MEETING)
    await office.invite("boss", MEETING, text.replace("SUMMARY", "X-NOTE:private\r\nSUMMARY"))
    assert SENT_BY in await text_of(office, MEETING)
    assert await items(office, "guest") == ["REQUEST"]


async def test_an_app_does_not_say_who_acts(office: World) -> None:
    forged = meeting(BOSS, GUEST).replace("ORGANIZER", 'ORGANIZER;SENT-BY="mailto:guest@example.com"')
    await office.invite("boss", MEETING, forged)
    assert "SENT-BY" not in await text_of(office, MEETING)
    await office.invite("aide", "boss/calendar/n.ics", forged.replace("UID:m", "UID:n"))
    assert SENT_BY in await text_of(office, "boss/calendar/n.ics")


async def test_a_delegate_answers_for_the_owner(office: World) -> None:
    await office.invite("guest", "guest/calendar/m.ics", meeting(GUEST, BOSS))
    (name,) = await office.names("boss/calendar")
    path = f"boss/calendar/{name}"
    await answer(office, "aide", path, "ACCEPTED")
    reply = await message(office, "guest", "REPLY")
    assert SENT_BY in line_of(reply, "ATTENDEE", BOSS)
    assert "PARTSTAT=ACCEPTED" in line_of(await text_of(office, "guest/calendar/m.ics"), "ATTENDEE", BOSS)
    await answer(office, "boss", path, "TENTATIVE")
    replies = [await text_of(office, f"guest/inbox/{each}") for each in await office.names("guest/inbox")]
    (own,) = [each for each in replies if "PARTSTAT=TENTATIVE" in each]
    assert "SENT-BY" not in own
    await office.cancel("aide", path)
    replies = [await text_of(office, f"guest/inbox/{each}") for each in await office.names("guest/inbox")]
    (declined,) = [each for each in replies if "PARTSTAT=DECLINED" in each]
    assert SENT_BY in line_of(declined, "ATTENDEE", BOSS)


async def test_a_delegate_without_a_mail_address_is_not_named(office: World) -> None:
    await delegate(office, "cleo")
    await office.invite("cleo", MEETING, meeting("urn:x-uid:id-cleo", GUEST))
    text = await text_of(office, MEETING)
    assert line_of(text, "ORGANIZER", BOSS)
    assert "SENT-BY" not in text


async def test_what_a_delegate_organizes_stays_theirs(office: World) -> None:
    """The owner is invited by the delegate: the copy in the owner's calendar is an attendee's."""
    await office.invite("aide", "aide/calendar/m.ics", meeting(AIDE, BOSS))
    (name,) = await office.names("boss/calendar")
    await answer(office, "aide", f"boss/calendar/{name}", "ACCEPTED")
    assert "PARTSTAT=ACCEPTED" in line_of(await text_of(office, "aide/calendar/m.ics"), "ATTENDEE", BOSS)
    copy = await office.member("boss", f"boss/calendar/{name}")
    assert copy is not None
    assert copy.role is SchedulingRole.ATTENDEE


async def test_a_copy_of_the_delegates_own_meeting_stays_a_copy(office: World) -> None:
    await office.invite("aide", "aide/calendar/m.ics", meeting(AIDE, GUEST))
    await office.invite("aide", MEETING, meeting(AIDE, GUEST))
    found = await office.member("boss", MEETING)
    assert found is not None
    assert found.role is SchedulingRole.NONE
    assert await items(office, "guest") == ["REQUEST"]


async def test_a_meeting_without_attendees_is_the_owners(office: World) -> None:
    await office.invite("aide", MEETING, meeting(AIDE))
    assert SENT_BY in line_of(await text_of(office, MEETING), "ORGANIZER", BOSS)
    await office.invite(
        "boss", MEETING, (await text_of(office, MEETING)).replace("DTSTART", f"ATTENDEE:{GUEST}\r\nDTSTART")
    )
    assert len(await copies(office, "guest")) == 1


async def test_the_record_says_for_whom(office: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of those who send by the access control list of the outbox, and of administrators."""
    seen: list[tuple[int | None, int | None]] = []
    apply = office.storage.apply

    async def noted(changes: object) -> object:
        cause = changes.cause  # type: ignore[attr-defined]
        seen.append((cause.principal_id, cause.acting_for))
        return await apply(changes)  # type: ignore[arg-type]

    monkeypatch.setattr(office.storage, "apply", noted)
    await delegate(office)
    await grant(office, "aide", "calendar", Privilege.READ, Privilege.WRITE)
    await grant(office, "aide", "outbox", Privilege.SCHEDULE_SEND)
    for who in ("aide", "root", "boss"):
        await office.invite(who, f"boss/calendar/{who}.ics", meeting(BOSS, GUEST, uid=who))
    expected = [(office.ids["aide"], office.ids["boss"]), (office.ids["root"], office.ids["boss"])]
    assert set(expected) | {(office.ids["boss"], None)} == {each for each in seen if each[0] is not None}


async def test_who_may_not_send_changes_nothing(office: World) -> None:
    await office.invite("boss", MEETING, meeting(BOSS, GUEST))
    await office.invite("guest", "guest/calendar/n.ics", meeting(GUEST, BOSS, uid="n"))
    (own,) = [each for each in await office.names("boss/calendar") if each != "m.ics"]
    copy = f"boss/calendar/{own}"
    await delegate(office)
    await grant(office, "aide", "calendar", Privilege.READ, Privilege.WRITE)
    before = await text_of(office, MEETING), await text_of(office, copy)
    invite, reply = Privilege.SCHEDULE_SEND_INVITE, Privilege.SCHEDULE_SEND_REPLY
    new = "boss/calendar/new.ics"
    for act, needed in (
        (lambda: office.invite("aide", new, meeting(BOSS, GUEST, uid="new")), invite),
        (lambda: office.invite("aide", new, meeting(AIDE, GUEST, uid="new")), invite),
        (lambda: office.invite("aide", MEETING, meeting(BOSS, GUEST, summary="Other")), invite),
        (lambda: office.invite("aide", MEETING, meeting(AIDE, GUEST, summary="Other")), invite),
        (lambda: office.cancel("aide", MEETING), invite),
        (lambda: answer(office, "aide", copy, "ACCEPTED"), reply),
        (lambda: office.cancel("aide", copy), reply),
    ):
        with pytest.raises(AccessDenied) as denied:
            await act()
        assert denied.value.privilege is needed
    assert before == (await text_of(office, MEETING), await text_of(office, copy))
    assert sorted(await office.names("boss/calendar")) == sorted(["m.ics", own])
    assert await items(office, "guest") == ["REQUEST"]


async def test_what_sends_nothing_is_free(office: World) -> None:
    await office.invite("boss", MEETING, meeting(BOSS, GUEST))
    await office.invite("guest", "guest/calendar/n.ics", meeting(GUEST, BOSS, uid="n"))
    (own,) = [each for each in await office.names("boss/calendar") if each != "m.ics"]
    await delegate(office)
    await grant(office, "aide", "calendar", Privilege.READ, Privilege.WRITE)
    for path in (MEETING, f"boss/calendar/{own}"):
        text = await text_of(office, path)
        await office.invite("aide", path, text.replace("SUMMARY", "X-NOTE:kept\r\nSUMMARY"))
        assert "X-NOTE:kept" in await text_of(office, path)
    await office.cancel("aide", f"boss/calendar/{own}", Sent(reply=False))
    # Without attendees it is nobody's meeting yet, and stays what was written.
    await office.invite("aide", "boss/calendar/alone.ics", meeting(AIDE, uid="alone"))
    assert line_of(await text_of(office, "boss/calendar/alone.ics"), "ORGANIZER", AIDE)
    assert await items(office, "guest") == ["REQUEST"]


@pytest.mark.parametrize("still", [True, False])
async def test_a_deleted_calendar_is_cancelled_by_who_deleted_it(office: World, still: bool) -> None:
    """The job asks again whether they may send, and says who acted."""
    await office.collections.create(
        await office.actor("boss"),
        await office.find("boss", "boss/more"),
        MORE,
    )
    await office.invite("boss", "boss/more/m.ics", meeting(BOSS, GUEST))
    await office.collections.delete(await office.actor("aide"), await office.find("aide", "boss/more"))
    if not still:
        await delegate(office)
    await office.run_jobs()
    assert await items(office, "guest") == (["CANCEL", "REQUEST"] if still else ["REQUEST"])
    if still:
        assert SENT_BY in line_of(await message(office, "guest", "CANCEL"), "ORGANIZER", BOSS)


# -- sharees ----------------------------------------------------------------------------------------------------------


async def test_a_sharee_who_may_invite_acts_for_the_owner(office: World) -> None:
    """By the URL in their own home and by that of the owner."""
    await delegate(office)
    own = await office.share("boss/calendar", "aide", may_invite=True)
    await office.invite(
        "aide", f"{own}/m.ics", meeting(AIDE, GUEST).replace("END:VEVENT", "\r\n".join((*ALARM, "END:VEVENT")))
    )
    stored = await text_of(office, MEETING)
    assert SENT_BY in line_of(stored, "ORGANIZER", BOSS)
    assert "SCHEDULE-STATUS=1.2" in line_of(stored, "ATTENDEE", GUEST)
    assert "VALARM" not in stored
    (copy,) = await copies(office, "guest")
    assert SENT_BY in line_of(copy, "ORGANIZER", BOSS)
    # What they see is what is stored, with the alarms that are theirs.
    seen = unfolded(await office.text("aide", f"{own}/m.ics"))
    assert SENT_BY in line_of(seen, "ORGANIZER", BOSS)
    assert "VALARM" in seen
    for path, summary in ((f"{own}/m.ics", "Other"), (MEETING, "Third")):
        seen = unfolded(await office.text("aide", path))
        await office.invite("aide", path, re.sub("SUMMARY:[A-Za-z]+", f"SUMMARY:{summary}", seen))
        (copy,) = await copies(office, "guest")
        assert f"SUMMARY:{summary}" in copy
    assert "VALARM" in unfolded(await office.text("aide", MEETING))
    await office.cancel("aide", f"{own}/m.ics")
    assert SENT_BY in line_of(await message(office, "guest", "CANCEL"), "ORGANIZER", BOSS)
    assert await office.names("boss/calendar") == []


async def test_a_sharee_who_may_invite_answers_for_the_owner(office: World) -> None:
    await delegate(office)
    own = await office.share("boss/calendar", "aide", may_invite=True)
    await office.invite("guest", "guest/calendar/m.ics", meeting(GUEST, BOSS))
    (name,) = await office.names("boss/calendar")
    text = unfolded(await office.text("aide", f"{own}/{name}"))
    text = re.sub(f"ATTENDEE[^\r\n]*:{BOSS}", f"ATTENDEE;PARTSTAT=ACCEPTED:{BOSS}", text)
    await office.invite("aide", f"{own}/{name}", text)
    assert SENT_BY in line_of(await message(office, "guest", "REPLY"), "ATTENDEE", BOSS)
    assert "PARTSTAT=ACCEPTED" in line_of(await text_of(office, "guest/calendar/m.ics"), "ATTENDEE", BOSS)


async def test_other_sharees_send_nothing(office: World) -> None:
    """They change what sends nothing, and what is their own in it."""
    await delegate(office)
    own = await office.share("boss/calendar", "aide")
    await office.invite("boss", MEETING, meeting(BOSS, GUEST))
    seen = unfolded(await office.text("aide", f"{own}/m.ics"))
    for act in (
        lambda: office.invite("aide", f"{own}/m.ics", seen.replace("SUMMARY:Plan", "SUMMARY:Other")),
        lambda: office.invite("aide", f"{own}/n.ics", meeting(BOSS, GUEST, uid="n")),
        lambda: office.invite("aide", f"{own}/n.ics", meeting(AIDE, GUEST, uid="n")),
        lambda: office.cancel("aide", f"{own}/m.ics"),
    ):
        with pytest.raises(AccessDenied) as denied:
            await act()
        assert denied.value.privilege is Privilege.SCHEDULE_SEND_INVITE
        assert denied.value.sender is not None
        assert denied.value.sender.name == "boss"
    await office.invite("aide", f"{own}/m.ics", seen.replace("END:VEVENT", "\r\n".join((*ALARM, "END:VEVENT"))))
    await office.invite("aide", f"{own}/m.ics", seen.replace("SUMMARY", "X-NOTE:kept\r\nSUMMARY"))
    assert "X-NOTE:kept" in await text_of(office, MEETING)
    await office.invite("aide", f"{own}/alone.ics", meeting(AIDE, uid="alone"))
    assert line_of(await text_of(office, "boss/calendar/alone.ics"), "ORGANIZER", AIDE)
    assert await items(office, "guest") == ["REQUEST"]


async def test_who_may_invite_does_so_from_this_calendar_alone(office: World) -> None:
    """Until the sharing says no more so."""
    await delegate(office)
    await office.collections.create(INSTALLATION, await office.find("cli", "boss/more"), MORE)
    own = await office.share("boss/calendar", "aide")
    more = await office.share("boss/more", "aide", may_invite=True)
    with pytest.raises(AccessDenied):
        await office.invite("aide", f"{own}/m.ics", meeting(BOSS, GUEST))
    await office.invite("aide", f"{more}/m.ics", meeting(BOSS, GUEST))
    outbox = await office.find("aide", "boss/outbox", Privilege.SCHEDULE_SEND_INVITE)
    assert outbox.privileges >= policy.INVITING
    assert Privilege.READ not in outbox.privileges
    await office.share("boss/more", "aide")
    with pytest.raises(AccessDenied):
        await office.cancel("aide", f"{more}/m.ics")


async def test_only_writers_of_a_calendar_may_invite(office: World) -> None:
    with pytest.raises(BadRequest):
        await office.share("boss/calendar", "aide", "read", may_invite=True)
    with pytest.raises(BadRequest):
        await office.share("contacts:boss/addressbook", "aide", may_invite=True)


async def test_a_delegate_of_a_sharee_does_not_act_for_the_owner(office: World) -> None:
    await delegate(office)
    own = await office.share("boss/calendar", "aide", may_invite=True)
    aide = await office.principal("aide", "aide")
    await office.granting.set_delegates(await office.actor("aide"), aide, "write", frozenset({office.ids["cleo"]}))
    with pytest.raises(AccessDenied):
        await office.invite("cleo", f"{own}/m.ics", meeting(BOSS, GUEST))
