"""Sync holds under concurrency: whatever many writers do, each client's copy becomes equal to the server's state.

Several people write to the same homes at the same time: they make, change, delete, make again, move and copy members
and collections. Meanwhile clients keep copies by RFC 6578 with random limits, at both depths, begin anew at random, and
change from one worker to another. Two calendars of each home are never removed, and writes of one of their members
wait for one another: there the order of states is known, and no client may see one go back, or miss a write that was
answered before it asked.

A run is made from a seed, which a failure names. `KOYOMI_SYNC_SEEDS="1 2 3"` runs these, `KOYOMI_SYNC_SECONDS=600`
makes each as long. The order in which the server takes the writes is its own: a seed repeats what everybody tries.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.calendar_texts import event
from tests.e2e.conftest import load_people, observed
from tests.e2e.histories import History, Sights
from tests.e2e.http_connection import Connection, Reply
from tests.e2e.sync_client import SyncClient, listing
from tests.server_process import ServerProcess

SEEDS = [int(word) for word in os.environ.get("KOYOMI_SYNC_SEEDS", "").split()] or [
    1,
    2,
    random.SystemRandom().randrange(10, 1_000_000),
]
SECONDS = float(os.environ.get("KOYOMI_SYNC_SECONDS", "18"))
"""For how long each seed writes."""
KEPT = ("kept1", "kept2")
"""Calendars that are never removed."""
STILL = "still"
"""A calendar that nobody changes."""
WILD = ("wild1", "wild2", "wild3", "wild4")
"""Names of calendars that come and go."""
KEPT_MEMBERS = [f"k{n}.ics" for n in range(36)]
WILD_MEMBERS = [f"w{n}.ics" for n in range(14)]
LIMITS = (None, None, 1, 2, 3, 7, 20)
FINE = {200, 201, 204, 207, 403, 404, 405, 409, 412}
"""What a write may be answered that comes too late or is in another's way; never a 5xx."""


@pytest.fixture(scope="module")
def server(server_folder: Path) -> Iterator[ServerProcess]:
    """Two workers, whose listings take many statements."""
    settings = {"network.workers": 2, "storage.page_size": 10, "log.level": "warning"}
    with observed(ServerProcess(server_folder / "sync", server_folder / "sync.log", settings)) as process:
        yield process


