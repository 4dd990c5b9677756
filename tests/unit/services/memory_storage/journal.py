"""`server.storage.journal.Journal` in memory: the outbox of the tables is the journal, as all writes commit at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime

from server.domain.errors import WriteConflict
from server.domain.messages import Message
from server.storage.journal import Effect, Entry, Position
from tests.unit.services.memory_storage.tables import Event, Tables

_AT = datetime(2026, 1, 1, tzinfo=UTC)
_MONTH = date(2026, 1, 1)


class MemoryJournal:
    """The journal, for consumers."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def position(self, consumer: str, partition: int = 0) -> Position:
        start = Position(consumer, partition, 1, 0, date.min, anew=False)
        return self._tables.positions.setdefault((consumer, partition), start)

    async def keep_partitions(self, consumer: str, partitions: Sequence[int]) -> None:
        kept = self._tables.positions
        for key in [key for key in kept if key[0] == consumer and key[1] not in partitions]:
            del kept[key]
        for partition in partitions:
            kept.setdefault((consumer, partition), Position(consumer, partition, 1, 0, date.min, anew=True))

    async def start_anew_behind(self, transaction: Tables) -> None:
        for key, position in transaction.positions.items():
            if position.partition > 0:
                transaction.positions[key] = replace(position, anew=True)

    async def bury(self, transaction: Tables, consumer: str, message: Message, error: str) -> bool:
        transaction.dead.append((consumer, message, error))
        return True

    async def take_over(self, position: Position) -> Position:
        self._require(position)
        taken = replace(position, generation=position.generation + 1)
        self._tables.positions[position.consumer, position.partition] = taken
        return taken

    async def entries(self, after: Position, limit: int) -> Sequence[Entry]:
        events = self._tables.outbox[after.seq : after.seq + limit]
        return [_entry(after.seq + number, event) for number, event in enumerate(events, 1)]

    async def end(self) -> tuple[int, date]:
        return len(self._tables.outbox), _MONTH

    async def move(self, position: Position, seq: int, month: date, effect: Effect) -> Position:
        async with self._tables.transaction():
            self._require(position)
            moved = replace(position, seq=seq, month=month, anew=False)
            self._tables.positions[position.consumer, position.partition] = moved
            await effect(self._tables)
        return moved

    def _require(self, position: Position) -> None:
        if self._tables.positions.get((position.consumer, position.partition)) != position:
            raise WriteConflict


def _entry(seq: int, event: Event) -> Entry:
    return Entry(
        seq=seq,
        act=event.kind != "binding-touched",
        month=_MONTH,
        at=_AT,
        kind=event.kind,
        home_id=event.home_id or 0,
        revision=0,
        collection_id=event.collection_id,
        object_id=None,
        subject_id=event.subject_id,
        principal_id=None,
        acting_for=None,
        origin="memory",
        request_id="",
        change=None,
        trace=None,
        details=None,
    )
