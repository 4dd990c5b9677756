"""Messages that no change of an object sends, from one home to another (RFC 5546 §3.2); and what they are about."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from server.domain.errors import AccessDenied, AttendeeChangeRefused
from server.domain.grants import Ace
from server.domain.privileges import Privilege
from server.itip.calendar_users import addresses
from server.itip.messages import Message, Method
from server.itip.scheduling_object import read_object
from server.services.scheduling.calendar_users import directory_of
from server.services.scheduling.originator import ORIGINATOR
from server.services.scheduling.single_messages import Post, post
from server.storage.directory import PrincipalChange
from tests.unit.services.test_implicit_scheduling import ANNA, BEN, CLEO, answer, copies, items, line_of, unfolded
from tests.unit.services.world import INSTALLATION, NOW, World, event

MEETING = "anna/calendar/m.ics"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ONE = NOON + timedelta(hours=1)
DAILY = "RRULE:FREQ=DAILY;COUNT=5"


def meeting(*attendees: str, more: tuple[str, ...] = ()) -> str:
    people = [f"ATTENDEE;PARTSTAT=ACCEPTED:{ANNA}", *(f"ATTENDEE:{each}" for each in attendees)]
    return event("m", "SUMMARY:Plan", f"ORGANIZER:{ANNA}", *people, *more)


async def path_of(world: World, who: str) -> str:
    """The path of the only object in somebody's calendar."""
    (name,) = await world.names(f"{who}/calendar")
    return f"{who}/calendar/{name}"


async def item_of(world: World, who: str, method: str) -> str:
    """The path of the only item of a method in somebody's inbox."""
    paths = [f"{who}/inbox/{name}" for name in await world.names(f"{who}/inbox")]
    (found,) = [each for each in paths if f"METHOD:{method}" in (await world.text("cli", each) or "")]
    return found


async def sent(world: World, by: str, to: str, text: str, method: Method) -> str:
    """Deliver a message from one person to another; gives its SCHEDULE-STATUS."""
    value = read_object(text).with_method(method)
    people = {"anna": ANNA, "ben": BEN, "cleo": CLEO}
    directory = await directory_of(world.storage, addresses(value) | set(people.values()))
    message = Message(method, directory.user(people[by]), directory.user(people[to]), value)
    sender = (await world.actor(by)).principal
    return await post(world.scheduling, INSTALLATION.cause, Post(message, sender, directory, NOW))


# -- COUNTER and DECLINECOUNTER ---------------------------------------------------------------------------------------


async def proposed(world: World, instance: str = "") -> str:
    """Let ben propose noon; gives the path of the item in anna's inbox."""
    found = await world.find("ben", await path_of(world, "ben"))
    status = await world.scheduling.propose(await world.actor("ben"), found, NOON, ONE, instance, "Lunch?")
    assert status == "1.2"
    return await item_of(world, "anna", "COUNTER")


async def test_a_proposal_lies_in_the_inbox_and_sets_nothing(world: World) -> None:
    await world.invite("anna", MEETING, meeting(BEN, CLEO))
    before = await world.text("anna", MEETING), await copies(world, "ben"), await copies(world, "cleo")
    item = await proposed(world)
    text = unfolded(await world.text("anna", item))
    assert "DTSTART:20260301T120000Z" in text
    assert "COMMENT:Lunch?" in text
    assert text.count("ATTENDEE") == 3
    member = await world.member("anna", item)
    assert member is not None
    assert BEN in member.properties[ORIGINATOR]
    assert before == (await world.text("anna", MEETING), await copies(world, "ben"), await copies(world, "cleo"))
    assert await items(world, "cleo") == ["REQUEST"]


async def test_the_organizer_rejects_a_proposal_by_deleting_it(world: World) -> None:
    await world.invite("anna", MEETING, meeting(BEN, CLEO))
    before = await copies(world, "ben")
    await world.cancel("anna", await proposed(world))
    assert await items(world, "anna") == []
    assert await items(world, "ben") == ["DECLINECOUNTER", "REQUEST"]
    assert await items(world, "cleo") == ["REQUEST"]
    text = unfolded(await world.text("ben", await item_of(world, "ben", "DECLINECOUNTER")))
    assert "DTSTART:20260301T090000Z" in text
    assert text.count("ATTENDEE") == 1
    assert await copies(world, "ben") == before


