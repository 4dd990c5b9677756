"""Nothing is lost: the server and PostgreSQL are killed at random moments while sixteen clients write.

Every write that was answered is there afterwards, byte by byte; one that was not answered is there whole or not at
all; and what hangs on the writes (occurrences, counters, the journal) agrees with them. A client that synchronises
goes on through it all. `KOYOMI_KILLS=200` kills as often, `KOYOMI_KILL_SEED=7` repeats a seed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import psutil

from tests.e2e import processes
from tests.e2e.calendar_texts import event
from tests.e2e.conftest import load_people, observed
from tests.e2e.http_connection import Broken, Connection, Reply
from tests.e2e.sync_client import SyncClient, Unavailable, listing
from tests.server_process import ServerProcess

KILLS = int(os.environ.get("KOYOMI_KILLS", "20"))
SEED = int(os.environ.get("KOYOMI_KILL_SEED", random.SystemRandom().randrange(1_000_000)))
PEOPLE = ["anna", "ben", "cleo", "dora"]
CLIENTS = 16
NAMES = 6
"""Members that each client has for itself."""
RULE = "FREQ=WEEKLY;COUNT=30"
HANG = 45.0
"""Seconds after which a request counts as hanging."""


@dataclass
class Member:
    """What a client knows of a member of its own: a state is a text, or None where there is no member."""

    href: str
    state: str | None = None
    """The last that was answered."""
    possible: list[str | None] = field(default_factory=list)
    """What was asked for since then without an answer that says what came of it."""

    def answered(self, state: str | None) -> None:
        self.state, self.possible = state, []

    def saw(self, state: str | None) -> None:
        """What a read shows must be one of those."""
        assert state == self.state or state in self.possible, (
            f"{self.href} is\n{state}\nafter\n{self.state}\nwas answered and these were tried:\n{self.possible}"
        )
        if state != self.state:
            self.answered(state)


class Client:
    """Writes to its own members, and looks whether all are there whenever it has lost the server."""

    def __init__(self, server: ServerProcess, number: int, counts: Counter[str]) -> None:
        self.random = random.Random(f"{SEED} client {number}")
        person = PEOPLE[number % len(PEOPLE)]
        self.http = Connection(server.port, person, person)
        home = f"/calendars/users/{person}/calendar/"
        self.members = [Member(f"{home}{number}-{n}.ics") for n in range(NAMES)]
        self.counts = counts
        self.over = False

    async def write(self) -> None:
        """Until told that it is over."""
        while not self.over:
            if await self.one_write() == "unknown":
                await self.look()
        await self.look()
        self.http.drop()

    async def one_write(self) -> str:
        member = self.random.choice(self.members)
        delete = member.state is not None and self.random.random() < 0.3
        uid = member.href.rsplit("/", 1)[1]
        text = (
            None if delete else event(uid, rule=self.random.choice(("", RULE)), padding=self.random.choice((0, 9000)))
        )
        try:
            if text is None:
                reply = await self.http.request("DELETE", member.href, timeout=HANG)
            else:
                reply = await self.http.request(
                    "PUT", member.href, text, {"Content-Type": "text/calendar"}, timeout=HANG
                )
        except Broken:
            outcome = "unknown"
        else:
            outcome = self.outcome(reply)
        self.counts[outcome] += 1
        if outcome == "answered":
            member.answered(text)
        else:
            member.possible.append(text)
        return outcome

    def outcome(self, reply: Reply) -> str:
        if reply.status == 503:
            assert reply.headers["retry-after"], reply
            return "unknown"
        assert reply.status in (201, 204), reply
        return "answered"

    async def look(self) -> None:
        """Once the server answers again: is everything there?"""
        for member in self.members:
            member.saw(await self.get(member.href))
            self.counts["looked at"] += 1

    async def get(self, href: str) -> str | None:
        while True:
            try:
                reply = await self.http.request("GET", href, timeout=HANG)
            except Broken:
                await asyncio.sleep(0.05)
                continue
            if reply.status == 503:
                assert reply.headers["retry-after"], reply
                await asyncio.sleep(0.05)
                continue
            assert reply.status in (200, 404), reply
            return reply.body.decode() if reply.status == 200 else None


async def follow(client: SyncClient, over: asyncio.Event) -> None:
    """Keep a copy, whatever happens to the server."""
    while not over.is_set():
        with contextlib.suppress(Broken, Unavailable):
            await client.sync(5 if client.token else None)
        await asyncio.sleep(0.1)


class Killer:
    """Kills what runs, and starts the server again."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.random = random.Random(f"{SEED} killer")

    async def wait(self, counts: Counter[str]) -> None:
        """Until a random moment: mostly when much is written, now and then while all is still coming up."""
        if self.random.random() < 0.3:
            await asyncio.sleep(self.random.random())
        else:
            enough = counts["answered"] + self.random.randrange(20, 120)
            await processes.until(lambda: counts["answered"] >= enough)

    async def strike(self, kind: str) -> None:
        """Kill, and see that all comes up again: PostgreSQL alone by itself."""
        server, victims = self.server, []
        if kind in ("PostgreSQL", "both"):
            postmaster = await self.postmaster()
            # The backends of a postmaster that was killed end by themselves, but each may finish its statement.
            victims.append(postmaster)
            if self.random.random() < 0.5:
                with contextlib.suppress(psutil.NoSuchProcess):
                    victims += postmaster.children()
        if kind in ("server", "both"):
            victims += [processes.parent(server), *processes.workers(server)]
        processes.kill(victims)
        if kind in ("server", "both"):
            assert server.process is not None
            await asyncio.to_thread(server.process.wait)
            await asyncio.to_thread(server.start)

    async def postmaster(self) -> psutil.Process:
        """That of the moment; waits for the next one where the last is dead."""
        async with asyncio.timeout(60):
            while True:
                with contextlib.suppress(psutil.NoSuchProcess, FileNotFoundError, IndexError):
                    found = processes.postmaster(self.server)
                    if found.status() != psutil.STATUS_ZOMBIE:
                        return found
                await asyncio.sleep(0.02)


