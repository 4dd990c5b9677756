"""The COPY of a large calendar, while the worker that makes it is killed, and while its client goes away."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.client
from pathlib import Path

import asyncpg

from tests.e2e import processes
from tests.e2e.conftest import load_people, observed
from tests.e2e.test_jobs_of_killed_workers import until
from tests.server_process import ServerProcess

MEMBERS = 2500
EVENT = (
    "BEGIN:VEVENT\r\nUID:{0}\r\nDTSTAMP:20260101T000000Z\r\nDTSTART:20260101T100000Z\r\nRRULE:FREQ=DAILY;COUNT=20\r\n"
    "END:VEVENT\r\n"
)
SHOWN = """
    select b.name, c.member_count,
           (select count(*) from object o where o.home_id = c.home_id and o.collection_id = c.id),
           (select count(*) from occurrence x where x.home_id = c.home_id and x.collection_id = c.id)
    from binding b join collection c on c.home_id = b.home_id and c.id = b.collection_id
    where b.name like 'copy%' order by b.name
"""


def begin(server: ServerProcess, name: str) -> http.client.HTTPConnection:
    """Send a COPY of the calendar."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    headers = {
        "Authorization": "Basic " + base64.b64encode(b"owner:owner").decode(),
        "Destination": f"http://127.0.0.1:{server.port}/calendars/users/owner/{name}/",
    }
    connection.request("COPY", "/calendars/users/owner/calendar/", headers=headers)
    return connection


async def copied(session: asyncpg.Connection) -> int | None:
    """How many members the copy that is under way has."""
    return await session.fetchval("select done from job where kind = 'copies'")


async def test_a_copy_is_completed_whoever_made_it(server_folder: Path) -> None:
    server = ServerProcess(
        server_folder / "copies", server_folder / "copies.log", {"network.workers": 2, "log.level": "warning"}
    )
    load_people(server, ["owner"])
    source = server_folder / "many.ics"
    events = "".join(EVENT.format(number) for number in range(MEMBERS))
    source.write_text(f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Test//EN\r\n{events}END:VCALENDAR\r\n", newline="")
    whole = (MEMBERS, MEMBERS, 20 * MEMBERS)
    with observed(server):
        await asyncio.to_thread(server.command, "import", "--user", "owner", str(source))
        async with processes.database(server) as session:
            # A worker is killed. It can copy no more than the members before the last.
            async with session.transaction():
                await session.execute("select from object order by revision desc limit 1 for update")
                connection = begin(server, "copy-1")
                port = connection.sock.getsockname()[1]
                await until(lambda: copied(session))
                its = processes.worker_of(server, port)
                processes.kill([one for one in processes.workers(server) if one.pid == its])
                with contextlib.suppress(OSError, http.client.HTTPException):
                    assert connection.getresponse().status != 201
                assert 0 < await copied(session) < MEMBERS
                assert await session.fetch(SHOWN) == []
            await session.execute("update job set not_before = now() where kind = 'copies'")
            while not (rows := await session.fetch(SHOWN)):
                await asyncio.sleep(0.05)
            assert [tuple(row) for row in rows] == [("copy-1", *whole)], "it is shown when it is whole"
            await until(lambda: session.fetchval("select not exists (select from job where kind = 'copies')"))
            # The client goes away.
            begin(server, "copy-2").close()
            await until(lambda: session.fetchval("select exists (select from binding where name = 'copy-2')"))
            # It stays.
            answer = (await asyncio.to_thread(begin, server, "copy-3")).getresponse
            assert (await asyncio.to_thread(answer)).status == 201
            assert [tuple(row) for row in await session.fetch(SHOWN)] == [(f"copy-{n}", *whole) for n in (1, 2, 3)]
            assert await session.fetchval("select count(*) from collection_copy") == 0
            assert await session.fetchval("select count(*) from job where kind = 'copies' or state = 'failed'") == 0
        assert await asyncio.to_thread(server.command, "db", "check", "--all") == "Nothing differs.\n"
