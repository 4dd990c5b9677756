"""Large listings: clients that stop reading, memory, and answers that cannot be finished."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.e2e import processes
from tests.e2e.calendar_texts import event
from tests.e2e.conftest import load_people, observed
from tests.e2e.http_connection import Connection
from tests.server_process import ServerProcess

EVENTS = 100_000
STALLED = 16
READERS = 8
MEMORY = 200 * 2**20
"""Bytes that a worker may take."""
LARGE = "/calendars/users/hugo/large/"
BOOK = "/addressbooks/users/hugo/large/"
SMALL = "/calendars/users/hugo/calendar/"
_PROP = "<D:prop><D:getetag/><D:getlastmodified/></D:prop>"
_DATA = "<D:prop><D:getetag/><C:calendar-data/></D:prop>"
_SPACES = "xmlns:D='DAV:' xmlns:C='urn:ietf:params:xml:ns:caldav'"
_ALL_EVENTS = "<C:filter><C:comp-filter name='VCALENDAR'><C:comp-filter name='VEVENT'/></C:comp-filter></C:filter>"
LISTINGS = {
    "PROPFIND": ("PROPFIND", LARGE, f"<D:propfind {_SPACES}>{_PROP}</D:propfind>"),
    "sync": (
        "REPORT",
        LARGE,
        f"<D:sync-collection {_SPACES}><D:sync-token/><D:sync-level>1</D:sync-level>{_PROP}</D:sync-collection>",
    ),
    "sync of the home": (
        "REPORT",
        "/calendars/users/hugo/",
        f"<D:sync-collection {_SPACES}><D:sync-token/><D:sync-level>infinite</D:sync-level>{_PROP}</D:sync-collection>",
    ),
    "query": ("REPORT", LARGE, f"<C:calendar-query {_SPACES}>{_DATA}{_ALL_EVENTS}</C:calendar-query>"),
    "GET": ("GET", LARGE, ""),
    "GET of cards": ("GET", BOOK, ""),
}
"""Requests whose answers hold every member."""
LIMITED = LISTINGS["sync"][2].replace(_PROP, "<D:limit><D:nresults>999999999</D:nresults></D:limit>" + _PROP)

# As the write path leaves them, but for what no listing reads.
_FILL = """
with place as (
    select c.home_id, c.id, h.revision from binding b
    join collection c on c.home_id = b.collection_home_id and c.id = b.collection_id
    join home h on h.id = c.home_id where b.name = 'large' and h.kind = $1
), made as (
    insert into object (home_id, collection_id, created_revision, revision, created_at, modified_at, size, name, uid,
                        component, etag, time_key, text)
    select p.home_id, p.id, p.revision + n, p.revision + n, now(), now(), octet_length(t), n || '.ics', n::text,
           case $1 when 'calendar' then 'VEVENT' else 'VCARD' end, md5(t), '', t
    from place p, generate_series(1, $2::integer) n, format($3, n) t
    returning size
), total as (select sum(size) as bytes from made), home_row as (
    update home h set revision = p.revision + $2, used_bytes = used_bytes + bytes
    from place p, total where h.id = p.home_id
)
update collection c set revision = p.revision + $2, member_count = $2, used_bytes = bytes
from place p, total where c.home_id = p.home_id and c.id = p.id
"""
_CARD = "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:%1$s\r\nN:Person;%1$s;;;\r\nFN:Person %1$s\r\nEND:VCARD\r\n"


@pytest.fixture(scope="module")
async def server(server_folder: Path) -> AsyncIterator[ServerProcess]:
    """One worker with two connections to its database, and homes in which there is a lot."""
    settings = {
        "network.workers": 1,
        "storage.pool_size": 2,
        "storage.pool_timeout": 2,
        "storage.statement_timeout": 2,
        "log.level": "warning",
    }
    process = ServerProcess(server_folder / "slow", server_folder / "slow.log", settings)
    load_people(process, ["hugo"])
    with observed(process):
        http = Connection(process.port, "hugo", "hugo")
        assert (await http.request("MKCALENDAR", LARGE)).status == 201
        book = (
            "<D:mkcol xmlns:D='DAV:' xmlns:C='urn:ietf:params:xml:ns:carddav'><D:set><D:prop><D:resourcetype>"
            "<D:collection/><C:addressbook/></D:resourcetype></D:prop></D:set></D:mkcol>"
        )
        assert (await http.request("MKCOL", BOOK, book)).status == 201
        http.drop()
        async with processes.database(process) as connection:
            text = event("%1$s").replace("Version", "A meeting about %1$s, version")
            await connection.execute(_FILL, "calendar", EVENTS, text)
            await connection.execute(_FILL, "addressbook", EVENTS, _CARD)
            await connection.execute("analyze")
        yield process


class Listing:
    """A listing of which only the beginning is read at first."""

    def __init__(self, server: ServerProcess, kind: str, *, gzip: bool = False) -> None:
        self.method, self.path, self.body = LISTINGS[kind]
        self.headers = {"Depth": "0" if kind.startswith("sync") else "1"} | (
            {"Accept-Encoding": "gzip"} if gzip else {}
        )
        self.http = Connection(server.port, "hugo", "hugo", receive_buffer=4096)

    async def begin(self) -> None:
        """Read until the first bytes of the body."""
        await self.http.send(self.method, self.path, self.body, self.headers)
        reader, _ = await self.http.open()
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 207")), head
        assert b"chunked" in head.lower()
        self.first = await reader.readexactly(1000)

    async def rest(self) -> bytes:
        """All of the body up to its last chunk. Raises `EOFError` or `OSError` when that does not come."""
        parts = [self.first]
        await self._read_on(parts.append)
        return b"".join(parts)

    async def skip_rest(self) -> None:
        """Read all of it, and keep nothing."""
        await self._read_on(lambda _: None)

    async def _read_on(self, take: Callable[[bytes], None]) -> None:
        reader, _ = await self.http.open()
        end = b""
        while not end.endswith(b"\r\n0\r\n\r\n"):
            part = await reader.read(1 << 18)
            if not part:
                raise EOFError
            take(part)
            end = (end + part)[-20:]


async def others_are_served(server: ServerProcess, round_: str) -> None:
    """People who do something else meanwhile."""
    http = Connection(server.port, "hugo", "hugo")
    for n in range(5):
        href = f"{SMALL}{round_}-{n}.ics"
        assert (await http.request("PUT", href, event(href), {"Content-Type": "text/calendar"})).status == 201
        assert (await http.request("GET", href)).status == 200
        assert (await http.request("PROPFIND", SMALL, headers={"Depth": "1"})).status == 207
        assert (await http.request("DELETE", href)).status == 204
    http.drop()


async def test_who_stops_reading_delays_nobody(server: ServerProcess) -> None:
    kinds = [list(LISTINGS)[n % len(LISTINGS)] for n in range(STALLED)]
    listings = [Listing(server, kind) for kind in kinds]
    await asyncio.gather(*(listing.begin() for listing in listings))
    await others_are_served(server, "stalled")
    async with processes.database(server) as connection:

        async def busy() -> set[tuple[int, object]]:
            """The transactions of the server, by process and beginning."""
            rows = await connection.fetch(
                "select pid, xact_start from pg_stat_activity where application_name = 'koyomi' and state <> 'idle'"
            )
            return {tuple(row) for row in rows}

        async with asyncio.timeout(60):
            while await busy():
                await asyncio.sleep(0.05)
        # Nothing moves as long as nobody reads: what is seen later is the short statements of periodic work.
        for _ in range(20):
            seen = await busy()
            async with asyncio.timeout(60):
                while seen & await busy():
                    await asyncio.sleep(0.05)
    # Who reads on gets all the rest.
    rest = await asyncio.gather(*(listing.rest() for listing in listings[: len(LISTINGS)]))
    for kind, text in zip(kinds, rest, strict=False):
        word = {"GET": b"END:VEVENT", "GET of cards": b"END:VCARD"}.get(kind, b"</D:response>")
        assert EVENTS - 10 < text.count(word) <= EVENTS + 20, kind
    for listing in listings:
        listing.http.drop()
    await others_are_served(server, "gone")
    assert "error" not in server.log.read_text(), "clients that go away are no failures"


async def test_memory_does_not_grow_with_the_collection(server: ServerProcess) -> None:
    (worker,) = processes.workers(server)
    before = worker.memory_info().rss
    peaks = {}

    async def read(kind: str) -> None:
        listing = Listing(server, kind)
        await listing.begin()
        await listing.skip_rest()
        listing.http.drop()

    async def limited() -> None:
        http = Connection(server.port, "hugo", "hugo")
        reply = await http.request("REPORT", LARGE, LIMITED, {"Depth": "0"})
        assert reply.status == 207
        assert b"507" in reply.body
        http.drop()

    async def watch() -> None:
        while True:
            peaks["now"] = max(peaks.get("now", 0), worker.memory_info().rss)
            await asyncio.sleep(0.01)

    rounds = {kind: [kind] * READERS for kind in ("PROPFIND", "query")}
    for told, kinds in (rounds | {"all kinds": [*LISTINGS, "limited", "limited"]}).items():
        peaks["now"] = 0
        watching = asyncio.create_task(watch())
        await asyncio.gather(*(limited() if kind == "limited" else read(kind) for kind in kinds))
        watching.cancel()
        peaks[told] = peaks.pop("now")
    told = ", ".join(f"{kind} {peak / 2**20:.0f}" for kind, peak in peaks.items())
    print(f"\nMiB of a worker: {before / 2**20:.0f} before; {READERS} clients at a time: {told}")
    assert max(peaks.values()) < MEMORY, told


@pytest.mark.parametrize(
    ("kind", "gzip"), [*((kind, False) for kind in LISTINGS), ("PROPFIND", True), ("GET of cards", True)]
)
async def test_an_answer_that_cannot_be_finished_breaks_the_connection(
    server: ServerProcess, kind: str, gzip: bool
) -> None:
    listing = Listing(server, kind, gzip=gzip)
    async with processes.database(server) as connection:
        async with connection.transaction():
            await listing.begin()
            await connection.execute("lock table object in access exclusive mode")
            with pytest.raises((EOFError, OSError)):
                await listing.rest()
        listing.http.drop()
    await others_are_served(server, f"broken-{gzip}-{kind.replace(' ', '-')}")


async def test_a_broken_answer_is_not_mistaken_for_a_whole_one_without_chunks(server: ServerProcess) -> None:
    """HTTP/1.0, which proxies speak: the end of the connection is the end of the answer, unless it is a reset."""
    async with processes.database(server) as connection, connection.transaction():
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1 << 16)
        writer.write(
            f"GET {BOOK} HTTP/1.0\r\nAuthorization: {Connection(0, 'hugo', 'hugo').authorization}\r\n\r\n".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        assert b" 200 " in head
        assert b"chunked" not in head
        await connection.execute("lock table object in access exclusive mode")
        with pytest.raises(ConnectionResetError):
            while await reader.read(1 << 16):
                pass
        writer.close()
