"""Rooms that answer by a policy."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

from server.booking.policy import as_json, parse_policy
from server.domain.rooms import Room
from server.storage.directory import PrincipalChange, RelationChange
from tests.unit.services.conftest import BOTH_WAYS
from tests.unit.services.test_auto_schedule import MEETING, ROOM, answers
from tests.unit.services.test_implicit_scheduling import ANNA, BEN, CLEO, copies, items, line_of, meeting, unfolded
from tests.unit.services.test_invited_groups import team
from tests.unit.services.world import INSTALLATION, World, event

pytestmark = BOTH_WAYS
APRIL = "20260401T090000Z"
DAILY = "RRULE:FREQ=DAILY;COUNT=3"


async def hall(world: World, *, room: dict[str, Any] | None = None, **policy: Any) -> None:
    """A room with a policy."""
    made = Room(0, policy=as_json(parse_policy(policy)), **(room or {}))
    if "hall" not in world.ids:
        await world.add("hall", kind="room", room=made)
        return
    stored = (await world.storage.rooms([world.ids["hall"]]))[world.ids["hall"]]
    change = PrincipalChange(
        world.ids["hall"], room=Room(stored.principal_id, policy=made.policy, version=stored.version)
    )
    await world.directory.write_principals([change], INSTALLATION.cause)


async def block(world: World, start: str = APRIL, uid: str = "block") -> None:
    await world.put("cli", f"hall/calendar/{uid}.ics", event(uid, start=start))


async def ask(world: World, *lines: str, start: str = APRIL, who: str = "anna", to: str = ROOM) -> list[str]:
    """Invite the room, and what it answers."""
    text = meeting(ROOM, start=start, uid="m" if who == "anna" else f"m-{who}")
    if lines:
        text = text.replace("SUMMARY", "\r\n".join((*lines, "SUMMARY")))
    if who != "anna":
        text = text.replace(ANNA, f"urn:x-uid:id-{who}")
    await world.invite(who, f"{who}/calendar/m.ics", text)
    return answers(await world.text(who, f"{who}/calendar/m.ics"), to)


async def change(world: World, *pairs: tuple[str, str]) -> list[str]:
    """Change what the organizer has, and what the room answers then."""
    text = unfolded(await world.text("anna", MEETING))
    for before, after in pairs:
        assert before in text
        text = text.replace(before, after)
    await world.invite("anna", MEETING, text)
    return answers(await world.text("anna", MEETING))


async def said(world: World, who: str = "anna") -> list[str]:
    """COMMENT of the last answer in somebody's inbox, of each component."""
    texts = []
    for name in await world.names(f"{who}/inbox"):
        member = await world.member("cli", f"{who}/inbox/{name}")
        assert member is not None
        if "METHOD:REPLY" in (member.text or ""):
            texts.append((member.id, member.text))
    assert texts, "there is an answer"
    found = re.findall(r"COMMENT:(.*)", unfolded(max(texts)[1]))
    return [each.strip().replace("\\,", ",").replace("\\;", ";") for each in found]


async def room_copy(world: World) -> str:
    (copy,) = [each for each in await copies(world, "hall") if "UID:m\r\n" in each]
    return unfolded(copy)


async def delegate(world: World, name: str = "cleo") -> None:
    """Make somebody a delegate of the room who writes."""
    rights = RelationChange(world.ids["hall"], delegates=frozenset({(world.ids[name], "write")}))
    await world.directory.write_relations([rights], INSTALLATION.cause)


async def approve(world: World, partstat: str, who: str = "cleo", room: str = ROOM) -> None:
    """A delegate answers in the room's calendar."""
    for name in await world.names("hall/calendar"):
        text = unfolded(await world.text("cli", f"hall/calendar/{name}"))
        if "UID:m\r\n" in text:
            line = line_of(text, "ATTENDEE", room)
            answered = re.sub(";(PARTSTAT|RSVP)=[A-Z-]+", "", line).replace("ATTENDEE", f"ATTENDEE;PARTSTAT={partstat}")
            await world.invite(who, f"hall/calendar/{name}", text.replace(line, answered))


