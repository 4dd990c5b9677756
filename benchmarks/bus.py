"""The bus: how soon a change reaches a consumer, and how many messages a second the relay brings to Kafka.

`python -m benchmarks.bus`: on both buses another process commits changes at a fixed rate, and a consumer measures the
time from each row of the outbox to its effect. Then changes that wait are brought to Kafka and taken in from there,
beside a fixed piece of work of the same run (calibration).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from server.domain.changes import ChangeSet, Put
from server.domain.messages import Message
from server.domain.objects import Collection
from server.events.bus import Bus
from server.events.bus_settings import KafkaSettings
from server.events.consuming import Consumer
from server.events.in_process import JournalBus
from server.events.kafka_bus import KafkaBus
from server.events.kafka_cluster import KafkaCluster
from server.events.kafka_publishing import KafkaPublisher
from server.events.relay import Relay
from server.observe.metrics import Metrics
from storage_plugins.postgres.advisory_locks import TurnLock
from storage_plugins.postgres.bus import PostgresBusRecords
from storage_plugins.postgres.database import DatabaseLimits
from storage_plugins.postgres.embedded.server import embedded_blocking
from storage_plugins.postgres.journal import PostgresJournal
from storage_plugins.postgres.migrations import migrate
from storage_plugins.postgres.storage import PostgresStorage
from storage_plugins.postgres.turns import PostgresTurn
from tests.fixtures.kafka import Kafka, kafka
from tests.fixtures.messages import SOURCE
from tests.integration.storage.conftest import make_person
from tests.integration.storage.sequenced import sequence
from tests.integration.storage.values import CAUSE, LIMITS, content

RATE = 200
"""Changes a second."""
SECONDS = 20.0
WAITING = 20_000
"""Changes that wait for the relay."""
AT_ONCE = 50
"""Changes of one transaction, of those."""
WRITERS = 8
PARTITIONS = 12


async def put(storage: PostgresStorage, calendar: Collection, names: Sequence[str]) -> None:
    """Store objects in one transaction."""
    writes = tuple(Put(calendar, name, content(name), None, None) for name in names)
    await storage.apply(ChangeSet(writes, LIMITS, CAUSE, ()))


async def write(dsn: str, seconds: float) -> None:
    """Commit changes at the rate."""
    async with PostgresStorage(dsn, DatabaseLimits(connections=WRITERS)) as storage:
        calendars = [await (await make_person(storage, name=f"{uuid4()}")).collection() for _ in range(WRITERS)]
        print("ready", flush=True)
        began = time.monotonic()

        async def one(calendar: Collection, first: int) -> None:
            for number in range(first, int(seconds * RATE), WRITERS):
                await asyncio.sleep(began + number / RATE - time.monotonic())
                await put(storage, calendar, [f"{number}"])

        await asyncio.gather(*(one(calendar, number) for number, calendar in enumerate(calendars)))


def settings(broker: Kafka, prefix: str) -> KafkaSettings:
    """Settings for a broker that is alone."""
    return KafkaSettings(servers=broker.servers, prefix=prefix, partitions=PARTITIONS, replication=1, min_in_sync=1)


@contextlib.asynccontextmanager
async def process(*words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a module within the context."""
    made = await asyncio.create_subprocess_exec(sys.executable, "-m", *words, stdout=subprocess.PIPE)
    try:
        yield made
    finally:
        with contextlib.suppress(ProcessLookupError):
            made.kill()
        await made.wait()


async def laid_out(storage: PostgresStorage) -> None:
    """Wait until the relay has taken up the topics."""
    while True:
        if await PostgresBusRecords(storage.database).layout():
            return
        await asyncio.sleep(0.2)


async def latencies(dsn: str, bus: Bus, storage: PostgresStorage, kafka_settings: str, seconds: float) -> list[float]:
    """Seconds from the outbox to the effect, of each change; in its first second it does not count."""
    found: list[float] = []

    async def take(_: object, messages: Sequence[Message]) -> None:
        now = datetime.now(UTC)
        found.extend((now - message.at).total_seconds() for message in messages if message.kind == "created")

    async def begin_anew(_: object) -> None:
        pass

    async with process("tests.integration.bus_process", dsn, "relay", kafka_settings):
        if kafka_settings:
            await laid_out(storage)
        async with bus.reading(Consumer("measured", take, begin_anew)) as reading:
            while await reading.take_in():
                pass
            async with process("benchmarks.bus", "--write", dsn, "--seconds", f"{seconds}") as writer:
                assert writer.stdout is not None
                assert await writer.stdout.readline() == b"ready\n"
                while writer.returncode is None or len(found) < int(seconds * RATE):
                    await reading.wait(0.5)
                    await reading.take_in()
    return found[RATE:]


