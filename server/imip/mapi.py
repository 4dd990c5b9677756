"""MAPI properties: their tags and names ([MS-OXPROPS]), and lists of them as TNEF has them ([MS-OXTNEF] §2.1.3.4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from uuid import UUID

from server.domain.errors import InvalidCalendarData, ResourceTooLarge
from server.imip.mail import decoded
from server.imip.octets import Octets, of_filetime

MAX_PROPERTIES = 5_000
"""Properties of a message or recipient, and values of one with several."""

Key = int | tuple[bytes, int | str]
"""The id of a property; of a named one (§2.1.3.4.1) its set, a GUID, and its number or name there."""


class Tag(IntEnum):
    """The ids of properties."""

    MESSAGE_CLASS = 0x001A
    IMPORTANCE = 0x0017
    SENSITIVITY = 0x0036
    SUBJECT = 0x0037
    CLIENT_SUBMIT_TIME = 0x0039
    SUBJECT_PREFIX = 0x003D
    SENT_REPRESENTING_NAME = 0x0042
    START_DATE = 0x0060
    END_DATE = 0x0061
    RESPONSE_REQUESTED = 0x0063
    SENT_REPRESENTING_ADDRESS_TYPE = 0x0064
    SENT_REPRESENTING_ADDRESS = 0x0065
    RECIPIENT_TYPE = 0x0C15
    NORMALIZED_SUBJECT = 0x0E1D
    BODY = 0x1000
    COMPRESSED_RTF = 0x1009
    HTML = 0x1013
    DISPLAY_NAME = 0x3001
    ADDRESS_TYPE = 0x3002
    ADDRESS = 0x3003
    CREATION_TIME = 0x3007
    LAST_MODIFICATION_TIME = 0x3008
    SMTP_ADDRESS = 0x39FE
    INTERNET_CODEPAGE = 0x3FDE
    MESSAGE_CODEPAGE = 0x3FFD
    SENT_REPRESENTING_SMTP_ADDRESS = 0x5D02
    RECIPIENT_FLAGS = 0x5FFD


_APPOINTMENT = UUID("00062002-0000-0000-C000-000000000046").bytes_le
_MEETING = UUID("6ED8DA90-450B-101B-98DA-00AA003F1305").bytes_le


class Named:
    """The keys of named properties ([MS-OXOCAL] §2.2)."""

    SEQUENCE: Key = (_APPOINTMENT, 0x8201)
    BUSY_STATUS: Key = (_APPOINTMENT, 0x8205)
    LOCATION: Key = (_APPOINTMENT, 0x8208)
    START: Key = (_APPOINTMENT, 0x820D)
    END: Key = (_APPOINTMENT, 0x820E)
    ALL_DAY: Key = (_APPOINTMENT, 0x8215)
    RECURRENCE: Key = (_APPOINTMENT, 0x8216)
    INTENDED_BUSY_STATUS: Key = (_APPOINTMENT, 0x8224)
    REPLACED_TIME: Key = (_APPOINTMENT, 0x8228)
    ZONE: Key = (_APPOINTMENT, 0x8233)
    ZONE_DESCRIPTION: Key = (_APPOINTMENT, 0x8234)
    PROPOSED_START: Key = (_APPOINTMENT, 0x8250)
    PROPOSED_END: Key = (_APPOINTMENT, 0x8251)
    COUNTER_PROPOSAL: Key = (_APPOINTMENT, 0x8257)
    START_ZONE: Key = (_APPOINTMENT, 0x825E)
    RECURRENCE_ZONE: Key = (_APPOINTMENT, 0x8260)
    ATTENDEE_CRITICAL_CHANGE: Key = (_MEETING, 0x0001)
    WHERE: Key = (_MEETING, 0x0002)
    GLOBAL_OBJECT_ID: Key = (_MEETING, 0x0003)
    START_RECURRENCE_TIME: Key = (_MEETING, 0x000E)
    OWNER_CRITICAL_CHANGE: Key = (_MEETING, 0x001A)
    CLEAN_GLOBAL_OBJECT_ID: Key = (_MEETING, 0x0023)


_I16, _I32, _BOOL, _STRING8, _UNICODE, _TIME, _BINARY, _OBJECT = 0x02, 0x03, 0x0B, 0x1E, 0x1F, 0x40, 0x102, 0x0D
_SEVERAL = 0x1000
_SIZES = {_I16: 2, _I32: 4, 0x04: 4, 0x05: 8, 0x06: 8, 0x07: 8, 0x0A: 4, _BOOL: 2, 0x14: 8, _TIME: 8, 0x48: 16}
"""Octets of the values of a type; each is filled up to a multiple of four."""
_SIZED = (_OBJECT, _STRING8, _UNICODE, _BINARY)
"""Types whose values say how long they are."""


@dataclass(frozen=True, slots=True)
class Properties:
    """Properties that have one value, as they are written. One of another type than it is asked for is not there."""

    values: Mapping[Key, tuple[int, bytes]]
    """The type and the octets of each."""
    charset: str = ""
    """Of texts that are not in Unicode."""

    def text(self, key: Key) -> str:
        """A text; empty without one."""
        kind, data = self.values.get(key, (0, b""))
        if kind == _UNICODE:
            return data.decode("utf-16-le", "replace").partition("\0")[0]
        return decoded(data.partition(b"\0")[0], self.charset) if kind == _STRING8 else ""

    def number(self, key: Key) -> int | None:
        """A whole number."""
        kind, data = self.values.get(key, (0, b""))
        return int.from_bytes(data, "little", signed=True) if kind in (_I16, _I32) else None

    def truth(self, key: Key) -> bool | None:
        """Whether something is so."""
        kind, data = self.values.get(key, (0, b""))
        return any(data) if kind == _BOOL else None

    def time(self, key: Key) -> datetime | None:
        """A time (aware). Raises `InvalidCalendarData` for one after the year 9999."""
        kind, data = self.values.get(key, (0, b""))
        return of_filetime(data) if kind == _TIME else None

    def octets(self, key: Key) -> bytes:
        """Octets; empty without any."""
        kind, data = self.values.get(key, (0, b""))
        return data if kind == _BINARY else b""


def read_properties(source: Octets, most: int = MAX_PROPERTIES) -> Mapping[Key, tuple[int, bytes]]:
    """The properties of a list; of those with several values none.

    :param most: how many it may have.
    :raises InvalidCalendarData: for what is no list of properties.
    :raises ResourceTooLarge: for too many.
    """
    found: dict[Key, tuple[int, bytes]] = {}
    for _ in range(_bounded(source.u32(), most)):
        kind, number = source.u16(), source.u16()
        key = _name(source) if number >= 0x8000 else number
        several, kind = kind & _SEVERAL, kind & ~_SEVERAL
        size = _SIZES.get(kind)
        if size is None and kind not in _SIZED:
            raise InvalidCalendarData(f"There is no type of properties {kind:#06x}.")
        count = _bounded(source.u32(), MAX_PROPERTIES) if several or size is None else 1
        values = [source.padded(source.u32() if size is None else size) for _ in range(count)]
        if not several and len(values) == 1:
            found.setdefault(key, (kind, values[0]))
    return found


def _name(source: Octets) -> Key:
    group, by_name = source.take(16), source.u32()
    if by_name not in (0, 1):
        raise InvalidCalendarData("A named property has neither a number nor a name.")
    if by_name:
        return group, source.padded(source.u32()).decode("utf-16-le", "replace").rstrip("\0")
    return group, source.u32()


def _bounded(count: int, most: int) -> int:
    if count > most:
        raise ResourceTooLarge(f"A list has at most {most} properties or values.")
    return count