async def test_the_organizer_accepts_a_proposal_by_moving_the_meeting(world: World) -> None:
    await world.invite("anna", MEETING, meeting(BEN))
    item = await proposed(world)
    text = unfolded(await world.text("anna", MEETING))
    await world.invite("anna", MEETING, text.replace("DTSTART:20260301T090000Z", "DTSTART:20260301T120000Z"))
    await world.cancel("anna", item)
    assert await items(world, "ben") == ["REQUEST", "REQUEST"]
    (copy,) = await copies(world, "ben")
    assert "DTSTART:20260301T120000Z" in copy


async def test_a_proposal_for_an_instance(world: World) -> None:
    await world.invite("anna", MEETING, meeting(BEN, more=(DAILY,)))
    item = await proposed(world, "20260303T090000Z")
    assert "RECURRENCE-ID:20260303T090000Z" in unfolded(await world.text("anna", item))
    await world.cancel("anna", item)
    text = unfolded(await world.text("ben", await item_of(world, "ben", "DECLINECOUNTER")))
    assert "RECURRENCE-ID:20260303T090000Z" in text


async def test_nobody_is_told_who_is_not_invited_any_more(world: World) -> None:
    await world.invite("anna", MEETING, meeting(BEN, CLEO))
    item = await proposed(world)
    text = unfolded(await world.text("anna", MEETING))
    await world.invite("anna", MEETING, text.replace(line_of(text, "ATTENDEE", BEN) + "\r\n", ""))
    await world.cancel("anna", item)
    assert await items(world, "ben") == ["CANCEL", "REQUEST"]
    assert await items(world, "anna") == []


async def test_a_proposal_for_a_meeting_that_is_gone_is_deleted(world: World) -> None:
    await world.invite("anna", MEETING, meeting(BEN))
    item = await proposed(world)
    await world.cancel("anna", MEETING)
    await world.cancel("anna", item)
    assert await items(world, "anna") == []
    assert await items(world, "ben") == ["CANCEL", "REQUEST"]


async def test_a_full_inbox_of_the_attendee_does_not_keep_the_proposal(world: World) -> None:
    await world.invite("anna", MEETING, meeting(BEN))
    item = await proposed(world)
    await world.fill("ben")
    await world.cancel("anna", item)
    assert await items(world, "anna") == []


async def test_only_attendees_propose(world: World) -> None:
    await world.invite("anna", MEETING, meeting(BEN))
    found = await world.find("ben", await path_of(world, "ben"))
    await world.put("ben", "ben/calendar/own.ics", event("own"))
    for who, path in (("anna", MEETING), ("ben", "ben/calendar/own.ics")):
        with pytest.raises(AttendeeChangeRefused):
            await world.scheduling.propose(await world.actor(who), await world.find(who, path), NOON, ONE)
    for start, end, instance in ((ONE, NOON, ""), (NOON, ONE, "20260303T090000Z"), (NOON.date(), ONE.date(), "")):
        with pytest.raises(AttendeeChangeRefused):
            await world.scheduling.propose(await world.actor("ben"), found, start, end, instance)
    assert await items(world, "anna") == []


async def test_readers_of_a_calendar_propose_nothing(world: World) -> None:
    await world.invite("anna", MEETING, meeting(BEN))
    shared = await world.share("ben/calendar", "cleo", "read")
    (name,) = await world.names("ben/calendar")
    with pytest.raises(AccessDenied):
        found = await world.find("cleo", f"{shared}/{name}")
        await world.scheduling.propose(await world.actor("cleo"), found, NOON, ONE)
    assert await items(world, "anna") == []


# -- ADD, REFRESH, PUBLISH --------------------------------------------------------------------------------------------


async def test_add_is_merged(world: World) -> None:
    await world.invite("anna", MEETING, meeting(BEN, more=(DAILY,)))
    more = meeting(BEN, more=("SEQUENCE:1",)).replace("20260301T090000Z", "20260320T090000Z")
    assert await sent(world, "anna", "ben", more, Method.ADD) == "1.2"
    (copy,) = await copies(world, "ben")
    assert DAILY in copy
    assert "RECURRENCE-ID:20260320T090000Z" in unfolded(copy)
    assert re.search("RDATE.*:20260320T090000Z", unfolded(copy))
    assert await items(world, "ben") == ["ADD", "REQUEST"]


