"""The objects in files, one by one: a file may contain one, many or none, and be larger than memory."""

from __future__ import annotations

import mmap
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import IO

from server.calendar.octet_lines import LARGEST, decoded
from server.calendar.stream import CalendarStream, Lines
from server.contacts.aggregate import CardPart, split_cards, with_uid
from server.domain.errors import InvalidData
from server.domain.limits import Limits
from server.services.transfer.encodings import open_as_utf_8
from server.services.transfer.sources import SourceFile

_SAFE_UID = re.compile(r"[A-Za-z0-9_@=+-][A-Za-z0-9._@=+-]{0,199}")


@dataclass(frozen=True, slots=True)
class Item:
    """An object in a file, not validated yet."""

    component: str
    """VEVENT, ..., VCARD; empty if the text is none of these."""
    body: bytes
    uid: str
    """Empty if it is not known before the object is parsed."""
    lines: Lines
    file: Path
    alone: bool
    """Whether the file contains nothing else."""
    whole: bool
    """Whether `body` is the whole file, unchanged."""
    version: int = 0
    """Of two objects with one UID, the newer has the greater version."""
    superseded: tuple[tuple[int, str], ...] = ()
    """Components of the object that are skipped because there are newer ones: the line in the file, and the reason."""

    def place(self, line: int | None) -> str:
        """File and line, for messages."""
        return f"{self.file}:{self.lines.place(line)}"


@dataclass(frozen=True, slots=True)
class Titles:
    """The metadata of a calendar in a file."""

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
        stream = CalendarStream(_mapped(open_as_utf_8(file.path, stack)[0], stack))
        found = {line.name: line for line in reversed(stream.properties())}

        def first(*names: str) -> str:
            return next((text for name in names if name in found and (text := found[name].text.strip())), "")

        return Titles(
            first("NAME", "X-WR-CALNAME"),
            first("DESCRIPTION", "X-WR-CALDESC"),
            first("X-APPLE-CALENDAR-COLOR", "COLOR"),
            stream.components,
        )


def read_items(file: SourceFile, converted: Callable[[str], None] = lambda encoding: None) -> Iterator[Item]:
    """The objects of a file; `converted` is called with an encoding other than UTF-8. Raises `OSError`."""
    with ExitStack() as stack:
        opened, encoding = open_as_utf_8(file.path, stack)
        if encoding is not None:
            converted(encoding)
        data = _mapped(opened, stack)
        if not data:
            yield Item("VCARD" if file.kind == "addressbook" else "", b"", "", Lines(), file.path, True, True)
        elif file.kind == "addressbook":
            yield from _cards(file.path, data)
        else:
            stream = CalendarStream(data)
            alone = len(stream) == 1
            for part in stream.objects():
                lines, version, superseded = part.lines, part.version, part.superseded
                yield Item(
                    part.component, part.body, part.uid, lines, file.path, alone, part.whole, version, superseded
                )


def read_versions(file: SourceFile) -> Iterator[tuple[str, str, int]]:
    """Component, UID and version of the objects of a file that have a UID. Raises `OSError`."""
    with ExitStack() as stack:
        data = _mapped(open_as_utf_8(file.path, stack)[0], stack)
        if file.kind == "addressbook":
            yield from (("VCARD", card.uid, card.version) for card in split_cards(data) if card.uid)
        else:
            yield from CalendarStream(data).versions()


def _mapped(file: IO[bytes], stack: ExitStack) -> mmap.mmap | bytes:
    """The octets of a file without reading them; those of an empty one cannot be mapped."""
    if not file.seek(0, 2):
        return b""
    return stack.enter_context(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _cards(path: Path, data: mmap.mmap | bytes) -> Iterator[Item]:
    cards = split_cards(data)
    first, second = next(cards, None), next(cards, None)
    if second is None:  # a single card is taken unchanged, unless it has no UID
        item = None if first is None else _card(path, first, alone=True)
        if item is not None and first is not None and item.body != first.octets:
            yield item
            return
        uid, version = ("", 0) if first is None else (first.uid, first.version)
        yield Item("VCARD", data[:LARGEST], uid, Lines(), path, True, True, version)
        return
    for card in chain(filter(None, (first, second)), cards):
        yield _card(path, card, alone=False)


def _card(path: Path, card: CardPart, *, alone: bool) -> Item:
    text, octets = decoded(card.octets), card.octets
    added = 0
    try:
        text.encode()
        text, added = with_uid(text)
    except (UnicodeEncodeError, InvalidData):
        pass  # parsing the card reports the error
    segments: tuple[tuple[int, int], ...] = ((1, card.line),)
    if added:
        octets = text.encode()
        segments = ((1, card.line), (added + 1, card.line + added - 1))
    return Item("VCARD", octets, card.uid, Lines(segments), path, alone, False, card.version)


def name_of(uid: str, component: str) -> str:
    """A name for an object, made from its UID: always the same for the same UID."""
    suffix = ".vcf" if component == "VCARD" else ".ics"
    if _SAFE_UID.fullmatch(uid):
        return uid + suffix
    return blake2b(uid.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest() + suffix


def can_be_name(text: str, limits: Limits) -> bool:
    """Whether a collection or an object can have this name, which is a segment of its URL."""
    octets = text.encode("utf-8", "replace")
    return (
        text not in {"", ".", ".."}
        and "/" not in text
        and len(octets) <= limits.max_name_length
        and octets.decode() == text
        and min(octets) >= 0x20
        and 0x7F not in octets
    )
