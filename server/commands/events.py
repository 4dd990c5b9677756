"""`koyomi events`: what consumers hear of, and how far they have come."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import click

from server.commands.options import with_settings
from server.commands.session import open_storage
from server.commands.table import table
from server.domain.errors import ConfigurationError, NotFound
from server.domain.messages import encode
from server.events.relay import RELAY
from server.settings.model import Settings
from server.storage.journal import Position
from storage_plugins.postgres.journal import PostgresJournal
from storage_plugins.postgres.reads.positions import (
    StoredPosition,
    dead_messages,
    interrupt,
    positions,
    read_again,
    start_anew,
)

_PAGE = 500
"""Messages that are read at once."""
_POLL = 1.0
"""Seconds between two looks for new ones."""


@click.group
def events() -> None:
    """Events: what consumers of changes hear of, and how far they have come."""


@events.command
@click.option("--last", type=click.IntRange(0, 100_000), default=20, help="How many of the last messages.  [20]")
@click.option("--follow", is_flag=True, help="Go on with those that come, until this command is stopped.")
@with_settings()
async def tail(settings: Settings, last: int, follow: bool) -> None:
    """Print the last messages, one a line, as they are on the bus (CloudEvents in JSON)."""
    async with open_storage(settings) as session:
        journal = PostgresJournal(session.storage.database)
        source = f"/installations/{await session.storage.installation()}"
        seq, month = await journal.end()
        # Numbers have no gaps, except where old echoes were dropped.
        position = Position("tail", 0, 0, max(seq - last, 0), month.min, anew=False)
        while True:
            messages = await journal.entries(position, _PAGE)
            for message in messages:
                click.echo(encode(message, source))
            if messages:
                position = replace(position, seq=messages[-1].seq, month=messages[-1].month)
            if len(messages) < _PAGE:
                if not follow:
                    return
                await asyncio.sleep(_POLL)


@events.command("positions")
@with_settings()
async def positions_(settings: Settings) -> None:
    """List how far each consumer has come, and how many entries of the journal it has not read. Times are in UTC.

    On Kafka, each partition has a position; `relay` is what brings the journal there.
    """
    async with open_storage(settings) as session:
        found = await positions(session.storage.database)
    heads = ("CONSUMER", "READS", "GENERATION", "POSITION", "BEHIND", "MOVED", "")
    click.echo(table(heads, [_row(each) for each in found]))


def _row(each: StoredPosition) -> tuple[str, ...]:
    return (
        each.consumer,
        "journal" if each.partition == 0 else f"partition {each.partition - 1}",
        str(each.generation),
        str(each.seq),
        "" if each.behind is None else str(each.behind),
        f"{each.moved_at:%Y-%m-%d %H:%M:%S}",
        "starts anew" if each.anew else "",
    )


@events.command
@with_settings()
async def dead(settings: Settings) -> None:
    """List the messages that consumers could not take in: several tries failed, and they went on behind them.

    Times are in UTC. The log has each failure with its traceback (`background_task_failed`).
    """
    async with open_storage(settings) as session:
        found = await dead_messages(session.storage.database, _PAGE)
    heads = ("CONSUMER", "SEQ", "HOME", "KIND", "ERROR", "AT")
    rows = [
        (each.consumer, str(each.seq), str(each.home_id), each.kind, each.error, f"{each.at:%Y-%m-%d %H:%M:%S}")
        for each in found
    ]
    click.echo(table(heads, rows))
    if len(found) == _PAGE:
        click.echo(f"Only the first {_PAGE} are listed.")


@events.command
@click.argument("consumer")
@click.option("--from", "seq", type=click.IntRange(1), help="The number of the first message to take in again.")
@with_settings()
async def replay(settings: Settings, consumer: str, seq: int | None) -> None:
    """Let CONSUMER do again what could follow from any change, or take in messages again, and then go on.

    Messages that it could not take in are forgotten, as what follows from them is done, too. Without --from, `relay`
    goes on at the end of the journal, and all consumers on Kafka start anew; with it, `relay` sends messages to Kafka
    again, which Koyomi's consumers drop.
    """
    async with open_storage(settings) as session:
        database = session.storage.database
        found = await (start_anew(database, consumer) if seq is None else read_again(database, consumer, seq))
        if not found:
            raise NotFound(f"There is no consumer {consumer}.")
    click.echo(f"{consumer} starts anew." if seq is None else f"{consumer} goes on at {seq}.")


@events.command
@click.argument("partitions", type=click.IntRange(1, 1000))
@with_settings()
async def repartition(settings: Settings, partitions: int) -> None:
    """Give each topic on Kafka more partitions, PARTITIONS in all, while servers run.

    Homes get other partitions: consumers read in the journal what was sent before. Set events.kafka.partitions to the
    same number.
    """
    if settings.events.bus != "kafka":
        raise ConfigurationError("events.bus is not kafka: there are no partitions.")
    from server.events.kafka_cluster import KafkaCluster

    async with open_storage(settings) as session:
        await KafkaCluster.from_settings(settings.events.kafka).add_partitions(partitions)
        await interrupt(session.storage.database, RELAY)
    click.echo(f"{partitions} partitions; the relay takes them up with the next change.")
