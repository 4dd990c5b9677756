"""Bookings of rooms and equipment."""

from __future__ import annotations

from collections.abc import Sequence

from server.domain.changes import Book, Put, Write, Written
from server.domain.errors import AlreadyReserved, WriteConflict
from tests.unit.services.memory_storage.conditions import of_write
from tests.unit.services.memory_storage.tables import Tables


class Bookings:
    """Makes bookings in the caller's transaction."""

    tables: Tables

    def _book_all(self, writes: Sequence[Write]) -> dict[int, Written]:
        """Make the bookings of a set, after all of them have released what their objects reserved."""
        tables, booked = self.tables, {index: write for index, write in enumerate(writes) if isinstance(write, Book)}
        put = {(write.collection.id, write.name) for write in writes if isinstance(write, Put)}
        written = {}
        for index, write in booked.items():
            if write.expected is None and (write.collection.id, write.name) not in put:
                raise ValueError("A booking needs the state of its object, or a set that puts it.")
            row = tables.named(write.collection.id, write.name)
            if row is None or row.deleted_revision is not None:
                raise of_write(index, WriteConflict())
            tables.reservations.pop(row.id, None)
            written[index] = Written(row.revision, row.id, None)
        for index, write in booked.items():
            others = [
                each for resource, times in tables.reservations.values() if resource == write.resource for each in times
            ]
            for each in write.reservations:
                if any(each.start < other.end and other.start < each.end for other in others):
                    raise of_write(index, AlreadyReserved())
                others.append(each)
            tables.reservations[written[index].id] = write.resource, write.reservations
        return written
