"""The objects that files hold, one by one: a file may hold one, many or none, and be larger than memory."""

from __future__ import annotations

import mmap
import re
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import IO

from server.calendar.octet_lines import LARGEST, decoded
from server.calendar.stream import CalendarStream, Lines
from server.contacts.aggregate import split_cards, with_uid
from server.errors import InvalidData
from server.limits import Limits
from server.services.transfer.sources import SourceFile

_BLOCK = 1024 * 1024
"""Characters that are converted at once."""
_UTF_16 = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
_SAFE_UID = re.compile(r"[A-Za-z0-9_@=+-][A-Za-z0-9._@=+-]{0,199}")


@dataclass(frozen=True, slots=True)
class Item:
    """An object, not judged yet."""

    component: str
    """VEVENT, ..., VCARD; empty for what is nothing of that kind."""
    body: bytes
    uid: str
    """Empty where reading has to tell."""
    lines: Lines
    file: Path
    alone: bool
    """Whether the file holds nothing else."""
    whole: bool
    """Whether `body` is the file as it is."""

    def place(self, line: int | None) -> str:
        """File and line, as they are told to people."""
        return f"{self.file}:{self.lines.place(line)}"


@dataclass(frozen=True, slots=True)
class Titles:
    """What a file says of itself."""

    name: str = ""
    description: str = ""
    color: str = ""
    components: frozenset[str] = frozenset()


def read_titles(file: SourceFile) -> Titles:
    """Name, description, colour and components of a calendar in a file (RFC 7986 §5, and the X- properties before it).

    Raises `OSError`.
    """
    if file.kind == "addressbook" or not file.size:
        return Titles()
    with ExitStack() as stack:
        stream = CalendarStream(_mapped(_opened(file.path, stack), stack))
        found = {line.name: line for line in reversed(stream.properties())}

        def first(*names: str) -> str:
            return next((text for name in names if name in found and (text := found[name].text.strip())), "")

        return Titles(
            first("NAME", "X-WR-CALNAME"),
            first("DESCRIPTION", "X-WR-CALDESC"),
            first("X-APPLE-CALENDAR-COLOR", "COLOR"),
            stream.components,
        )


def read_items(file: SourceFile) -> Iterator[Item]:
    """The objects of a file. Raises `OSError`."""
    with ExitStack() as stack:
        opened = _opened(file.path, stack)
        if not file.size:
            yield Item("VCARD" if file.kind == "addressbook" else "", b"", "", Lines(), file.path, True, True)
        elif file.kind == "addressbook":
            yield from _cards(file.path, _mapped(opened, stack))
        else:
            stream = CalendarStream(_mapped(opened, stack))
            for part in stream.objects():
                alone = len(stream) == 1
                yield Item(part.component, part.body, part.uid, part.lines, file.path, alone, part.whole)


def _opened(path: Path, stack: ExitStack) -> IO[bytes]:
    """A file, in UTF-8 where it says of itself that it is in UTF-16 (older exports of address books are)."""
    file = stack.enter_context(path.open("rb"))
    encoding = _UTF_16.get(file.read(2))
    file.seek(0)
    if encoding is None:
        return file
    converted = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - the stack closes it
    with path.open(encoding=encoding, errors="replace", newline="") as text:
        text.read(1)
        while block := text.read(_BLOCK):
            converted.write(block.encode())
    converted.seek(0)
    return converted


def _mapped(file: IO[bytes], stack: ExitStack) -> mmap.mmap:
    return stack.enter_context(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _cards(path: Path, data: mmap.mmap) -> Iterator[Item]:
    cards = split_cards(data)
    first, second = next(cards, None), next(cards, None)
    if second is None:  # no more than one: as it is, unless it has no UID
        item = None if first is None else _card(path, *first, alone=True)
        if item is not None and first is not None and item.body != first[1]:
            yield item
            return
        yield Item("VCARD", data[:LARGEST], "", Lines(), path, True, True)
        return
    for line, card in chain(filter(None, (first, second)), cards):
        yield _card(path, line, card, alone=False)


def _card(path: Path, line: int, card: bytes, *, alone: bool) -> Item:
    text = decoded(card)
    added = 0
    try:
        text.encode()
        text, added = with_uid(text)
    except (UnicodeEncodeError, InvalidData):
        pass  # reading the card says what is wrong with it
    segments: tuple[tuple[int, int], ...] = ((1, line),)
    if added:
        card = text.encode()
        segments = ((1, line), (added + 1, line + added - 1))
    return Item("VCARD", card, "", Lines(segments), path, alone, False)


def name_of(uid: str, component: str) -> str:
    """The name of an object that is known by its UID alone: always the same for the same UID."""
    suffix = ".vcf" if component == "VCARD" else ".ics"
    if _SAFE_UID.fullmatch(uid):
        return uid + suffix
    return blake2b(uid.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest() + suffix


def can_be_name(text: str, limits: Limits) -> bool:
    """Whether a collection or an object can have this name: it stands in URLs."""
    octets = text.encode("utf-8", "replace")
    return (
        text not in {"", ".", ".."}
        and "/" not in text
        and len(octets) <= limits.max_name_length
        and octets.decode() == text
        and min(octets) >= 0x20
        and 0x7F not in octets
    )
