"""What one worker answered holds on all at once; what the database cannot answer is said, and passes by itself."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import statistics
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from server.domain.events import Change
from storage_plugins.postgres.storage import PostgresStorage
from tests.e2e import processes
from tests.e2e.calendar_texts import event
from tests.e2e.conftest import load_people, observed
from tests.e2e.http_connection import Connection, Reply
from tests.e2e.sync_client import SyncClient, listing
from tests.server_process import ServerProcess

HOME = "/calendars/users/eve/"
CALENDAR = f"{HOME}calendar/"
TEXT = {"Content-Type": "text/calendar"}


@pytest.fixture(scope="module")
def server(server_folder: Path) -> Iterator[ServerProcess]:
    """Two workers with little patience and few connections."""
    settings = {
        "network.workers": 2,
        "storage.pool_size": 2,
        "storage.pool_timeout": 1,
        "storage.statement_timeout": 2,
        "log.level": "warning",
    }
    process = ServerProcess(server_folder / "fresh", server_folder / "fresh.log", settings)
    load_people(process, ["eve", "frank", "grace"])
    with observed(process):
        yield process


@contextlib.asynccontextmanager
async def on_each_worker(
    server: ServerProcess, name: str = "eve", password: str = "eve"
) -> AsyncIterator[list[Connection]]:
    """A connection to every worker."""
    found: dict[int, Connection] = {}
    spare = []
    everyone = {worker.pid for worker in processes.workers(server)}
    for _ in range(200):
        http = Connection(server.port, name, name)
        await http.request("GET", "/")
        worker = processes.worker_of(server, http.local_port)
        if worker in found:
            spare.append(http)
        else:
            found[worker] = http
        if found.keys() == everyone:
            break
        await asyncio.sleep(0.02)
    assert found.keys() == everyone
    yield list(found.values())
    for http in (*found.values(), *spare):
        http.drop()


async def test_a_read_sees_what_was_answered_before_it_on_every_worker(server: ServerProcess) -> None:
    chance = random.Random(1)
    async with on_each_worker(server) as connections:
        copies = [SyncClient(http, HOME, infinite=True) for http in connections]
        for round_ in range(60):
            href = f"{CALENDAR}{chance.randrange(5)}.ics"
            writer = chance.choice(connections)
            text = event(href) if chance.random() < 0.7 else None
            if text is None:
                etag = None
                assert (await writer.request("DELETE", href)).status in (204, 404)
            else:
                reply = await writer.request("PUT", href, text, TEXT)
                assert reply.status in (201, 204)
                etag = reply.headers["etag"]
            for http, copy in zip(connections, copies, strict=True):
                shown = await http.request("GET", href)
                assert (shown.status, shown.body.decode()) == (200, text) if text else shown.status == 404, round_
                assert (await listing(http, CALENDAR, infinite=False)).get(href) == etag
                await copy.sync(None)
                assert copy.known.get(href) == etag


async def test_every_worker_hears_of_every_worker(server: ServerProcess) -> None:
    loop = asyncio.get_running_loop()
    async with processes.cluster(server) as cluster, contextlib.AsyncExitStack() as stack:
        heard: list[dict[int, float]] = []
        for _ in range(2):
            storage = await stack.enter_async_context(PostgresStorage(cluster.dsn()))
            mine: dict[int, float] = {}
            heard.append(mine)

            def listen(change: Change, mine: dict[int, float] = mine) -> None:
                mine[change.revision] = loop.time()

            storage.subscribe(listen)
        connections = await stack.enter_async_context(on_each_worker(server, "frank"))
        async with processes.database(server) as connection:
            listeners = await connection.fetchval(
                "select count(*) from pg_stat_activity where application_name = 'koyomi changes'"
            )
            assert listeners >= len(connections) + len(heard), "a worker does not listen"
            late: list[float] = []
            for n in range(20):
                http = connections[n % len(connections)]
                reply = await http.request("PUT", f"/calendars/users/frank/calendar/{n}.ics", event(str(n)), TEXT)
                answered = loop.time()
                assert reply.status == 201
                revision = await connection.fetchval(
                    "select h.revision from home h join principal p on p.id = h.principal_id "
                    "where p.name = 'frank' and h.kind = 'calendar'"
                )
                for mine in heard:
                    await processes.until(lambda mine=mine, revision=revision: revision in mine)
                    late.append((mine[revision] - answered) * 1000)
    print(f"\nheard after the answer: median {statistics.median(late):.0f} ms, at most {max(late):.0f} ms")


async def test_a_changed_password_takes_effect_at_once_on_all_workers(server: ServerProcess) -> None:
    async def statuses(connections: Sequence[Connection]) -> set[int]:
        home = "/calendars/users/grace/"
        return {(await http.request("PROPFIND", home, headers={"Depth": "0"})).status for http in connections}

    async with on_each_worker(server, "grace") as connections:
        assert await statuses(connections) == {207}
        told = await asyncio.to_thread(server.command, "user", "passwd", "grace", "--generate")
        assert await statuses(connections) == {401}
        for http in connections:
            http.password = told.split()[-1]
        assert await statuses(connections) == {207}
        await asyncio.to_thread(server.command, "user", "disable", "grace")
        assert await statuses(connections) == {401}


async def requests(server: ServerProcess, count: int) -> list[Reply]:
    """Several requests of several kinds at the same time, each on a connection of its own."""

    async def one(n: int) -> Reply:
        http = Connection(server.port, "eve", "eve")
        try:
            match n % 3:
                case 0:
                    return await http.request("PUT", f"{CALENDAR}many-{n}.ics", event(f"many {n}"), TEXT, timeout=30)
                case 1:
                    return await http.request("PROPFIND", CALENDAR, headers={"Depth": "1"}, timeout=30)
                case _:
                    return await http.request("GET", f"{CALENDAR}many-0.ics", timeout=30)
        finally:
            http.drop()

    return await asyncio.gather(*(one(n) for n in range(count)))


async def recovered(server: ServerProcess) -> None:
    """Everything is answered again, without anybody's help."""
    async with asyncio.timeout(60):
        while any(reply.status >= 500 for reply in await requests(server, 6)):
            await asyncio.sleep(0.1)


