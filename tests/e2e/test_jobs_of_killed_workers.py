"""Workers are killed at random moments while they pass changes on to sharees: every change arrives, every job runs on.

`KOYOMI_WORKER_KILLS=100` kills as often, `KOYOMI_KILL_SEED=7` repeats a seed.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.client
import os
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg

from tests.e2e import processes
from tests.e2e.conftest import load_people, observed
from tests.server_process import ServerProcess

KILLS = int(os.environ.get("KOYOMI_WORKER_KILLS", "6"))
SEED = int(os.environ.get("KOYOMI_KILL_SEED", random.randrange(10**6)))
SHAREES = [f"sharee{number}" for number in range(5)]
EVENT = (
    "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Test//EN\r\nBEGIN:VEVENT\r\nUID:{0}\r\nDTSTAMP:20260101T000000Z\r\n"
    "DTSTART:20260101T100000Z\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
)


def put(server: ServerProcess, name: str) -> bool:
    """Put an event into the owner's calendar; False where the worker was killed meanwhile."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    headers = {
        "Authorization": "Basic " + base64.b64encode(b"owner:owner").decode(),
        "Content-Type": "text/calendar",
    }
    try:
        connection.request("PUT", f"/calendars/users/owner/calendar/{name}.ics", EVENT.format(name).encode(), headers)
        return connection.getresponse().status in (201, 204)
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


async def shown(session: asyncpg.Connection) -> list[int]:
    """The revisions of the bindings in the sharees' homes."""
    rows = await session.fetch(
        "select revision from binding where home_id <> collection_home_id and deleted_revision is null order by home_id"
    )
    return [row[0] for row in rows]


async def until(condition: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(120):
        while not await condition():
            await asyncio.sleep(0.05)


async def test_every_change_reaches_the_sharees_and_no_job_is_lost(server_folder: Path) -> None:
    print(f"\nKOYOMI_KILL_SEED={SEED}")
    chance = random.Random(SEED)
    server = ServerProcess(
        server_folder / "jobs", server_folder / "jobs.log", {"network.workers": 2, "log.level": "warning"}
    )
    load_people(server, ["owner", *SHAREES])
    with observed(server):
        for name in SHAREES:
            await asyncio.to_thread(server.command, "share", "owner/calendar", "--with", name)
        async with processes.database(server) as session:
            await until(lambda: session.fetchval("select count(*) > 10 from job"))
            kinds = {row[0] for row in await session.fetch("select kind from job where every is not null")}
            number = 0
            for kill in range(KILLS):
                before = await shown(session)
                end = asyncio.get_running_loop().time() + 4 * chance.random()
                while asyncio.get_running_loop().time() < end:
                    # All jobs run again and again.
                    await session.execute("update job set not_before = now() where state = 'queued'")
                    await asyncio.to_thread(put, server, f"{number}")
                    number += 1
                    await asyncio.sleep(0.1 * chance.random())
                with contextlib.suppress(LookupError):
                    processes.kill([chance.choice(processes.workers(server))])
                await until(lambda: asyncio.to_thread(server.answers))
                if kill % 3 == 2:
                    while not await asyncio.to_thread(put, server, f"after-{kill}"):
                        await asyncio.sleep(0.1)

                    async def arrived(before: list[int] = before) -> bool:
                        after = await shown(session)
                        return all(new > old for new, old in zip(after, before, strict=True))

                    await until(arrived)
            # What the killed workers ran is taken over and succeeds.
            dead = "select exists (select from job where state = 'running' and heartbeat_at < $1)"
            now = await session.fetchval("select clock_timestamp()")

            async def taken_over() -> bool:
                return not await session.fetchval(dead, now)

            await until(taken_over)
            assert {row[0] for row in await session.fetch("select kind from job where every is not null")} == kinds
            assert await session.fetchval("select count(*) from job where state = 'failed'") == 0
            last = await shown(session)
            while not await asyncio.to_thread(put, server, "last"):
                await asyncio.sleep(0.1)

            async def told() -> bool:
                return all(new > old for new, old in zip(await shown(session), last, strict=True))

            await until(told)
        assert await asyncio.to_thread(server.command, "db", "check", "--all") == "Nothing differs.\n"
    # A server that is stopped leaves no job as running, so that others need not wait for the lease.
    async with processes.database(server) as session:
        assert await session.fetchval("select count(*) from job where state = 'running'") == 0
