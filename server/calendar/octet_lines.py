"""The content lines of a file in octets, for files larger than memory (an `mmap` does) and files with broken lines.

The reader is that of texts, `server.calendar.contentline`: octets are read as Latin-1, so that offsets are those of the
octets and lines are unfolded before they are decoded (RFC 5545 §3.1, RFC 6350 §3.2).
"""

from __future__ import annotations

from collections.abc import Iterator
from mmap import mmap

from server.calendar.contentline import Property, content_lines, join_characters

LARGEST = 64 * 1024 * 1024
"""Octets of one content line, or of one object, that are looked at; larger ones are refused anyway."""

_BLOCK = 1024 * 1024
"""Octets that are read at once."""
_BOM = b"\xef\xbb\xbf"


def octet_lines(data: bytes | mmap) -> Iterator[Property]:
    """The content lines of a file, with offsets in octets and values in Latin-1 (`decoded` gives the text of one).

    A line that is no content line has an empty name. Byte order marks at the begin of lines are skipped.
    """
    number = 1
    for start, octets in blocks(data):
        block = octets.decode("latin-1")
        for line in content_lines(block, strict=False):
            line.start += start
            line.end += start
            line.line += number - 1
            yield line
        number += block.count("\n")


def blocks(data: bytes | mmap) -> Iterator[tuple[int, bytes]]:
    """A file in blocks of whole content lines, each with its offset, without byte order marks at the begin of lines."""
    start = 0
    while start < len(data):
        if data[start : start + 3] == _BOM:
            start += 3
        end = _block_end(data, start)
        yield start, data[start:end]
        start = end


def decoded(octets: bytes) -> str:
    """Octets as text; those that are no UTF-8 become surrogates."""
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        return join_characters(octets).decode("utf-8", "surrogateescape")


def text_value(line: Property) -> str:
    """The TEXT of a line of `octet_lines` without space around; empty where it is no UTF-8."""
    try:
        return line.text.encode("latin-1").decode("utf-8").strip()
    except UnicodeDecodeError:
        return ""


def _block_end(data: bytes | mmap, start: int) -> int:
    """Where a block ends: between two content lines, and in front of a byte order mark."""
    searched, end = start, start + _BLOCK
    while end < len(data):
        cut = data.rfind(b"\n", searched, end) + 1
        while cut > searched and (data[cut : cut + 1] in (b" ", b"\t") or _is_soft_break(data, cut)):
            cut = data.rfind(b"\n", searched, cut - 1) + 1
        if cut > searched:
            end = cut
            break
        if end - start >= LARGEST:
            break
        searched, end = end - 1, end + _BLOCK
    end = min(end, len(data))
    mark = data.find(b"\n" + _BOM, start, end)
    return end if mark < 0 else mark + 1


def _is_soft_break(data: bytes | mmap, cut: int) -> bool:
    """Whether the line before may go on after a soft line break of quoted-printable (vCalendar 1.0, vCard 2.1)."""
    return data[max(cut - 4, 0) : cut].rstrip(b"\r\n").endswith(b"=")
