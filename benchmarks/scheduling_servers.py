"""The servers that `benchmarks.scheduling` measures, and the requests that it sends them."""

from __future__ import annotations

import asyncio
import contextlib
import imaplib
import json
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil

from benchmarks.meetings import Copy, copies_in, query
from tests.server_process import SHARED, ServerProcess, free_port, running

QUIET = 2.5
"""Seconds for which a server must have nothing to do before it counts as done: longer than jobs wait for answers."""
LOOK = 0.1
"""Seconds from one look at its processes to the next."""
IDLE = 0.02
"""CPU seconds that a server uses in each second without having anything to do, at most."""
XML = {"Content-Type": "application/xml; charset=utf-8"}
ICS = {"Content-Type": "text/calendar; charset=utf-8"}


@dataclass(slots=True)
class Side:
    """A server under measurement."""

    title: str
    base: str
    """URL without a slash at its end."""
    calendar: str
    """Path of a person's calendar."""
    outbox: str
    roots: list[int]
    clients: aiohttp.ClientSession | None = None

    def spent(self) -> float:
        """CPU seconds of all processes so far, with those of processes that have ended."""
        total = 0.0
        found: set[int] = set()
        for root in self.roots:
            tree = psutil.Process(root)
            for process in (tree, *tree.children(recursive=True)):
                if process.pid in found:  # the database may be a child of the server
                    continue
                found.add(process.pid)
                with contextlib.suppress(psutil.NoSuchProcess, OSError):
                    times = process.cpu_times()
                    # The clock of the process: /proc is behind by some milliseconds.
                    total += time.clock_gettime(~process.pid << 3 | 2) + times.children_user + times.children_system
        return total

    async def until_quiet(self) -> tuple[float, float]:
        """Wait until the server has nothing more to do.

        Returns the CPU seconds and the time (`time.monotonic`) at the beginning of the quiet time.
        """
        spent, since = self.spent(), time.monotonic()
        while time.monotonic() - since < QUIET:
            await asyncio.sleep(LOOK)
            now = self.spent()
            if now - spent > IDLE * (time.monotonic() - since) + LOOK / 10:
                spent, since = now, time.monotonic()
        return spent, since

    async def request(
        self, method: str, person: str, path: str, body: str = "", headers: dict[str, str] | None = None
    ) -> tuple[int, str]:
        """Status and text of an answer."""
        assert self.clients is not None
        async with self.clients.request(
            method,
            self.base + path,
            data=body.encode() or None,
            headers={
                "Accept-Encoding": "identity",
                "Authorization": aiohttp.encode_basic_auth(person, person),
                **(headers or {}),
            },
            allow_redirects=False,
        ) as answer:
            return answer.status, await answer.text()

    async def put(self, person: str, path: str, text: str) -> None:
        """Store a text. Raises `RuntimeError` if it is refused."""
        status, answer = await self.request("PUT", person, path, text, ICS)
        if status not in (200, 201, 204):
            raise RuntimeError(f"{self.title}: {status} for PUT {path}: {answer[:300]}")

    async def copy(self, person: str, uid: str) -> Copy | None:
        """A person's copy of a meeting; None without one."""
        path = self.calendar.format(user=person)
        status, answer = await self.request("REPORT", person, path, query(uid), {**XML, "Depth": "1"})
        if status != 207:
            raise RuntimeError(f"{self.title}: {status} for REPORT {path}: {answer[:300]}")
        return next(iter(copies_in(answer)), None)

    async def copies(self, people: Sequence[str], uid: str) -> dict[str, Copy]:
        """The copies of those who have one."""
        found = await asyncio.gather(*(self.copy(person, uid) for person in people))
        return {person: copy for person, copy in zip(people, found, strict=True) if copy is not None}


@contextlib.contextmanager
def koyomi(folder: Path, people: Sequence[str], workers: int) -> Iterator[Side]:
    """Koyomi on a fresh embedded PostgreSQL."""
    server = ServerProcess(folder / "data", folder / "server.log", {"network.workers": workers, "log.level": "warning"})
    listed = [
        {"id": each, "name": each, "kind": "individual", "display_name": each, "emails": [f"{each}@localhost"],
         "password": each}
        for each in people
    ]  # fmt: skip
    (folder / "people.json").write_text(json.dumps({"principals": listed}))
    server.command("principals", "load", str(folder / "people.json"))
    with running(server):
        home = "/calendars/users/{user}/"
        yield Side("Koyomi", server.url, f"{home}calendar/", f"{home}outbox/", server.root_pids())


@contextlib.contextmanager
def cyrus(people: Sequence[str]) -> Iterator[Side]:
    """Cyrus with scheduling on. Its data lie in another folder than those of the other measurements."""
    lab = Path(os.environ.get("LAB") or "/tmp/koyomi-peers") / "scheduling"
    script = SHARED / "bench" / "peers" / "cyrus.sh"
    environment = {**os.environ, "LAB": str(lab), "SCHEDULING": "on", "PORT": str(free_port())}

    def run(verb: str) -> str:
        done = subprocess.run(
            [script, verb], env=environment, check=True, stdout=subprocess.PIPE, text=True, timeout=900
        )
        return done.stdout.strip()

    try:
        run("start")
        base = f"http://127.0.0.1:{environment['PORT']}"
        _add_to_cyrus(lab / "cyrus", int(environment["PORT"]) + 1, base, people)
        home = "/dav/calendars/user/{user}/"
        yield Side("Cyrus", base, f"{home}Default/", f"{home}Outbox/", [int(pid) for pid in run("pids").split(",")])
    finally:
        run("stop")


def _add_to_cyrus(folder: Path, port: int, base: str, people: Sequence[str]) -> None:
    """Make the accounts that the script does not make."""
    known = folder / "people"
    there = set(known.read_text().split()) if known.exists() else set()
    passwords = ["saslpasswd2", "-p", "-c", "-f", str(folder / "sasldb2"), "-u", "localhost"]
    with imaplib.IMAP4("127.0.0.1", port) as connection:
        connection.authenticate("PLAIN", lambda _: b"\0cyrus\0cyrus")
        for person in people:
            if person not in there:
                subprocess.run([*passwords, person], input=person, text=True, check=True)
                connection.create(f"user/{person}")
    for person in people:
        if person not in there:  # the first request makes the calendars
            url = f"{base}/dav/calendars/user/{person}/"
            subprocess.run(
                ["curl", "-s", "-o", os.devnull, "-u", f"{person}:{person}", "-X", "PROPFIND", url], check=True
            )
    known.write_text(" ".join(sorted({*there, *people})))
