"""A process that brings changes to consumers until it is killed.

`python -m tests.integration.bus_process DSN ROLE KAFKA`: ROLE is `relay`, which also runs the sequencer, or `consumer`;
KAFKA is the settings of Kafka in JSON, or empty where the journal itself is the bus. A consumer writes down each
message that it takes in, and copies the state of its object. A consumer that conflicts says so in a line, and begins
again.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

from server.domain.errors import BusUnavailable, Unavailable, WriteConflict
from server.domain.messages import Message
from server.events.bus import Bus
from server.events.bus_settings import KafkaSettings
from server.events.consuming import Consumer
from server.events.in_process import JournalBus
from server.events.kafka_bus import KafkaBus
from server.events.kafka_cluster import KafkaCluster
from server.events.kafka_publishing import KafkaPublisher
from server.events.relay import Relay
from server.events.sequencing import Sequencing
from server.observe.metrics import Metrics
from storage_plugins.postgres.advisory_locks import TurnLock
from storage_plugins.postgres.bus import PostgresBusRecords
from storage_plugins.postgres.database import Connection, DatabaseLimits
from storage_plugins.postgres.journal import PostgresJournal, PostgresSequencer
from storage_plugins.postgres.storage import PostgresStorage
from storage_plugins.postgres.turns import PostgresTurn
from tests.fixtures.messages import SOURCE

NAME = "copying"
TABLES = (
    "create table counted (came bigserial, home_id bigint, seq bigint)",
    "create table copied (object_id bigint primary key, etag text)",
    "create table anew (came bigserial)",
)
"""What the consumer writes."""
STORED = "select id as object_id, etag from object where deleted_revision is null"
"""What it copies."""
_FORGET = "delete from copied where object_id = any($1)"
_COPY = f"insert into copied select * from ({STORED}) as stored where object_id = any($1)"
_PAUSE = 0.5


async def copy(transaction: Connection, messages: Sequence[Message]) -> None:
    """Write messages down, and copy the present state of their objects."""
    rows = [(message.home_id, message.seq) for message in messages]
    await transaction.executemany("insert into counted (home_id, seq) values ($1, $2)", rows)
    ids = list({message.object_id for message in messages if message.object_id is not None})
    await transaction.execute(_FORGET, ids)
    await transaction.execute(_COPY, ids)


async def copy_all(transaction: Connection) -> None:
    """Copy the state of all objects."""
    await transaction.execute("insert into anew default values")
    await transaction.execute("delete from copied")
    await transaction.execute(f"insert into copied {STORED}")


COPYING = Consumer(NAME, copy, copy_all)


async def consume(bus: Bus) -> None:
    """Run the consumer. Others that run it take turns with it by conflicts."""
    while True:
        try:
            async with bus.reading(COPYING) as reading:
                while True:
                    await reading.wait(0.5)
                    await reading.take_in()
        except WriteConflict:
            print("conflict", flush=True)
        except (Unavailable, BusUnavailable) as error:
            print(f"unavailable: {error.message}", flush=True)
        await asyncio.sleep(_PAUSE)


async def main(dsn: str, role: str, kafka: str) -> None:
    """Run a role until the process ends."""
    async with PostgresStorage(dsn, DatabaseLimits(connections=4)) as storage:
        journal = PostgresJournal(storage.database)
        records = PostgresBusRecords(storage.database)
        cluster = KafkaCluster.from_settings(KafkaSettings.model_validate_json(kafka)) if kafka else None
        if role == "consumer":
            await consume(
                JournalBus(journal, storage.subscribe) if cluster is None else KafkaBus(cluster, journal, records)
            )
        sequencing = Sequencing(PostgresSequencer(dsn), storage.announce_change, Metrics())
        storage.subscribe(sequencing.hear)
        async with asyncio.TaskGroup() as group:
            group.create_task(sequencing.run())
            if cluster is not None:
                publisher = KafkaPublisher(cluster, SOURCE)
                relay = Relay(journal, records, publisher, PostgresTurn(dsn, TurnLock.RELAY), Metrics())
                storage.subscribe(relay.hear)
                group.create_task(relay.run())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
