"""32 people edit, answer, cancel, move and delete overlapping meetings, while workers are killed: all copies agree.

No request is answered by a 5xx, nobody starves, no answer is lost, and the database sees no deadlock.
`KOYOMI_MEETING_SECONDS=60` goes on for a minute, `KOYOMI_KILL_SEED=7` repeats a seed.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from tests.e2e import processes
from tests.e2e.conftest import load_people, observed
from tests.e2e.http_connection import Broken, Connection, Reply
from tests.e2e.test_jobs_of_killed_workers import until
from tests.server_process import ServerProcess

SECONDS = float(os.environ.get("KOYOMI_MEETING_SECONDS", "10"))
SEED = int(os.environ.get("KOYOMI_KILL_SEED", random.SystemRandom().randrange(1_000_000)))
PEOPLE = [f"p{number}" for number in range(32)]
ORGANIZERS = PEOPLE[:8]
CALENDARS = ("calendar", "work")
SETTINGS = {
    "network.workers": 2,
    "log.level": "warning",
    "log.slow_request": 60,
    # A proxy says who they are: a worker that begins need not check 32 passwords first.
    "network.trusted_proxies": "127.0.0.1/32",
    "sign_in.remote_user_header": "Remote-User",
    # So few that jobs deliver much of it.
    "scheduling.direct_recipients": 6,
    "scheduling.direct_refreshes": 3,
    "scheduling.refresh_delay": 0.5,
}
FINE = {200, 201, 204, 207}
LATE = {403, 404, 409, 412}
"""Refusals of those who have not seen what others did."""
WAITS = """
    select exists (select from job where kind in ('deliveries', 'refreshes'))
        or exists (select from scheduling_dispatch where waiting)
"""


@dataclass
class Person:
    """Somebody with one app."""

    http: Connection
    name: str
    counts: Counter[str]
    chance: random.Random
    done: int = 0
    """Requests that succeeded."""
    edits: int = 0

    def home(self, name: str) -> str:
        return f"/calendars/users/{self.name}/{name}"

    async def ask(self, method: str, path: str, body: str = "", **headers: str) -> Reply | None:
        """A request; None where a worker was killed meanwhile."""
        named = {name.replace("_", "-"): value for name, value in headers.items()} | {"Remote-User": self.name}
        try:
            reply = await self.http.request(method, path, body, named)
        except Broken:
            self.counts["broken"] += 1
            return None
        assert reply.status in FINE | LATE, (method, path, reply)
        self.counts[f"{method} {reply.status}"] += 1
        self.done += reply.status in FINE
        return reply

    async def texts(self) -> dict[str, tuple[str, str]]:
        """Path to Schedule-Tag and text of all that lies in the calendars."""
        found = {}
        for calendar in CALENDARS:
            body = (
                '<C:calendar-query xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:prop><C:schedule-tag/>'
                '<C:calendar-data/></D:prop><C:filter><C:comp-filter name="VCALENDAR"/></C:filter></C:calendar-query>'
            )
            reply = await self.ask("REPORT", self.home(f"{calendar}/"), body, Depth="1", Content_Type="text/xml")
            if reply is None:
                continue
            for response in re.findall("<D:response>.*?</D:response>", reply.body.decode(), re.DOTALL):
                href, tag, text = (
                    (re.search(f"<{name}>(.*?)</{name}>", response, re.DOTALL) or [""] * 2)[1]
                    for name in ("D:href", "C:schedule-tag", "C:calendar-data")
                )
                text = text.replace("&#13;", "").replace("\r", "").replace("\n ", "").replace("&quot;", '"')
                found[href] = tag.replace("&quot;", '"'), text
        return found

    # -- acts ---------------------------------------------------------------------------------------------------------

    async def act_until(self, over: asyncio.Event) -> None:
        while not over.is_set():
            if self.name in ORGANIZERS and self.chance.random() < 0.4:
                await self.organize()
            else:
                await self.attend()

    async def organize(self) -> None:
        """Make a meeting, change it, or cancel it."""
        uid = f"{self.name}-{self.chance.randrange(2)}"
        path = self.home(f"calendar/{uid}.ics")
        if self.chance.random() < 0.1:
            await self.ask("DELETE", path)
            return
        self.edits += 1
        others = self.chance.sample([name for name in PEOPLE if name != self.name], self.chance.randint(2, 12))
        start = f"2026060{self.chance.randint(1, 3)}T090000Z"
        await self.ask(
            "PUT", path, meeting(self.name, uid, others, str(self.edits), start), Content_Type="text/calendar"
        )

    async def attend(self) -> None:
        """Answer an invitation, move it to the other calendar, or delete it."""
        own = f"ORGANIZER.*{self.name}@example.com"
        found = [each for each in (await self.texts()).items() if not re.search(own, each[1][1])]
        if not found:
            await asyncio.sleep(0.05)
            return
        path, (tag, text) = self.chance.choice(found)
        choice = self.chance.random()
        if choice < 0.1:
            await self.ask("DELETE", path)
        elif choice < 0.2:
            calendar = CALENDARS["/calendar/" in path]
            name = path.rpartition("/")[2]
            await self.ask("MOVE", path, Destination=f"http://127.0.0.1:{self.http.port}{self.home(calendar)}/{name}")
        else:
            partstat = self.chance.choice(("ACCEPTED", "DECLINED", "TENTATIVE"))
            answered = [
                re.sub(";(PARTSTAT|RSVP)=[A-Z-]+", "", line).replace("ATTENDEE", f"ATTENDEE;PARTSTAT={partstat}")
                if line.startswith("ATTENDEE") and line.endswith(f":{self.name}@example.com")
                else line
                for line in text.splitlines()
            ]
            body = "\r\n".join((*answered, ""))
            await self.ask("PUT", path, body, Content_Type="text/calendar", If_Schedule_Tag_Match=tag)


def meeting(organizer: str, uid: str, others: list[str], summary: str, start: str) -> str:
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//Test//EN",
        "BEGIN:VEVENT",
        f"UID:{uid}",
        "DTSTAMP:20260101T000000Z",
        f"DTSTART:{start}",
        "DURATION:PT1H",
        f"SUMMARY:{summary}",
        f"ORGANIZER:mailto:{organizer}@example.com",
        f"ATTENDEE;PARTSTAT=ACCEPTED:mailto:{organizer}@example.com",
        *(f"ATTENDEE:mailto:{name}@example.com" for name in others),
        "END:VEVENT",
        "END:VCALENDAR",
        "",
    ]
    return "\r\n".join(lines)


def said(text: str) -> tuple[dict[str, str], list[str]]:
    """PARTSTAT of each attendee, and what else all copies must agree about."""
    partstats = {}
    for line in re.findall("^ATTENDEE.*", text, re.MULTILINE):
        found = re.search("PARTSTAT=([A-Z-]+)", line)
        partstats[line.rpartition(":")[2].partition("@")[0]] = "NEEDS-ACTION" if found is None else found[1]
    return partstats, re.findall("^(?:SUMMARY|DTSTART|SEQUENCE).*", text, re.MULTILINE)


def compare(everything: dict[str, dict[str, tuple[str, str]]]) -> int:
    """Compare all copies with the organizers' objects. Returns the number of copies."""
    compared = 0
    for organizer in ORGANIZERS:
        for number in range(2):
            uid = f"{organizer}-{number}"
            copies = {
                name: [text for _, text in texts.values() if f"\nUID:{uid}\n" in text]
                for name, texts in everything.items()
            }
            own = copies.pop(organizer)
            invited, rest = said(own[0]) if own else ({}, [])
            for name, found in copies.items():
                assert len(found) <= 1, (uid, name)
                if name not in invited:
                    assert all("STATUS:CANCELLED" in text for text in found), (uid, name, found)
                elif not found:
                    assert invited[name] == "DECLINED", (uid, name, own)
                else:
                    assert said(found[0]) == (invited, rest), (uid, name, found[0], own[0])
                    assert "SCHEDULE-STATUS=1.0" not in found[0] + own[0]
                    compared += 1
    return compared