async def throughput(dsn: str, storage: PostgresStorage, cluster: KafkaCluster) -> tuple[float, float]:
    """Messages a second that the relay sends, and that a consumer takes in."""
    journal, records = PostgresJournal(storage.database), PostgresBusRecords(storage.database)
    relay = Relay(journal, records, KafkaPublisher(cluster, SOURCE), PostgresTurn(dsn, TurnLock.RELAY), Metrics())
    taken = 0

    async def take(_: object, messages: Sequence[Message]) -> None:
        nonlocal taken
        taken += len(messages)

    async def begin_anew(_: object) -> None:
        pass

    try:
        while await relay.step():
            pass
        async with KafkaBus(cluster, journal, records).reading(Consumer("fast", take, begin_anew)) as reading:
            while await reading.take_in():
                pass
            calendars = [await (await make_person(storage)).collection() for _ in range(WRITERS)]
            for first in range(0, WAITING, AT_ONCE):
                names = [f"{number}" for number in range(first, first + AT_ONCE)]
                await put(storage, calendars[first // AT_ONCE % WRITERS], names)
            await sequence(storage.database)
            began, taken = time.monotonic(), 0
            sent = 0
            while count := await relay.step():
                sent += count
            relayed = sent / (time.monotonic() - began)
            began = time.monotonic()
            while taken < sent:
                await reading.wait(0.5)
                await reading.take_in()
            return relayed, sent / (time.monotonic() - began)
    finally:
        await relay.close()


def calibration() -> float:
    """Milliseconds of a fixed piece of work, by the clock."""
    began = time.perf_counter()
    sum(number * number % 7 for number in range(1_000_000))
    return 1000 * (time.perf_counter() - began)


async def measure(dsn: str, broker: Kafka, seconds: float) -> str:
    """The figures as a table."""
    await migrate(dsn)
    calibrations = [calibration() for _ in range(5)]
    lines = []
    async with PostgresStorage(dsn, DatabaseLimits(connections=WRITERS)) as storage:
        journal, records = PostgresJournal(storage.database), PostgresBusRecords(storage.database)
        cluster = KafkaCluster.from_settings(settings(broker, "latency."))
        buses: tuple[tuple[str, Bus, str], ...] = (
            ("in-process", JournalBus(journal, storage.subscribe), ""),
            ("kafka", KafkaBus(cluster, journal, records), cluster.settings.model_dump_json(exclude={"password"})),
        )
        for name, bus, kafka_settings in buses:
            found = sorted(await latencies(dsn, bus, storage, kafka_settings, seconds))
            middle, late = 1000 * statistics.median(found), 1000 * found[int(len(found) * 0.99)]
            lines.append(f"| commit to consumer, {name}, {RATE} a second: median ms | {middle:.0f} |")
            lines.append(f"| commit to consumer, {name}, {RATE} a second: p99 ms | {late:.0f} |")
        await storage.database.fetch("update journal_position set anew = true where consumer = 'relay'")
        relayed, consumed = await throughput(dsn, storage, KafkaCluster.from_settings(settings(broker, "throughput.")))
        lines.append(f"| messages a second through the relay | {relayed:.0f} |")
        lines.append(f"| messages a second to a consumer | {consumed:.0f} |")
    calibrations += [calibration() for _ in range(5)]
    lines.append(f"| calibration, ms | {statistics.median(calibrations):.0f} |")
    return "\n".join(("| what | |", "| --- | ---: |", *lines))


def run(seconds: float = SECONDS) -> str:
    """The table, measured on a fresh cluster and a fresh broker."""
    with tempfile.TemporaryDirectory(prefix="koyomi-bench-") as folder, kafka() as broker:
        Path(folder).chmod(0o711)
        with embedded_blocking(Path(folder) / "cluster") as cluster:
            return asyncio.run(measure(cluster.dsn("postgres"), broker, seconds))


def main() -> None:
    """Measure and print, or write as the process beside it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long changes are committed at the rate")
    parser.add_argument("--write", metavar="DSN", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.write:
        asyncio.run(write(asked.write, asked.seconds))
    else:
        print(run(asked.seconds))


if __name__ == "__main__":
    main()
