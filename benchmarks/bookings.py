"""What a booking costs: `python -m benchmarks.bookings`.

In turns, somebody invites one person, a room, and a room whose calendar has 50,000 past bookings, each time by the PUT
of a new meeting in the future. Prints the CPU of the worker and its database sessions for each, and the ratios to an
invitation of one person and to the empty room.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import statistics
import tempfile
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil

from tests.e2e import processes
from tests.e2e.http_connection import Connection
from tests.server_process import ServerProcess, running

PAST = datetime(2015, 1, 1, tzinfo=UTC)
FUTURE = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(days=30)
PAST_SERIES, PAST_INSTANCES = 500, 100
"""The past bookings: series, and instances of each, an hour a day."""
KINDS = {"person": "ben", "room": "hall", "full room": "yard"}
AT_ONCE = 10
"""PUTs that are measured together."""
WARM_UP = 3
SETTINGS = {
    "network.workers": 1,
    "log.level": "warning",
    "network.trusted_proxies": "127.0.0.1/32",
    "sign_in.remote_user_header": "Remote-User",
}


def cpu(server: ServerProcess) -> float:
    """CPU seconds of the worker and of its sessions of PostgreSQL."""
    used = 0.0
    for process in (*processes.workers(server), *processes.postmaster(server).children()):
        # A process of PostgreSQL that does other work may end meanwhile.
        with contextlib.suppress(psutil.NoSuchProcess, FileNotFoundError):
            if "[local]" in (title := " ".join(process.cmdline())) or "server.process.worker" in title:
                used += float(Path(f"/proc/{process.pid}/schedstat").read_text().split()[0])
    return used / 1e9


def event(uid: str, start: datetime, *more: str) -> str:
    """An event of an hour."""
    lines = ("BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Test//EN", "BEGIN:VEVENT", f"UID:{uid}", "SUMMARY:Plan")
    times = ("DTSTAMP:20260101T000000Z", f"DTSTART:{start:%Y%m%dT%H%M%SZ}", "DURATION:PT1H")
    return "\r\n".join((*lines, *times, *more, "END:VEVENT", "END:VCALENDAR", ""))


def load(server: ServerProcess) -> None:
    """Two people, of whom one is an administrator, and two rooms."""
    people = [{"kind": "individual", "name": name, "emails": [f"{name}@a.org"]} for name in ("anna", "ben")]
    people[0]["roles"] = ["admin"]
    rooms = [
        {"kind": "room", "name": name, "emails": [f"{name}@a.org"], "auto_schedule": {"mode": "automatic"}}
        for name in ("hall", "yard")
    ]
    document = server.data.with_suffix(".principals.json")
    document.write_text(json.dumps({"principals": [*people, *rooms]}))
    server.command("principals", "load", str(document))


async def measure(server: ServerProcess, rounds: int) -> None:
    """Measure, and print."""
    used: dict[str, list[float]] = defaultdict(list)
    http = Connection(server.port, "anna", "anna")

    async def put(path: str, body: str) -> None:
        headers = {"Remote-User": "anna", "Content-Type": "text/calendar"}
        reply = await http.request("PUT", path, body, headers)
        assert reply.status == 201, reply

    for number in range(PAST_SERIES):
        start = PAST + timedelta(hours=number % 24, days=number // 24 * PAST_INSTANCES)
        body = event(f"past-{number}", start, f"RRULE:FREQ=DAILY;COUNT={PAST_INSTANCES}")
        await put(f"/calendars/locations/yard/calendar/past-{number}.ics", body)
    for turn in range(rounds + WARM_UP):
        for kind, name in KINDS.items():
            before = cpu(server)
            for number in range(turn * AT_ONCE, (turn + 1) * AT_ONCE):
                invited = ("ORGANIZER:mailto:anna@a.org", "ATTENDEE:mailto:anna@a.org", f"ATTENDEE:mailto:{name}@a.org")
                body = event(f"{name}-{number}", FUTURE + timedelta(hours=number), *invited)
                await put(f"/calendars/users/anna/calendar/{name}-{number}.ics", body)
            if turn >= WARM_UP:
                used[kind].append((cpu(server) - before) * 1000 / AT_ONCE)
    async with processes.database(server) as session:
        booked = await session.fetchval("select count(*) from reservation where starts_at > now()")
        assert booked == 2 * AT_ONCE * (rounds + WARM_UP), "every invitation was accepted"
    http.drop()
    turns = list(zip(*used.values(), strict=True))
    for place, kind in enumerate(KINDS):
        to_person = statistics.median(each[place] / each[0] for each in turns)
        to_room = statistics.median(each[place] / each[1] for each in turns)
        middle = statistics.median(used[kind])
        print(f"{kind:10} {middle:6.2f} ms   to a person {to_person:.2f}   to an empty room {to_room:.2f}")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="koyomi-") as scratch:
        Path(scratch).chmod(0o711)
        server = ServerProcess(Path(scratch) / "data", Path(scratch) / "log", SETTINGS)
        load(server)
        with running(server):
            asyncio.run(measure(server, options.rounds))


if __name__ == "__main__":
    main()
