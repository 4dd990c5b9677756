"""A month of 50 rooms and 500 people, against a naive model.

People book rooms for single meetings and series, move them or an instance, change their room, and cancel them or an
instance, and come or do not, while policies change and the clock goes on from March to April, over the begin of
summer time. All goes through the services on PostgreSQL. After each step the answers in the organizer's object are
those of the model; every third day the reservations are, and what is found free. `KOYOMI_TEST_MONTH_SEED` repeats a
month, `KOYOMI_TEST_MONTH_STEPS` sets how much happens in it.
"""

from __future__ import annotations

import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from server.booking.finding import Needs, Wanted
from server.domain.actors import Actor
from server.domain.limits import Limits
from server.domain.objects import Target
from server.domain.privileges import Privilege
from server.domain.rooms import Room, RoomSearch
from server.itip.participants import partstat
from server.itip.scheduling_component import MASTER
from server.itip.scheduling_object import read_object
from server.services.lookup import Lookup
from server.services.objects import Objects
from server.services.rooms.checking_in import CheckingIn
from server.services.rooms.finding import RoomFinding
from server.services.rooms.no_shows import NoShows
from server.services.rooms.policies import set_policy
from server.services.rooms.reporting import report
from server.services.rooms.settings import RoomSettings
from server.services.scheduling.implicit import Scheduling
from server.services.scheduling.sent import Sent
from server.storage.directory import PrincipalChange, RelationChange
from storage_plugins.postgres.access import PostgresAccess
from storage_plugins.postgres.directory import PostgresDirectory
from storage_plugins.postgres.storage import PostgresStorage

ROOMS, PEOPLE, CREW = 50, 500, 50
STEPS = int(os.environ.get("KOYOMI_TEST_MONTH_STEPS", "600"))
BERLIN = ZoneInfo("Europe/Berlin")
BEGIN = datetime(2027, 3, 8, 7, tzinfo=UTC)
"""Summer time begins on 28 March."""
MONTH = timedelta(days=31)
FAR = BEGIN + timedelta(days=400)
MISSES = 2
"""Instances in a row that nobody checks in, after which a room leaves a series."""
QUARTER, NOTHING = timedelta(minutes=15), timedelta(0)
CLI = Actor(None, "test")
Period = tuple[datetime, datetime]


