"""Check-ins on PostgreSQL: what is due, and what becomes of a booking when several things happen at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from server.booking.policy import as_json, parse_policy
from server.domain.actors import Actor
from server.domain.errors import Unavailable
from server.domain.limits import Limits
from server.domain.objects import Target
from server.domain.privileges import Privilege
from server.domain.rooms import Room, RoomSearch
from server.services.lookup import Lookup
from server.services.mail.settings import MailSettings
from server.services.mail.transport import Mail
from server.services.objects import Objects
from server.services.rooms.check_in_mails import CheckInMails
from server.services.rooms.checking_in import CheckingIn
from server.services.rooms.no_shows import NoShows
from server.services.rooms.reporting import report
from server.services.rooms.settings import RoomSettings
from server.services.scheduling.implicit import Scheduling
from server.services.scheduling.sent import Sent
from server.storage.directory import PrincipalChange
from storage_plugins.postgres.directory import PostgresDirectory
from storage_plugins.postgres.storage import PostgresStorage
from storage_plugins.postgres.upkeep.check import check
from storage_plugins.postgres.upkeep.pruning import forget_check_ins
from tests.integration.storage.values import etag_of

CLI = Actor(None, "test")
NINE = datetime(2050, 3, 1, 9, tzinfo=UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


class Hall:
    """A hall of two halves with a policy of its own, who books it, and a clock."""

    def __init__(self, storage: PostgresStorage) -> None:
        self.storage, self.directory, self.now = storage, PostgresDirectory(storage.database), NINE - DAY
        self.lookup, limits, settings = Lookup(storage), Limits(), RoomSettings()
        self.scheduling = Scheduling(storage, Objects(storage, limits, self.clock), limits, now=self.clock)
        self.no_shows = NoShows(self.scheduling, settings, now=self.clock)
        self.checking_in = CheckingIn(storage, settings, self.clock)
        self.mails: list[Mail] = []
        self.check_in_mails = CheckInMails(
            storage, MailSettings(address="cal@example.com"), settings, "https://cal.example", self, self.clock
        )

    def clock(self) -> datetime:
        return self.now

    async def send(self, mail: Mail) -> None:
        self.mails.append(mail)

    async def open(self) -> None:
        policy = as_json(
            parse_policy(
                {
                    "check_in": "link",
                    "release_no_shows": True,
                    "booking_window_days": None,
                    "no_shows_in_series": 2,
                }
            )
        )
        hall = PrincipalChange(uid="id-hall", kind="room", name="hall", room=Room(0, policy=policy))
        anna = PrincipalChange(kind="individual", name="anna", addresses=("anna@example.com",))
        self.id, person = await self.directory.write_principals([hall, anna], CLI.cause)
        halves = [PrincipalChange(kind="room", name=f"half{n}", room=Room(0, parent=self.id)) for n in (1, 2)]
        await self.directory.write_principals(halves, CLI.cause)
        self.anna = Actor((await self.storage.resolve(person, None)).viewer, "test")

    async def book(self, *lines: str, start: datetime = NINE, name: str = "m", sequence: int = 0) -> None:
        event = (
            *("BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Test//EN", "BEGIN:VEVENT", f"UID:{name}"),
            *("DTSTAMP:20270101T000000Z", f"DTSTART:{start:%Y%m%dT%H%M%SZ}", "DURATION:PT1H", f"SEQUENCE:{sequence}"),
            *(
                "SUMMARY:Plan",
                "ORGANIZER:mailto:anna@example.com",
                "ATTENDEE;PARTSTAT=ACCEPTED:mailto:anna@example.com",
            ),
            *("ATTENDEE;CUTYPE=ROOM:urn:x-uid:id-hall", *lines, "END:VEVENT", "END:VCALENDAR", ""),
        )
        place = Target("anna", "individual", "calendar", "calendar", f"{name}.ics")
        found = await self.lookup.find(self.anna, place, Privilege.READ)
        await self.scheduling.put(self.anna, found, "\r\n".join(event).encode(), Sent())

    async def run_jobs(self) -> int:
        """Run the jobs about check-ins, and return their number."""
        rows = await self.storage.database.fetch(
            "delete from job where kind in ('rooms.check_in_link', 'rooms.released') returning id, kind, payload"
        )
        for id_, kind, ids in rows:
            if kind == "rooms.released":
                await self.check_in_mails.tell_released(ids["home"], ids["object"], ids["start"], ids["end"], id_)
            else:
                await self.check_in_mails.send_link(ids["home"], ids["object"], ids.get("name", 0), id_)
        return len(rows)

    async def at(self, now: datetime) -> int:
        self.now = now
        return await self.no_shows.release_due()

    async def taken(self) -> list[tuple[datetime, datetime]]:
        rows = await self.storage.booked(self.id, NINE - DAY, NINE + 30 * DAY)
        return sorted((start, end) for row in rows for start, end, _ in row.times)

    async def states(self) -> list[tuple[Any, ...]]:
        return [
            tuple(row) for row in await self.storage.database.fetch("select starts_at, state from check_in order by 1")
        ]


@pytest_asyncio.fixture(loop_scope="session")
async def hall(database: str) -> AsyncIterator[Hall]:
    async with PostgresStorage(database, notify=False) as storage:
        made = Hall(storage)
        await made.open()
        yield made


async def test_a_booking_is_released_and_told(hall: Hall) -> None:
    await hall.book()
    assert await hall.run_jobs() == 1
    assert await hall.at(NINE + 14 * MINUTE) == 0
    assert await hall.at(NINE + 15 * MINUTE) == 1
    assert await hall.at(NINE + 16 * MINUTE) == 0
    assert await hall.taken() == [(NINE, NINE + 15 * MINUTE)]
    assert await hall.states() == [(NINE, "NO_SHOW")]
    assert await hall.run_jobs() == 1
    assert [each.recipient for each in hall.mails] == ["anna@example.com"] * 2
    assert len({each.name for each in hall.mails}) == 2
    await hall.book(name="other", start=NINE + 15 * MINUTE)
    assert len(await hall.taken()) == 2
    _, found = await report(hall.storage, CLI, RoomSearch(), NINE - DAY, NINE + DAY)
    assert {uid: usage.no_shows for uid, usage in found.rooms.items()}["id-hall"] == 1
    assert all(usage.no_shows == 1 for usage in found.rooms.values()), "the halves were booked with the hall"
    assert not [each async for each in check(hall.storage.database, etag_of)]


async def test_without_a_link_nothing_is_released(hall: Hall) -> None:
    await hall.book()
    assert await hall.at(NINE + 15 * MINUTE) == 0
    assert await hall.states() == []


async def test_a_moved_booking_is_checked_in_anew_by_the_same_link(hall: Hall) -> None:
    await hall.book()
    await hall.run_jobs()
    token = hall.mails[0].message.decode().replace("=\r\n", "").partition("/check-in/")[2].split()[0]
    hall.now = NINE - MINUTE
    assert (await hall.checking_in.check_in_by_link(token)).state == "checked_in"
    await hall.book(start=NINE - 30 * MINUTE, sequence=1)
    assert (await hall.checking_in.by_link(token)).state == "open"
    assert (await hall.checking_in.check_in_by_link(token)).state == "checked_in"
    assert await hall.at(NINE) == 0
    await hall.book(start=NINE + DAY, sequence=2)
    await hall.run_jobs()
    assert len(hall.mails) == 2, "the meeting outlives the first link"
    assert await hall.at(NINE + DAY + 15 * MINUTE) == 1


async def test_whoever_is_first_decides(hall: Hall) -> None:
    """A check-in, a release and a move of the organizer at once."""
    for number in range(8):
        day = NINE + number * DAY
        await hall.book(name=f"m{number}", start=day)
        await hall.run_jobs()
        hall.now = day + 15 * MINUTE
        (booking,) = await hall.storage.bookings_to_check_in(hall.id, hall.now, hall.now)
        acts = [hall.storage.check_in(booking.id, hall.now), hall.storage.miss(booking.id, hall.now)]
        if number % 2:
            acts.reverse()
        moved = hall.book(name=f"m{number}", start=day + 5 * MINUTE, sequence=1)
        one, other, _ = await asyncio.gather(*acts, moved)
        assert {one, other} in ({"CHECKED_IN"}, {"NO_SHOW"}, {None}, {"CHECKED_IN", None}, {"NO_SHOW", None})
        rows = await hall.storage.database.fetch(
            "select state from check_in where object_id = $1", booking.id.object_id
        )
        assert len(rows) <= 1
        assert {row[0] for row in rows} == {one, other} - {None}


@pytest.mark.parametrize("broken", ["put", "store"])
async def test_a_run_that_was_broken_off_is_completed(hall: Hall, broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    await hall.book("RRULE:FREQ=DAILY;COUNT=4")
    await hall.run_jobs()
    assert await hall.at(NINE + 15 * MINUTE) == 1

    async def away(*_: object, **__: object) -> Any:
        raise Unavailable("The database is away.")

    with monkeypatch.context() as patch:
        patch.setattr(hall.scheduling.objects, broken, away)
        assert await hall.at(NINE + DAY + 15 * MINUTE) == 0
    assert [state for _, state in await hall.states()] == ["NO_SHOW"] * 2
    assert await hall.at(NINE + DAY + 16 * MINUTE) == 1
    await hall.run_jobs()
    assert len(hall.mails) == 3, "one link and a message about each day"
    first, second = await hall.taken()
    assert first == (NINE, NINE + 15 * MINUTE)
    assert second == (NINE + DAY, NINE + DAY + 16 * MINUTE)


async def test_what_became_of_bookings_is_forgotten_at_last(hall: Hall) -> None:
    await hall.book()
    await hall.run_jobs()
    await hall.at(NINE + 15 * MINUTE)
    database = hall.storage.database
    assert await forget_check_ins(database, DAY) == 0
    await database.fetch("update check_in set starts_at = now() - interval '2 days'")
    await database.fetch("update check_in_link set expires_at = now() - interval '2 days'")
    assert await forget_check_ins(database, 3 * DAY) == 0
    assert await forget_check_ins(database, DAY) == 2
    assert await hall.states() == []
