"""What writes cost beside an earlier commit: `python -m benchmarks.writes --before COMMIT`.

Starts two servers, one of the commit's code and one of this folder's, with equal data. Puts new events, changes events
at unchanged times and deletes events on each in turn, some twenty requests at a time. Prints the CPU time of the worker
and of PostgreSQL for each request, and the ratio: the median of the ratios of all turns, so that what other work on the
machine slows is slow for both. Without `--now` the code beside the commit's is that of this folder.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import os
import random
import socket
import statistics
import subprocess
import tarfile
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import asyncpg
import psutil

from storage_plugins.postgres.embedded.server import embedded
from tests.server_process import ServerProcess, running

ROOT = Path(__file__).resolve().parents[1]
STORED = 500
"""Events of each person before the first turn."""
WARM_UP = 10
"""Rounds before those that count: connections prepare their statements."""
OLD_NAMES = {
    "storage.data": "KOYOMI_DATA",
    "network.port": "KOYOMI_PORT",
    "network.workers": "KOYOMI_WORKERS",
    "log.level": "KOYOMI_LOG_LEVEL",
}
"""The variables of versions whose settings had no parts, by option name."""
EVENT = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//Koyomi//benchmarks//EN
BEGIN:VTIMEZONE
TZID:Europe/Berlin
BEGIN:DAYLIGHT
TZOFFSETFROM:+0100
TZOFFSETTO:+0200
TZNAME:CEST
DTSTART:19700329T020000
RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU
END:DAYLIGHT
BEGIN:STANDARD
TZOFFSETFROM:+0200
TZOFFSETTO:+0100
TZNAME:CET
DTSTART:19701025T030000
RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU
END:STANDARD
END:VTIMEZONE
BEGIN:VEVENT
UID:{uid}@benchmarks.example
DTSTAMP:20260101T000000Z
CREATED:20260101T000000Z
LAST-MODIFIED:20260101T000000Z
SEQUENCE:{sequence}
SUMMARY:{summary} revision {sequence}
DESCRIPTION:{text}
CLASS:PUBLIC
LOCATION:Berlin\\, Invalidenstr. 5
DTSTART;TZID=Europe/Berlin:{start}00
DTEND;TZID=Europe/Berlin:{start}30
{further}TRANSP:OPAQUE
{alarm}END:VEVENT
END:VCALENDAR
"""
ALARM = "BEGIN:VALARM\nACTION:DISPLAY\nDESCRIPTION:Reminder\nTRIGGER:-PT15M\nEND:VALARM\n"
WORDS = ("budget", "review", "planning", "customer", "roadmap", "sprint", "interview", "design", "weekly", "training")


def event(uid: str, sequence: int) -> bytes:
    """An event as apps write them: four in ten ring, one in twenty has guests, one in seven recurs."""
    drawn = random.Random(uid)
    further = ""
    kind = drawn.random()
    if kind < 0.15:
        further = "RRULE:FREQ=WEEKLY;COUNT=30\n"
    elif kind < 0.2:
        further = "ORGANIZER;CN=Organizer;SCHEDULE-AGENT=CLIENT:mailto:organizer@benchmarks.example\n" + "".join(
            f"ATTENDEE;CN=Guest {n};PARTSTAT=ACCEPTED;RSVP=TRUE:mailto:guest{n}@benchmarks.example\n" for n in range(5)
        )
    text = EVENT.format(
        uid=uid,
        sequence=sequence,
        summary=" ".join(drawn.choices(WORDS, k=4)).capitalize(),
        text="\n ".join(" ".join(drawn.choices(WORDS, k=8)) for _ in range(drawn.randrange(1, 6))),
        start=f"2026{drawn.randrange(1, 13):02}{drawn.randrange(1, 29):02}T{drawn.randrange(8, 18):02}",
        further=further,
        alarm=ALARM if drawn.random() < 0.4 else "",
    )
    return text.replace("\n", "\r\n").encode()


class Client:
    """One person's connection, which sends requests of which it reads the answers later."""

    def __init__(self, port: int, person: str) -> None:
        self.person = person
        self._signed = base64.b64encode(f"{person}:{person}".encode()).decode()
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._file = self._socket.makefile("rb")

    def send(self, method: str, name: str, body: bytes = b"", further: str = "") -> None:
        """Send a request for a member of the person's calendar."""
        head = (
            f"{method} /calendars/users/{self.person}/calendar/{name}.ics HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Authorization: Basic {self._signed}\r\nUser-Agent: benchmarks\r\nAccept: */*\r\n{further}"
        )
        if body:
            head += f"Content-Type: text/calendar; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
        self._socket.sendall(f"{head}\r\n".encode() + body)

    def answer(self, wanted: int) -> None:
        """Read an answer. Raises `RuntimeError` for another status."""
        status = int(self._file.readline().split()[1])
        length = 0
        while (line := self._file.readline().rstrip()) != b"":
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        content = self._file.read(length)
        if status != wanted:
            raise RuntimeError(f"{status} instead of {wanted}: {content!r}")