async def test_a_decline_says_why_and_when_the_room_is_free(world: World) -> None:
    await hall(world)
    await block(world)
    assert await ask(world) == ["DECLINED"]
    assert await said(world) == [
        "It is taken: Wednesday, 1 April 2026, 09:00 – 10:00 (UTC+00:00). "
        "Next free: Wednesday, 1 April 2026, 10:00 – 11:00 (UTC+00:00)."
    ]
    assert "COMMENT" not in await room_copy(world)


async def test_rooms_with_a_mode_alone_give_no_reason(world: World) -> None:
    await world.add("hall", kind="room", auto_schedule={"mode": "automatic"})
    await block(world)
    assert await ask(world) == ["DECLINED"]
    assert await said(world) == []


async def test_a_policy_counts_before_the_mode(world: World) -> None:
    await world.add("hall", kind="room", auto_schedule={"mode": "decline-always"})
    await hall(world)
    assert await ask(world) == ["ACCEPTED"]
    assert await said(world) == []


async def test_answers_have_the_additional_text_and_details_only_if_wanted(world: World) -> None:
    await hall(world, response_details=False, additional_response="Ask Cleo; she helps.")
    await block(world)
    assert await ask(world) == ["DECLINED"]
    assert await said(world) == ["Ask Cleo; she helps."]
    assert await ask(world, start="20260402T090000Z", who="ben") == ["ACCEPTED"]
    assert await said(world, "ben") == ["Ask Cleo; she helps."]


@pytest.mark.parametrize(
    ("policy", "lines", "reason"),
    [
        ({"booking_window_days": 30}, (), "It can be booked until Tuesday, 31 March 2026."),
        ({"max_duration_minutes": 30}, (), "A booking lasts at most 30 minutes."),
        ({"min_duration_minutes": 90}, (), "A booking lasts at least 90 minutes."),
        ({"allow_recurring": False}, (DAILY,), "It takes no recurring meetings."),
        ({"book_in_policy": "nobody"}, (), "You may not book it."),
        ({"capacity": "enforce"}, (f"ATTENDEE:{BEN}", f"ATTENDEE:{CLEO}"), "It is for 2 people; 3 are invited."),
    ],
)
async def test_each_rule_declines_with_its_reason(
    world: World, policy: dict[str, Any], lines: tuple[str, ...], reason: str
) -> None:
    await hall(world, room={"capacity": 2}, **policy)
    assert await ask(world, *lines) == ["DECLINED"]
    assert await said(world) == [reason]


async def test_too_many_people_are_a_warning(world: World) -> None:
    await hall(world, room={"capacity": 1})
    assert await ask(world, f"ATTENDEE:{BEN}") == ["ACCEPTED"]
    assert await said(world) == ["It is for 1 people; 2 are invited."]


async def test_a_room_is_booked_within_its_opening_times(world: World) -> None:
    opening = "\r\n".join(
        (
            "BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Test//EN", "BEGIN:VAVAILABILITY", "UID:o",
            "DTSTAMP:20260101T000000Z", "BEGIN:AVAILABLE", "UID:o1", "DTSTAMP:20260101T000000Z",
            "DTSTART;TZID=Europe/Berlin:20260105T080000", "DTEND;TZID=Europe/Berlin:20260105T180000",
            "RRULE:FREQ=DAILY", "END:AVAILABLE", "END:VAVAILABILITY", "END:VCALENDAR", "",
        )
    )  # fmt: skip
    await hall(world, opening_hours_only=True, room={"opening_times": opening, "time_zone": "Europe/Berlin"})
    assert await ask(world, start="20260401T160000Z") == ["DECLINED"]
    assert await said(world) == [
        "It is not open at this time. Next free: Thursday, 2 April 2026, 08:00 – 09:00 (Europe/Berlin, UTC+02:00)."
    ]
    assert await change(world, ("20260401T160000Z", "20260401T150000Z")) == ["ACCEPTED"]


