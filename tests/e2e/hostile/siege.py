"""A server with attackers and a victim: what it was like before, and what it is like afterwards."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import re
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import psutil
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e import processes
from tests.e2e.hostile.contents import CALENDARS, CARDS
from tests.e2e.hostile.corpus import HEAD, SEEDS, SPACES
from tests.e2e.hostile.message import Places
from tests.e2e.hostile.mutation import Recipe
from tests.e2e.hostile.sending import Line, Tally, divided
from tests.e2e.http_connection import Connection
from tests.server_process import ServerProcess

ATTACKERS = tuple(f"attacker{number}" for number in range(8))
VICTIM = "victim"
RENEWED_EVERY = 20_000
"""Requests after which the attackers' homes are emptied, so that what they hold does not grow with the run."""
PROBED_EVERY = 0.02
"""Seconds."""
WANTED_LAG = 0.1
"""Seconds that nothing may block an event loop for."""

_PROPERTIES = HEAD + f"<D:propfind {SPACES}><D:allprop/><D:include>" + "".join(
    f"<{name}/>" for name in (
        "D:sync-token", "D:getetag", "S:getctag", "D:acl", "C:calendar-timezone", "C:schedule-calendar-transp",
        "I:calendar-color",
        "C:calendar-description", "A:addressbook-description", "D:group-member-set", "C:calendar-availability",
        "D:resource-id",
    )
) + "</D:include></D:propfind>"  # fmt: skip


def _basic(name: str) -> bytes:
    return b"Basic " + base64.b64encode(f"{name}:{name}".encode())