class Writer:
    """Does what comes into its head, to the homes of `people`."""

    def __init__(self, run: Run, number: int, people: list[str], *, account: str) -> None:
        self.run = run
        self.random = random.Random(f"{run.seed} writer {number}")
        self.people = people
        self.http = Connection(run.server.port, account, account)

    async def write(self) -> None:
        """Until the run is over."""
        while not self.run.over:
            if self.random.random() < 0.02:
                self.http.drop()
            action = self.random.choices(
                (
                    self.put,
                    self.delete,
                    self.transfer,
                    self.kept_put,
                    self.kept_delete,
                    self.kept_move,
                    self.collection,
                ),
                (22, 12, 12, 22, 8, 6, 8),
            )[0]
            await action()
        self.http.drop()

    def home(self) -> str:
        return f"/calendars/users/{self.random.choice(self.people)}/"

    async def request(self, method: str, path: str, body: str = "", **headers: str) -> Reply:
        named = {name.replace("_", "-").title(): value for name, value in headers.items()}
        reply = await self.http.request(method, path, body, named)
        assert reply.status in FINE, (method, path, named, reply.status, reply.body)
        self.run.counts[f"{method} {reply.status}"] += 1
        return reply

    # -- where anything goes ------------------------------------------------------------------------------------------

    def wild(self, home: str) -> str:
        return f"{home}{self.random.choice(WILD)}/{self.random.choice(WILD_MEMBERS)}"

    async def put(self) -> None:
        href = self.wild(self.home())
        name = href.rsplit("/", 1)[1]
        uid = name if self.random.random() < 0.9 else f"{name}-{self.random.randrange(5)}"
        headers = self.random.choice(({}, {}, {}, {"if_none_match": "*"}))
        rule = self.random.choice(("", "", "FREQ=DAILY;COUNT=20"))
        reply = await self.request("PUT", href, event(uid, rule=rule), content_type="text/calendar", **headers)
        assert reply.status != 404, "what has no collection is 409 (RFC 4918 §9.7.1)"

    async def delete(self) -> None:
        await self.request("DELETE", self.wild(self.home()))

    async def transfer(self) -> None:
        home = self.home()
        source, destination = self.wild(home), self.wild(home)
        if source != destination:
            overwrite = self.random.choice("TTF")
            method = self.random.choice(("MOVE", "MOVE", "COPY"))
            await self.request(method, source, destination=destination, overwrite=overwrite)

    async def collection(self) -> None:
        home = self.home()
        href = f"{home}{self.random.choice(WILD)}/"
        match self.random.randrange(8):
            case 0 | 1 | 2:
                await self.request("MKCALENDAR", href)
            case 3 | 4:
                await self.request("DELETE", href)
            case 5 | 6:
                other = f"{home}{self.random.choice(WILD)}/"
                if other != href:
                    overwrite = self.random.choice("TF")
                    method = self.random.choice(("MOVE", "MOVE", "COPY"))
                    await self.request(method, href, destination=other, overwrite=overwrite)
            case _:
                where = self.random.choice((href, home, f"{home}{KEPT[0]}/", self.wild(home)))
                name = f"<D:displayname>{self.random.random()}</D:displayname>"
                if where == home or not where.endswith("/"):
                    name = f"<x:note xmlns:x='urn:x'>{self.random.random()}</x:note>"
                body = f"<D:propertyupdate xmlns:D='DAV:'><D:set><D:prop>{name}</D:prop></D:set></D:propertyupdate>"
                await self.request("PROPPATCH", where, body)

    # -- where the order is known -------------------------------------------------------------------------------------

    def kept(self, home: str) -> str:
        return f"{home}{self.random.choice(KEPT)}/{self.random.choice(KEPT_MEMBERS)}"

    async def kept_put(self) -> None:
        href = self.kept(self.home())
        history = self.run.histories[href]
        async with history.lock:
            uid = self.run.uids.setdefault(href, f"{href} {self.random.random()}")
            reply = await self.request("PUT", href, event(uid), content_type="text/calendar")
            assert reply.status in (201, 204), reply
            assert (reply.status == 201) == (history.now is None), reply
            history.add(reply.headers["etag"])

    async def kept_delete(self) -> None:
        href = self.kept(self.home())
        history = self.run.histories[href]
        async with history.lock:
            reply = await self.request("DELETE", href)
            assert reply.status == (404 if history.now is None else 204), reply
            if history.now is not None:
                history.add(None)
                del self.run.uids[href]

    async def kept_move(self) -> None:
        source, destination = self.kept(self.home()), self.kept(self.home())
        if source == destination:
            return
        first, second = (self.run.histories[href] for href in sorted((source, destination)))
        async with first.lock, second.lock:
            old, new = self.run.histories[source], self.run.histories[destination]
            reply = await self.request("MOVE", source, destination=destination)
            if old.now is None:
                assert reply.status == 404, reply
                return
            if new.now is not None:
                # One UID may not take another's place (RFC 4791 §5.3.2.1).
                assert reply.status == 403, reply
                return
            assert reply.status == 201, reply
            new.add(old.now)
            old.add(None)
            self.run.uids[destination] = self.run.uids.pop(source)


class Reader:
    """A client that keeps a copy of `href`."""

    def __init__(self, run: Run, number: int, person: str, href: str, *, infinite: bool) -> None:
        self.run = run
        self.random = random.Random(f"{run.seed} reader {number}")
        self.sights = Sights({name: history for name, history in run.histories.items() if name.startswith(href)})
        if not (infinite or href.rstrip("/").rsplit("/", 1)[1] in KEPT):
            self.sights.histories = {}
        self.client = SyncClient(
            Connection(run.server.port, person, person), href, infinite=infinite, heard=self.sights.see
        )
        self.reports = 0

    async def read(self) -> None:
        """Until the run is over: catch up in pages or at once, now and then from the beginning."""
        while not self.run.over:
            if self.random.random() < 0.1:
                self.client.http.drop()
            if self.random.random() < 0.06:
                self.client.forget()
            await self.once(self.random.choice(LIMITS))
            await asyncio.sleep(self.random.choice((0, 0, 0.02, 0.1)))

    async def once(self, limit: int | None) -> None:
        """One report, and what it shows."""
        answered = {href: history.answered for href, history in self.sights.histories.items()}
        report = await self.client.sync(limit)
        self.reports += 1
        if report is not None and self.client.complete:
            for href, least in answered.items():
                self.sights.see(href, self.client.known.get(href), least)

    async def finish(self) -> None:
        """With no more writes, get the rest; compare with the server; a further report shows nothing new."""
        for _ in range(10_000):
            await self.once(self.random.choice(LIMITS))
            if self.client.complete or not self.client.token and not await self.exists():
                break
        else:
            raise AssertionError(f"{self.client.href}: the reports do not come to an end")
        there = await listing(self.client.http, self.client.href, infinite=self.client.infinite)
        assert self.client.known == there, self.difference(there)
        wrong = self.sights.judge()
        assert not wrong, wrong
        if self.client.complete:
            token = self.client.token
            for limit in (None, 1):
                report = await self.client.sync(limit)
                assert report is not None
                assert report.rows == (), report
                assert report.token == token
        self.client.http.drop()

    async def exists(self) -> bool:
        return (await self.client.http.request("PROPFIND", self.client.href, headers={"Depth": "0"})).status == 207

    def difference(self, there: dict[str, str]) -> str:
        hrefs = [href for href in there | self.client.known if there.get(href) != self.client.known.get(href)]
        rows = [f"{href}: has {self.client.known.get(href)}, there is {there.get(href)}" for href in sorted(hrefs)]
        return "\n".join([f"the copy of {self.client.href} (infinite: {self.client.infinite}) differs:", *rows])


