"""Finding rooms and times: `make bench`, or alone `python -m benchmarks.rooms`.

Fills a fresh embedded PostgreSQL with 500 rooms that have five series on each working day, and 20 people who have ten
series each, all written by the services. Prints the median milliseconds of `rooms find` over all rooms and a week, and
of `rooms suggest-times` for the 20 people and 50 rooms over two weeks, each as an organizer asks and as the
installation does. Beside them stand the CPU milliseconds of the server and of the database, which other work on the
machine does not stretch, and those of a fixed piece of work in the same run (calibration).
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.change_sets import cpu
from server.booking.finding import Needs, Wanted
from server.booking.places import Place
from server.booking.policy import as_json, parse_policy
from server.booking.suggesting import WantedTimes
from server.booking.working_hours import working_hours
from server.domain.actors import Actor
from server.domain.limits import Limits
from server.domain.objects import Target
from server.domain.privileges import Privilege
from server.domain.rooms import Room
from server.services.lookup import Lookup
from server.services.objects import Objects
from server.services.rooms.finding import RoomFinding, Where
from server.storage.directory import PrincipalChange
from storage_plugins.postgres.access import PostgresAccess
from storage_plugins.postgres.database import DatabaseLimits
from storage_plugins.postgres.directory import PostgresDirectory
from storage_plugins.postgres.embedded.server import embedded_blocking
from storage_plugins.postgres.migrations import migrate
from storage_plugins.postgres.storage import PostgresStorage

ROOMS = 500
ROOMS_IN_BUILDING = 50
PEOPLE = 20
ROUNDS = 30
NOW = datetime(2027, 1, 3, tzinfo=UTC)
MONDAY = datetime(2027, 1, 4, tzinfo=UTC)
FEATURES = ("projector", "video", "whiteboard", "phone")
_OPEN = "\r\n".join(
    (
        *("BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Koyomi//benchmark//EN"),
        *("BEGIN:VAVAILABILITY", "UID:a", "DTSTAMP:20270101T000000Z", "BEGIN:AVAILABLE", "UID:b"),
        *("DTSTAMP:20270101T000000Z", "DTSTART:20270104T070000", "DTEND:20270104T190000"),
        *("RRULE:FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR", "END:AVAILABLE", "END:VAVAILABILITY", "END:VCALENDAR", ""),
    )
)


def _series(uid: str, start: datetime, minutes: int) -> bytes:
    """A meeting on each working day of eight weeks."""
    lines = (
        *("BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Koyomi//benchmark//EN", "BEGIN:VEVENT", f"UID:{uid}"),
        *("DTSTAMP:20270101T000000Z", f"DTSTART:{start:%Y%m%dT%H%M%SZ}", f"DURATION:PT{minutes}M"),
        *("RRULE:FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR;COUNT=40", "SUMMARY:Meeting", "END:VEVENT", "END:VCALENDAR", ""),
    )
    return "\r\n".join(lines).encode()


async def _fill(storage: PostgresStorage, lookup: Lookup) -> Actor:
    """The rooms and people with their calendars. Returns the first person as an actor."""
    chance = random.Random(14)
    cli = Actor(None, "benchmark")
    policy = as_json(parse_policy({"booking_window_days": 180, "max_duration_minutes": 480}))
    changes = [
        PrincipalChange(
            kind="room",
            name=f"room{number:03}",
            display_name=f"Room {number}",
            room=Room(
                0,
                site="Main site",
                building=f"Building {number // ROOMS_IN_BUILDING}",
                floor=str(number % 5),
                capacity=2 + number % 20,
                features=frozenset(chance.sample(FEATURES, 2)),
                time_zone="Europe/Berlin",
                opening_times=_OPEN,
                policy=policy,
            ),
        )
        for number in range(ROOMS)
    ]
    changes += [PrincipalChange(kind="individual", name=f"person{number:02}") for number in range(PEOPLE)]
    ids = await PostgresDirectory(storage.database).write_principals(changes, cli.cause)
    objects = Objects(storage, Limits())
    for change in changes:
        assert change.name is not None
        # Series of a room, one behind the other from 7 to 17 o'clock.
        count = 5 if change.kind == "room" else 10
        for number in range(count):
            start = MONDAY + timedelta(hours=7 + number * 10 / count, minutes=chance.choice((0, 15)))
            target = Target(change.name, change.kind or "room", "calendar", "calendar", f"{number}.ics")
            found = await lookup.find(cli, target, Privilege.BIND)
            text = _series(f"{change.name}-{number}", start, chance.choice((30, 45)))
            await objects.put(cli, found, text)
    await storage.database.fetch("analyze")
    return Actor((await storage.resolve(ids[ROOMS], None)).viewer, "benchmark")


async def _times(ask: Callable[[], Awaitable[object]], backend: int) -> tuple[float, float]:
    """The median milliseconds, and the median of the CPU milliseconds of this process and of the database."""
    times, works = [], []
    for _ in range(ROUNDS):
        began, worked = time.perf_counter(), cpu(backend)
        await ask()
        times.append(time.perf_counter() - began)
        works.append(cpu(backend) - worked)
    return 1000 * statistics.median(times), 1000 * statistics.median(works)


def _calibration() -> float:
    """CPU milliseconds of a fixed piece of work."""
    began = time.process_time()
    sum(number * number % 7 for number in range(1_000_000))
    return 1000 * (time.process_time() - began)


async def measure(dsn: str) -> str:
    """Fill the database and give the figures as a table."""
    await migrate(dsn)
    async with PostgresStorage(dsn, DatabaseLimits(connections=1), notify=False) as storage:
        backend = await storage.database.fetchval("select pg_backend_pid()")
        lookup = Lookup(storage)
        person = await _fill(storage, lookup)
        finding = RoomFinding(storage, PostgresAccess(storage), lookup, Limits(), lambda: NOW)
        people = [f"person{number:02}" for number in range(PEOPLE)]
        start, hour = MONDAY + timedelta(hours=9), timedelta(hours=1)
        needs = Needs(6, frozenset(("projector",)), near=Place("Main site", "Building 3", "2"))
        until = start + timedelta(days=14)
        wanted = Wanted(start, hour, start + timedelta(days=7), needs)
        hours = working_hours(start, until, UTC, datetime.min.time().replace(8), datetime.min.time().replace(18))
        times = WantedTimes(start, until, hour, hours, needs)
        where = Where(building="Building 3")
        rows = []
        for who, actor in (("an organizer", person), ("the installation", Actor(None, "benchmark"))):

            async def find(actor: Actor = actor) -> None:
                assert (await finding.find(actor, wanted, UTC, 10)).rooms

            async def suggest(actor: Actor = actor) -> None:
                assert (await finding.suggest_times(actor, people, (), times, UTC, where)).rooms_that_fit

            rows.append((f"rooms find, {ROOMS} rooms, a week, by {who}", await _times(find, backend)))
            rows.append(
                (
                    f"suggest-times, {PEOPLE} people, {ROOMS_IN_BUILDING} rooms, 2 weeks, by {who}",
                    await _times(suggest, backend),
                )
            )
    lines = [f"| {what} | {median:.1f} | {work:.1f} |" for what, (median, work) in rows]
    calibration = statistics.median(_calibration() for _ in range(9))
    head = ("| what | ms | CPU ms |", "| --- | ---: | ---: |")
    return "\n".join((*head, *lines, f"| calibration | | {calibration:.1f} |"))


def run() -> str:
    """The table, measured on a fresh cluster."""
    with tempfile.TemporaryDirectory(prefix="koyomi-bench-") as folder:
        Path(folder).chmod(0o711)
        with embedded_blocking(Path(folder) / "cluster", durable=False) as cluster:
            return asyncio.run(measure(cluster.dsn("postgres")))


if __name__ == "__main__":
    argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0]).parse_args()
    print(run())
