"""Finding rooms and times by services: who may book, whose times are known, and what rooms' calendars hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from server.booking.finding import Findings, LeftOut, Needs, Wanted
from server.booking.policy import as_json, parse_policy
from server.booking.suggesting import Suggestions, WantedTimes
from server.domain.errors import AccessDenied, BadRequest, NotFound, TooManyAttendees
from server.domain.grants import Ace
from server.domain.limits import Limits
from server.domain.privileges import Privilege
from server.domain.rooms import Room, RoomSearch
from server.services.lookup import Lookup
from server.services.rooms.alternatives import room_like
from server.services.rooms.finding import EVERYWHERE, RoomFinding, Where
from server.services.rooms.opening_times import opening_times
from server.services.rooms.reporting import people_of, report
from server.storage.directory import PrincipalChange, RelationChange
from tests.unit.services.world import INSTALLATION, NOW, World, event

NINE = datetime(2026, 3, 2, 9, tzinfo=UTC)
"""A Monday."""
HOUR = timedelta(hours=1)


def room(**fields: Any) -> Room:
    policy = fields.pop("policy", None)
    return Room(0, **fields, policy={} if policy is None else as_json(parse_policy(policy)))


class Office:
    """Ann and Bea, and rooms."""

    def __init__(self, *, asked_by_all: bool = True, limits: Limits | None = None) -> None:
        self.world = World(limits)
        lookup = Lookup(self.world.storage, asked_by_all=asked_by_all)
        self.finding = RoomFinding(self.world.storage, self.world.access, lookup, self.world.limits, lambda: NOW)

    async def open(self, **rooms: Room) -> Office:
        for name in ("ann", "bea"):
            await self.world.add(name, display_name=name.title(), addresses=(f"{name}@example.com",))
        for name, attributes in rooms.items():
            await self.world.add(name, kind="room", display_name=name.title(), room=attributes)
        return self

    async def book(self, name: str, start: str, uid: str = "a", *lines: str) -> None:
        await self.world.put("cli", f"{name}/calendar/{uid}.ics", event(uid, *lines, start=start))

    async def find(
        self,
        who: str = "ann",
        start: datetime = NINE,
        days: int = 1,
        where: Where = EVERYWHERE,
        **needs: Any,
    ) -> Findings:
        wanted = Wanted(start, HOUR, start + timedelta(days=days), Needs(**needs))
        return await self.finding.find(await self.world.actor(who), wanted, UTC, 10, where)

    async def names(self, who: str = "ann", **needs: Any) -> list[str]:
        return [each.room.name for each in (await self.find(who, **needs)).rooms if each.free]

    async def suggest(
        self, *required: str, optional: tuple[str, ...] = (), who: str = "ann", **more: Any
    ) -> Suggestions:
        wanted = WantedTimes(NINE, NINE + timedelta(hours=3), HOUR, **more)
        return await self.finding.suggest_times(await self.world.actor(who), required, optional, wanted, UTC)


async def test_a_room_is_free_where_its_calendar_is() -> None:
    office = await Office().open(nook=room(capacity=4), hall=room(capacity=40))
    await office.book("nook", "20260302T093000Z")
    found = await office.find(people=3)
    assert [(each.room.name, each.free) for each in found.rooms] == [("Hall", True), ("Nook", False)]
    assert found.rooms[1].reasons == ("free from 10:30, booked until 10:30", "4 seats for 3")


async def test_buffers_pieces_and_parts_are_counted_in() -> None:
    office = await Office().open(
        hall=room(), pool=room(pieces=2), pause=room(buffer_after=HOUR), full=room(pieces=2, allowed_overlaps=0)
    )
    half = office.world.ids["hall"]
    await office.world.add("left", kind="room", display_name="Left", room=Room(0, parent=half))
    await office.book("left", "20260302T090000Z", "left")
    await office.book("pool", "20260302T090000Z", "pool")
    await office.book("pause", "20260302T080000Z", "pause")
    for uid in ("one", "two"):
        await office.book("full", "20260302T090000Z", uid)
    assert await office.names() == ["Pool"]


async def test_opening_times_are_those_of_the_rooms_zone() -> None:
    hours = opening_times("MO-FR 08:00-10:00")
    office = await Office().open(
        here=room(opening_times=hours, time_zone="UTC"), tokyo=room(opening_times=hours, time_zone="Asia/Tokyo")
    )
    found = await office.find(days=2)
    assert [(each.room.name, each.free, each.slot[0]) for each in found.rooms] == [
        ("Here", True, NINE),
        ("Tokyo", False, datetime(2026, 3, 2, 23, tzinfo=UTC)),
    ]


async def test_a_policy_says_who_may_book_and_for_how_long() -> None:
    office = await Office().open(
        anybody=room(),
        team=room(policy={"book_in_policy": ["crew"]}),
        asked=room(policy={"book_in_policy": "nobody", "request_in_policy": "everyone"}),
        long=room(policy={"min_duration_minutes": 90}),
        later=room(policy={"booking_window_days": 1}),
    )
    await office.world.add("crew", kind="group")
    assert await office.names("ann") == ["Anybody", "Asked"]
    assert (await office.find()).left_out == {LeftOut.NOT_ALLOWED: 1, LeftOut.DURATION: 1, LeftOut.WINDOW: 1}
    members = RelationChange(office.world.ids["crew"], members=frozenset([office.world.ids["ann"]]))
    await office.world.directory.write_relations([members], INSTALLATION.cause)
    assert await office.names("ann") == ["Anybody", "Team", "Asked"]
    assert await office.names("bea") == ["Anybody", "Asked"]
    assert await office.names("cli") == ["Anybody", "Asked", "Team"]


async def test_a_room_that_one_may_not_ask_is_not_found() -> None:
    office = await Office().open(secret=room(), nook=room())
    inbox = await office.world.find("cli", "secret/inbox")
    assert inbox.collection is not None
    ann, need = office.world.ids["ann"], Privilege.SCHEDULE_QUERY_FREE_BUSY
    refused = Ace(inbox.collection.id, ann, grants=False, privileges=(need,))
    await office.world.granting.set_acl(INSTALLATION, inbox, [refused])
    assert await office.names("ann") == ["Nook"]
    assert (await office.find("ann")).left_out == {LeftOut.NOT_ALLOWED: 1}
    assert await office.names("bea") == ["Nook", "Secret"]


async def test_disabled_rooms_and_those_of_other_buildings_are_left_out() -> None:
    office = await Office().open(nook=room(building="Main"), attic=room(building="Annex"), gone=room(building="Main"))
    change = PrincipalChange(office.world.ids["gone"], disabled=True)
    await office.world.directory.write_principals([change], INSTALLATION.cause)
    found = await office.find(where=Where(building="main"))
    assert [each.room.name for each in found.rooms] == ["Nook"]


async def test_times_suit_people_and_a_room() -> None:
    office = await Office().open(nook=room(capacity=2), hall=room(capacity=9))
    await office.world.put("ann", "ann/calendar/a.ics", event("a", start="20260302T090000Z"))
    await office.book("nook", "20260302T100000Z", "n")
    found = await office.suggest("ann", "mailto:BEA@example.com", needs=Needs())
    assert [(each.start, [room.name for room in each.rooms]) for each in found.times] == [
        (NINE + HOUR, ["Hall"]),
        (NINE + 2 * HOUR, ["Nook", "Hall"]),
    ]
    # Without a number, the room seats all who are named.
    assert found.times[1].reasons == ("everybody is free", "Nook; 2 seats for 2")
    for other in ("ann", "bea"):
        assert (await office.suggest("ann", optional=(other,))).times[0].start == NINE + HOUR


async def test_the_members_of_a_group_are_asked_each() -> None:
    office = await Office().open()
    await office.world.add("team", kind="group")
    members = frozenset(office.world.ids[name] for name in ("ann", "bea"))
    await office.world.directory.write_relations(
        [RelationChange(office.world.ids["team"], members=members)], INSTALLATION.cause
    )
    await office.world.put("bea", "bea/calendar/a.ics", event("a", start="20260302T090000Z"))
    found = await office.suggest("team", missing=1)
    assert found.times[-1].missing == ("Bea",)


async def test_times_of_people_whom_one_may_not_ask_are_not_known() -> None:
    office = await Office(asked_by_all=False).open()
    await office.world.put("bea", "bea/calendar/a.ics", event("a", "SUMMARY:Secret", start="20260302T090000Z"))
    found = await office.suggest("ann", "bea")
    assert [each.doubtful for each in found.times] == [("Bea",)] * 3
    assert "Secret" not in str(found)
    assert (await office.suggest("ann", "bea", who="cli")).next_free == (NINE + HOUR, NINE + 2 * HOUR)


async def test_what_cannot_be_searched_is_refused() -> None:
    office = await Office(limits=Limits(max_attendees=1)).open(nook=room())
    for start, days in ((NOW - timedelta(days=2), 1), (NINE, 0), (NINE, 93)):
        with pytest.raises(BadRequest):
            await office.find(start=start, days=days)
    for name in ("nobody", "nook"):
        with pytest.raises(NotFound):
            await office.suggest(name)
    with pytest.raises(TooManyAttendees):
        await office.suggest("ann", "bea")


async def test_a_room_like_another_is_free_and_in_its_building() -> None:
    here = {"building": "Main", "features": frozenset({"video"})}
    office = await Office().open(
        full=room(capacity=8, **here),
        twin=room(capacity=8, **here),
        huge=room(capacity=80, **here),
        plain=room(capacity=8, building="Main"),
        away=room(capacity=8, building="Annex", features=frozenset({"video"})),
    )
    world = office.world
    full = (await world.storage.rooms([world.ids["full"]]))[world.ids["full"]]

    async def like(people: int, now: datetime = NOW) -> str | None:
        actor = await world.actor("ann")
        period = NINE, NINE + HOUR
        found = await room_like(world.storage, world.lookup, actor, full, period, people, now)
        return None if found is None else found.name

    assert await like(3) == "Twin"
    await office.book("twin", "20260302T093000Z")
    assert await like(3) == "Huge"
    await office.book("huge", "20260302T093000Z", "b")
    assert await like(3) is None
    assert await like(3, NINE + HOUR) is None


async def test_a_report_counts_bookings_and_people() -> None:
    hours = opening_times("MO-FR 08:00-18:00")
    office = await Office().open(nook=room(capacity=4, building="Main", opening_times=hours), hall=room(capacity=10))
    people = (
        "ORGANIZER:mailto:ann@example.com",
        "ATTENDEE;PARTSTAT=ACCEPTED:mailto:ann@example.com",
        "ATTENDEE:mailto:bea@example.com",
        "ATTENDEE;PARTSTAT=DECLINED:mailto:cid@example.com",
        "ATTENDEE;CUTYPE=ROOM;PARTSTAT=ACCEPTED:urn:x-uid:id-nook",
    )
    await office.book("nook", "20260302T090000Z", "daily", "RRULE:FREQ=DAILY;COUNT=3", *people)
    await office.book("nook", "20260302T190000Z", "late")
    await office.book("hall", "20260302T090000Z", "open", "TRANSP:TRANSPARENT")
    end = NINE + timedelta(days=2)
    with pytest.raises(AccessDenied):
        await report(office.world.storage, await office.world.actor("ann"), RoomSearch(), NINE, end)
    with pytest.raises(BadRequest):
        await report(office.world.storage, INSTALLATION, RoomSearch(), NINE, NINE)
    rooms, found = await report(office.world.storage, INSTALLATION, RoomSearch(), NINE, end)
    assert [each.name for each in rooms] == ["Hall", "Nook"]
    nook = found.rooms["id-nook"]
    assert (nook.bookings, nook.booked, nook.booked_open) == (3, 3 * HOUR, 2 * HOUR)
    assert nook.open == 20 * HOUR
    assert (nook.sized, nook.people, nook.seats) == (3, 4, 12)
    assert found.rooms["id-hall"].bookings == 0
    assert found.buildings["Main"] == nook


def test_people_are_counted_for_each_instance() -> None:
    text = event(
        "a",
        "RRULE:FREQ=DAILY;COUNT=3",
        "ORGANIZER:mailto:ann@example.com",
        "ATTENDEE:mailto:bea@example.com",
        "END:VEVENT",
        "BEGIN:VEVENT",
        "UID:a",
        "DTSTAMP:20260101T000000Z",
        "RECURRENCE-ID:20260302T090000Z",
        "DTSTART:20260302T100000Z",
        "ORGANIZER:mailto:ann@example.com",
        "ATTENDEE;PARTSTAT=DECLINED:mailto:bea@example.com",
    )
    assert people_of(text) == {"": 2, "20260302T090000Z": 1}
    assert people_of("nothing") == {}
