"""Two versions of the server measured in turn: what `benchmarks.writes` and `benchmarks.reads` share.

Both servers have equal data and get equal requests, some twenty at a time on each in turn. What counts is the CPU time
of the worker and of PostgreSQL for each request, and the median of the ratios of all turns, so that what other work on
the machine slows is slow for both.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import os
import socket
import statistics
import subprocess
import tarfile
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import asyncpg
import psutil

from storage_plugins.postgres.embedded.server import embedded
from tests.server_process import ServerProcess, running

ROOT = Path(__file__).resolve().parents[1]
WARM_UP = 10
"""Rounds before those that count: connections prepare their statements."""
LOGGED = 100
"""Requests of each person over which the write-ahead log is measured."""
OLD_NAMES = {
    "storage.data": "KOYOMI_DATA",
    "network.port": "KOYOMI_PORT",
    "network.workers": "KOYOMI_WORKERS",
    "log.level": "KOYOMI_LOG_LEVEL",
}
"""The variables of versions whose settings had no parts, by option name."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request and the status of its answer."""

    method: str
    path: str
    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class Client:
    """One person's connection, which sends requests of which it reads the answers later."""

    def __init__(self, port: int, person: str) -> None:
        self.person = person
        self.sync_token = ""
        """Of the person's calendar, for operations that need one."""
        self._signed = base64.b64encode(f"{person}:{person}".encode()).decode()
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._file = self._socket.makefile("rb")

    def send(self, request: Request) -> None:
        """Send a request without waiting for the answer."""
        lines = [
            f"{request.method} {request.path} HTTP/1.1",
            "Host: 127.0.0.1",
            f"Authorization: Basic {self._signed}",
            "User-Agent: benchmarks",
            "Accept: */*",
            *(f"{name}: {value}" for name, value in request.headers.items()),
        ]
        if request.body:
            lines.append(f"Content-Length: {len(request.body)}")
        self._socket.sendall("\r\n".join((*lines, "", "")).encode() + request.body)

    def answer(self, request: Request) -> bytes:
        """Read the answer of a request. Raises `RuntimeError` for another status."""
        status = int(self._file.readline().split()[1])
        headers: dict[str, str] = {}
        while (line := self._file.readline().rstrip()) != b"":
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        if headers.get("transfer-encoding") == "chunked":
            content = b"".join(self._chunks())
        else:
            content = self._file.read(int(headers.get("content-length", 0)))
        if status != request.status:
            raise RuntimeError(f"{status} instead of {request.status}: {content!r}")
        return content

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self._file.readline().split(b";")[0], 16):
            yield self._file.read(size)
            self._file.readline()
        self._file.readline()


Operation = Callable[[Client, int], Request]
"""The request of a person by its number, which no other turn of that operation has."""


def act(clients: Sequence[Client], operation: Operation, numbers: Sequence[int]) -> list[bytes]:
    """Let each person send the requests of some numbers, all people at the same time. Returns the answers."""
    answers = []
    for number in numbers:
        requests = [operation(client, number) for client in clients]
        for client, request in zip(clients, requests, strict=True):
            client.send(request)
        answers += [client.answer(request) for client, request in zip(clients, requests, strict=True)]
    return answers


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


async def _wal(server: ServerProcess) -> int:
    """Bytes that a server's PostgreSQL has written to its log so far."""
    async with embedded(server.data) as cluster:
        connection = await asyncpg.connect(cluster.dsn())
        try:
            return int(await connection.fetchval("select (pg_current_wal_insert_lsn() - '0/0')::bigint"))
        finally:
            await connection.close()


def logged(side: Side, operation: Operation, numbers: Sequence[int]) -> float:
    """Bytes of the write-ahead log for a request of an operation."""
    before = asyncio.run(_wal(side.server))
    act(side.clients, operation, numbers)
    return (asyncio.run(_wal(side.server)) - before) / (len(numbers) * len(side.clients))