async def test_refresh_is_answered_to_a_present_attendee(world: World) -> None:
    await world.invite("anna", MEETING, meeting(BEN))
    await world.cancel("ben", await path_of(world, "ben"))
    asking = event("m", f"ORGANIZER:{ANNA}", f"ATTENDEE:{BEN}")
    before = await world.text("anna", MEETING)
    assert await sent(world, "ben", "anna", asking, Method.REFRESH) == "1.2"
    assert await world.text("anna", MEETING) == before
    assert await items(world, "anna") == ["REPLY"]
    assert await copies(world, "ben") == []  # what was declined and deleted stays away
    await world.invite("anna", "anna/calendar/n.ics", meeting(CLEO).replace("UID:m", "UID:n"))
    (lost,) = await world.names("cleo/calendar")
    await world.delete("cleo", f"cleo/calendar/{lost}")
    asking = event("n", f"ORGANIZER:{ANNA}", f"ATTENDEE:{CLEO}")
    assert await sent(world, "cleo", "anna", asking, Method.REFRESH) == "1.2"
    (copy,) = await copies(world, "cleo")
    assert "SUMMARY:Plan" in copy


async def test_refresh_of_somebody_else_is_ignored(world: World) -> None:
    await world.invite("anna", MEETING, meeting(BEN))
    asking = event("m", f"ORGANIZER:{ANNA}", f"ATTENDEE:{CLEO}")
    await sent(world, "cleo", "anna", asking, Method.REFRESH)
    assert await copies(world, "cleo") == []
    assert await items(world, "cleo") == await items(world, "anna") == []


async def test_publish_is_ignored(world: World) -> None:
    assert await sent(world, "anna", "ben", event("p", f"ORGANIZER:{ANNA}"), Method.PUBLISH) == "1.2"
    await world.invite("anna", MEETING, meeting(BEN))
    before = await copies(world, "ben")
    await sent(world, "anna", "ben", event("m", f"ORGANIZER:{ANNA}", "SUMMARY:Other"), Method.PUBLISH)
    assert await copies(world, "ben") == before
    assert await items(world, "ben") == ["REQUEST"]


async def test_a_counter_of_somebody_who_is_not_invited_is_ignored(world: World) -> None:
    await world.invite("anna", MEETING, meeting(BEN))
    await sent(world, "cleo", "anna", meeting(CLEO), Method.COUNTER)
    assert await items(world, "anna") == []


async def test_a_reply_by_message_is_merged_and_others_learn_of_it(world: World) -> None:
    await world.invite("anna", MEETING, meeting(BEN, CLEO))
    text = event("m", f"ORGANIZER:{ANNA}", f"ATTENDEE;PARTSTAT=TENTATIVE:{BEN}")
    assert await sent(world, "ben", "anna", text, Method.REPLY) == "1.2"
    assert "PARTSTAT=TENTATIVE" in line_of(await world.text("anna", MEETING), "ATTENDEE", BEN)
    (copy,) = await copies(world, "cleo")
    assert "PARTSTAT=TENTATIVE" in line_of(copy, "ATTENDEE", BEN)
    assert await items(world, "cleo") == ["REQUEST"]


async def test_a_reply_by_message_refreshes_who_knows_an_earlier_meeting_of_the_uid(world: World) -> None:
    """Cleo's copy has a greater SEQUENCE than the meeting that was made anew, of which she has not heard."""
    await world.invite("anna", MEETING, meeting(BEN, CLEO))
    text = unfolded(await world.text("anna", MEETING))
    await world.invite("anna", MEETING, text.replace("SEQUENCE:0\r\n", "").replace("UID:m", "UID:m\r\nSEQUENCE:5"))
    await world.cancel("anna", MEETING)
    await world.fill("cleo")
    await world.invite("anna", MEETING, meeting(BEN, CLEO, more=("LOCATION:Second",)))
    assert "SCHEDULE-STATUS=5.1" in line_of(await world.text("anna", MEETING), "ATTENDEE", CLEO)
    await world.directory.write_principals(
        [PrincipalChange(id=world.ids["cleo"], quota_bytes=None)], INSTALLATION.cause
    )
    reply = event("m", f"ORGANIZER:{ANNA}", f"ATTENDEE;PARTSTAT=ACCEPTED:{BEN}", "SEQUENCE:0")
    assert await sent(world, "ben", "anna", reply, Method.REPLY) == "1.2"
    (copy,) = await copies(world, "cleo")
    assert "LOCATION:Second" in copy
    assert "PARTSTAT=ACCEPTED" in line_of(copy, "ATTENDEE", BEN)


