"""Reading numbers and texts from octets, least significant octet first, never beyond their end."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta

from server.domain.errors import InvalidCalendarData

_BEGIN = datetime(1601, 1, 1)
"""The begin of the time of Windows."""


class Octets:
    """Octets, and how far they have been read. What goes beyond their end raises `InvalidCalendarData`."""

    __slots__ = ("_data", "position")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.position = 0

    @property
    def left(self) -> int:
        """The number of octets that are not read yet."""
        return len(self._data) - self.position

    def take(self, count: int) -> bytes:
        """The next octets."""
        if count > self.left:
            raise InvalidCalendarData(f"The data end early: {count} octets are announced, and {self.left} are there.")
        start = self.position
        self.position += count
        return self._data[start : self.position]

    def padded(self, count: int) -> bytes:
        """The next octets; those that fill them up to a multiple of four are passed over."""
        found = self.take(count)
        self.take(min(-count % 4, self.left))
        return found

    def u8(self) -> int:
        """The next octet."""
        return self.take(1)[0]

    def u16(self) -> int:
        """The next number of two octets."""
        return int.from_bytes(self.take(2), "little")

    def u32(self) -> int:
        """The next number of four octets."""
        return int.from_bytes(self.take(4), "little")

    def i32(self) -> int:
        """The next number of four octets with a sign."""
        return int.from_bytes(self.take(4), "little", signed=True)

    def u16s(self, count: int) -> tuple[int, ...]:
        """The next numbers of two octets each."""
        return struct.unpack(f"<{count}H", self.take(2 * count))

    def u32s(self, count: int) -> tuple[int, ...]:
        """The next numbers of four octets each."""
        return struct.unpack(f"<{count}I", self.take(4 * count))


def of_minutes(minutes: int) -> datetime:
    """A local time (naive) by the minutes since 1601, a number of four octets."""
    return _BEGIN + timedelta(minutes=minutes)


def of_filetime(data: bytes) -> datetime:
    """A time (aware) by the tenths of microseconds since 1601 in eight octets (PtypTime).

    :raises InvalidCalendarData: for one after the year 9999.
    """
    try:
        return (_BEGIN + timedelta(microseconds=int.from_bytes(data, "little") // 10)).replace(tzinfo=UTC)
    except OverflowError:
        raise InvalidCalendarData("A time lies after the year 9999.") from None