@dataclass(frozen=True, slots=True)
class Spent:
    """CPU seconds of workers and of PostgreSQL, and how often any of their threads was switched away from."""

    worker: float
    database: float
    switches: int

    def __sub__(self, other: Spent) -> Spent:
        return Spent(self.worker - other.worker, self.database - other.database, self.switches - other.switches)

    @property
    def both(self) -> float:
        """CPU seconds of all."""
        return self.worker + self.database


@dataclass(slots=True)
class Side:
    """A server under measurement."""

    title: str
    server: ServerProcess
    clients: list[Client]
    workers: list[int] = field(default_factory=list)
    """Process ids."""
    database: list[int] = field(default_factory=list)
    """Process ids of PostgreSQL."""

    def look(self) -> None:
        """Find the server's processes, and hold them to the same cores as those of the other server.

        A core that other work keeps busy costs more; both servers' workers share one, and both PostgreSQLs another.
        """
        parent, *postmasters = map(psutil.Process, self.server.root_pids())
        self.workers = [one.pid for one in parent.children() if "server.process.worker" in " ".join(one.cmdline())]
        self.database = [each.pid for one in postmasters for each in (one, *one.children(recursive=True))]
        cores = sorted(os.sched_getaffinity(0))
        for pids, core in ((self.workers, cores[0]), (self.database, cores[-1])):
            for pid in pids:
                with contextlib.suppress(OSError):
                    for task in Path(f"/proc/{pid}/task").iterdir():
                        os.sched_setaffinity(int(task.name), {core})

    def spent(self) -> Spent:
        """What the server has used so far."""
        return Spent(_seconds(self.workers), _seconds(self.database), _switches(self.workers + self.database))


def _seconds(pids: Sequence[int]) -> float:
    """CPU time of processes, from their clocks (clock_getcpuclockid): /proc is behind by some milliseconds."""
    total = 0.0
    for pid in pids:
        with contextlib.suppress(OSError):
            total += time.clock_gettime(~pid << 3 | 2)
    return total


def _switches(pids: Sequence[int]) -> int:
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for status in Path(f"/proc/{pid}/task").glob("*/status"):
                lines = status.read_text().splitlines()
                total += sum(int(line.split()[1]) for line in lines if "ctxt_switches" in line)
    return total


@dataclass(slots=True)
class Work:
    """The operations, on the same names at every server."""

    batches: int
    stored: int
    turn: int = 0

    def put_new(self, clients: Sequence[Client]) -> None:
        """New events, while their name is free."""
        for batch in range(self.batches):
            name = f"new-{self.turn}-{batch}"
            for client in clients:
                client.send("PUT", name, event(f"{client.person}-{name}", 0), "If-None-Match: *\r\n")
            for client in clients:
                client.answer(201)

    def put_update(self, clients: Sequence[Client]) -> None:
        """Other texts for events at the times that they have."""
        drawn = random.Random(self.turn)
        for _ in range(self.batches):
            name = f"stored-{drawn.randrange(self.stored)}"
            self.turn += 1
            for client in clients:
                client.send("PUT", name, event(f"{client.person}-{name}", self.turn))
            for client in clients:
                client.answer(204)
        self.turn -= self.batches

    def delete(self, clients: Sequence[Client]) -> None:
        """Delete the new events of this turn."""
        for batch in range(self.batches):
            for client in clients:
                client.send("DELETE", f"new-{self.turn}-{batch}")
            for client in clients:
                client.answer(204)

    def fill(self, clients: Sequence[Client]) -> None:
        """Store the events that `put_update` changes."""
        for number in range(self.stored):
            for client in clients:
                client.send("PUT", f"stored-{number}", event(f"{client.person}-stored-{number}", 0))
            for client in clients:
                client.answer(201)


async def _wal(server: ServerProcess) -> int:
    """Bytes that a server's PostgreSQL has written to its log so far."""
    async with embedded(server.data) as cluster:
        connection = await asyncpg.connect(cluster.dsn())
        try:
            return int(await connection.fetchval("select (pg_current_wal_insert_lsn() - '0/0')::bigint"))
        finally:
            await connection.close()