@dataclass
class Rules:
    """What a room has, and its policy."""

    pieces: int = 1
    before: timedelta = NOTHING
    after: timedelta = NOTHING
    crew_only: bool = False
    longest: timedelta = timedelta(days=1)
    window: timedelta = timedelta(days=180)
    recurring: bool = True
    tolerated: tuple[int | None, int | None] = (0, 0)
    """Conflicts of a series: per cent, and number."""
    releases: bool = False
    """Whether it releases what nobody checks in: not what lasts two hours, and not what the crew organizes."""

    @property
    def gap(self) -> timedelta:
        return self.before + self.after

    def parameters(self) -> dict[str, str]:
        """The policy as the command takes it."""
        percentage, most = ("null" if each is None else str(each) for each in self.tolerated)
        return {
            "automation": "accept",
            "beyond_window": "decline",
            "book_in_policy": "crew" if self.crew_only else "everyone",
            "max_duration_minutes": str(self.longest // timedelta(minutes=1)),
            "booking_window_days": str(self.window.days),
            "allow_recurring": str(self.recurring).lower(),
            "conflict_percentage_allowed": percentage,
            "max_conflict_instances": most,
            "check_in": "panel",
            "release_no_shows": str(self.releases).lower(),
            "no_show_spares_from_minutes": "120",
            "no_show_exempt": "crew",
            "no_shows_in_series": str(MISSES),
        }


@dataclass
class Meeting:
    """A meeting, as its organizer wants it."""

    uid: str
    organizer: int
    guest: int
    room: int
    start: datetime
    """The local time of its first instance."""
    length: timedelta
    weeks: int
    sequence: int = 0
    left_out: frozenset[int] = frozenset()
    """The weeks in which it does not take place."""
    moved: Mapping[int, datetime] = field(default_factory=dict)
    """The local times of instances that are moved, by their weeks."""

    def instances(self) -> dict[str, Period]:
        """Start and end in UTC, by the identifier of the instance."""
        found = {}
        for week in range(self.weeks):
            if week in self.left_out:
                continue
            start = utc(self.moved.get(week, self.usual(week)))
            found[self.name(week)] = start, start + self.length
        return found

    def usual(self, week: int) -> datetime:
        """The local time of an instance that is not moved."""
        return self.start + week * timedelta(days=7)

    def name(self, week: int) -> str:
        """The identifier of an instance."""
        return MASTER if self.weeks == 1 else f"{utc(self.usual(week)):%Y%m%dT%H%M%SZ}"

    def text(self) -> str:
        rule = () if self.weeks == 1 else (f"RRULE:FREQ=WEEKLY;COUNT={self.weeks}",)
        left_out = (f"EXDATE;{local(self.usual(week))}" for week in sorted(self.left_out))
        events = self.event(self.start, *rule, *left_out)
        for week, start in self.moved.items():
            events += self.event(start, f"RECURRENCE-ID;{local(self.usual(week))}")
        return "\r\n".join(("BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Test//EN", *events, "END:VCALENDAR", ""))

    def event(self, start: datetime, *lines: str) -> tuple[str, ...]:
        return (
            *("BEGIN:VEVENT", f"UID:{self.uid}", "DTSTAMP:20270101T000000Z", f"DTSTART;{local(start)}"),
            *(f"DURATION:PT{self.length // timedelta(minutes=1)}M", *lines, f"SEQUENCE:{self.sequence}"),
            f"ORGANIZER:mailto:p{self.organizer}@example.com",
            f"ATTENDEE;PARTSTAT=ACCEPTED:mailto:p{self.organizer}@example.com",
            f"ATTENDEE;PARTSTAT=NEEDS-ACTION:mailto:p{self.guest}@example.com",
            f"ATTENDEE;CUTYPE=ROOM;PARTSTAT=NEEDS-ACTION:{address(self.room)}",
            "END:VEVENT",
        )


def utc(local: datetime) -> datetime:
    return local.replace(tzinfo=BERLIN).astimezone(UTC)


def local(time: datetime) -> str:
    """The end of a line that has a local time."""
    return f"TZID=Europe/Berlin:{time:%Y%m%dT%H%M%S}"


def address(room: int) -> str:
    return f"urn:x-uid:id-room{room}"


@dataclass
class Model:
    """What the rooms have accepted, by searching through all of it."""

    rules: list[Rules]
    accepted: list[dict[str, dict[str, Period]]] = field(default_factory=lambda: [{} for _ in range(ROOMS)])
    """By room, UID and instance."""

    missed: list[dict[str, list[bool]]] = field(default_factory=lambda: [{} for _ in range(ROOMS)])
    """By room and UID: for each instance that waited for its check-in, in their order, whether nobody came."""

    def begins(self, after: datetime, until: datetime) -> list[tuple[datetime, int, str, str]]:
        """What begins in a time in rooms that release it: start, room, UID and instance."""
        return [
            (start, room, uid, name)
            for room, meetings in enumerate(self.accepted)
            if self.rules[room].releases
            for uid, instances in meetings.items()
            for name, (start, end) in instances.items()
            if after < start <= until and end - start > QUARTER
        ]

    def come_or_miss(self, room: int, uid: str, name: str, *, comes: bool) -> None:
        """An instance was checked in, or is released."""
        missed, instances = self.missed[room].setdefault(uid, []), self.accepted[room][uid]
        missed.append(not comes)
        if comes:
            return
        start, _ = instances[name]
        instances[name] = start, start + QUARTER
        if len(instances) > 1 and len(missed) >= MISSES and all(missed[-MISSES:]):
            self.accepted[room][uid] = {each: times for each, times in instances.items() if times[0] <= start}

    def all(self) -> list[Period]:
        """Every instance that a room has accepted."""
        return [each for room in self.accepted for instances in room.values() for each in instances.values()]

    def conflicts(self, room: int, period: Period, besides: str = "") -> bool:
        """Whether the room takes nothing more at some time of a period."""
        rules = self.rules[room]
        start, end = period
        others = [
            each
            for uid, instances in self.accepted[room].items()
            if uid != besides
            for each in instances.values()
            if each[0] < end + rules.gap and each[1] + rules.gap > start
        ]
        if rules.pieces == 1:
            return bool(others)
        while start < end:
            if sum(first <= start < last for first, last in others) >= rules.pieces:
                return True
            start += QUARTER
        return False

    def decide(self, meeting: Meeting, now: datetime) -> dict[str, str]:
        """The answers of the room, and what it has accepted then."""
        rules, instances = self.rules[meeting.room], meeting.instances()
        series = meeting.weeks > 1
        refused = self.refuses(meeting, now, list(instances.values())) or (series and not rules.recurring)
        clashing = {name for name, each in instances.items() if self.conflicts(meeting.room, each, meeting.uid)}
        percentage, most = rules.tolerated
        if series and clashing:
            refused |= most is not None and len(clashing) > most
            refused |= percentage is not None and len(clashing) * 100 > percentage * len(instances)
        fits = {} if refused else {name: each for name, each in instances.items() if name not in clashing}
        self.accepted[meeting.room][meeting.uid] = fits
        return {name: "ACCEPTED" if name in fits else "DECLINED" for name in instances}

    def decide_one(self, meeting: Meeting, now: datetime, name: str) -> str:
        """The answer about one instance of a series, and whether it is accepted then; the others stay as they are."""
        period = meeting.instances()[name]
        held = self.accepted[meeting.room][meeting.uid]
        held.pop(name, None)
        if self.refuses(meeting, now, [period]) or self.conflicts(meeting.room, period, meeting.uid):
            return "DECLINED"
        held[name] = period
        return "ACCEPTED"

    def refuses(self, meeting: Meeting, now: datetime, periods: Sequence[Period]) -> bool:
        """Whether a rule that has nothing to do with other meetings is broken."""
        rules = self.rules[meeting.room]
        return (
            (rules.crew_only and meeting.organizer >= CREW)
            or meeting.length > rules.longest
            or any(start > now + rules.window for start, _ in periods)
        )

    def free(self, meeting: Meeting, now: datetime) -> set[int]:
        """The rooms that are found free for a single meeting."""
        (period,) = meeting.instances().values()
        return {
            room
            for room, rules in enumerate(self.rules)
            if not self.conflicts(room, period)
            and not (rules.crew_only and meeting.organizer >= CREW)
            and meeting.length <= rules.longest
            and period[0] <= now + rules.window
        }


class Month:
    """The installation, its model, and the clock of both."""

    def __init__(self, storage: PostgresStorage, seed: int) -> None:
        self.chance = random.Random(seed)
        self.storage = storage
        self.directory = PostgresDirectory(storage.database)
        self.now = BEGIN
        self.lookup, limits = Lookup(storage), Limits()
        self.scheduling = Scheduling(storage, Objects(storage, limits, self.clock), limits, now=self.clock)
        self.no_shows = NoShows(self.scheduling, RoomSettings(), now=self.clock)
        self.checking_in = CheckingIn(storage, RoomSettings(), self.clock)
        self.finding = RoomFinding(storage, PostgresAccess(storage), self.lookup, limits, self.clock)
        self.model = Model([Rules() for _ in range(ROOMS)])
        self.meetings: dict[str, Meeting] = {}
        self.given: dict[str, dict[str, str]] = {}
        """The answers of the rooms, by UID and instance."""
        self.people: list[Actor] = []
        self.rooms: list[int] = []
        self.made = 0

    def clock(self) -> datetime:
        return self.now

    async def open(self) -> None:
        """The rooms, some with buffers or pieces, and the people, some of them in the crew."""
        for rules in self.model.rules:
            if self.chance.random() < 0.2:
                rules.before, rules.after = QUARTER, self.chance.choice((NOTHING, QUARTER))
            elif self.chance.random() < 0.2:
                rules.pieces = 2
            rules.releases = rules.pieces == 1 and self.chance.random() < 0.4
        rooms = [
            PrincipalChange(
                uid=f"id-room{number}",
                kind="room",
                name=f"room{number}",
                room=Room(0, pieces=rules.pieces, buffer_before=rules.before, buffer_after=rules.after),
            )
            for number, rules in enumerate(self.model.rules)
        ]
        people = [
            PrincipalChange(kind="individual", name=f"p{number}", addresses=(f"p{number}@example.com",))
            for number in range(PEOPLE)
        ]
        crew = PrincipalChange(kind="group", name="crew")
        ids = await self.directory.write_principals([*rooms, *people, crew], CLI.cause)
        self.rooms, persons = ids[:ROOMS], ids[ROOMS:-1]
        await self.directory.write_relations([RelationChange(ids[-1], members=frozenset(persons[:CREW]))], CLI.cause)
        self.people = [Actor((await self.storage.resolve(id_, None)).viewer, "test") for id_ in persons]
        for room in range(ROOMS):
            await self.set_policy(room)

    # what people do

    async def go_on(self, length: timedelta) -> None:
        """Time passes. Some people check in when their meeting begins, and the others' bookings are released."""
        before, end = self.now, self.now + length
        begins = self.model.begins(before - QUARTER, end - QUARTER)
        for start in sorted({start for start, *_ in begins}):
            due = 0
            for _, room, uid, name in sorted(each for each in begins if each[0] == start):
                if name not in self.model.accepted[room][uid]:
                    continue  # the room has left the series
                meeting, comes = self.meetings[uid], self.chance.random() < 0.4
                if comes:
                    self.now = start
                    view = await self.checking_in.check_in_room(CLI, self.directory, f"room{room}", start)
                    assert (view.state, view.times) == ("checked_in", self.model.accepted[room][uid][name])
                spared = meeting.organizer < CREW or meeting.length >= timedelta(hours=2)
                due += not comes and not spared
                if comes or not spared:
                    self.model.come_or_miss(room, uid, name, comes=comes)
            self.now = start + QUARTER
            assert await self.no_shows.release_due() == due, f"at {self.now}"
        self.now = end

    async def step(self) -> None:
        """Something happens."""
        ahead = [each for each in self.meetings.values() if min(each.instances().values())[0] > self.now]
        (act,) = self.chance.choices(
            ("book", "move", "change_room", "leave_out", "cancel", "policy"), (50, 18, 8, 5, 12, 7)
        )
        if act == "policy":
            await self.set_policy(self.chance.randrange(ROOMS), anew=True)
        elif act == "book" or not ahead:
            await self.ask(self.meeting(f"m{self.made}"))
        elif act == "cancel":
            await self.cancel(self.chance.choice(ahead))
        else:
            meeting = self.chance.choice(ahead)
            if act == "leave_out" and len(meeting.instances()) > 1:
                await self.leave_out(meeting)
                return
            if act == "move_one" and meeting.weeks > 1:
                await self.move_one(meeting)
                return
            if act != "change_room":
                start, length = self.time()
                changed = replace(meeting, start=start, length=length, moved={})
            else:
                room = (meeting.room + self.chance.randrange(1, ROOMS)) % ROOMS
                changed = replace(meeting, room=room, moved={})
            await self.ask(replace(changed, sequence=meeting.sequence + 1))

    def a_room(self) -> int:
        # Few rooms get most meetings.
        return min(self.chance.randrange(ROOMS), self.chance.randrange(ROOMS), self.chance.randrange(ROOMS))

    def time(self) -> tuple[datetime, timedelta]:
        """A local time that is to come, in working hours, and a length."""
        day = self.now.replace(tzinfo=None) + timedelta(days=self.chance.choice((1, 1, 2, 2, 3, 7, 20)))
        start = day.replace(
            hour=self.chance.randrange(8, 18), minute=self.chance.choice((0, 15, 30)), second=0, microsecond=0
        )
        return start, self.chance.choice((2, 3, 4, 4, 6, 8)) * QUARTER

    def meeting(self, uid: str) -> Meeting:
        self.made += 1
        organizer, guest = self.chance.sample(range(PEOPLE), 2)
        weeks = self.chance.choice((1, 1, 1, 2, 4))
        return Meeting(uid, organizer, guest, self.a_room(), *self.time(), weeks)

    async def ask(self, meeting: Meeting) -> None:
        """Put a meeting, new or at another time or in another room, and compare the answers."""
        before = self.meetings.get(meeting.uid)
        if before is not None and before.room != meeting.room:
            del self.model.accepted[before.room][meeting.uid]
        await self.put(meeting, self.model.decide(meeting, self.now))

    async def leave_out(self, meeting: Meeting) -> None:
        """Take an instance out of a series. Nothing is decided about the others, whatever the policy is by now."""
        week = self.a_week(meeting)
        moved = {each: start for each, start in meeting.moved.items() if each != week}
        changed = replace(meeting, left_out=meeting.left_out | {week}, moved=moved, sequence=meeting.sequence + 1)
        left = changed.instances().keys()
        held = self.model.accepted[meeting.room]
        held[meeting.uid] = {name: each for name, each in held[meeting.uid].items() if name in left}
        await self.put(changed, {name: each for name, each in self.given[meeting.uid].items() if name in left})

    async def move_one(self, meeting: Meeting) -> None:
        """Move an instance of a series by some hours. The room decides about this one."""
        week = self.a_week(meeting)
        start = meeting.usual(week).replace(hour=self.chance.randrange(8, 18))
        changed = replace(meeting, moved={**meeting.moved, week: start}, sequence=meeting.sequence + 1)
        name = meeting.name(week)
        if changed.instances() == meeting.instances():
            return
        await self.put(changed, self.given[meeting.uid] | {name: self.model.decide_one(changed, self.now, name)})

    def a_week(self, meeting: Meeting) -> int:
        """One of those in which a series takes place."""
        return self.chance.choice(sorted(set(range(meeting.weeks)) - meeting.left_out))

    async def put(self, meeting: Meeting, expected: dict[str, str]) -> None:
        actor = self.people[meeting.organizer]
        found = await self.lookup.find(actor, self.place(meeting), Privilege.READ)
        await self.scheduling.put(actor, found, meeting.text().encode(), Sent())
        self.meetings[meeting.uid], self.given[meeting.uid] = meeting, expected
        assert await self.answers(meeting) == expected, f"{meeting} {self.model.rules[meeting.room]} at {self.now}"

    async def cancel(self, meeting: Meeting) -> None:
        actor = self.people[meeting.organizer]
        found = await self.lookup.find(actor, self.place(meeting), Privilege.READ)
        await self.scheduling.delete(actor, found, Sent())
        del self.meetings[meeting.uid], self.model.accepted[meeting.room][meeting.uid]

    async def set_policy(self, room: int, *, anew: bool = False) -> None:
        rules = self.model.rules[room]
        if anew:
            rules.crew_only = self.chance.random() < 0.2
            rules.longest = self.chance.choice((4, 6, 96)) * QUARTER
            rules.window = timedelta(days=self.chance.choice((3, 30, 180)))
            rules.recurring = self.chance.random() < 0.8
            rules.tolerated = self.chance.choice(((0, 0), (None, None), (50, None), (None, 1)))
        await set_policy(CLI, self.directory, f"room{room}", rules.parameters())

    # what there is

    def place(self, meeting: Meeting) -> Target:
        return Target(f"p{meeting.organizer}", "individual", "calendar", "calendar", f"{meeting.uid}.ics")

    async def answers(self, meeting: Meeting) -> Mapping[str, str]:
        """PARTSTAT of the room in the organizer's object, by instance."""
        place = self.place(meeting)
        member = (await self.lookup.find(self.people[meeting.organizer], place, Privilege.READ, text=True)).object
        assert member is not None
        assert member.text is not None
        components = read_object(member.text).by_instance
        found = {}
        for name in meeting.instances():
            component = components.get(name) or components[MASTER]
            (line,) = [each for each in component.all("ATTENDEE") if each.value == address(meeting.room)]
            found[name] = partstat(line)
        return found

    async def compare(self) -> None:
        """The reservations are those of the model, and so are the rooms that are found free."""
        for number, id_ in enumerate(self.rooms):
            held = self.model.accepted[number].values()
            expected = sorted(each for instances in held for each in instances.values())
            rows = await self.storage.booked(id_, BEGIN, FAR, limit=10_000)
            assert sorted((start, end) for row in rows for start, end, _ in row.times) == expected, number
        for _ in range(3):
            meeting = replace(self.meeting("search"), weeks=1)
            ((start, end),) = meeting.instances().values()
            wanted = Wanted(start, end - start, end, Needs())
            found = await self.finding.find(self.people[meeting.organizer], wanted, UTC, ROOMS)
            assert {int(each.room.name.removeprefix("room")) for each in found.rooms} == self.model.free(
                meeting, self.now
            ), meeting

    async def compare_report(self) -> None:
        """The report counts what the model holds."""
        _, found = await report(self.storage, CLI, RoomSearch(), BEGIN, FAR)
        for number in range(ROOMS):
            usage = found.rooms[f"id-room{number}"]
            held = [each for instances in self.model.accepted[number].values() for each in instances.values()]
            assert usage.bookings == len(held)
            assert usage.no_shows == sum(sum(each) for each in self.model.missed[number].values())
            assert usage.booked == sum((end - start for start, end in held), NOTHING)
            # A room without a known capacity has no size; its pieces are open all the time.
            assert usage.open == (FAR - BEGIN) * self.model.rules[number].pieces


async def test_a_month_of_bookings_is_that_of_a_naive_model(database: str) -> None:
    seed = int(os.environ.get("KOYOMI_TEST_MONTH_SEED") or random.SystemRandom().randrange(2**32))
    print(f"KOYOMI_TEST_MONTH_SEED={seed}")
    async with PostgresStorage(database, notify=False) as storage:
        month = Month(storage, seed)
        await month.open()
        compared = BEGIN
        for _ in range(STEPS):
            await month.go_on(MONTH / STEPS)
            await month.step()
            if month.now >= compared + timedelta(days=3):
                compared = month.now
                await month.compare()
        await month.compare()
        await month.compare_report()
        assert len(month.model.all()) > STEPS / 10
        assert any(any(each) for room in month.model.missed for each in room.values())
