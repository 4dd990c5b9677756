"""Files that are not in UTF-8, as RFC 5545 §3.1.4 and RFC 6350 §3.1 demand: exports of some older programs."""

from __future__ import annotations

import mmap
import re
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from server.calendar.octet_lines import blocks, decoded

UTF_16 = "UTF-16"
LATIN_1 = "Latin-1 (Windows-1252)"

_BLOCK = 1024 * 1024
"""Characters that are converted at once."""
_MARKS = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
_NO_TEXT = re.compile("[\udc80-\udcff]")
_NOT_ASCII = re.compile("[^\x00-\x7f\udc80-\udcff]")
_WINDOWS = {byte: bytes([byte]).decode("cp1252", "ignore") or chr(byte) for byte in range(0x80, 0xA0)}
"""Windows-1252 has letters and marks at the codes of Latin-1's control characters, which occur in no text."""


def open_as_utf_8(path: Path, stack: ExitStack) -> tuple[IO[bytes], str | None]:
    """A file in UTF-8, and the name of the encoding that it is converted from. Raises `OSError`.

    UTF-16 is detected by its byte order mark, or by the zeros of its first two characters, which are ASCII. A file is
    taken for Latin-1 if it has more octets that are invalid in UTF-8 than valid characters outside ASCII: so one
    damaged line does not change the others. Lines keep their numbers.
    """
    file = stack.enter_context(path.open("rb"))
    head = file.read(4)
    file.seek(0)
    if head[:2] in _MARKS:
        return _converted(path, _MARKS[head[:2]], 1, stack), UTF_16
    if len(head) == 4 and 0 not in head[0::2] and head[1::2] == b"\0\0":
        return _converted(path, "utf-16-le", 0, stack), UTF_16
    if len(head) == 4 and 0 not in head[1::2] and head[0::2] == b"\0\0":
        return _converted(path, "utf-16-be", 0, stack), UTF_16
    if _is_latin_1(file):
        return _converted(path, "latin-1", 0, stack), LATIN_1
    return file, None


def _is_latin_1(file: IO[bytes]) -> bool:
    characters = others = 0
    if not file.seek(0, 2):
        return False
    file.seek(0)
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for _, block in blocks(data):
            if not block.isascii():
                text = decoded(block)
                characters += len(_NOT_ASCII.findall(text))
                others += len(_NO_TEXT.findall(text))
    return others > characters


def _converted(path: Path, encoding: str, skipped: int, stack: ExitStack) -> IO[bytes]:
    """A file in UTF-8, without the first `skipped` characters."""
    converted = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - the stack closes it
    with path.open(encoding=encoding, errors="replace", newline="") as text:
        text.read(skipped)
        while block := text.read(_BLOCK):
            converted.write((block.translate(_WINDOWS) if encoding == "latin-1" else block).encode())
    converted.seek(0)
    return converted