async def kill_workers(server: ServerProcess, over: asyncio.Event, chance: random.Random) -> None:
    """Kill one of two workers, again and again. A new one comes after a pause, which grows."""
    while not over.is_set():
        await asyncio.sleep(chance.uniform(0.5, 4))
        found = processes.workers(server)
        if len(found) > 1 and not over.is_set():
            processes.kill([chance.choice(found)])


async def test_all_copies_agree_and_nothing_deadlocks(server_folder: Path) -> None:
    print(f"\nKOYOMI_KILL_SEED={SEED}")
    counts: Counter[str] = Counter()
    server = ServerProcess(server_folder / "meetings", server_folder / "meetings.log", SETTINGS)
    load_people(server, PEOPLE, mail=True)
    people = [
        Person(Connection(server.port, name, name), name, counts, random.Random(f"{SEED} {name}")) for name in PEOPLE
    ]
    with observed(server):
        async with processes.database(server) as session:
            for each in people:
                assert (await each.ask("MKCALENDAR", each.home("work/"))) is not None
            over = asyncio.Event()
            acting = [asyncio.create_task(each.act_until(over)) for each in people]
            killing = asyncio.create_task(kill_workers(server, over, random.Random(SEED)))
            await asyncio.wait([*acting, killing], timeout=SECONDS, return_when=asyncio.FIRST_EXCEPTION)
            over.set()
            await asyncio.gather(*acting, killing)
            print(dict(sorted(counts.items())))
            assert min(each.done for each in people) > 0
            await until(lambda: asyncio.to_thread(server.answers))
            # Others take over the jobs of dead workers when their lease has ended.
            await settled(session)
            everything = {each.name: await each.texts() for each in people}
            try:
                assert compare(everything) > 0
            except AssertionError as error:
                found = re.search(r"'(p\d+-\d)', '(p\d+)'", str(error))
                if found:
                    print(await asyncio.to_thread(server.command, "schedule", "explain", found[1]))
                    print(*(each for each in everything[found[2]].values() if f"UID:{found[1]}\n" in each[1]))
                raise
            assert await session.fetchval("select count(*) from job where state = 'failed'") == 0
            assert await session.fetchval("select sum(deadlocks) from pg_stat_database") == 0
            for each in people:
                each.http.drop()
        assert await asyncio.to_thread(server.command, "db", "check", "--all") == "Nothing differs.\n"


async def settled(session: asyncpg.Connection) -> None:
    """Wait until no messages wait."""

    async def none_waits() -> bool:
        return not await session.fetchval(WAITS)

    await until(none_waits)