@dataclass
class Siege:
    """One run: who attacks, how far it is, and what was seen."""

    server: ServerProcess
    tally: Tally = field(default_factory=Tally)
    people: list[Places] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    worst_probe: float = 0.0
    """The longest that a cheap request took meanwhile, in seconds: of lag, waiting and a busy machine together."""
    slow_probes: int = 0
    probes: int = 0
    memory_before: dict[int, int] = field(default_factory=dict)
    victims_before: dict[str, bytes] = field(default_factory=dict)
    stopping: bool = False
    """Whether the run is to end."""
    _renewed_at: int = 0

    async def prepare(self) -> None:
        """Fill everybody's homes and look at the victim's."""
        victim = Connection(self.server.port, VICTIM, VICTIM)
        await _put(
            victim, f"/calendars/users/{VICTIM}/calendar/secret.ics", CALENDARS["series with changes"], "text/calendar"
        )
        for number, (what, text) in enumerate(CALENDARS.items()):
            place = "tasks" if what == "task" else "calendar"
            if what not in ("series with changes", "journal", "availability", "free-busy"):
                await _put(victim, f"/calendars/users/{VICTIM}/{place}/{number}.ics", text, "text/calendar")
        for number, text in enumerate(CARDS.values()):
            await _put(victim, f"/addressbooks/users/{VICTIM}/addressbook/{number}.vcf", text, "text/vcard")
        await _put(
            victim,
            f"/addressbooks/users/{VICTIM}/addressbook/secret.vcf",
            CARDS["plain"].replace("card-0", "c"),
            "text/vcard",
        )
        victim.drop()
        self.people = [self._places(name) for name in ATTACKERS]
        self.lines = [Line(self.server.port, places, self.tally) for places in self.people]
        await self.renew()
        self.victims_before = await self.victims()

    def _places(self, name: str) -> Places:
        def of(person: str, mark: str) -> dict[str, bytes]:
            trees = {
                "principal": "/principals/users/{}/", "home": "/calendars/users/{}/",
                "calendar": "/calendars/users/{}/calendar/",
                "tasks": "/calendars/users/{}/tasks/", "books": "/addressbooks/users/{}/",
                "book": "/addressbooks/users/{}/addressbook/",
            }  # fmt: skip
            return {mark + key: path.format(person).encode() for key, path in trees.items()}

        host = f"127.0.0.1:{self.server.port}".encode()
        values = {"host": host, "none": b"", "etag": b"x", "token": b"", "home_token": b""}
        return Places(name, _basic(name), values | of(name, "") | of(VICTIM, "victim_"))

    async def renew(self) -> None:
        """Empty the attackers' homes and fill them anew."""
        self._renewed_at = self.tally.sent
        await asyncio.gather(*(self._renew(places) for places in self.people))

    async def _invite(self, http: Connection, home: str, name: str) -> None:
        """Let a calendar be the one that takes invitations."""
        value = f"<C:schedule-default-calendar-URL><D:href>{home}{name}/</D:href></C:schedule-default-calendar-URL>"
        body = f"{HEAD}<D:propertyupdate {SPACES}><D:set><D:prop>{value}</D:prop></D:set></D:propertyupdate>"
        await http.request("PROPPATCH", f"{home}inbox/", body)

    async def _renew(self, places: Places) -> None:
        http = Connection(self.server.port, places.name, places.name)
        home_path = places.values["home"].decode()
        # The default calendar is not deleted (RFC 6638 §4.3): another one is, meanwhile.
        await http.request("MKCALENDAR", f"{home_path}spare/")
        await self._invite(http, home_path, "spare")
        for home in (places.values["home"].decode(), places.values["books"].decode()):
            listed = await http.request(
                "PROPFIND", home, "<propfind xmlns='DAV:'><prop><resourcetype/></prop></propfind>", {"Depth": "1"}
            )
            assert listed.status == 207, (listed.status, listed.body)
            for href in re.findall(r"<D:href>([^<]+)</D:href>", listed.body.decode()):
                if len(href.strip("/").split("/")) == 4 and not href.endswith(("/inbox/", "/outbox/", "/spare/")):
                    await http.request("DELETE", href.replace("&amp;", "&"))
        for name, kinds in (("calendar", ("VEVENT", "VJOURNAL")), ("tasks", ("VTODO",))):
            components = "".join(f'<C:comp name="{kind}"/>' for kind in kinds)
            await http.request(
                "MKCALENDAR", places.values[name].decode(),
                f"{HEAD}<C:mkcalendar {SPACES}><D:set><D:prop><C:supported-calendar-component-set>{components}"
                "</C:supported-calendar-component-set></D:prop></D:set></C:mkcalendar>",
            )  # fmt: skip
        await self._invite(http, home_path, "calendar")
        await http.request("DELETE", f"{home_path}spare/")
        await http.request(
            "MKCOL", places.values["book"].decode(),
            '<mkcol xmlns="DAV:"><set><prop><resourcetype><collection/>'
            '<addressbook xmlns="urn:ietf:params:xml:ns:carddav"/>'
            "</resourcetype></prop></set></mkcol>",
        )  # fmt: skip
        for template in SEEDS:
            message = template.message(places)
            headers = {name.decode(): value.decode() for name, value in message.headers if name == b"Content-Type"}
            reply = await http.request("PUT", message.target.decode(), message.body, headers)
            if message.target == places.values["calendar"] + b"1.ics" and "etag" in reply.headers:
                places.values["etag"] = reply.headers["etag"].strip('"').encode()
        for home, key in (("calendar", "token"), ("home", "home_token")):
            found = await http.request(
                "PROPFIND",
                places.values[home].decode(),
                "<propfind xmlns='DAV:'><prop><sync-token/></prop></propfind>",
                {"Depth": "0"},
            )
            token = re.search(rb"sync-token>([^<]+)<", found.body)
            if token:
                places.values[key] = token[1]
        http.drop()

    async def attack(self, recipes: Sequence[Recipe]) -> None:
        """Send a batch over all connections."""
        if self.tally.sent - self._renewed_at >= RENEWED_EVERY:
            await self.renew()
        parts = divided(recipes, len(self.lines))
        await asyncio.gather(*(line.send(part) for line, part in zip(self.lines, parts, strict=True)))

    async def victims(self) -> dict[str, bytes]:
        """Everything of the victim's, by href: all properties of everything, and every byte of what is stored."""
        found: dict[str, bytes] = {}
        http = Connection(self.server.port, VICTIM, VICTIM)
        tops = (f"/calendars/users/{VICTIM}/", f"/addressbooks/users/{VICTIM}/", f"/principals/users/{VICTIM}/")
        waiting = list(tops)
        while waiting:
            href = waiting.pop()
            reply = await http.request("PROPFIND", href, _PROPERTIES, {"Depth": "1"})
            assert reply.status == 207, (href, reply.status, reply.body)
            found[f"PROPFIND {href}"] = reply.body
            for child in re.findall(r"<D:response>\s*<D:href>([^<]+)</D:href>", reply.body.decode()):
                if child == href or f"PROPFIND {child}" in found or child in waiting:
                    continue
                if child.endswith("/"):
                    waiting.append(child)
                else:
                    found[child] = (await http.request("GET", child)).body
        http.drop()
        assert any(each.endswith("secret.ics") for each in found), sorted(found)
        return found

    async def victims_differences(self) -> list[str]:
        """What is no longer as it was before."""
        now = await self.victims()
        before = self.victims_before
        return [each for each in sorted(before.keys() | now.keys()) if before.get(each) != now.get(each)]

    def memory(self) -> dict[int, int]:
        """Bytes of memory of each worker, by pid."""
        return {worker.pid: worker.memory_info().rss for worker in processes.workers(self.server)}

    @contextlib.asynccontextmanager
    async def probed(self) -> AsyncIterator[None]:
        """Ask the workers something cheap meanwhile, again and again."""
        tasks = [asyncio.create_task(self._probe()) for _ in range(4)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _probe(self) -> None:
        http = Connection(self.server.port, VICTIM, VICTIM)
        try:
            while True:
                began = time.perf_counter()
                await http.request("GET", "/healthz")
                took = time.perf_counter() - began
                self.probes += 1
                self.worst_probe = max(self.worst_probe, took)
                self.slow_probes += took > WANTED_LAG
                await asyncio.sleep(PROBED_EVERY)
        finally:
            http.drop()

    async def metrics(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """The server's counters."""
        http = Connection(int(str(self.server.settings["monitoring.port"])), VICTIM, VICTIM)
        reply = await http.request("GET", "/metrics")
        http.drop()
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(reply.body.decode())
            for sample in family.samples
        }

    async def lags(self) -> dict[float, int]:
        """How many samples of the event loops' lag were above each bound, in seconds."""
        upto: dict[float, float] = {}
        for (name, labels), value in (await self.metrics()).items():
            if name == "koyomi_event_loop_lag_seconds_bucket":
                upto[float(dict(labels)["le"])] = value
        total = upto.pop(float("inf"), 0.0)
        return {bound: int(total - value) for bound, value in sorted(upto.items())}

    def close(self) -> None:
        for line in self.lines:
            line.close()

    def reproduction(self, recipe: Recipe, whose: str) -> str:
        """How to make a request again, and its beginning."""
        places = next(each for each in self.people if each.name == whose)
        data = recipe.message(places).encode()
        digest = hashlib.sha256(data).hexdigest()[:12]
        return f"{recipe!r}\n    as {whose}, {len(data)} bytes, sha256 {digest}: {data[:600]!r}"


async def _put(http: Connection, path: str, text: str, media: str) -> None:
    reply = await http.request("PUT", path, text, {"Content-Type": media})
    assert reply.status in (201, 204), (path, reply.status, reply.body)


def children_cpu(server: ServerProcess) -> float:
    """Processor seconds of the workers so far."""
    return sum(sum(psutil.Process(each.pid).cpu_times()[:2]) for each in processes.workers(server))
