"""What a change set of many homes costs beside sets of one write: `python -m benchmarks.change_sets`.

Puts the same event into the calendars of 20 people, in one set and in 20 sets of one, in turns: new objects, replaced
ones whose time changes, dead properties, copies into other calendars, moves, deletions. Prints the CPU of this process
and of its connection's backend for each, and the ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from server.domain.changes import (
    ChangeSet,
    Delete,
    ObjectState,
    PropertyChanges,
    Put,
    SetProperties,
    StoredContent,
    Write,
    Written,
)
from server.domain.objects import Collection
from storage_plugins.postgres.database import DatabaseLimits
from storage_plugins.postgres.embedded.server import embedded_blocking
from storage_plugins.postgres.migrations import migrate
from storage_plugins.postgres.storage import PostgresStorage
from tests.integration.storage.conftest import make_person
from tests.integration.storage.values import CAUSE, LIMITS, content


def cpu(backend: int) -> float:
    """CPU seconds of this process and of a backend of PostgreSQL."""
    return time.process_time() + float(Path(f"/proc/{backend}/schedstat").read_text().split()[0]) / 1e9


def moves(calendars: list[Collection], name: str, states: list[ObjectState], new_name: str) -> list[Write]:
    """Puts and deletions in turns, as many moves."""
    writes: list[Write] = []
    for calendar, state in zip(calendars, states, strict=True):
        stored = StoredContent(calendar, name, state)
        writes += [Put(calendar, new_name, stored, None, keep_id=True), Delete(calendar, name, state)]
    return writes


async def apply(storage: PostgresStorage, writes: list[Write], together: bool) -> list[Written]:
    """What was put, deleted or set; of moves what was put."""
    moving = any(isinstance(write, Put) and write.keep_id for write in writes)
    size = 2 if moving else 1
    if together:
        return list(await storage.apply(ChangeSet(tuple(writes), LIMITS, CAUSE)))[::size]
    sets = [tuple(writes[at : at + size]) for at in range(0, len(writes), size)]
    return [(await storage.apply(ChangeSet(one, LIMITS, CAUSE)))[0] for one in sets]


async def measure(dsn: str, homes: int, rounds: int) -> None:
    used: dict[tuple[str, bool], list[float]] = defaultdict(list)
    async with PostgresStorage(dsn, DatabaseLimits(connections=1), notify=False) as storage:
        people = [await make_person(storage) for _ in range(homes)]
        calendars: list[Collection] = [await person.collection() for person in people]
        tasks: list[Collection] = [await person.collection("tasks") for person in people]
        backend = await storage.database.fetchval("select pg_backend_pid()")

        async def run(kind: str, together: bool, writes: list[Write], *, count: bool) -> list[ObjectState]:
            before = cpu(backend)
            written = await apply(storage, writes, together)
            if count:
                used[kind, together].append((cpu(backend) - before) * 1000)
            return [ObjectState(one.id, one.revision) for one in written]

        for number in range(rounds + 5):
            for together in (number % 2 == 0, number % 2 == 1):
                name, count = f"{number}-{together}", number >= 5
                text, changed = content(name, occurrences=1), content(name, "changed", occurrences=1)
                made = await run("new", together, [Put(one, name, text, None) for one in calendars], count=count)
                writes: list[Write] = [
                    Put(one, name, changed, state) for one, state in zip(calendars, made, strict=True)
                ]
                made = await run("replaced", together, writes, count=count)
                setting = PropertyChanges({"{x}y": "<y/>"})
                writes = [SetProperties(one, name, state, setting) for one, state in zip(calendars, made, strict=True)]
                made = await run("properties", together, writes, count=count)
                stored = [StoredContent(one, name, state) for one, state in zip(calendars, made, strict=True)]
                writes = [Put(one, name, old, None) for one, old in zip(tasks, stored, strict=True)]
                copies = await run("copied", together, writes, count=count)
                writes = [Delete(one, name, state) for one, state in zip(tasks, copies, strict=True)]
                await run("deleted", together, writes, count=False)
                made = await run("moved", together, moves(calendars, name, made, f"{name} moved"), count=count)
                name += " moved"
                writes = [Delete(one, name, state) for one, state in zip(calendars, made, strict=True)]
                await run("deleted", together, writes, count=count)
    for kind in ("new", "replaced", "properties", "copied", "moved", "deleted"):
        one, many = statistics.median(used[kind, True]), statistics.median(used[kind, False])
        print(f"{kind:10} one set {one:6.2f} ms   {homes} sets of one {many:6.2f} ms   ratio {one / many:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--homes", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=60)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="koyomi-") as scratch:
        Path(scratch).chmod(0o711)
        with embedded_blocking(Path(scratch) / "data", binaries=None, durable=False) as cluster:
            dsn = cluster.dsn("postgres")
            asyncio.run(migrate(dsn))
            asyncio.run(measure(dsn, options.homes, options.rounds))


if __name__ == "__main__":
    main()