# -- delegation, tasks, single instances ------------------------------------------------------------------------------


async def delegate(world: World) -> None:
    """Let ben delegate to cleo."""
    path = await path_of(world, "ben")
    text = unfolded(await world.text("ben", path))
    both = (
        f'ATTENDEE;PARTSTAT=DELEGATED;DELEGATED-TO="{CLEO}":{BEN}',
        f'ATTENDEE;DELEGATED-FROM="{BEN}":{CLEO}',
    )
    await world.invite("ben", path, text.replace(line_of(text, "ATTENDEE", BEN), "\r\n".join(both)))


async def test_an_attendee_delegates(world: World) -> None:
    """RFC 5546 §3.2.2.3: the organizer's object and the copies of all have both."""
    await world.invite("anna", MEETING, meeting(BEN))
    await delegate(world)
    for who in ("anna", "ben", "cleo"):
        (copy,) = await copies(world, who)
        assert "PARTSTAT=DELEGATED" in line_of(copy, "ATTENDEE", BEN), who
        assert "DELEGATED-TO" in line_of(copy, "ATTENDEE", BEN), who
        assert "DELEGATED-FROM" in line_of(copy, "ATTENDEE", CLEO), who
    assert await items(world, "cleo") == ["REQUEST"]
    await world.run_jobs()  # what the delegator's copy is told once more
    await answer(world, "cleo", CLEO, "ACCEPTED")
    for who in ("anna", "ben"):
        (copy,) = await copies(world, who)
        assert "PARTSTAT=ACCEPTED" in line_of(copy, "ATTENDEE", CLEO), who


async def test_a_delegate_whose_home_has_no_room_is_invited_later(world: World) -> None:
    await world.invite("anna", MEETING, meeting(BEN))
    await world.fill("cleo")
    await delegate(world)
    await world.run_jobs()
    assert await copies(world, "cleo") == []
    assert "SCHEDULE-STATUS=5.1" in line_of(await world.text("anna", MEETING), "ATTENDEE", CLEO)
    row = world.memory.tables.principals[world.ids["cleo"]]
    world.memory.tables.principals[row.id] = replace(row, quota_bytes=None)
    await world.run_jobs(retries=True)
    (copy,) = await copies(world, "cleo")
    assert "DELEGATED-FROM" in line_of(copy, "ATTENDEE", CLEO)
    assert await items(world, "cleo") == ["REQUEST"]
    assert "SCHEDULE-STATUS=1.2" in line_of(await world.text("anna", MEETING), "ATTENDEE", CLEO)


async def test_who_takes_no_invitations_is_no_delegate(world: World) -> None:
    await world.invite("anna", MEETING, meeting(BEN))
    inbox = await world.find("cleo", "cleo/inbox")
    assert inbox.collection is not None
    denying = (Privilege.SCHEDULE_DELIVER_INVITE,)
    denied = [Ace(inbox.collection.id, world.ids[name], False, denying) for name in ("anna", "ben")]
    await world.granting.set_acl(await world.actor("cleo"), inbox, denied)
    await delegate(world)
    await world.run_jobs()
    assert (await copies(world, "cleo"), await items(world, "cleo")) == ([], [])
    assert "SCHEDULE-STATUS=3.8" in line_of(await world.text("anna", MEETING), "ATTENDEE", CLEO)