async def test_who_may_book_is_named_by_people_and_groups(world: World) -> None:
    await team(world, "anna")
    await hall(world, book_in_policy=["team", "id-cleo"])
    assert await ask(world) == ["ACCEPTED"]
    assert await ask(world, start="20260402T090000Z", who="cleo") == ["ACCEPTED"]
    assert await ask(world, start="20260403T090000Z", who="ben") == ["DECLINED"]
    await team(world, "ben")
    assert await change(world, (APRIL, "20260405T090000Z")) == ["DECLINED"]


async def test_limits_of_conflicts_in_a_series(world: World) -> None:
    await hall(world)
    await block(world, "20260402T093000Z")
    assert await ask(world, DAILY) == ["DECLINED"]
    assert (await said(world))[0].startswith(
        "Too many instances of the series conflict with other bookings. It is taken: Thursday, 2 April 2026"
    )
    await world.cancel("anna", MEETING)
    await hall(world, conflict_percentage_allowed=34, max_conflict_instances=1)
    assert await ask(world, DAILY) == ["ACCEPTED", "DECLINED"]
    own, override = await said(world)
    assert own == "1 of 3 instances are declined: Thursday, 2 April 2026."
    assert override.startswith("It is taken: Thursday, 2 April 2026, 09:30 – 10:30")
    assert len(await items(world, "anna")) == 2, "one answer tells of all"


async def test_a_series_is_booked_as_far_as_the_window_reaches(world: World) -> None:
    await hall(world, booking_window_days=60)
    assert await ask(world, "RRULE:FREQ=WEEKLY") == ["ACCEPTED"]
    assert await said(world) == [
        "The series is booked until Thursday, 30 April 2026. Later instances may still be declined."
    ]
    late = "20260601T090000Z"
    assert await ask(world, "RRULE:FREQ=WEEKLY;COUNT=9", start=late, who="cleo") == ["DECLINED"]
    assert await said(world, "cleo") == ["It can be booked until Thursday, 30 April 2026."]
    await world.cancel("anna", MEETING)
    await hall(world, booking_window_days=60, beyond_window="decline")
    assert await ask(world, "RRULE:FREQ=WEEKLY") == ["DECLINED"]
    assert await ask(world, "RRULE:FREQ=WEEKLY;COUNT=2", who="ben") == ["ACCEPTED"]


@pytest.mark.parametrize(("days", "rule", "until"), [
    (None, "RRULE:FREQ=WEEKLY", "Wednesday, 1 March 2028"),
    (3650, "RRULE:FREQ=WEEKLY", "Wednesday, 1 March 2028"),
    (3650, "RRULE:FREQ=DAILY;COUNT=1100", "Wednesday, 1 March 2028"),
    (None, "RRULE:FREQ=HOURLY;INTERVAL=2", "Monday, 1 June 2026"),
])  # fmt: skip
async def test_what_is_not_stored_yet_is_not_said_to_be_booked(
    world: World, days: int | None, rule: str, until: str
) -> None:
    await hall(world, booking_window_days=days)
    assert await ask(world, rule) == ["ACCEPTED"]
    (said_now,) = await said(world)
    assert said_now == f"The series is booked until {until}. Later instances may still be declined."
    tables = world.memory.tables
    stored = [
        row.content.materialised.expanded_until
        for row in tables.objects.values()
        if tables.homes[row.home_id].principal_id == world.ids["hall"] and row.content.materialised is not None
    ]
    assert [f"{each:%-d %B %Y}" for each in stored if each is not None] == [until.partition(", ")[2]]


async def test_a_series_too_dense_to_be_stored_is_declined(world: World) -> None:
    await hall(world)
    start = meeting(ROOM, start=APRIL).replace("DURATION:PT1H", "DURATION:PT10M")
    text = start.replace("SUMMARY", "RRULE:FREQ=MINUTELY;INTERVAL=20;COUNT=20000\r\nSUMMARY")
    await world.invite("anna", MEETING, text)
    assert answers(await world.text("anna", MEETING)) == ["DECLINED"]
    assert await said(world) == ["The series has too many instances."]
    assert await ask(world, who="ben") == ["ACCEPTED"]


