"""What a booking costs: `python -m benchmarks.bookings`.

In turns, somebody invites one person, a room, and a room whose calendar has 50,000 past bookings, each time to a new
meeting in the future. Prints the CPU of this process and of its connection's backend for each, and the ratios to an
invitation of one person and to the empty room.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

from server.domain.actors import Actor
from server.domain.limits import Limits
from server.domain.objects import Target
from server.domain.privileges import Privilege
from server.services.lookup import Lookup
from server.services.objects import Objects
from server.services.scheduling.implicit import Scheduling
from server.services.scheduling.sent import Sent
from server.storage.directory import PrincipalChange
from storage_plugins.postgres.database import DatabaseLimits
from storage_plugins.postgres.directory import PostgresDirectory
from storage_plugins.postgres.embedded.server import embedded_blocking
from storage_plugins.postgres.migrations import migrate
from storage_plugins.postgres.storage import PostgresStorage

ACTOR = Actor(None, "benchmark")
PAST = datetime(2015, 1, 1, tzinfo=UTC)
FUTURE = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(days=30)
PAST_SERIES, PAST_INSTANCES = 500, 100
"""The past bookings: series, and instances of each, an hour a day."""
KINDS = {"person": "ben", "room": "hall", "full room": "yard"}


def cpu(backend: int) -> float:
    """CPU seconds of this process and of a backend of PostgreSQL."""
    return time.process_time() + float(Path(f"/proc/{backend}/schedstat").read_text().split()[0]) / 1e9


def event(uid: str, start: datetime, *more: str) -> bytes:
    """An event of an hour."""
    lines = ("BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Test//EN", "BEGIN:VEVENT", f"UID:{uid}", "SUMMARY:Plan")
    times = ("DTSTAMP:20260101T000000Z", f"DTSTART:{start:%Y%m%dT%H%M%SZ}", "DURATION:PT1H")
    return "\r\n".join((*lines, *times, *more, "END:VEVENT", "END:VCALENDAR", "")).encode()


async def measure(dsn: str, rounds: int) -> None:
    """Measure, and print."""
    used: dict[str, list[float]] = defaultdict(list)
    async with PostgresStorage(dsn, DatabaseLimits(connections=2), notify=False) as storage:
        directory = PostgresDirectory(storage.database)
        people = [
            PrincipalChange(kind="individual", name=name, addresses=(f"{name}@a.org",)) for name in ("anna", "ben")
        ]
        rooms = [
            PrincipalChange(kind="room", name=name, addresses=(f"{name}@a.org",), auto_schedule={"mode": "automatic"})
            for name in ("hall", "yard")
        ]
        await directory.write_principals([*people, *rooms], ACTOR.cause)
        lookup, scheduling = Lookup(storage), Scheduling(storage, Objects(storage, Limits()), Limits())

        async def put(owner: str, kind: str, name: str, body: bytes) -> None:
            target = Target(owner, kind, "calendar", "calendar", f"{name}.ics")  # type: ignore[arg-type]
            found = await lookup.find(ACTOR, target, Privilege.READ)
            await scheduling.put(ACTOR, found, body, Sent())

        for number in range(PAST_SERIES):
            start = PAST + timedelta(hours=number % 24, days=number // 24 * PAST_INSTANCES)
            body = event(f"past-{number}", start, f"RRULE:FREQ=DAILY;COUNT={PAST_INSTANCES}")
            await put("yard", "room", f"past-{number}", body)
        await storage.database.fetch("analyze")
        backend = await storage.database.fetchval("select pg_backend_pid()")
        for number in range(rounds + 10):
            for kind, name in KINDS.items():
                uid = f"{name}-{number}"
                invited = ("ORGANIZER:mailto:anna@a.org", "ATTENDEE:mailto:anna@a.org", f"ATTENDEE:mailto:{name}@a.org")
                body = event(uid, FUTURE + timedelta(hours=number), *invited)
                before = cpu(backend)
                await put("anna", "individual", uid, body)
                if number >= 10:
                    used[kind].append((cpu(backend) - before) * 1000)
        (booked,) = await storage.database.fetch("select count(*) from reservation where starts_at > now()")
        assert booked[0] == 2 * (rounds + 10), "every invitation was accepted"
    person, room = statistics.median(used["person"]), statistics.median(used["room"])
    for kind, found in used.items():
        middle = statistics.median(found)
        print(f"{kind:10} {middle:6.2f} ms   to a person {middle / person:.2f}   to an empty room {middle / room:.2f}")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=150)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="koyomi-") as scratch:
        Path(scratch).chmod(0o711)
        with embedded_blocking(Path(scratch) / "data", binaries=None, durable=False) as cluster:
            dsn = cluster.dsn("postgres")
            asyncio.run(migrate(dsn))
            asyncio.run(measure(dsn, options.rounds))


if __name__ == "__main__":
    main()
