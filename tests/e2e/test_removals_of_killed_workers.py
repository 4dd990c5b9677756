"""Workers are killed while they cancel the meetings of a deleted calendar: everybody is told, and nobody twice.

`KOYOMI_KILL_SEED=7` repeats a seed.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.client
import os
import random
from pathlib import Path

from tests.e2e import processes
from tests.e2e.conftest import load_people, observed
from tests.server_process import ServerProcess

SEED = int(os.environ.get("KOYOMI_KILL_SEED", random.randrange(10**6)))
MEETINGS = 60
KILLS = 3
GUESTS = ("ben", "cleo")
EVENT = (
    "BEGIN:VEVENT\r\nUID:m{0}\r\nDTSTAMP:20260101T000000Z\r\nDTSTART:20260301T100000Z\r\n"
    "ORGANIZER:mailto:owner@example.com\r\nATTENDEE:mailto:ben@example.com\r\nATTENDEE:mailto:cleo@example.com\r\n"
    "END:VEVENT\r\n"
)
CANCELS = """
    select p.name, count(*), count(distinct o.uid)
    from object o join home h on h.id = o.home_id join principal p on p.id = h.principal_id
    where o.scheduling = 3 and o.deleted_revision is null and o.text like '%METHOD:CANCEL%' group by p.name order by 1
"""
LEFT = "select count(*) from job where kind in ('removals', 'deliveries')"


def delete_calendar(server: ServerProcess) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    headers = {"Authorization": "Basic " + base64.b64encode(b"owner:owner").decode()}
    try:
        connection.request("DELETE", "/calendars/users/owner/work/", headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


async def test_every_meeting_is_cancelled_once(server_folder: Path) -> None:
    print(f"\nKOYOMI_KILL_SEED={SEED}")
    chance = random.Random(SEED)
    settings = {"network.workers": 2, "log.level": "warning", "scheduling.removal_delay": 0}
    server = ServerProcess(server_folder / "removals", server_folder / "removals.log", settings)
    load_people(server, ["owner", *GUESTS], mail=True)
    text = "".join(map(EVENT.format, range(MEETINGS)))
    file = server_folder / "work.ics"
    file.write_bytes(f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\n{text}END:VCALENDAR\r\n".encode())
    with observed(server):
        await asyncio.to_thread(server.command, "import", "--user", "owner", "--collection", "work", "--invite", file)
        async with processes.database(server) as session:
            assert await asyncio.to_thread(delete_calendar, server) == 204
            for _ in range(KILLS):
                await asyncio.sleep(chance.uniform(0.05, 0.5))
                with contextlib.suppress(LookupError):
                    processes.kill(processes.workers(server))
                async with asyncio.timeout(120):
                    while not await asyncio.to_thread(server.answers):
                        await asyncio.sleep(0.05)
            async with asyncio.timeout(240):
                while await session.fetchval(LEFT):
                    await asyncio.sleep(0.2)
            rows = [tuple(row) for row in await session.fetch(CANCELS)]
            assert rows == [(guest, MEETINGS, MEETINGS) for guest in GUESTS]
            assert await session.fetchval("select count(*) from job where state = 'failed'") == 0
        assert await asyncio.to_thread(server.command, "db", "check", "--all") == "Nothing differs.\n"
