"""200 organizers book rooms at the same times, while workers and PostgreSQL are killed: nobody has what another has.

They book by CalDAV, by mail (LMTP) and by the services, single meetings and series, and move them to other times and
rooms: a hall, one of its two halves or both, another room, and several at once. What is reserved, what lies in the
rooms' calendars and what each organizer is told agree: each time of each half has one winner at most, all others have
DECLINED with the reason. At the end somebody else asks for each time of each room, and gets those that are left. No
answer is a 5xx except while PostgreSQL is down, and the database sees no deadlock.

`KOYOMI_TEST_ROOM_SECONDS=60` goes on for a minute, `KOYOMI_TEST_KILL_SEED=7` repeats a seed.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
import re
import smtplib
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import asyncpg
import psutil

from server.domain.actors import Actor
from server.domain.errors import KoyomiError
from server.domain.limits import Limits
from server.domain.objects import Target
from server.domain.privileges import Privilege
from server.services.changing import change
from server.services.lookup import Lookup
from server.services.objects import Objects
from server.services.scheduling.implicit import Scheduling
from server.services.scheduling.sent import Sent
from storage_plugins.postgres.storage import PostgresStorage
from tests.e2e import processes
from tests.e2e.conftest import observed
from tests.e2e.http_connection import Broken, Connection, Reply
from tests.e2e.test_jobs_of_killed_workers import until
from tests.e2e.test_meetings_of_killed_workers import settled
from tests.server_process import ServerProcess, free_port

SECONDS = float(os.environ.get("KOYOMI_TEST_ROOM_SECONDS", "15"))
SEED = int(os.environ.get("KOYOMI_TEST_KILL_SEED", random.SystemRandom().randrange(1_000_000)))
BY_CALDAV = [f"c{number}" for number in range(160)]
BY_SERVICES = [f"s{number}" for number in range(20)]
BY_MAIL = [f"m{number}" for number in range(20)]
LATE = "late"
"""Who books what is left."""
TAKES = {"hall": {"left", "right"}, "left": {"left"}, "right": {"right"}, "den": {"den"}}
"""Each room, and what a booking of it takes: the hall has two halves."""
WISHES = (("hall",), ("hall",), ("left",), ("right",), ("left", "right"), ("den",), ("hall", "den"), ("right", "den"))
"""The rooms that somebody asks for at once."""
HERE = "mx.example.com"
FIRST = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=10)
HOURS = range(8, 16)
DAYS = 3
RECONNECTED = 10.0
"""Seconds after which all workers have connected to PostgreSQL again, and have forgotten that it was down."""
DEAD = {403, 404, 409, 412}
"""Refusals that a request may get: of those who have not seen what others did."""
PERIOD = re.compile(r"^DTSTART[^:\n]*:(\w+)$", re.MULTILINE)
NEVER = """
    select count(*) from reservation a join reservation b
        on a.resource_id = b.resource_id and a.during && b.during and a.object_id <> b.object_id