@pytest.mark.parametrize("tentative", [True, False])
async def test_what_waits_for_approval_is_answered_by_a_delegate(world: World, tentative: bool) -> None:
    await hall(world, book_in_policy="nobody", request_in_policy="everyone", tentative_while_pending=tentative)
    await delegate(world)
    pending = "TENTATIVE" if tentative else ""
    assert await ask(world) == [pending]
    assert answers(await room_copy(world)) == [pending or " transparent"]
    assert await items(world, "hall") == ["REQUEST"]
    if tentative:
        assert await said(world) == ["The request waits for approval."]
    else:
        assert await items(world, "anna") == []
    if tentative:
        other = await ask(world, who="ben")
        assert other == ["DECLINED"], "the time is kept"
    await approve(world, "ACCEPTED")
    if world.by_jobs:
        await world.run_jobs()
    assert answers(await world.text("anna", MEETING)) == ["ACCEPTED"]
    assert await items(world, "hall") == [], "nothing waits any more"
    # Another title asks nothing; stale copies of apps and a repeated question change nothing; another time asks anew.
    assert await change(world, ("SUMMARY:Plan", "SUMMARY:Other")) == ["ACCEPTED"]
    asking = line_of(await world.text("anna", MEETING), "ATTENDEE", ROOM)
    again = f"ATTENDEE;PARTSTAT=NEEDS-ACTION;RSVP=TRUE;SCHEDULE-FORCE-SEND=REQUEST:{ROOM}"
    for _ in range(2):
        assert await change(world, (asking, again)) == ["ACCEPTED"]
        asking = line_of(await world.text("anna", MEETING), "ATTENDEE", ROOM)
    assert await change(world, (APRIL, "20260402T090000Z")) == [pending or "NEEDS-ACTION"]


async def test_requests_stay_in_the_inbox_of_a_room_until_all_of_the_meeting_is_answered(world: World) -> None:
    await hall(world, book_in_policy="nobody", request_in_policy="everyone")
    await delegate(world)
    override = meeting(ROOM, start="20260402T110000Z").partition("BEGIN:VEVENT")[2].partition("END:VEVENT")[0]
    override = (
        f"BEGIN:VEVENT{override}".replace("SUMMARY", "RECURRENCE-ID:20260402T090000Z\r\nSUMMARY") + "END:VEVENT\r\n"
    )
    series = meeting(ROOM, start=APRIL).replace("SUMMARY", f"{DAILY}\r\nSUMMARY", 1)
    await world.invite("anna", MEETING, series.replace("END:VCALENDAR", f"{override}END:VCALENDAR"))
    assert await ask(world, who="ben", start="20260408T090000Z") == ["TENTATIVE"]
    assert await items(world, "hall") == ["REQUEST", "REQUEST"]
    (name,) = [
        each
        for each in await world.names("hall/calendar")
        if "UID:m\r\n" in (await world.text("cli", f"hall/calendar/{each}") or "")
    ]

    async def answer(component: int, partstat: str) -> None:
        parts = unfolded(await world.text("cli", f"hall/calendar/{name}")).split("BEGIN:VEVENT")
        line = line_of(parts[component], "ATTENDEE", ROOM)
        parts[component] = parts[component].replace(line, f"ATTENDEE;PARTSTAT={partstat}:{ROOM}")
        await world.invite("cleo", f"hall/calendar/{name}", "BEGIN:VEVENT".join(parts))

    await answer(1, "ACCEPTED")
    assert await items(world, "hall") == ["REQUEST", "REQUEST"], "an instance waits"
    await answer(2, "DECLINED")
    assert await items(world, "hall") == ["REQUEST"], "that of another meeting"


