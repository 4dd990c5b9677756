"""Calendars of large objects: what a worker and an export hold of them at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from tests.e2e import processes
from tests.e2e.conftest import load_people, observed
from tests.e2e.http_connection import Connection
from tests.server_process import COMMAND, ServerProcess

OBJECTS = 100
SIZE = 10_000_000
"""Bytes of an object."""
MEMORY = 250 * 2**20
"""Bytes that a worker may take while all objects are read three times at once."""
CALENDAR = "/calendars/users/large/calendar/"
_LINE = "\r\n " + "Größe & Inhalt <sehr lang>; und noch einmal, bis die Zeile voll ist "
_FILL = """
with place as (
    select o.*, h.revision as at from object o join home h on h.id = o.home_id where o.name = '0.ics'
), made as (
    insert into object (home_id, collection_id, created_revision, revision, created_at, modified_at, size, name, uid,
                        component, etag, time_key, derived, text)
    select home_id, collection_id, at + n, at + n, created_at, modified_at, size, n || '.ics', 'uid-' || n,
           component, etag, time_key, derived, text
    from place, generate_series(1, $1::integer - 1) n
    returning home_id, collection_id, size
), total as (
    select home_id, collection_id, count(*) as members, sum(size) as bytes from made group by home_id, collection_id
), in_home as (
    update home h set revision = h.revision + members, used_bytes = used_bytes + bytes
    from total where h.id = total.home_id
)
update collection c set revision = c.revision + members, member_count = member_count + members,
       used_bytes = used_bytes + bytes
from total where c.home_id = total.home_id and c.id = total.collection_id
"""
"""The object that was put, under other names, as a reader finds them."""


def large_event(character: str) -> str:
    """An event of `SIZE` bytes, nearly all of them its description, with a character before the end."""
    head = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Koyomi//tests//EN\r\nBEGIN:VEVENT\r\nUID:uid-0\r\n"
    head += "DTSTAMP:20260101T000000Z\r\nDTSTART:20260201T100000Z\r\nDURATION:PT1H\r\nDESCRIPTION:"
    tail = character + "\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    return head + _LINE * ((SIZE - len(head) - len(tail.encode())) // len(_LINE.encode())) + tail


@pytest.fixture(scope="module", params=["ß", "🎂"], ids=["one byte", "four bytes"])
async def server(server_folder: Path, request: pytest.FixtureRequest) -> AsyncIterator[ServerProcess]:
    """One worker, and a calendar of large objects, of which Python takes that many bytes for each character."""
    settings = {"network.workers": 1, "log.level": "warning", "storage.statement_timeout": 60}
    folder = server_folder / f"large-{ord(request.param)}"
    process = ServerProcess(folder, folder.with_suffix(".log"), settings)
    load_people(process, ["large"])
    with observed(process):
        http = Connection(process.port, "large", "large")
        text = large_event(request.param)
        reply = await http.request("PUT", f"{CALENDAR}0.ics", text, {"Content-Type": "text/calendar"})
        assert reply.status == 201
        http.drop()
        async with processes.database(process) as connection:
            await connection.execute(_FILL, OBJECTS)
        yield process


async def read(server: ServerProcess, method: str, body: str) -> int:
    """Read an answer to its end and keep nothing; gives how many events were in it."""
    http = Connection(server.port, "large", "large")
    await http.send(method, CALENDAR, body, {"Depth": "1", "Content-Type": "application/xml"})
    reader, _ = await http.open()
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 207")), head
    found, end = 0, b""
    while not end.endswith(b"\r\n0\r\n\r\n"):
        part = await reader.read(1 << 18)
        assert part, "the answer ends before its last chunk"
        found += (end + part).count(b"BEGIN:VEVENT") - end.count(b"BEGIN:VEVENT")
        end = (end + part)[-20:]
    http.drop()
    return found


async def test_memory_does_not_grow_with_the_objects(server: ServerProcess, tmp_path: Path) -> None:
    (worker,) = processes.workers(server)
    hrefs = "".join(f"<D:href>{CALENDAR}{n}.ics</D:href>" for n in range(OBJECTS))
    multiget = (
        "<C:calendar-multiget xmlns:D='DAV:' xmlns:C='urn:ietf:params:xml:ns:caldav'><D:prop><D:getetag/>"
        f"<C:calendar-data/></D:prop>{hrefs}</C:calendar-multiget>"
    )
    peaks = {"worker": 0, "export": 0}

    async def watch(name: str, process: psutil.Process) -> None:
        while process.is_running():
            peaks[name] = max(peaks[name], process.memory_info().rss)
            await asyncio.sleep(0.005)

    async def export() -> int:
        out = tmp_path / "calendar.ics"
        words = (COMMAND, "export", "--user", "large", "--collection", "calendar", str(out))
        process = await asyncio.create_subprocess_exec(*words, env=server.environment)
        watching = asyncio.create_task(watch("export", psutil.Process(process.pid)))
        assert await process.wait() == 0
        watching.cancel()
        with out.open("rb") as lines:
            return sum(line == b"BEGIN:VEVENT\r\n" for line in lines)

    before = worker.memory_info().rss
    watching = asyncio.create_task(watch("worker", worker))
    found = await asyncio.gather(read(server, "GET", ""), read(server, "REPORT", multiget), export())
    watching.cancel()
    told = ", ".join(f"{name} {peak / 2**20:.0f}" for name, peak in peaks.items())
    print(f"\nMiB: worker {before / 2**20:.0f} before; {told}")
    assert found == [OBJECTS] * 3
    assert max(peaks.values()) < MEMORY, told