"""


def address_of(room: str) -> str:
    return f"{room}@example.com"


def load(server: ServerProcess) -> None:
    """The organizers, and rooms that say why they decline."""
    policy = {"allow_external": True, "conflict_percentage_allowed": 100, "max_conflict_instances": DAYS}
    people = [
        {"kind": "individual", "name": name, "emails": [f"{name}@example.com"]}
        for name in (*BY_CALDAV, *BY_SERVICES, LATE)
    ]
    rooms = [
        {
            "kind": "room",
            "name": name,
            "emails": [address_of(name)],
            "room": {"policy": policy, **({"parent": "hall"} if name in TAKES["hall"] else {})},
        }
        for name in TAKES
    ]
    document = server.data.with_suffix(".principals.json")
    document.write_text(json.dumps({"principals": [*people, *rooms]}))
    server.command("principals", "load", str(document))


@dataclass
class Wish:
    """What somebody asks for: rooms for an hour, on one day or on all."""

    rooms: tuple[str, ...]
    hour: int
    is_series: bool
    sequence: int = 0
    day: int = 0
    """The first one."""

    @property
    def starts(self) -> list[datetime]:
        days = DAYS if self.is_series else 1
        return [FIRST + timedelta(days=self.day + day, hours=self.hour) for day in range(days)]

    def text(self, organizer: str, uid: str, method: str = "") -> str:
        lines = [
            "BEGIN:VCALENDAR",
            "VERSION:2.0",
            "PRODID:-//Test//EN",
            *([f"METHOD:{method}"] if method else []),
            "BEGIN:VEVENT",
            f"UID:{uid}",
            f"DTSTAMP:{datetime.now(UTC):%Y%m%dT%H%M%SZ}",
            f"SEQUENCE:{self.sequence}",
            f"DTSTART:{self.starts[0]:%Y%m%dT%H%M%SZ}",
            "DURATION:PT1H",
            *([f"RRULE:FREQ=DAILY;COUNT={DAYS}"] if self.is_series else []),
            f"SUMMARY:{uid}",
            f"ORGANIZER:mailto:{organizer}",
            f"ATTENDEE;PARTSTAT=ACCEPTED:mailto:{organizer}",
            *(f"ATTENDEE;RSVP=TRUE:mailto:{address_of(room)}" for room in self.rooms),
            "END:VEVENT",
            "END:VCALENDAR",
            "",
        ]
        return "\r\n".join(lines)


@dataclass
class Race:
    """What all of them share."""

    server: ServerProcess
    chance: random.Random = field(default_factory=lambda: random.Random(SEED))
    counts: Counter[str] = field(default_factory=Counter)
    down: float = 0.0
    """Until when PostgreSQL is down, by the clock of `time.monotonic`."""
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def wish(self, before: Wish | None = None) -> Wish:
        sequence = 0 if before is None else before.sequence + 1
        return Wish(self.chance.choice(WISHES), self.chance.choice(HOURS), self.chance.random() < 0.3, sequence)


@dataclass
class Organizer:
    """Somebody who wants the room."""

    race: Race
    name: str
    asked: Wish | None = None

    @property
    def address(self) -> str:
        return f"{self.name}@example.com"

    def wish(self) -> Wish:
        return self.race.wish(self.asked)

    async def act(self) -> None:
        """Book, and move the meeting until the race is over."""
        while True:
            wish = self.wish()
            while not await self.ask(wish):
                await asyncio.sleep(self.race.chance.uniform(0, 0.1))
            self.asked = wish
            self.race.counts[type(self).__name__] += 1
            if self.race.over.is_set():
                return
            await asyncio.sleep(self.race.chance.uniform(0, 4))
            if self.race.over.is_set():
                return

    async def ask(self, wish: Wish) -> bool:
        """Whether it is certain that the wish was carried out."""
        raise NotImplementedError


@dataclass
class Person(Organizer):
    """By CalDAV."""

    def __post_init__(self) -> None:
        self.http = Connection(self.race.server.port, self.name, self.name)
        self.path = f"/calendars/users/{self.name}/calendar/m.ics"

    async def request(self, method: str, body: str = "") -> Reply | None:
        began = time.monotonic()
        try:
            headers = {"Remote-User": self.name, "Content-Type": "text/calendar"}
            reply = await self.http.request(method, self.path, body, headers)
        except Broken:
            self.race.counts["broken"] += 1
            return None
        self.race.counts[f"{method} {reply.status}"] += 1
        if reply.status == 503 and began < self.race.down:
            return None
        assert reply.status < 300 or reply.status in DEAD, (method, reply)
        return reply

    async def ask(self, wish: Wish) -> bool:
        reply = await self.request("PUT", wish.text(self.address, self.name))
        return reply is not None and reply.status < 300

    async def text(self) -> str:
        while True:
            reply = await self.request("GET")
            if reply is not None:
                return reply.body.decode()


@dataclass
class Program(Organizer):
    """By the services, in a process of its own."""

    scheduling: Scheduling | None = None

    async def ask(self, wish: Wish) -> bool:
        assert self.scheduling is not None
        scheduling, lookup = self.scheduling, Lookup(self.scheduling.storage)
        began = time.monotonic()
        try:
            target = Target(self.name, "individual", "calendar", "calendar", "m.ics")
            actor = Actor(None, "api")
            await change(
                lambda: lookup.find(actor, target, Privilege.READ, text=True),
                lambda found: scheduling.put(actor, found, wish.text(self.address, self.name).encode(), Sent()),
            )
        except KoyomiError as error:
            self.race.counts[f"service {type(error).__name__}"] += 1
            assert began < self.race.down, error
            await asyncio.sleep(0.2)
            return False
        return True

    async def text(self) -> str:
        assert self.scheduling is not None
        target = Target(self.name, "individual", "calendar", "calendar", "m.ics")
        found = await Lookup(self.scheduling.storage).find(Actor(None, "api"), target, Privilege.READ, text=True)
        assert found.object is not None
        return found.object.text or ""


@dataclass
class Stranger(Organizer):
    """Somebody elsewhere, by mail."""

    @property
    def address(self) -> str:
        return f"{self.name}@contoso.example"

    def wish(self) -> Wish:
        """Each of them asks one room: who leaves one would have to mail a CANCEL as well."""
        room = list(TAKES)[int(self.name[1:]) % len(TAKES)]
        return replace(super().wish(), rooms=(room,))

    async def ask(self, wish: Wish) -> bool:
        head = [
            f"Authentication-Results: {HERE}; dmarc=pass header.from=contoso.example",
            f"From: <{self.address}>",
            f"Message-ID: <{wish.sequence}.{self.name}@contoso.example>",
            "MIME-Version: 1.0",
            "Content-Type: text/calendar; charset=utf-8; method=REQUEST",
        ]
        mail = "\r\n".join([*head, "", wish.text(self.address, self.name, "REQUEST")]).encode()
        try:
            await asyncio.to_thread(self._send, mail, [address_of(room) for room in wish.rooms])
        except (OSError, smtplib.SMTPException) as error:
            # The mail server keeps it, and tries again.
            self.race.counts[f"mail {type(error).__name__}"] += 1
            await asyncio.sleep(0.5)
            return False
        await asyncio.sleep(1)  # a later mail has a later DTSTAMP
        return True

    def _send(self, mail: bytes, rooms: list[str]) -> None:
        host, _, port = str(self.race.server.settings["mail.incoming.lmtp_listen"]).rpartition(":")
        with smtplib.LMTP(host, int(port), timeout=30) as client:
            client.sendmail(self.address, rooms, mail)


async def kill(race: Race, dsn: str) -> None:
    """Kill one of two workers, again and again, and twice a process of PostgreSQL, which then ends all sessions."""
    chance = random.Random(SEED)
    ends = [SECONDS * part for part in (0.35, 0.7)]
    began = time.monotonic()
    while not race.over.is_set():
        await asyncio.sleep(chance.uniform(0.5, 3))
        if race.over.is_set():
            return
        if ends and time.monotonic() - began > ends[0]:
            backends = [each for each in processes.postmaster(race.server).children() if _is_backend(each)]
            if not backends:
                continue  # it is not back yet
            ends.pop(0)
            race.down = math.inf
            processes.kill([chance.choice(backends)])
            race.counts["PostgreSQL killed"] += 1
            await until(lambda: _accepts(dsn))
            race.down = time.monotonic() + RECONNECTED
        elif len(found := processes.workers(race.server)) > 1:
            processes.kill([chance.choice(found)])
            race.counts["worker killed"] += 1


async def _accepts(dsn: str) -> bool:
    """Whether PostgreSQL accepts connections."""
    try:
        await (await asyncpg.connect(dsn)).close()
    except (OSError, asyncpg.PostgresError):
        return False
    return True


def _is_backend(process: psutil.Process) -> bool:
    """Whether a process of PostgreSQL serves a session."""
    try:
        return "[local]" in " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return False


def answers(text: str, room: str) -> dict[datetime, str]:
    """A room's PARTSTAT in an object, by the start of the instance."""
    text = re.sub(r"\r?\n[ \t]", "", text).replace("\r", "")
    found: dict[datetime, str] = {}
    components = re.findall(r"BEGIN:VEVENT.*?END:VEVENT", text, re.DOTALL)
    for component in sorted(components, key=lambda each: "RECURRENCE-ID" in each):
        line = next(line for line in component.splitlines() if line.endswith(f":mailto:{address_of(room)}"))
        partstat = re.search("PARTSTAT=([A-Z-]+)", line)
        (start,) = PERIOD.findall(component)
        first = datetime.strptime(start, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        count = DAYS if "RRULE" in component else 1
        for day in range(count):
            found[first + timedelta(days=day)] = "NEEDS-ACTION" if partstat is None else partstat[1]
    return found


@dataclass(frozen=True)
class Taken:
    """A time of a room without parts, which a booking has."""

    part: str
    start: datetime
    room: str
    """The one that was booked."""
    uid: str


async def reserved(session: asyncpg.Connection) -> list[Taken]:
    rows = await session.fetch(
        "select part.name, r.starts_at, booked.name, o.uid from reservation r "
        "join object o on o.home_id = r.home_id and o.id = r.object_id and o.deleted_revision is null "
        "join home h on h.id = r.home_id join principal booked on booked.id = h.principal_id "
        "join principal part on part.id = r.resource_id"
    )
    return [Taken(*row) for row in rows]


async def compare(session: asyncpg.Connection, organizers: list[Organizer]) -> Counter[str]:
    """What is reserved, what the rooms have, and what the organizers are told."""
    taken = await reserved(session)
    assert await session.fetchval(NEVER) == 0
    rows = await session.fetch(
        "select p.name, o.uid, o.text from object o join home h on h.id = o.home_id "
        "join principal p on p.id = h.principal_id "
        "join collection c on c.home_id = o.home_id and c.id = o.collection_id "
        "where p.kind = 'room' and h.kind = 'calendar' and c.kind = 'calendar' and o.deleted_revision is null"
    )
    copies = {(row[0], row[1]): row[2] for row in rows}
    result: Counter[str] = Counter()
    wanted: dict[Taken, None] = {}
    for organizer in organizers:
        uid, wish = organizer.name, organizer.asked
        assert wish is not None
        text = "" if isinstance(organizer, Stranger) else await organizer.text()  # type: ignore[attr-defined]
        for room in wish.rooms:
            assert (room, uid) in copies, (room, uid)
            in_room = answers(copies.pop((room, uid)), room)
            told = answers(text, room) if text else in_room
            assert told == in_room, (uid, room, told, in_room)
            assert set(told) == set(wish.starts), (uid, room, told, wish)
            for start, partstat in told.items():
                takes = [Taken(part, start, room, uid) for part in TAKES[room]]
                has = [each in taken for each in takes]
                assert has == [partstat == "ACCEPTED"] * len(takes), (uid, room, start, partstat, has)
                assert partstat in ("ACCEPTED", "DECLINED"), (uid, room, start, partstat)
                wanted |= dict.fromkeys(takes)
                result[partstat] += 1
                result[f"{room} {partstat}"] += 1
            if isinstance(organizer, Person) and "DECLINED" in told.values():
                result["reasons"] += await has_reason(session, uid, room)
    assert not copies, "rooms that nobody asks for any more have nothing"
    assert len({(each.part, each.start) for each in taken}) == len(taken), "each time has one winner"
    assert set(taken) <= set(wanted)
    return result


async def none_fails(session: asyncpg.Connection) -> bool:
    """Whether every message was delivered."""
    return not await session.fetchval("select exists (select from scheduling_dispatch where failing)")


async def take_what_is_left(session: asyncpg.Connection, race: Race) -> None:
    """Somebody asks for each time of each room, one after the other, and has in the end what the others have not."""
    late, taken = Person(race, LATE), {(each.part, each.start) for each in await reserved(session)}
    for day in range(DAYS):
        for hour in HOURS:
            for room in TAKES:
                uid = f"{LATE}-{room}-{day}-{hour}"
                late.path = f"/calendars/users/{LATE}/calendar/{uid}.ics"
                wish = Wish((room,), hour, is_series=False, day=day)
                reply = await late.request("PUT", wish.text(late.address, uid))
                assert reply is not None
                assert reply.status == 201
                (start,) = wish.starts
                takes = {(part, start) for part in TAKES[room]}
                told = answers(await late.text(), room)
                assert told == {start: "DECLINED" if takes & taken else "ACCEPTED"}, (room, start)
                taken |= takes if told[start] == "ACCEPTED" else set()
    assert {(each.part, each.start) for each in await reserved(session)} == taken
    assert len(taken) == 3 * DAYS * len(HOURS), "in the end each time of each room without parts is taken"


async def has_reason(session: asyncpg.Connection, uid: str, room: str) -> bool:
    """Whether the newest answer of a room in the inbox of an organizer says why."""
    rows = await session.fetch(
        "select o.text from object o join collection c on c.home_id = o.home_id and c.id = o.collection_id "
        "join home h on h.id = o.home_id join principal p on p.id = h.principal_id "
        "where p.name = $1 and c.kind = 'inbox' and o.uid = $1 and o.deleted_revision is null "
        "order by o.id desc",
        uid,
    )
    texts = [re.sub(r"\r?\n[ \t]", "", row[0]) for row in rows]
    text = next((each for each in texts if f":mailto:{address_of(room)}" in each), None)
    assert text is not None, (uid, room)
    assert "COMMENT" in text, (uid, text)
    return True


async def test_no_two_meetings_have_a_room_at_one_time(server_folder: Path) -> None:
    print(f"\nKOYOMI_TEST_KILL_SEED={SEED}")
    settings = {
        "network.workers": 2,
        "log.level": "warning",
        "log.slow_request": 60,
        "network.trusted_proxies": "127.0.0.1/32",
        "sign_in.remote_user_header": "Remote-User",
        "mail.incoming.lmtp_listen": f"127.0.0.1:{free_port()}",
        "mail.incoming.authserv_id": HERE,
        "mail.incoming.invitations": "all",
        "mail.incoming.messages_per_hour": 100_000,
    }
    server = ServerProcess(server_folder / "rooms", server_folder / "rooms.log", settings)
    load(server)
    with observed(server):
        async with processes.cluster(server) as cluster, PostgresStorage(cluster.dsn(), notify=False) as storage:
            race = Race(server)
            scheduling = Scheduling(storage, Objects(storage, Limits()), Limits())
            organizers: list[Organizer] = [
                *(Person(race, name) for name in BY_CALDAV),
                *(Program(race, name, scheduling=scheduling) for name in BY_SERVICES),
                *(Stranger(race, name) for name in BY_MAIL),
            ]
            acting = [asyncio.create_task(each.act()) for each in organizers]
            killing = asyncio.create_task(kill(race, cluster.dsn()))
            await asyncio.wait([*acting, killing], timeout=SECONDS, return_when=asyncio.FIRST_EXCEPTION)
            race.over.set()
            await asyncio.gather(*acting, killing)
            await until(lambda: asyncio.to_thread(server.answers))
            session = await asyncpg.connect(cluster.dsn())
            try:
                await settled(session)
                # A job that others have outrun all the time tries again after a minute.
                await until(partial(none_fails, session))
                await settled(session)
                print(dict(sorted(race.counts.items())))
                found = await compare(session, organizers)
                print(dict(found))
                assert all(found[f"{room} {partstat}"] for room in TAKES for partstat in ("ACCEPTED", "DECLINED")), (
                    found
                )
                assert found["DECLINED"] > found["ACCEPTED"]
                await take_what_is_left(session, race)
                assert await session.fetchval("select count(*) from job where state = 'failed'") == 0
                assert await session.fetchval("select sum(deadlocks) from pg_stat_database") == 0
            finally:
                await session.close()
        assert await asyncio.to_thread(server.command, "db", "check", "--all") == "Nothing differs.\n"