def refusals(replies: Sequence[Reply]) -> int:
    """How many were told to come again; the rest were answered."""
    for reply in replies:
        assert reply.status in (200, 201, 204, 207, 404, 503), reply
        if reply.status == 503:
            assert int(reply.headers["retry-after"]) >= 1
    return sum(reply.status == 503 for reply in replies)


async def test_an_overloaded_database_is_unavailable_and_recovers(server: ServerProcess) -> None:
    await recovered(server)
    async with processes.database(server) as connection, connection.transaction():
        await connection.execute(
            "select from home h join principal p on p.id = h.principal_id where p.name = 'eve' for update of h"
        )
        # Every worker's connections wait for the row.
        replies = await requests(server, 30)
        assert refusals(replies) >= 10
        assert all(reply.status == 503 for reply in replies[::3]), "a write went past the lock"
    await recovered(server)


async def test_a_database_that_does_not_answer_is_unavailable_and_recovers(server: ServerProcess) -> None:
    await recovered(server)
    master = processes.postmaster(server)
    everyone = [master, *master.children(recursive=True)]
    for process in everyone:
        process.send_signal(signal.SIGSTOP)
    try:
        assert refusals(await requests(server, 30)) == 30
    finally:
        for process in everyone:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)
    await recovered(server)


async def test_an_absent_database_is_unavailable_and_recovers(server: ServerProcess) -> None:
    await recovered(server)
    master = processes.postmaster(server)
    # Nobody but the server itself brings PostgreSQL back.
    processes.kill([master, *master.children(recursive=True)])
    assert refusals(await requests(server, 12)) > 0
    await recovered(server)
    assert processes.postmaster(server).pid != master.pid
