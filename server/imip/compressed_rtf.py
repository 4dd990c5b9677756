"""Texts of Outlook in compressed RTF ([MS-OXRTFCP]): the RTF in them."""

from __future__ import annotations

import zlib

from server.domain.errors import InvalidCalendarData
from server.imip.octets import Octets

MAX_LENGTH = 1_000_000
"""Octets of RTF that are read."""

_COMPRESSED, _PLAIN = 0x75465A4C, 0x414C454D
_WINDOW = 4096
_KNOWN = (
    rb"{\rtf1\ansi\mac\deff0\deftab720{\fonttbl;}{\f0\fnil \froman \fswiss \fmodern \fscript \fdecor "
    rb"MS Sans SerifSymbolArialTimes New RomanCourier{\colortbl\red0\green0\blue0"
    b"\r\n"
    rb"\par \pard\plain\f0\fs20\b\i\u\tab\tx"
)
"""What the dictionary holds at the begin (§2.1.2.1)."""


def rtf_of(data: bytes) -> bytes:
    """The RTF of a text, or its begin where it is longer than `MAX_LENGTH`.

    :raises InvalidCalendarData: for what is no such text, or is damaged.
    """
    source = Octets(data)
    size, raw_size, kind, checksum = source.u32s(4)
    content = source.take(min(max(0, size - 12), source.left))
    if kind == _PLAIN:
        return content[: min(raw_size, MAX_LENGTH)]
    if kind != _COMPRESSED:
        raise InvalidCalendarData("A text is no compressed RTF.")
    # The CRC of §2.1.3.2 is that of zlib without its inversions at the begin and at the end.
    if zlib.crc32(content, 0xFFFFFFFF) ^ 0xFFFFFFFF != checksum:
        raise InvalidCalendarData("A text in compressed RTF is damaged.")
    return _decompressed(content, min(raw_size, MAX_LENGTH))


def _decompressed(content: bytes, most: int) -> bytes:
    """The octets of §2.2.2.1: a control octet, then eight tokens, each an octet or a reference into the last 4,096."""
    written = bytearray(_KNOWN)  # the dictionary is what was written last
    begin, position = len(_KNOWN), 0
    end = begin + most
    while position < len(content) and len(written) < end:
        control, position = content[position], position + 1
        for bit in range(8):
            if position >= len(content):
                break
            if not control >> bit & 1:
                written.append(content[position])
                position += 1
                continue
            if position + 2 > len(content):
                return bytes(written[begin:end])
            token = int.from_bytes(content[position : position + 2], "big")
            position += 2
            back = (len(written) - (token >> 4)) % _WINDOW
            if not back:  # a reference to the place of the next octet ends the text
                return bytes(written[begin:end])
            if back > len(written):
                raise InvalidCalendarData("A text in compressed RTF refers to what is not there.")
            for _ in range((token & 0xF) + 2):
                written.append(written[-back])
    return bytes(written[begin:end])