async def test_every_answered_write_survives(server_folder: Path) -> None:
    print(f"\nKOYOMI_KILL_SEED={SEED}")
    server = ServerProcess(
        server_folder / "kill", server_folder / "kill.log", {"network.workers": 2, "log.level": "warning"}
    )
    load_people(server, PEOPLE)
    with observed(server):
        await durable(server)
        counts: Counter[str] = Counter()
        clients = [Client(server, number, counts) for number in range(CLIENTS)]
        copies = [
            SyncClient(Connection(server.port, name, name), f"/calendars/users/{name}/", infinite=True)
            for name in PEOPLE
        ]
        over = asyncio.Event()
        kinds = [("server", "PostgreSQL", "both")[n % 3] for n in range(KILLS)]
        killer = Killer(server)
        killer.random.shuffle(kinds)
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for client in clients:
                group.create_task(client.write())
            for copy in copies:
                group.create_task(follow(copy, over))
            for kind in kinds:
                await killer.wait(counts)
                await killer.strike(kind)
            await processes.until(server.answers)
            for client in clients:
                client.over = True
            over.set()
        print(f"{KILLS} kills in {time.monotonic() - began:.0f} s: {dict(counts)}")
        for client in clients:
            await client.look()
            client.http.drop()
        for copy in copies:
            while (await copy.sync(None)) is None:
                pass
            assert copy.known == await listing(copy.http, copy.href, infinite=True)
            expected = {
                member.href
                for client in clients
                for member in client.members
                if member.href.startswith(copy.href) and member.state is not None
            }
            assert {href for href in copy.known if not href.endswith("/")} == expected
            copy.http.drop()
        assert server.command("db", "check", "--all") == "Nothing differs.\n"
        await whole(server)
        assert counts["answered"] > 20 * KILLS, "hardly anything was written"


async def durable(server: ServerProcess) -> None:
    """The settings are those of production."""
    async with processes.database(server) as connection:
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            assert await connection.fetchval("select current_setting($1)", setting) == "on"


async def whole(server: ServerProcess) -> None:
    """No half of a write: whatever belongs to one is there with it."""
    async with processes.database(server) as connection:
        homes = await connection.fetch("select id, revision from home where revision > 10")
        assert len(homes) == len(PEOPLE)
        for home, revision in homes:
            await no_gaps(connection, home, revision)
        async with asyncio.timeout(60):
            while await connection.fetchval("select exists (select from outbox)"):
                await asyncio.sleep(0.1)
        last, count = await connection.fetchrow("select max(seq), count(*) from journal")
        assert last == count, "the journal has gaps"
        members = await connection.fetch(
            "select o.home_id, o.id, o.revision, o.deleted_revision, o.text, x.kind, "
            "(select count(*) from occurrence e where e.home_id = o.home_id and e.object_id = o.id) as occurrences "
            "from object o left join journal x on x.home_id = o.home_id and x.revision = o.revision and "
            "x.object_id = o.id"
        )
        assert len(members) >= CLIENTS
        for member in members:
            if member["deleted_revision"] is not None:
                assert (member["kind"], member["occurrences"]) == ("deleted", 0), member
            else:
                count = re.search("COUNT=([0-9]+)", member["text"])
                assert member["kind"] in ("created", "updated"), member
                assert member["occurrences"] == (int(count[1]) if count else 1), member


async def no_gaps(connection: asyncpg.Connection, home: int, last: int) -> None:
    """Every revision that the home gave since the first write has its entry in the journal, once, and in order."""
    found = [
        row[0] for row in await connection.fetch("select revision from journal where home_id = $1 order by seq", home)
    ]
    assert found == list(range(found[0], last + 1))