async def test_what_nobody_has_to_answer_leaves_the_inbox_of_a_room(world: World) -> None:
    await hall(world, book_in_policy=["ben"], request_in_policy="everyone")
    await delegate(world)
    assert await ask(world) == ["TENTATIVE"]
    assert await ask(world, who="cleo", start="20260405T090000Z") == ["TENTATIVE"]
    assert await ask(world, who="ben", start="20260408T090000Z") == ["ACCEPTED"]
    assert await items(world, "hall") == ["REQUEST", "REQUEST"]
    await world.cancel("anna", MEETING)
    assert await items(world, "hall") == ["REQUEST"], "it is cancelled"
    await hall(world, book_in_policy="everyone")
    text = unfolded(await world.text("cleo", "cleo/calendar/m.ics")).replace("20260405T", "20260406T")
    await world.invite("cleo", "cleo/calendar/m.ics", text)
    assert answers(await world.text("cleo", "cleo/calendar/m.ics")) == ["ACCEPTED"]
    assert await items(world, "hall") == []


async def test_the_delegate_may_delete_the_request_at_the_same_time(world: World) -> None:
    await hall(world, book_in_policy="nobody", request_in_policy="everyone")
    await delegate(world)
    assert await ask(world) == ["TENTATIVE"]
    (name,) = await world.names("hall/inbox")

    async def delete() -> None:
        await world.delete("cli", f"hall/inbox/{name}")

    world.meanwhile(delete)
    await approve(world, "ACCEPTED")
    assert answers(await world.text("anna", MEETING)) == ["ACCEPTED"]
    assert await items(world, "hall") == []


async def test_a_request_out_of_policy_waits_for_those_who_may_ask(world: World) -> None:
    await hall(world, max_duration_minutes=30, request_out_of_policy=["anna"])
    assert await ask(world) == ["TENTATIVE"]
    assert await said(world) == ["The request waits for approval. A booking lasts at most 30 minutes."]
    assert await ask(world, who="ben", start="20260402T090000Z") == ["DECLINED"]


async def test_nothing_is_answered_without_automation(world: World) -> None:
    for automation, left in (("none", ["STATUS:CANCELLED"]), ("update", [])):
        await hall(world, automation=automation)
        assert await ask(world) == [""]
        assert (await items(world, "hall"))[-1] == "REQUEST"
        await world.cancel("anna", MEETING)
        assert re.findall("STATUS:.*D", "".join(await copies(world, "hall"))) == left
        for name in await world.names("hall/calendar"):
            await world.delete("cli", f"hall/calendar/{name}")


async def test_the_copy_of_a_room_keeps_what_its_policy_strips_to_itself(world: World) -> None:
    stripped = ("strip_body", "strip_attachments", "organizer_in_subject")
    await hall(world, **dict.fromkeys(stripped, True))
    secret = "DESCRIPTION:secret", "ATTACH:https://example.org/secret", "CLASS:PRIVATE", DAILY
    assert await ask(world, *secret, f"ATTENDEE:{BEN}") == ["ACCEPTED"]
    own = unfolded(await world.text("anna", MEETING))
    assert all(line in own for line in (*secret, "SUMMARY:Plan"))

    async def check(title: str) -> None:
        copy = await room_copy(world)
        assert "secret" not in copy
        assert "CLASS:PRIVATE" in copy
        assert set(re.findall("SUMMARY:(.*)\r", copy)) == {title}

    await check("anna: Plan")
    # Neither an answer of somebody else nor an override brings it back.
    for name in await world.names("ben/calendar"):
        text = unfolded(await world.text("ben", f"ben/calendar/{name}"))
        line = line_of(text, "ATTENDEE", BEN)
        await world.invite("ben", f"ben/calendar/{name}", text.replace(line, f"ATTENDEE;PARTSTAT=ACCEPTED:{BEN}"))
    if world.by_jobs:
        await world.run_jobs()
    await check("anna: Plan")
    override = (
        "BEGIN:VEVENT\r\nUID:m\r\nRECURRENCE-ID:20260402T090000Z\r\nDTSTART:20260402T110000Z\r\nDURATION:PT1H\r\n"
    )
    people = f"DTSTAMP:20260101T000000Z\r\nORGANIZER:{ANNA}\r\nATTENDEE:{ANNA}\r\nATTENDEE:{ROOM}\r\n"
    more = f"{override}{people}SUMMARY:Plan\r\nDESCRIPTION:secret\r\nEND:VEVENT\r\nEND:VCALENDAR"
    assert await change(world, ("END:VCALENDAR", more)) == ["ACCEPTED", "ACCEPTED"]
    await check("anna: Plan")
    await hall(world, strip_subject=True)
    await change(world, ("SUMMARY:Plan", "SUMMARY:Other"))
    assert "SUMMARY" not in await room_copy(world)