class Run:
    """A seed's run, on two homes of its own."""

    def __init__(self, server: ServerProcess, seed: int) -> None:
        self.server = server
        self.seed = seed
        self.over = False
        self.counts: Counter[str] = Counter()
        self.people = [f"a{seed}", f"b{seed}"]
        self.histories = {
            f"/calendars/users/{person}/{name}/{member}": History()
            for person in self.people
            for name in KEPT
            for member in KEPT_MEMBERS
        }
        self.uids: dict[str, str] = {}

    async def prepare(self) -> None:
        """Make the calendars."""
        load_people(self.server, self.people, admin="root")
        for person in self.people:
            http = Connection(self.server.port, person, person)
            for name in (*KEPT, STILL, *WILD):
                reply = await http.request("MKCALENDAR", f"/calendars/users/{person}/{name}/")
                assert reply.status == 201, reply
            for n in range(25):
                await http.request(
                    "PUT",
                    f"/calendars/users/{person}/{STILL}/{n}.ics",
                    event(str(n)),
                    {"Content-Type": "text/calendar"},
                )
            http.drop()

    async def go(self) -> None:
        """Everybody at the same time."""
        writers = [Writer(self, n, [person], account=person) for n, person in enumerate(self.people * 3)]
        writers.append(Writer(self, len(writers), self.people, account="root"))
        readers: list[Reader] = []
        for person in self.people:
            home = f"/calendars/users/{person}/"
            for href, infinite in (
                (home, True),
                (home, True),
                (home, True),
                (home, False),
                (f"{home}{KEPT[0]}/", False),
                (f"{home}{KEPT[1]}/", False),
                (f"{home}{WILD[0]}/", False),
                (f"{home}{WILD[1]}/", False),
            ):
                readers.append(Reader(self, len(readers), person, href, infinite=infinite))
        still = SyncClient(Connection(self.server.port, "root", "root"), f"/calendars/users/{self.people[0]}/{STILL}/")
        await still.sync(None)
        token = still.token
        async with asyncio.TaskGroup() as group:
            for one in writers:
                group.create_task(one.write())
            for other in readers:
                group.create_task(other.read())
            deadline = asyncio.get_running_loop().time() + SECONDS
            while asyncio.get_running_loop().time() < deadline:
                await asyncio.sleep(0.5)
                report = await still.sync(None)
                assert report is not None
                assert report.rows == ()
                assert report.token == token, "a calendar that nobody changes has another token"
            self.over = True
        for reader in readers:
            await reader.finish()
        still.http.drop()
        writes = sum(self.counts.values())
        reports = sum(reader.reports for reader in readers)
        restarts = sum(reader.client.restarts for reader in readers)
        print(f"\nseed {self.seed}: {writes} writes, {reports} reports, {restarts} refused tokens")
        print(dict(sorted(self.counts.items())))


@pytest.mark.parametrize("seed", SEEDS)
async def test_clients_become_equal_to_the_server(server: ServerProcess, seed: int) -> None:
    run = Run(server, seed)
    await run.prepare()
    await run.go()
    assert server.command("db", "check", "--all") == "Nothing differs.\n"
    assert '"error"' not in server.log.read_text()
