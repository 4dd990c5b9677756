"""Bookings of rooms that nobody checks in."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.policy import default
from typing import Any

import pytest
import pytest_asyncio

from server.booking.policy import as_json, parse_policy
from server.domain.errors import AccessDenied, InvalidPrincipal, NotFound, Unavailable
from server.domain.rooms import Room, RoomSearch
from server.services.rooms.checking_in import CheckingIn
from server.services.rooms.no_shows import NoShows
from server.services.rooms.reporting import report
from server.services.rooms.settings import RoomSettings
from server.services.scheduling.implicit import Scheduling
from server.services.scheduling.sent import Sent
from server.storage.directory import PrincipalChange
from tests.unit.services.conftest import BOTH_WAYS
from tests.unit.services.test_auto_schedule import MEETING, ROOM, answers
from tests.unit.services.test_implicit_scheduling import ANNA, BEN, copies, meeting, unfolded
from tests.unit.services.test_room_policies import approve, delegate, said
from tests.unit.services.world import INSTALLATION, NOW, World, event

DAY = datetime(2026, 4, 1, tzinfo=UTC)
NINE = DAY + timedelta(hours=9)
HALL = "mailto:hall@example.com"
MINUTE = timedelta(minutes=1)
RELEASES = {"check_in": "panel", "release_no_shows": True, "no_show_notice_minutes": None}


class Hall:
    """A room that releases what nobody checks in, and a clock."""

    def __init__(self, world: World) -> None:
        self.world, self.now = world, NOW
        settings = RoomSettings()
        self.scheduling = Scheduling(world.storage, world.objects, world.limits, now=lambda: self.now)
        self.no_shows = NoShows(self.scheduling, settings, now=lambda: self.now)
        self.checking_in = CheckingIn(world.storage, settings, lambda: self.now)

    async def set(self, **policy: Any) -> None:
        made = Room(0, policy=as_json(parse_policy({**RELEASES, **policy})))
        await self.world.add("hall", kind="room", room=made, addresses=("hall@example.com",), display_name="Hall")

    async def book(self, *lines: str, hours: int = 1, start: str = "20260401T090000Z") -> None:
        text = meeting(ROOM, start=start).replace("DURATION:PT1H", f"DURATION:PT{hours}H")
        await self.put(text.replace("SUMMARY", "\r\n".join((*lines, "SUMMARY"))) if lines else text)

    async def put(self, text: str) -> None:
        found = await self.world.find("anna", MEETING)
        await self.scheduling.put(await self.world.actor("anna"), found, text.encode(), Sent())

    async def change(self, before: str, after: str) -> None:
        text = unfolded(await self.world.text("anna", MEETING))
        assert before in text
        await self.put(text.replace(before, after))

    async def at(self, now: datetime) -> int:
        """What the job releases then."""
        self.now = now
        return await self.no_shows.release_due()

    async def taken(self) -> list[tuple[str, str]]:
        """The hours that are reserved."""
        rows = self.world.memory.storage.reserved()  # type: ignore[attr-defined]
        return sorted((f"{each.start:%d %H:%M}", f"{each.end:%H:%M}") for each in rows)

    async def check_in(self, now: datetime) -> str:
        self.now = now
        return (await self.checking_in.check_in_room(INSTALLATION, self.world.directory, "hall")).state

    async def copy(self) -> str:
        (found,) = [each for each in await copies(self.world, "hall") if "UID:m\r\n" in each]
        return unfolded(found)


@pytest_asyncio.fixture(loop_scope="session")
async def hall(world: World) -> Hall:
    world.memory.tables.clock = lambda: NOW
    anna = PrincipalChange(world.ids["anna"], addresses=("anna@example.com",))
    await world.directory.write_principals([anna], INSTALLATION.cause)
    return Hall(world)


async def test_a_booking_that_nobody_checks_in_is_released(hall: Hall) -> None:
    await hall.set()
    await hall.book()
    before = await hall.world.text("anna", MEETING)
    assert await hall.at(NINE + 14 * MINUTE) == 0
    assert await hall.at(NINE + 15 * MINUTE) == 1
    assert await hall.taken() == [("01 09:00", "09:15")]
    assert await hall.world.text("anna", MEETING) == before, "the organizer keeps the meeting"
    assert await hall.at(NINE + 16 * MINUTE) == 0
    await hall.world.run_jobs()
    (mail,) = hall.world.mails
    read = message_from_bytes(mail.message, policy=default)
    assert (mail.recipient, read["Subject"]) == ("anna@example.com", "Released: Hall, Plan")
    assert "09:00 – 10:00" in read.get_content()  # type: ignore[attr-defined]


async def test_others_book_the_released_time(hall: Hall) -> None:
    await hall.set()
    await hall.book()
    await hall.at(NINE + 20 * MINUTE)
    other = meeting(ROOM, start="20260401T092000Z", uid="other").replace(ANNA, BEN)
    await hall.world.invite("ben", "ben/calendar/other.ics", other)
    assert answers(await hall.world.text("ben", "ben/calendar/other.ics"), HALL) == ["ACCEPTED"]
    await hall.change("SUMMARY:Plan", "SUMMARY:Other plan")
    assert "SUMMARY:Other plan" in await hall.copy()
    assert await hall.taken() == [("01 09:00", "09:20"), ("01 09:20", "10:20")], "an update does not take it back"


async def test_what_is_checked_in_stays(hall: Hall) -> None:
    await hall.set()
    await hall.book()
    assert await hall.check_in(NINE - 121 * MINUTE) == "nothing"
    assert await hall.check_in(NINE - 120 * MINUTE) == "checked_in"
    assert await hall.check_in(NINE) == "checked_in"
    assert await hall.at(NINE + 30 * MINUTE) == 0
    assert await hall.taken() == [("01 09:00", "10:00")]


async def test_a_released_booking_is_not_checked_in(hall: Hall) -> None:
    await hall.set()
    await hall.book()
    await hall.at(NINE + 15 * MINUTE)
    assert await hall.check_in(NINE + 15 * MINUTE) == "nothing"


async def test_the_next_booking_is_checked_in_after_the_present_one(hall: Hall) -> None:
    await hall.set()
    await hall.book("RRULE:FREQ=HOURLY;COUNT=2")
    assert await hall.check_in(NINE - MINUTE) == "checked_in"
    assert await hall.at(NINE + 20 * MINUTE) == 0
    assert await hall.check_in(NINE + 20 * MINUTE) == "checked_in"
    assert await hall.at(NINE + 80 * MINUTE) == 0


async def test_a_check_in_belongs_to_the_times_of_an_instance(hall: Hall) -> None:
    await hall.set()
    await hall.book()
    assert await hall.check_in(NINE - MINUTE) == "checked_in"
    hall.now = NINE
    await hall.change("DTSTART:20260401T090000Z", "DTSTART:20260401T130000Z")
    assert await hall.at(NINE + timedelta(hours=4, minutes=15)) == 1
    assert await hall.taken() == [("01 13:00", "13:15")]


async def test_one_that_is_longer_now_stays_checked_in(hall: Hall) -> None:
    await hall.set()
    await hall.book()
    assert await hall.check_in(NINE) == "checked_in"
    await hall.change("DURATION:PT1H", "DURATION:PT2H")
    assert await hall.at(NINE + 30 * MINUTE) == 0
    assert await hall.taken() == [("01 09:00", "11:00")]


async def test_a_released_meeting_that_is_moved_is_a_new_booking(hall: Hall) -> None:
    await hall.set()
    await hall.book()
    await hall.at(NINE + 15 * MINUTE)
    await hall.change("DTSTART:20260401T090000Z", "DTSTART:20260402T090000Z")
    assert await hall.taken() == [("02 09:00", "10:00")]
    assert "X-KOYOMI-NO-SHOW" not in await hall.copy()


@pytest.mark.parametrize(
    ("policy", "hours"),
    [
        ({"release_no_shows": False}, 1),
        ({}, 8),
        ({"no_show_spares_from_minutes": 60}, 1),
        ({"no_show_notice_minutes": 60 * 24 * 40}, 1),
        ({"no_show_exempt": ["anna"]}, 1),
        ({"no_show_exempt": "everyone"}, 1),
        ({"check_in": "link"}, 1),
    ],
)
async def test_what_the_policy_spares_stays(hall: Hall, policy: dict[str, Any], hours: int) -> None:
    """With `link`, nobody was sent one: no job has run."""
    await hall.set(**policy)
    await hall.book(hours=hours)
    assert await hall.at(NINE + 20 * MINUTE) == 0
    assert await hall.taken() == [("01 09:00", f"{9 + hours:02}:00")]
    assert not hall.world.memory.tables.check_ins


async def test_whole_days_and_what_is_no_meeting_stay(hall: Hall) -> None:
    await hall.set(no_show_spares_from_minutes=None)
    text = meeting(ROOM).replace("DTSTART:20260301T090000Z\r\nDURATION:PT1H", "DTSTART;VALUE=DATE:20260401")
    await hall.put(text)
    await hall.world.put("cli", "hall/calendar/own.ics", event("own", start="20260402T090000Z"))
    assert await hall.at(NINE) == 0
    assert await hall.at(NINE + timedelta(days=1, minutes=20)) == 0
    assert not hall.world.memory.tables.check_ins


async def test_a_room_leaves_a_series_that_was_missed_too_often(hall: Hall) -> None:
    await hall.set(no_shows_in_series=2, additional_response="Ask Cleo.")
    await hall.book("RRULE:FREQ=DAILY;COUNT=5")
    assert await hall.check_in(NINE) == "checked_in"
    for day in (1, 2):
        assert await hall.at(NINE + timedelta(days=day, minutes=15)) == 1
    assert await hall.taken() == [("01 09:00", "10:00"), ("02 09:00", "09:15"), ("03 09:00", "09:15")]
    master, *_ = answers(await hall.world.text("anna", MEETING), HALL)
    assert master == "DECLINED"
    assert (await said(hall.world))[0] == "Nobody has checked in 2 times in a row. Ask Cleo."
    assert await hall.at(NINE + timedelta(days=3, minutes=15)) == 0


async def test_a_check_in_between_begins_the_count_anew(hall: Hall) -> None:
    await hall.set(no_shows_in_series=2)
    await hall.book("RRULE:FREQ=DAILY;COUNT=5")
    assert await hall.at(NINE + 15 * MINUTE) == 1
    assert await hall.check_in(NINE + timedelta(days=1)) == "checked_in"
    assert await hall.at(NINE + timedelta(days=2, minutes=15)) == 1
    assert answers(await hall.world.text("anna", MEETING), HALL) == ["ACCEPTED"]
    assert len(await hall.taken()) == 5


@pytest.mark.parametrize("steps", [0, 1])
async def test_a_run_that_was_broken_off_is_completed(hall: Hall, steps: int) -> None:
    """After the booking became a no-show, or after the room has left the series."""
    await hall.set(no_shows_in_series=1)
    await hall.book("RRULE:FREQ=DAILY;COUNT=3")
    whole = hall.scheduling.objects.put, hall.scheduling.put

    async def broken(*_: object, **__: object) -> Any:
        raise Unavailable("The database is away.")

    hall.scheduling.objects.put = broken  # type: ignore[method-assign]
    if not steps:
        hall.scheduling.put = broken  # type: ignore[method-assign]
    assert await hall.at(NINE + 15 * MINUTE) == 0
    hall.scheduling.objects.put, hall.scheduling.put = whole  # type: ignore[method-assign]
    assert await hall.at(NINE + 16 * MINUTE) == 1
    assert await hall.taken() == [("01 09:00", "09:16")]
    assert sum(job.kind == "rooms.released" for job in hall.world.memory.tables.jobs) == 1
    assert answers(await hall.world.text("anna", MEETING), HALL)[0] == "DECLINED"


async def test_the_link_of_the_mail_checks_in(hall: Hall) -> None:
    await hall.set(check_in="link")
    await hall.book("RRULE:FREQ=DAILY;COUNT=2")
    await hall.world.run_jobs()
    (mail,) = hall.world.mails
    assert mail.recipient == "anna@example.com"
    text = message_from_bytes(mail.message, policy=default).get_content()  # type: ignore[attr-defined]
    found = re.search(r"https://cal\.example/koyomi/check-in/(\S+)", text)
    assert found is not None
    token = found[1]
    assert (await hall.checking_in.by_link(token)).state == "too_early"
    assert (await hall.checking_in.check_in_by_link(token)).state == "too_early"
    hall.now = NINE - MINUTE
    assert (await hall.checking_in.by_link(token)).state == "open"
    assert (await hall.checking_in.by_link(token)).state == "open", "looking checks nothing in"
    assert (await hall.checking_in.check_in_by_link(token)).state == "checked_in"
    assert (await hall.checking_in.by_link(token)).state == "checked_in"
    assert await hall.at(NINE + 15 * MINUTE) == 0
    assert await hall.at(NINE + timedelta(days=1, minutes=15)) == 1
    assert (await hall.checking_in.by_link(token)).state == "nothing"
    hall.now = NINE + timedelta(days=1, minutes=61)
    with pytest.raises(NotFound):
        await hall.checking_in.by_link(token)


@BOTH_WAYS
async def test_a_link_is_mailed_whoever_delivers_the_invitation(hall: Hall) -> None:
    await hall.set(check_in="link")
    await hall.world.invite("anna", MEETING, meeting(ROOM, start="20260401T090000Z"))
    await hall.world.run_jobs()
    assert [mail.recipient for mail in hall.world.mails] == ["anna@example.com"]


async def test_a_link_is_sent_again_when_the_meeting_outlives_it(hall: Hall) -> None:
    await hall.set(check_in="link")
    await hall.book()
    await hall.world.run_jobs()
    await hall.change("DTSTART:20260401T090000Z", "DTSTART:20260401T080000Z")
    await hall.world.run_jobs()
    assert len(hall.world.mails) == 1, "the link is valid still"
    await hall.change("DTSTART:20260401T080000Z", "DTSTART:20260403T080000Z")
    await hall.world.run_jobs()
    assert len(hall.world.mails) == 2


async def test_organizers_elsewhere_get_the_same_mails(hall: Hall) -> None:
    await hall.set(check_in="link")
    lines = "ORGANIZER:mailto:out@elsewhere.example", "ATTENDEE;PARTSTAT=ACCEPTED:mailto:hall@example.com"
    await hall.world.put("cli", "hall/calendar/m.ics", event("m", *lines, start="20260401T090000Z"))
    (booking,) = await hall.world.storage.bookings_to_check_in(hall.world.ids["hall"], NINE, NINE)
    place = booking.id.home_id, booking.id.object_id
    assert await hall.world.check_in_mails.send_link(*place, 0, 1)
    times = int(booking.id.start.timestamp()), int(booking.id.end.timestamp())
    assert await hall.world.check_in_mails.tell_released(*place, *times, 2)
    assert [mail.recipient for mail in hall.world.mails] == ["out@elsewhere.example"] * 2


@pytest.mark.parametrize("tentative", [True, False])
@BOTH_WAYS
async def test_what_a_delegate_approves_has_a_link(hall: Hall, tentative: bool) -> None:
    asks = {"book_in_policy": "nobody", "request_in_policy": "everyone", "tentative_while_pending": tentative}
    await hall.set(check_in="link", forward_to_delegates=False, **asks)
    await delegate(hall.world)
    await hall.world.invite("anna", MEETING, meeting(ROOM, start="20260401T090000Z"))
    await hall.world.run_jobs()
    assert len(hall.world.mails) == tentative, "what is tentative has the time already"
    await approve(hall.world, "ACCEPTED", room=HALL)
    await hall.world.run_jobs()
    assert [mail.recipient for mail in hall.world.mails] == ["anna@example.com"], "one mail is enough"
    assert await hall.at(NINE + 20 * MINUTE) == 1, "nobody has used it"


@BOTH_WAYS
async def test_what_a_delegate_declines_has_no_link(hall: Hall) -> None:
    asks = {"book_in_policy": "nobody", "request_in_policy": "everyone", "tentative_while_pending": False}
    await hall.set(check_in="link", forward_to_delegates=False, **asks)
    await delegate(hall.world)
    await hall.world.invite("anna", MEETING, meeting(ROOM, start="20260401T090000Z"))
    await approve(hall.world, "DECLINED", room=HALL)
    await hall.world.run_jobs()
    assert hall.world.mails == []


async def test_check_in_by_name_needs_a_policy_and_an_administrator(hall: Hall) -> None:
    await hall.set(check_in="off", release_no_shows=False)
    with pytest.raises(InvalidPrincipal, match="no check_in"):
        await hall.check_in(NINE)
    with pytest.raises(AccessDenied):
        await hall.checking_in.check_in_room(await hall.world.actor("anna"), hall.world.directory, "hall")


async def test_reports_count_no_shows(hall: Hall) -> None:
    await hall.set()
    await hall.book()
    await hall.at(NINE + 15 * MINUTE)
    _, found = await report(hall.world.storage, INSTALLATION, RoomSearch(), DAY, DAY + timedelta(days=1))
    usage = found.rooms["id-hall"]
    assert (usage.bookings, usage.no_shows, usage.booked) == (1, 1, 15 * MINUTE)
    assert [hour for hour, each in found.hours.items() if each.no_shows] == [9]
