"""How soon writes are in the journal while a snapshot is open: `python -m benchmarks.sequencer_lag --seconds 600`.

A server gets PUTs at a fixed rate. Another session keeps a snapshot open meanwhile, as a dump does, so that nothing
that was moved can be removed from the outbox. A reader measures for each entry the time since its row was written.
Exits with 1 if that was a second or more for any entry.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import sys
import tempfile
import time
from pathlib import Path

import asyncpg

from benchmarks.events import put
from benchmarks.in_turn import ROOT, Client, Request, Side, act, started
from storage_plugins.postgres.embedded.server import embedded

RATE = 200
"""Writes a second."""
STORED = 200
LIMIT = 1.0
"""Seconds that no entry may take."""
POLL = 0.02
_NEXT = (
    "select seq, extract(epoch from clock_timestamp() - at)::float8 from journal where month >= $2 and seq > $1 "
    "order by seq"
)


def stored(client: Client, number: int) -> Request:
    """Store one of the events that are changed."""
    return put(client.person, f"stored-{number}", 0, new=True)


def changed(client: Client, number: int) -> Request:
    """Another text for an event."""
    return put(client.person, f"stored-{number % STORED}", number + 1)


def write(side: Side, seconds: float) -> int:
    """Write at the rate. Returns the number of writes."""
    began, number = time.monotonic(), 0
    while (elapsed := time.monotonic() - began) < seconds:
        time.sleep(max(0.0, number * len(side.clients) / RATE - elapsed))
        act(side.clients, changed, [STORED + number])
        number += 1
    return number * len(side.clients)


async def read(connection: asyncpg.Connection, lags: list[float], end: asyncio.Event) -> None:
    """Read the entries as they come."""
    row = await connection.fetchrow("select seq, month from journal order by seq desc limit 1")
    seq, month = row
    while not end.is_set():
        found = await connection.fetch(_NEXT, seq, month)
        lags += [row[1] for row in found]
        seq = found[-1][0] if found else seq
        await asyncio.sleep(POLL)


def line(title: str, lags: list[float]) -> str:
    """What was measured."""
    found = sorted(lags)
    middle, late = statistics.median(found), found[int(len(found) * 0.99)]
    return (
        f"{title:28} {len(found):7} entries, median {middle * 1000:.0f} ms, p99 {late * 1000:.0f} ms, "
        f"longest {found[-1] * 1000:.0f} ms"
    )


async def measure(side: Side, seconds: float) -> float:
    """Measure without a snapshot and with one; returns the longest lag."""
    longest = 0.0
    async with embedded(side.server.data) as cluster:
        reader, snapshot = await asyncpg.connect(cluster.dsn()), await asyncpg.connect(cluster.dsn())
        try:
            for title, share in (("no snapshot", 0.1), ("snapshot open, first half", 0.5), ("second half", 0.5)):
                if title != "no snapshot" and not snapshot.is_in_transaction():
                    await snapshot.execute("set idle_in_transaction_session_timeout = 0")
                    await snapshot.execute("begin isolation level repeatable read")
                    await snapshot.fetch("select from outbox")
                lags: list[float] = []
                end = asyncio.Event()
                reading = asyncio.create_task(read(reader, lags, end))
                count = await asyncio.to_thread(write, side, seconds * share)
                await asyncio.sleep(2)
                end.set()
                await reading
                longest = max(longest, *lags)
                print(f"{line(title, lags)}; {count / (seconds * share):.0f} writes a second", flush=True)
            held = await snapshot.fetchval("select count(*) from journal")
            size = await reader.fetchval("select pg_size_pretty(pg_total_relation_size('outbox'))")
            print(f"the snapshot still shows {held} entries; the outbox takes {size}")
        finally:
            await reader.close()
            await snapshot.close()
    return longest


def main() -> None:
    """Start the server and measure it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=600.0, help="how long the snapshot is open")
    asked = parser.parse_args()
    people = [f"person{number}" for number in range(4)]
    with tempfile.TemporaryDirectory(prefix="koyomi-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o711)
        side = stack.enter_context(started(folder / "now", "now", ROOT, people))
        act(side.clients, stored, range(STORED))
        longest = asyncio.run(measure(side, asked.seconds))
    sys.exit(longest >= LIMIT)


if __name__ == "__main__":
    main()