async def test_a_room_answers_what_asks_it(world: World) -> None:
    await hall(world)
    await block(world)
    assert await ask(world) == ["DECLINED"]
    for name in await world.names("hall/calendar"):
        if "UID:block" in (await world.text("cli", f"hall/calendar/{name}") or ""):
            await world.delete("cli", f"hall/calendar/{name}")
    assert await change(world, ("SUMMARY:Plan", "SUMMARY:Other")) == ["DECLINED"], "nobody asks"
    line = line_of(await world.text("anna", MEETING), "ATTENDEE", ROOM)
    forced = f"ATTENDEE;PARTSTAT=NEEDS-ACTION;SCHEDULE-FORCE-SEND=REQUEST:{ROOM}"
    assert await change(world, (line, forced)) == ["ACCEPTED"], "SCHEDULE-FORCE-SEND asks"
    assert await change(world, ("SUMMARY:Other", f"{DAILY}\r\nSUMMARY:Other")) == ["ACCEPTED"]
    await block(world, "20260404T090000Z", "other")
    assert await change(world, ("COUNT=3", "COUNT=5")) == ["DECLINED"], "added instances ask"
    await hall(world, max_conflict_instances=1, conflict_percentage_allowed=None)
    assert await change(world, ("COUNT=5", "COUNT=6")) == ["ACCEPTED", "DECLINED"]


async def test_a_moved_meeting_that_no_longer_fits_leaves_its_time(world: World) -> None:
    await hall(world)
    assert await ask(world) == ["ACCEPTED"]
    assert await ask(world, who="ben", start="20260401T110000Z") == ["ACCEPTED"]
    assert await change(world, (APRIL, "20260401T103000Z")) == ["DECLINED"]
    assert answers(await room_copy(world)) == ["DECLINED transparent"]
    assert await ask(world, who="cleo") == ["ACCEPTED"], "the old time is free"


@pytest.mark.parametrize("end", ["DTEND:20260401T090000Z", "DTEND:20260401T080000Z", "DURATION:PT0S"])
async def test_times_without_length_book_nothing_and_are_declined(world: World, end: str) -> None:
    await hall(world)
    text = meeting(ROOM, start=APRIL).replace("DURATION:PT1H", end)
    await world.invite("anna", MEETING, text)
    assert answers(await world.text("anna", MEETING)) == ["DECLINED"]
    assert await said(world) == ["The meeting has no duration."]


async def test_what_is_over_is_not_answered(world: World) -> None:
    await hall(world)
    assert await ask(world, start="20260201T090000Z") == [""]
    assert await ask(world, "RRULE:FREQ=WEEKLY;COUNT=9", start="20260201T090000Z", who="ben") == ["ACCEPTED"]


async def test_buffers_lie_between_the_instances_of_a_request(world: World) -> None:
    policy = {"conflict_percentage_allowed": None, "max_conflict_instances": None}
    await hall(world, room={"buffer_after": timedelta(minutes=30)}, **policy)
    assert await ask(world, "RDATE:20260401T101500Z,20260401T120000Z") == ["ACCEPTED", "DECLINED"]


