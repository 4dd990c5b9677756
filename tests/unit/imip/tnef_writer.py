"""Writes TNEF as Outlook and Exchange do, by the specifications: [MS-OXTNEF] the stream, [MS-OXPROPS] the tags,
[MS-OXOCAL] what meetings have. It shares nothing with the reader."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

APPOINTMENT = UUID("{00062002-0000-0000-C000-000000000046}")
"""PSETID_Appointment ([MS-OXPROPS] §1.3.2)."""
MEETING = UUID("{6ED8DA90-450B-101B-98DA-00AA003F1305}")
"""PSETID_Meeting."""
COMMON = UUID("{00062008-0000-0000-C000-000000000046}")
"""PSETID_Common."""
PUBLIC_STRINGS = UUID("{00020329-0000-0000-C000-000000000046}")
"""PS_PUBLIC_STRINGS, whose properties have names and no numbers."""

Key = int | tuple[UUID, int | str]
NEVER = datetime(4500, 8, 31, 23, 59)
"""The end of a series without end: 0x5AE980DF minutes ([MS-OXOCAL] §2.2.1.44.1)."""
_1601 = datetime(1601, 1, 1)


@dataclass(frozen=True)
class Old:
    """A text that is not in Unicode (PtypString8), in a charset."""

    text: str
    charset: str = "cp1252"


@dataclass(frozen=True)
class Short:
    """A number of two octets (PtypInteger16)."""

    number: int


@dataclass(frozen=True)
class Several:
    """Texts of one property (PtypMultipleString)."""

    texts: tuple[str, ...]


Value = int | bool | str | bytes | datetime | Old | Short | Several


def minutes(local: datetime) -> int:
    """A local time as series have it."""
    return (local - _1601) // timedelta(minutes=1)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _sized(data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + _padded(data)


def _value(value: Value) -> tuple[int, bytes]:
    """Type and octets ([MS-OXTNEF] §2.1.3.4)."""
    match value:
        case bool():
            return 0x000B, struct.pack("<HH", value, 0)
        case int():
            return 0x0003, struct.pack("<i", value)
        case Short():
            return 0x0002, struct.pack("<hH", value.number, 0)
        case datetime():
            ticks = (value.astimezone(UTC).replace(tzinfo=None) - _1601) // timedelta(microseconds=1) * 10
            return 0x0040, struct.pack("<Q", ticks)
        case str():
            return 0x001F, struct.pack("<I", 1) + _sized((value + "\0").encode("utf-16-le"))
        case Old():
            return 0x001E, struct.pack("<I", 1) + _sized(value.text.encode(value.charset) + b"\0")
        case Several():
            texts = [_sized((each + "\0").encode("utf-16-le")) for each in value.texts]
            return 0x101F, struct.pack("<I", len(texts)) + b"".join(texts)
    return 0x0102, struct.pack("<I", 1) + _sized(value)


def properties(values: Mapping[Key, Value]) -> bytes:
    """A list of properties; named ones get numbers from 0x8000 on."""
    written = [struct.pack("<I", len(values))]
    for number, (key, value) in enumerate(values.items()):
        kind, data = _value(value)
        if isinstance(key, int):
            written.append(struct.pack("<HH", kind, key))
        else:
            group, name = key
            written.append(struct.pack("<HH", kind, 0x8000 + number) + group.bytes_le)
            if isinstance(name, int):
                written.append(struct.pack("<II", 0, name))
            else:
                written.append(struct.pack("<I", 1) + _sized((name + "\0").encode("utf-16-le")))
        written.append(data)
    return b"".join(written)


def _attribute(level: int, name: int, data: bytes) -> bytes:
    return struct.pack("<BII", level, name, len(data)) + data + struct.pack("<H", sum(data) & 0xFFFF)


def _date(moment: datetime) -> bytes:
    weekday = moment.isoweekday() % 7
    parts = (moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second, weekday)
    return struct.pack("<7H", *parts)


def stream(
    message_class: str,
    values: Mapping[Key, Value],
    recipients: Sequence[Mapping[Key, Value]] = (),
    *,
    subject: str | None = None,
    body: str | None = None,
    sent: datetime | None = None,
    codepage: int = 1252,
    attachment: bytes | None = None,
) -> bytes:
    """A TNEF stream ([MS-OXTNEF] §2.1.3.1).

    :param message_class: of attMessageClass.
    :param subject: of attSubject, as are the others of their attributes.
    """
    charset = f"cp{codepage}"
    written = [
        struct.pack("<IH", 0x223E9F78, 0x0102),
        _attribute(1, 0x00089006, struct.pack("<I", 0x00010000)),
        _attribute(1, 0x00069007, struct.pack("<II", codepage, 0)),
        _attribute(1, 0x00078008, message_class.encode("ascii") + b"\0"),
    ]
    if subject is not None:
        written.append(_attribute(1, 0x00018004, subject.encode(charset) + b"\0"))
    if sent is not None:
        written.append(_attribute(1, 0x00038005, _date(sent)))
    if body is not None:
        written.append(_attribute(1, 0x0002800C, body.encode(charset) + b"\0"))
    if recipients:
        rows = struct.pack("<I", len(recipients)) + b"".join(map(properties, recipients))
        written.append(_attribute(1, 0x00069004, rows))
    written.append(_attribute(1, 0x00069003, properties(values)))
    if attachment is not None:
        written += [
            _attribute(2, 0x00069002, struct.pack("<HIIII", 1, 0xFFFFFFFF, 0, 0, 0)[:14]),
            _attribute(2, 0x0006800F, attachment),
        ]
    return b"".join(written)


def global_id(data: bytes, day: datetime | None = None, made: datetime = datetime(2026, 1, 5, tzinfo=UTC)) -> bytes:
    """PidLidGlobalObjectId ([MS-OXOCAL] §2.2.1.27): of an instance with its day."""
    date = b"\0\0\0\0" if day is None else struct.pack(">HBB", day.year, day.month, day.day)
    _, ticks = _value(made)
    begin = bytes.fromhex("040000008200E00074C5B7101A82E008")
    return begin + date + ticks + bytes(8) + struct.pack("<I", len(data)) + data


def vcal_uid(uid: str) -> bytes:
    """The data of a global object id of a meeting that another program made ([MS-OXCICAL] §2.1.3.1.1.20.26)."""
    return b"vCal-Uid" + struct.pack("<I", 1) + uid.encode() + b"\0"


# -- zones ---------------------------------------------------------------------------------------------------------

Onset = tuple[int, int, int, int]
"""Month, weekday from Sunday, week (5: the last), hour."""


def _systemtime(onset: Onset | None) -> bytes:
    if onset is None:
        return bytes(16)
    month, weekday, week, hour = onset
    return struct.pack("<8H", 0, month, weekday, week, hour, 0, 0, 0)


def zone_structure(bias: int, daylight_bias: int, standard: Onset | None, daylight: Onset | None) -> bytes:
    """PidLidTimeZoneStruct ([MS-OXOCAL] §2.2.1.39)."""
    begin = struct.pack("<iii", bias, 0, daylight_bias)
    return begin + bytes(2) + _systemtime(standard) + bytes(2) + _systemtime(daylight)


def zone_definition(name: str, rules: Iterable[tuple[int, int, int, int, Onset | None, Onset | None]]) -> bytes:
    """PidLidAppointmentTimeZoneDefinition… ([MS-OXOCAL] §2.2.1.41).

    :param rules: flags, year, bias, bias of daylight saving time, and the onsets.
    """
    written = []
    for flags, year, bias, daylight_bias, standard, daylight in rules:
        written.append(
            struct.pack("<BBHHH14s", 2, 1, 0x3E, flags, year, bytes(14))
            + struct.pack("<iii", bias, 0, daylight_bias)
            + _systemtime(standard)
            + _systemtime(daylight)
        )
    key = name.encode("utf-16-le")
    header = struct.pack("<HH", 2, len(name)) + key + struct.pack("<H", len(written))
    return struct.pack("<BBH", 2, 1, len(header)) + header + b"".join(written)


BERLIN = zone_definition("W. Europe Standard Time", [(3, 2026, -60, -60, (10, 0, 5, 3), (3, 0, 5, 2))])
KOLKATA = zone_definition("India Standard Time", [(2, 2026, -330, 0, None, None)])


# -- series --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Changed:
    """A modified instance ([MS-OXOCAL] §2.2.1.44.2)."""

    original: datetime
    start: datetime
    end: datetime
    subject: str | None = None
    location: str | None = None
    busy: int | None = None
    all_day: bool | None = None
    reminder: int | None = None

    @property
    def flags(self) -> int:
        """OverrideFlags."""
        given = ((0x01, self.subject), (0x04, self.reminder), (0x10, self.location), (0x20, self.busy))
        return sum(flag for flag, value in (*given, (0x80, self.all_day)) if value is not None)


def series(
    start: datetime,
    end: datetime,
    frequency: int,
    pattern: int,
    period: int,
    specific: Sequence[int] = (),
    *,
    count: int | None = None,
    last: datetime | None = None,
    deleted: Sequence[datetime] = (),
    changed: Sequence[Changed] = (),
    first_weekday: int = 1,
    version: int = 0x3009,
    calendar: int = 0,
) -> bytes:
    """PidLidAppointmentRecur ([MS-OXOCAL] §2.2.1.44.5) of a series whose first instance lasts from start to end.

    :param frequency: 0x200A daily, 0x200B weekly, 0x200C monthly, 0x200D yearly.
    :param pattern: 0 days, 1 weeks, 2 a day of the month, 3 a weekday of the month, 4 the end of the month.
    :param specific: PatternTypeSpecific.
    """
    midnight = start.replace(hour=0, minute=0)
    kind = 0x2022 if count is not None else 0x2021 if last is not None else 0x2023
    removed = sorted({*deleted, *(each.original.replace(hour=0, minute=0) for each in changed)})
    moved = sorted(each.start.replace(hour=0, minute=0) for each in changed)
    final = NEVER if last is None and count is None else last or midnight
    written = [
        struct.pack("<HHHHH", 0x3004, 0x3004, frequency, pattern, calendar),
        struct.pack("<III", minutes(midnight) % max(period, 1), period, 0),
        struct.pack(f"<{len(specific)}I", *specific),
        struct.pack("<III", kind, 10 if count is None else count, first_weekday),
        struct.pack(f"<I{len(removed)}I", len(removed), *map(minutes, removed)),
        struct.pack(f"<I{len(moved)}I", len(moved), *map(minutes, moved)),
        struct.pack("<II", minutes(midnight), minutes(final)),
        struct.pack("<II", 0x3006, version),
        struct.pack("<II", minutes(start) - minutes(midnight), minutes(end) - minutes(midnight)),
        struct.pack("<H", len(changed)),
    ]
    for each in changed:
        written.append(struct.pack("<IIIH", *map(minutes, (each.start, each.end, each.original)), each.flags))
        if each.subject is not None:
            written.append(_narrow(each.subject))
        if each.reminder is not None:
            written.append(struct.pack("<I", each.reminder))
        if each.location is not None:
            written.append(_narrow(each.location))
        if each.busy is not None:
            written.append(struct.pack("<I", each.busy))
        if each.all_day is not None:
            written.append(struct.pack("<I", each.all_day))
    written.append(struct.pack("<I", 0))
    for each in changed:
        if version >= 0x3009:
            written.append(struct.pack("<II", 4, 0))
        written.append(struct.pack("<I", 0))
        if each.subject is not None or each.location is not None:
            written.append(struct.pack("<III", *map(minutes, (each.start, each.end, each.original))))
            written += [
                struct.pack("<H", len(text)) + text.encode("utf-16-le")
                for text in (each.subject, each.location)
                if text is not None
            ]
            written.append(struct.pack("<I", 0))
    written.append(struct.pack("<I", 0))
    return b"".join(written)


def _narrow(text: str) -> bytes:
    data = text.encode("cp1252", "replace")
    return struct.pack("<HH", len(data) + 1, len(data)) + data


_BEFORE = (
    rb"{\rtf1\ansi\mac\deff0\deftab720{\fonttbl;}{\f0\fnil \froman \fswiss \fmodern \fscript \fdecor MS Sans Serif"
    b"SymbolArialTimes New RomanCourier"
    rb"{\colortbl\red0\green0\blue0"
    b"\r\n"
    rb"\par \pard\plain\f0\fs20\b\i\u\tab\tx"
)
"""What a program that reads compressed RTF knows before it begins ([MS-OXRTFCP] §2.1.2.1): 207 octets."""


def compressed_rtf(rtf: bytes) -> bytes:
    """RTF as PidTagRtfCompressed has it ([MS-OXRTFCP] §2.2): references of two to 17 octets, the longest first."""
    known = _BEFORE + rtf
    tokens: list[bytes] = []
    place = len(_BEFORE)
    while place < len(known):
        begin, found, length = max(0, place - 4095), -1, 1
        for wanted in range(2, min(17, len(known) - place) + 1):
            at = known.find(known[place : place + wanted], begin, place + wanted - 1)
            if at < 0:
                break
            found, length = at, wanted
        if found < 0:
            tokens.append(known[place : place + 1])
        else:
            tokens.append(struct.pack(">H", found % 4096 << 4 | length - 2))
        place += length
    tokens.append(struct.pack(">H", place % 4096 << 4))
    content = b""
    for first in range(0, len(tokens), 8):
        run = tokens[first : first + 8]
        content += bytes([sum(1 << bit for bit, each in enumerate(run) if len(each) == 2)]) + b"".join(run)
    checksum = zlib.crc32(content, 0xFFFFFFFF) ^ 0xFFFFFFFF
    return struct.pack("<IIII", len(content) + 12, len(rtf), 0x75465A4C, checksum) + content


def rtf(text: str, page: int = 1252) -> bytes:
    """A text as RTF: characters of the code page as octets, others as `\\u` with a question mark."""
    written = rf"{{\rtf1\ansi\ansicpg{page}\deff0{{\fonttbl{{\f0\fswiss Arial;}}}}\uc1 ".encode()
    for each in text:
        if each in "\\{}":
            written += f"\\{each}".encode()
        elif each in "\n\t":
            written += b"\\par\r\n" if each == "\n" else b"\\tab "
        elif " " <= each <= "~":
            written += each.encode()
        else:
            octets = each.encode(f"cp{page}", "ignore")
            octets = octets if octets.decode(f"cp{page}") == each else b""
            units = struct.iter_unpack("<h", each.encode("utf-16-le"))
            written += (
                b"".join(b"\\'%02x" % octet for octet in octets)
                if octets
                else b"".join(b"\\u%d?" % unit for unit in units)
            )
    return written + b"}"