async def test_a_delegate_is_asked_anew_whatever_they_answered_to_an_earlier_invitation(world: World) -> None:
    await world.invite("anna", MEETING, meeting(BEN, CLEO))
    await answer(world, "cleo", CLEO, "ACCEPTED")
    text = unfolded(await world.text("anna", MEETING))
    await world.invite("anna", MEETING, text.replace(line_of(text, "ATTENDEE", CLEO) + "\r\n", ""))
    text = unfolded(await world.text("anna", MEETING))
    await world.invite("anna", MEETING, text.replace("DTSTART:20260301T09", "DTSTART:20260301T15"))
    await delegate(world)
    (copy,) = await copies(world, "cleo")
    assert "PARTSTAT=NEEDS-ACTION" in line_of(copy, "ATTENDEE", CLEO)
    assert "PARTSTAT=NEEDS-ACTION" in line_of(await world.text("anna", MEETING), "ATTENDEE", CLEO)
    assert await items(world, "cleo") == ["CANCEL", "REQUEST", "REQUEST"]


async def test_a_cancelled_meeting_is_not_delegated(world: World) -> None:
    await world.invite("anna", MEETING, meeting(BEN))
    await world.cancel("anna", MEETING)
    await delegate(world)
    assert await copies(world, "cleo") == []
    assert await items(world, "cleo") == []


async def test_a_delegate_is_cancelled_with_the_meeting(world: World) -> None:
    await world.invite("anna", MEETING, meeting(BEN))
    await delegate(world)
    await world.run_jobs()
    text = unfolded(await world.text("anna", MEETING))
    await world.invite("anna", MEETING, text.replace("SUMMARY:Plan", "SUMMARY:Other"))
    (copy,) = await copies(world, "cleo")
    assert "SUMMARY:Other" in copy
    await world.cancel("anna", MEETING)
    (copy,) = await copies(world, "cleo")
    assert "STATUS:CANCELLED" in copy


async def test_an_attendee_is_removed_and_invited_again(world: World) -> None:
    await world.invite("anna", MEETING, meeting(BEN, CLEO))
    await answer(world, "ben", BEN, "ACCEPTED")
    text = unfolded(await world.text("anna", MEETING))
    own = line_of(text, "ATTENDEE", BEN)
    await world.invite("anna", MEETING, text.replace(f"{own}\r\n", ""))
    (copy,) = await copies(world, "ben")
    assert "STATUS:CANCELLED" in copy
    text = unfolded(await world.text("anna", MEETING))
    other = line_of(text, "ATTENDEE", CLEO)
    await world.invite("anna", MEETING, text.replace(other, f"{other}\r\nATTENDEE:{BEN}"))
    (copy,) = await copies(world, "ben")
    assert "STATUS:CANCELLED" not in copy
    assert "PARTSTAT=ACCEPTED" not in line_of(copy, "ATTENDEE", BEN)
    assert await items(world, "ben") == ["CANCEL", "REQUEST", "REQUEST"]
    await answer(world, "ben", BEN, "TENTATIVE")
    assert "PARTSTAT=TENTATIVE" in line_of(await world.text("anna", MEETING), "ATTENDEE", BEN)


async def test_an_attendee_invites_nobody_else(world: World) -> None:
    await world.invite("anna", MEETING, meeting(BEN))
    path = await path_of(world, "ben")
    text = unfolded(await world.text("ben", path))
    own = line_of(text, "ATTENDEE", BEN)
    more = f'ATTENDEE;DELEGATED-FROM="{ANNA}":{CLEO}'
    await world.invite("ben", path, text.replace(own, f"{own}\r\n{more}"))
    assert await copies(world, "cleo") == []
    assert CLEO not in unfolded(await world.text("anna", MEETING))


async def test_tasks(world: World) -> None:
    text = meeting(BEN).replace("VEVENT", "VTODO").replace("DURATION:PT1H", "DUE:20260301T100000Z")
    await world.invite("anna", "anna/tasks/t.ics", text)
    (name,) = await world.names("ben/tasks")
    copy = unfolded(await world.text("ben", f"ben/tasks/{name}"))
    before = line_of(copy, "ATTENDEE", BEN)
    done = copy.replace(before, f"ATTENDEE;PARTSTAT=COMPLETED:{BEN}\r\nSTATUS:COMPLETED\r\nPERCENT-COMPLETE:100")
    await world.invite("ben", f"ben/tasks/{name}", done)
    assert "PARTSTAT=COMPLETED" in line_of(await world.text("anna", "anna/tasks/t.ics"), "ATTENDEE", BEN)