def logged(side: Side, act: Callable[[Sequence[Client]], None], requests: int) -> float:
    """Bytes of the write-ahead log for a request of an operation."""
    before = asyncio.run(_wal(side.server))
    act(side.clients)
    return (asyncio.run(_wal(side.server)) - before) / requests


def code_of(commit: str, folder: Path) -> Path:
    """The code of a commit, in a folder."""
    git = ["git", "-C", str(ROOT), "archive", commit, "server", "storage_plugins"]
    with tarfile.open(fileobj=BytesIO(subprocess.run(git, capture_output=True, check=True).stdout)) as files:
        files.extractall(folder, filter="data")
    return folder


@contextlib.contextmanager
def started(folder: Path, title: str, code: Path, people: Sequence[str], workers: int) -> Iterator[Side]:
    """A server that runs one version of the code on its own data, with the connections of all people."""
    server = ServerProcess(folder / "data", folder / "log", {"network.workers": workers, "log.level": "warning"})
    if code != ROOT:
        server.code = code
        if "def parts" not in (code / "server/settings/model.py").read_text():
            server.named = OLD_NAMES.__getitem__
    folder.mkdir()
    listed = [
        {"id": name, "name": name, "kind": "individual", "display_name": name, "emails": [], "password": name}
        for name in people
    ]
    (folder / "people.json").write_text(json.dumps({"principals": listed}))
    server.command("principals", "load", str(folder / "people.json"))
    with running(server):
        yield Side(title, server, [Client(server.port, name) for name in people])


def measure(sides: Sequence[Side], rounds: int, work: Work) -> None:
    """Measure in turns, and print the table."""
    found: dict[tuple[str, str], list[Spent]] = defaultdict(list)
    operations = {"put-new": work.put_new, "put-update": work.put_update, "delete": work.delete}
    requests = work.batches * len(sides[0].clients)
    for number in range(rounds + WARM_UP):
        work.turn = number * work.batches
        if number % 50 == 0:
            for side in sides:
                side.look()
        for name, act in operations.items():
            for side in sides if number % 2 else sides[::-1]:
                before = side.spent()
                act(side.clients)
                if number >= WARM_UP:
                    found[name, side.title].append(side.spent() - before)
    work.turn = (rounds + WARM_UP) * work.batches
    work.batches = 100
    logs = {
        (name, side.title): logged(side, act, work.batches * len(side.clients))
        for name, act in operations.items()
        for side in sides
    }
    titles = [side.title for side in sides]
    print(
        "| operation | CPU of | before, ms | now, ms | ratio | switches | log, bytes |\n"
        "| --- | --- | --: | --: | --: | --: | --: |"
    )
    for name in operations:
        pairs = list(zip(*(found[name, title] for title in titles), strict=True))
        for part in ("worker", "database", "both"):
            values = [(getattr(before, part), getattr(now, part)) for before, now in pairs]
            early, late = (statistics.median(value[n] for value in values) / requests * 1000 for n in (0, 1))
            ratio = statistics.median(after / before for before, after in values)
            further = " | "
            if part == "both":
                switches = [statistics.median(pair[n].switches for pair in pairs) / requests for n in (0, 1)]
                further = f"{switches[0]:.1f} → {switches[1]:.1f} | "
                further += " → ".join(f"{logs[name, title]:.0f}" for title in titles)
            print(f"| {name} | {part} | {early:.3f} | {late:.3f} | {ratio:.3f} | {further} |", flush=True)


def main() -> None:
    """Start both servers, fill and measure them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--before", required=True, help="commit to compare with")
    parser.add_argument("--now", help="another commit in the place of this folder")
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--batches", type=int, default=5, help="requests of each person in a turn")
    parser.add_argument("--people", type=int, default=4, help="connections, each of another person")
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    people = [f"person{number}" for number in range(options.people)]
    with tempfile.TemporaryDirectory(prefix="koyomi-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o711)
        before = code_of(options.before, folder / "code-before")
        now = code_of(options.now, folder / "code-now") if options.now else ROOT
        sides = [
            stack.enter_context(started(folder / title, title, code, people, options.workers))
            for title, code in (("before", before), ("now", now))
        ]
        work = Work(options.batches, STORED)
        for side in sides:
            work.fill(side.clients)
        measure(sides, options.rounds, work)


if __name__ == "__main__":
    main()
