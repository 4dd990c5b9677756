"""Reading TNEF (winmail.dat, [MS-OXTNEF]): the message that Outlook and Exchange put into a mail as one part.

Only what a meeting needs is read: attributes of the message, its MAPI properties and its recipients. Attachments are
passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from server.domain.errors import InvalidCalendarData, ResourceTooLarge
from server.imip.mail import decoded
from server.imip.mapi import Key, Properties, Tag, read_properties
from server.imip.octets import Octets

MAX_ATTRIBUTES = 5_000
"""Attributes of a stream, those of attachments included."""
MAX_RECIPIENTS = 2_000
MAX_OF_RECIPIENT = 200
"""Properties of a recipient."""

_SIGNATURE = 0x223E9F78
_MESSAGE, _ATTACHMENT = 1, 2
_SUBJECT, _DATE_SENT, _CLASS, _BODY = 0x8004, 0x8005, 0x8008, 0x800C
_DATE_MODIFIED, _PROPERTIES, _RECIPIENTS, _CODEPAGE = 0x8020, 0x9003, 0x9004, 0x9007
_OLD_CLASSES = {
    "ipm.microsoft schedule.mtgreq": "IPM.Schedule.Meeting.Request",
    "ipm.microsoft schedule.mtgcncl": "IPM.Schedule.Meeting.Canceled",
    "ipm.microsoft schedule.mtgrespp": "IPM.Schedule.Meeting.Resp.Pos",
    "ipm.microsoft schedule.mtgrespn": "IPM.Schedule.Meeting.Resp.Neg",
    "ipm.microsoft schedule.mtgrespa": "IPM.Schedule.Meeting.Resp.Tent",
}
"""The message classes that TNEF writes for those of meetings (§2.1.3.3, attMessageClass), in lower case."""


@dataclass(frozen=True, slots=True)
class TnefMessage:
    """A message in TNEF."""

    message_class: str
    """As `IPM.Schedule.Meeting.Request`; what it is."""
    properties: Properties
    recipients: tuple[Properties, ...]
    subject: str
    body: str
    """Plain text; empty without one."""
    dated: datetime | None
    """When it was sent or changed, by attributes; in UTC."""


def read_tnef(data: bytes) -> TnefMessage:
    """The message in a TNEF stream (§2.1.3.1).

    Checksums are not compared: some programs write none. What is no attribute ends the stream, as gateways add octets.

    :raises InvalidCalendarData: for what is no TNEF stream, or a broken one.
    :raises ResourceTooLarge: for one with too many attributes, properties or recipients.
    """
    source = Octets(data)
    if source.left < 6 or source.u32() != _SIGNATURE:
        raise InvalidCalendarData("This is no TNEF stream.")
    source.u16()  # the key of the attachments
    attributes: dict[int, bytes] = {}
    for number in range(MAX_ATTRIBUTES + 1):
        if source.left < 9 or (level := source.u8()) not in (_MESSAGE, _ATTACHMENT):
            return _message(attributes)
        if number == MAX_ATTRIBUTES:
            break
        name, _type = source.u16(), source.u16()
        content = source.take(source.u32())
        source.take(min(2, source.left))  # the checksum
        if level == _MESSAGE:
            attributes.setdefault(name, content)
    raise ResourceTooLarge(f"A TNEF stream has at most {MAX_ATTRIBUTES} attributes.")


def _message(attributes: Mapping[int, bytes]) -> TnefMessage:
    listed = attributes.get(_PROPERTIES)
    values: Mapping[Key, tuple[int, bytes]] = {} if listed is None else read_properties(Octets(listed))
    charset = _charset(attributes, values)
    properties = Properties(values, charset)

    def text(name: int) -> str:
        return decoded(attributes.get(name, b"").partition(b"\0")[0], charset)

    written = properties.text(Tag.MESSAGE_CLASS) or text(_CLASS)
    return TnefMessage(
        _OLD_CLASSES.get(written.lower(), written),
        properties,
        tuple(Properties(each, charset) for each in _recipients(attributes.get(_RECIPIENTS, b""))),
        properties.text(Tag.SUBJECT) or text(_SUBJECT),
        properties.text(Tag.BODY) or text(_BODY),
        _date(attributes.get(_DATE_SENT, b"")) or _date(attributes.get(_DATE_MODIFIED, b"")),
    )


def _charset(attributes: Mapping[int, bytes], values: Mapping[Key, tuple[int, bytes]]) -> str:
    """The charset of texts by the number of a code page: that of attOemCodepage, else of the message's properties."""
    found = Properties(values)
    page = int.from_bytes(attributes.get(_CODEPAGE, b"")[:4], "little")
    page = page or found.number(Tag.MESSAGE_CODEPAGE) or found.number(Tag.INTERNET_CODEPAGE) or 0
    if 28591 <= page <= 28605:
        return f"iso-8859-{page - 28590}"
    return {65001: "utf-8", 20127: "ascii"}.get(page, f"cp{page}" if 0 < page < 10_000 else "")


def _recipients(data: bytes) -> list[Mapping[Key, tuple[int, bytes]]]:
    """The rows of attRecipTable (§2.1.3.5.1)."""
    if not data:
        return []
    source = Octets(data)
    count = source.u32()
    if count > MAX_RECIPIENTS:
        raise ResourceTooLarge(f"A message has at most {MAX_RECIPIENTS} recipients.")
    return [read_properties(source, MAX_OF_RECIPIENT) for _ in range(count)]


def _date(data: bytes) -> datetime | None:
    """A date of an attribute (§2.1.3.3, DTR): year, month, day, hour, minute, second, weekday."""
    if len(data) < 12:
        return None
    year, month, day, hour, minute, second = Octets(data).u16s(6)
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