async def test_a_single_instance_without_its_series(world: World) -> None:
    instance = ("RECURRENCE-ID:20260303T090000Z", "DTSTART:20260303T110000Z", "DURATION:PT1H")
    people = (f"ORGANIZER:{ANNA}", f"ATTENDEE;PARTSTAT=ACCEPTED:{ANNA}", f"ATTENDEE:{BEN}", f"ATTENDEE:{CLEO}")
    lines = ("BEGIN:VEVENT", "UID:m", "DTSTAMP:20260101T000000Z", *instance, *people, "END:VEVENT")
    text = meeting(BEN, more=(DAILY,)).replace("END:VCALENDAR", "\r\n".join((*lines, "END:VCALENDAR")))
    await world.invite("anna", MEETING, text)
    (copy,) = await copies(world, "cleo")
    assert "RRULE" not in copy
    await answer(world, "cleo", CLEO, "ACCEPTED")
    stored = unfolded(await world.text("anna", MEETING))
    assert "PARTSTAT=ACCEPTED" in line_of(stored, "ATTENDEE", CLEO)
    await world.cancel("cleo", await path_of(world, "cleo"))
    assert "PARTSTAT=DECLINED" in line_of(await world.text("anna", MEETING), "ATTENDEE", CLEO)


async def test_a_role_and_rsvp(world: World) -> None:
    await world.invite("anna", MEETING, meeting(BEN))
    await answer(world, "ben", BEN, "ACCEPTED")
    text = unfolded(await world.text("anna", MEETING))
    own = line_of(text, "ATTENDEE", BEN)
    assert "RSVP" not in own
    optional = own.replace("ATTENDEE", "ATTENDEE;ROLE=OPT-PARTICIPANT")
    await world.invite("anna", MEETING, text.replace(own, optional))
    (copy,) = await copies(world, "ben")
    assert "ROLE=OPT-PARTICIPANT" in line_of(copy, "ATTENDEE", BEN)
    assert "PARTSTAT=ACCEPTED" in line_of(copy, "ATTENDEE", BEN)
    assert await items(world, "ben") == ["REQUEST", "REQUEST"]


async def invited_from_the_third_on(world: World) -> None:
    """Let the rest of a series from its third day on be at another time."""
    rest = ("RECURRENCE-ID;RANGE=THISANDFUTURE:20260303T090000Z", "DTSTART:20260303T110000Z", "DURATION:PT1H")
    people = (f"ORGANIZER:{ANNA}", f"ATTENDEE;PARTSTAT=ACCEPTED:{ANNA}", f"ATTENDEE:{BEN}")
    lines = ("BEGIN:VEVENT", "UID:m", "DTSTAMP:20260101T000000Z", *rest, *people, "END:VEVENT")
    await world.invite("anna", MEETING, meeting(BEN, more=(DAILY,)))
    text = unfolded(await world.text("anna", MEETING))
    await world.invite("anna", MEETING, text.replace("END:VCALENDAR", "\r\n".join((*lines, "END:VCALENDAR"))))


async def test_this_and_future(world: World) -> None:
    await invited_from_the_third_on(world)
    (copy,) = await copies(world, "ben")
    assert "RECURRENCE-ID;RANGE=THISANDFUTURE:20260303T090000Z" in unfolded(copy)
    assert "DTSTART:20260303T110000Z" in copy


async def test_the_first_instance_of_this_and_future_is_cancelled(world: World) -> None:
    """The others of the range take place as it says."""
    await invited_from_the_third_on(world)
    gone = event("m", f"ORGANIZER:{ANNA}", f"ATTENDEE:{BEN}", "RECURRENCE-ID:20260303T090000Z", "SEQUENCE:5")
    assert await sent(world, "anna", "ben", gone, Method.CANCEL) == "1.2"
    (copy,) = await copies(world, "ben")
    first, following = unfolded(copy).split("BEGIN:VEVENT")[2:]
    assert "RECURRENCE-ID:20260303T090000Z" in first
    assert "STATUS:CANCELLED" in first
    assert "RECURRENCE-ID;RANGE=THISANDFUTURE:20260304T090000Z" in following
    assert "DTSTART:20260304T110000Z" in following
    assert "STATUS" not in following