async def test_delegates_are_told_by_mail_of_what_waits_for_them(world: World) -> None:
    await world.add("dora", addresses=("dora@example.com",))
    await world.directory.write_principals(
        [PrincipalChange(world.ids["anna"], display_name="Anna")], INSTALLATION.cause
    )
    await hall(world, book_in_policy=["ben"], request_in_policy="everyone")
    change_of_address = PrincipalChange(world.ids["hall"], addresses=("hall@example.com",))
    await world.directory.write_principals([change_of_address], INSTALLATION.cause)
    await delegate(world, "dora")
    address = "mailto:hall@example.com"
    assert await ask(world, start="20260405T090000Z", who="ben", to=address) == ["ACCEPTED"]
    await world.run_jobs()
    assert world.mails == [], "nothing waits"
    assert await ask(world, to=address) == ["TENTATIVE"]
    await world.run_jobs()
    assert [mail.recipient for mail in world.mails] == ["dora@example.com"]
    await hall(world, book_in_policy="nobody", request_in_policy="everyone", forward_to_delegates=False)
    await world.cancel("anna", MEETING)
    assert await ask(world, to=address) == ["TENTATIVE"]
    await world.run_jobs()
    assert len(world.mails) == 1


async def test_transparency_follows_the_answer(world: World) -> None:
    await hall(world)
    assert await ask(world, "TRANSP:TRANSPARENT") == ["ACCEPTED transparent"], "of the organizer's own"
    assert answers(await room_copy(world)) == ["ACCEPTED"]
    assert await ask(world, who="ben") == ["DECLINED"]
    await delegate(world)
    for partstat, is_free in (("DECLINED", True), ("TENTATIVE", False), ("DECLINED", True), ("ACCEPTED", False)):
        await approve(world, partstat)
        assert answers(await room_copy(world)) == [f"{partstat} transparent" if is_free else partstat]
    # What the app of a delegate says of the time does not count.
    (name,) = [
        each for each in await world.names("hall/calendar")
        if "UID:m\r\n" in (await world.text("cli", f"hall/calendar/{each}") or "")
    ]  # fmt: skip
    text = unfolded(await world.text("cli", f"hall/calendar/{name}"))
    await world.invite("cleo", f"hall/calendar/{name}", text.replace("SUMMARY", "TRANSP:TRANSPARENT\r\nSUMMARY"))
    assert answers(await room_copy(world)) == ["ACCEPTED"]


async def test_a_decline_names_a_free_room_like_it_that_the_organizer_may_book(world: World) -> None:
    there = {"building": "North", "capacity": 8, "features": frozenset({"video"})}
    for name, room in {
        "attic": {**there, "policy": {"automation": "accept", "book_in_policy": ["ben"]}},
        "barn": {**there, "capacity": 10},
        "cave": {**there, "building": "South"},
        "den": {**there, "features": frozenset()},
    }.items():
        await world.add(name, kind="room", display_name=name.title(), room=Room(0, **room))
    await hall(world, room=there)
    await block(world)
    assert await ask(world) == ["DECLINED"]
    assert (await said(world))[0].endswith("Free at this time: Barn.")
    assert await ask(world, who="ben") == ["DECLINED"]
    assert (await said(world, "ben"))[0].endswith("Free at this time: Attic.")
    await world.put("cli", "barn/calendar/b.ics", event("b", start=APRIL))
    assert await ask(world, who="cleo") == ["DECLINED"]
    assert "Free at" not in (await said(world, "cleo"))[0]


@pytest.mark.parametrize(
    ("rule", "day"), [("RRULE:FREQ=WEEKLY", "20260603"), ("RRULE:FREQ=YEARLY;COUNT=9", "20310401")]
)
async def test_what_is_taken_far_ahead_is_declined_alone(world: World, rule: str, day: str) -> None:
    await hall(world, booking_window_days=60)
    await block(world, f"{day}T093000Z")
    assert await ask(world, rule) == ["ACCEPTED", "DECLINED"]
    assert f"RECURRENCE-ID:{day}T090000Z" in unfolded(await world.text("anna", MEETING))