def code_of(commit: str, folder: Path) -> Path:
    """The code of a commit, in a folder."""
    git = ["git", "-C", str(ROOT), "archive", commit, "server", "storage_plugins"]
    with tarfile.open(fileobj=BytesIO(subprocess.run(git, capture_output=True, check=True).stdout)) as files:
        files.extractall(folder, filter="data")
    return folder


@contextlib.contextmanager
def started(folder: Path, title: str, code: Path, people: Sequence[str]) -> Iterator[Side]:
    """A server that runs one version of the code on its own data, with the connections of all people."""
    server = ServerProcess(folder / "data", folder / "log", {"network.workers": 1, "log.level": "warning"})
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


@dataclass(frozen=True, slots=True)
class Options:
    """What a run was asked for."""

    before: str
    now: str | None
    rounds: int
    batches: int
    people: int
    only: frozenset[str]


def options(description: str, rounds: int) -> Options:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=description.split("\n\n")[0])
    parser.add_argument("--before", required=True, help="commit to compare with")
    parser.add_argument("--now", help="another commit in the place of this folder")
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--batches", type=int, default=5, help="requests of each person in a turn")
    parser.add_argument("--people", type=int, default=4, help="connections, each of another person")
    parser.add_argument("--only", default="", help="operations, separated by commas; all without it")
    found = parser.parse_args()
    only = frozenset(filter(None, found.only.split(",")))
    return Options(found.before, found.now, found.rounds, found.batches, found.people, only)


@contextlib.contextmanager
def both_sides(asked: Options) -> Iterator[list[Side]]:
    """A server of the earlier commit, and one of this folder or of another commit."""
    people = [f"person{number}" for number in range(asked.people)]
    with tempfile.TemporaryDirectory(prefix="koyomi-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o711)
        before = code_of(asked.before, folder / "code-before")
        now = code_of(asked.now, folder / "code-now") if asked.now else ROOT
        yield [
            stack.enter_context(started(folder / title, title, code, people))
            for title, code in (("before", before), ("now", now))
        ]


def measure(sides: Sequence[Side], operations: Mapping[str, Operation], asked: Options, *, log: bool = False) -> None:
    """Measure in turns, and print the table; with the bytes of the write-ahead log for a request, if asked.

    Raises `RuntimeError` if the answers of both servers differ in their numbers of elements or lines.
    """
    found: dict[tuple[str, str], list[Spent]] = defaultdict(list)
    operations = {name: one for name, one in operations.items() if not asked.only or name in asked.only}
    for turn in range(asked.rounds + WARM_UP):
        numbers = range(turn * asked.batches, (turn + 1) * asked.batches)
        if turn % 50 == 0:
            for side in sides:
                side.look()
        for name, operation in operations.items():
            shapes = set()
            for side in sides if turn % 2 else sides[::-1]:
                before = side.spent()
                answers = act(side.clients, operation, numbers)
                if turn >= WARM_UP:
                    found[name, side.title].append(side.spent() - before)
                shapes.add(tuple((one.count(b"<"), one.count(b"\n")) for one in answers))
            if len(shapes) > 1:
                raise RuntimeError(f"the answers of {name} differ: {shapes}")
    requests = asked.batches * len(sides[0].clients)
    last = (asked.rounds + WARM_UP) * asked.batches
    logs = {
        (name, side.title): logged(side, operation, range(last, last + LOGGED)) if log else 0
        for name, operation in operations.items()
        for side in sides
    }
    print(
        "| operation | CPU of | before, ms | now, ms | ratio | switches | log, bytes |\n"
        "| --- | --- | --: | --: | --: | --: | --: |"
    )
    titles = [side.title for side in sides]
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
                further += " → ".join(f"{logs[name, title]:.0f}" for title in titles) if log else ""
            print(f"| {name} | {part} | {early:.3f} | {late:.3f} | {ratio:.3f} | {further} |", flush=True)
