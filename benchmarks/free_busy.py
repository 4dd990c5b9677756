"""Free-busy of many people: `python -m benchmarks.free_busy`.

Fills a fresh embedded PostgreSQL with 20 people who have five calendars each, the last of them another person's that
is shared with them, each with --occurrences (2,000) in three years. Asks for 30 days of all people by a request to an
outbox, also with an event that does not count, of all people at once, of all calendars at once, and of one calendar
after the other. Prints the median milliseconds of each.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from server.domain.actors import Actor
from server.domain.changes import Cause, WriteLimits
from server.domain.limits import Limits
from server.domain.objects import Collection, NewCollection, Target
from server.domain.privileges import Privilege
from server.services.lookup import Lookup
from server.services.scheduling.busy_times import BusyTimes
from server.services.time.free_busy import busy_people, busy_periods
from server.storage.directory import PrincipalChange
from storage_plugins.postgres.access import PostgresAccess
from storage_plugins.postgres.directory import PostgresDirectory
from storage_plugins.postgres.embedded.server import embedded_blocking
from storage_plugins.postgres.migrations import migrate
from storage_plugins.postgres.storage import PostgresStorage
from tests.found import collection_found

PEOPLE = 20
CALENDARS = 5
ROUNDS = 30
START = datetime(2026, 6, 1, tzinfo=UTC)
CAUSE = Cause(None, "benchmark")
LIMITS = WriteLimits(10**9, 10**6, 100, 10**6)
# Objects of ten occurrences each, a quarter of an hour to two hours long, in three years around the window.
FILL = """
    with o as (
        insert into object (home_id, collection_id, created_revision, revision, created_at, modified_at, size, name,
                            uid, component, etag, time_key, text, neutral_busy)
        select $1, $2, n, n, now(), now(), 36, 'name' || n, 'uid' || n, 'VEVENT', 'etag', '',
               E'BEGIN:VCALENDAR\\r\\nEND:VCALENDAR\\r\\n',
               case when n % 3 = 0 then '{0}'::smallint[] end
        from generate_series(1, $3 / 10) as n returning id, revision
    )
    insert into occurrence (home_id, collection_id, object_id, ordinal, component, length_class, kind, busy, matches,
                            range_start, range_end, start_at, end_at, recurrence_id)
    select $1, $2, o.id, i, 0, 0, 0, 1, true, at, at + length, at, at + length, ''
    from o cross join generate_series(1, 10) as i
    cross join lateral (select $4::timestamptz + interval '1095 days' * (hashint8(o.id * 10 + i) & 65535) / 65536
                               - interval '547 days' as at,
                               interval '15 minutes' * (1 + i % 8) as length) as t
"""
SHOW = """
    insert into binding (home_id, name, collection_home_id, collection_id, rights, created_revision, revision)
    values ($1, 'shared', $2, $3, 'read', 0, 0)
"""


async def _people(storage: PostgresStorage, occurrences: int) -> tuple[list[int], list[list[Collection]]]:
    changes = [PrincipalChange(kind="individual", name=f"person{number}") for number in range(PEOPLE)]
    ids = await PostgresDirectory(storage.database).write_principals(changes, CAUSE)
    found: list[list[Collection]] = []
    for number, id_ in enumerate(ids):
        home = (await storage.resolve(id_, Target(f"person{number}", "individual", "calendar"))).home
        assert home is not None
        calendars = []
        for name in range(CALENDARS - 1):
            made = await storage.create_collection(home, NewCollection(f"c{name}", "calendar"), LIMITS, CAUSE)
            await storage.database.fetch(FILL, made.home_id, made.id, occurrences, START)
            calendars.append(made)
        found.append(calendars)
    for number, calendars in enumerate(found):
        # The last one is the next person's first, in the view of this person.
        shared = found[(number + 1) % PEOPLE][0]
        await storage.database.fetch(SHOW, calendars[0].home_id, shared.home_id, shared.id)
        calendars.append(replace(shared, view=ids[number]))
    await storage.database.fetch("analyze")
    return list(ids), found


def _request(end: datetime, *more: str) -> bytes:
    """The first person's request for the busy times of all."""
    times = (f"DTSTART:{START:%Y%m%dT%H%M%SZ}", f"DTEND:{end:%Y%m%dT%H%M%SZ}")
    attendees = [f"ATTENDEE:/principals/users/person{number}/" for number in range(PEOPLE)]
    head = ("UID:1", "DTSTAMP:20260101T000000Z", "ORGANIZER:/principals/users/person0/", *times, *attendees, *more)
    lines = ("METHOD:REQUEST", "BEGIN:VFREEBUSY", *head, "END:VFREEBUSY")
    return "\r\n".join(("BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:x", *lines, "END:VCALENDAR", "")).encode()


async def _median(ask: Callable[[], Awaitable[object]]) -> float:
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        await ask()
        times.append(time.perf_counter() - began)
    return 1000 * statistics.median(times)


async def measure(dsn: str, occurrences: int) -> None:
    """Fill the database and print the figures."""
    await migrate(dsn)
    async with PostgresStorage(dsn, notify=False) as storage:
        people, found = await _people(storage, occurrences)
        everybodys = [collection_found(calendar) for calendars in found for calendar in calendars]
        lookup = Lookup(storage)
        end = START + timedelta(days=30)

        first = await storage.resolve(people[0], None)
        actor = Actor(first.viewer, "benchmark")
        outbox = await lookup.find(
            actor, Target("person0", "individual", "calendar", "outbox"), Privilege.SCHEDULE_SEND_FREE_BUSY
        )
        busy_times = BusyTimes(storage, PostgresAccess(storage), lookup, Limits())

        async def by_request() -> None:
            await busy_times.ask(actor, outbox, _request(end))

        async def by_request_masked() -> None:
            await busy_times.ask(actor, outbox, _request(end, "X-CALENDARSERVER-MASK-UID:uid1"))

        async def of_people() -> None:
            await busy_people(storage, lookup, people, START, end, "benchmark")

        async def at_once() -> None:
            await busy_periods(storage, everybodys, START, end)

        async def one_by_one() -> None:
            for calendar in everybodys:
                await busy_periods(storage, [calendar], START, end)

        print(f"{len(everybodys)} calendars of {occurrences} occurrences, 30 days")
        print(f"by request {await _median(by_request):6.1f} ms")
        print(f"one masked {await _median(by_request_masked):6.1f} ms")
        print(f"by person  {await _median(of_people):6.1f} ms")
        print(f"at once    {await _median(at_once):6.1f} ms")
        print(f"one by one {await _median(one_by_one):6.1f} ms")


def main() -> None:
    """Measure on a fresh cluster."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--occurrences", type=int, default=2_000, help="of each calendar")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="koyomi-bench-") as folder:
        Path(folder).chmod(0o711)
        with embedded_blocking(Path(folder) / "cluster", durable=False) as cluster:
            asyncio.run(measure(cluster.dsn("postgres"), options.occurrences))


if __name__ == "__main__":
    main()
