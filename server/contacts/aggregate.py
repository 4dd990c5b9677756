"""Files of many cards: an address book as one .vcf file, and such a file taken apart into its cards."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from mmap import mmap

from server.calendar.contentline import BOM, Property, content_lines
from server.calendar.octet_lines import LARGEST, octet_lines, text_value
from server.calendar.stream import stamp_number
from server.contacts.properties import is_agent, split_name
from server.domain.errors import InvalidAddressData, InvalidCalendarData


def concatenate(cards: Iterable[str]) -> str:
    """Cards one after the other, as sent, without byte order marks and blank lines around them.

    Each card ends with a line end, so an address book may be sent in pages.
    """
    parts: list[str] = []
    for card in cards:
        bare = card.removeprefix(BOM).strip("\r\n\t ")
        parts.append(bare)
        parts.append("\r\n" if "\r\n" in bare else "\n")
    return "".join(parts)


@dataclass(frozen=True, slots=True)
class CardPart:
    """A card of a file. It is not judged: `server.contacts.vcard` does that."""

    line: int
    """Where it begins, from 1."""
    octets: bytes
    """From BEGIN:VCARD to after END:VCARD, as they are."""
    uid: str
    version: int
    """When it was changed last (REV), as a number: the greater is the newer; 0 where it says nothing."""


def split_cards(data: bytes | mmap) -> Iterator[CardPart]:
    """The cards of a file.

    A card within a card (AGENT of vCard 2.1) stays there. Lines between cards are left out unless they end a card.
    Nothing is judged, so that one broken card costs none of the others: a card that does not end goes as far as the
    next one begins, and one without a begin starts behind the one before.
    """
    first: Property | None = None
    previous: Property | None = None
    begun = False
    inner = 0
    uid, version = "", 0

    def part(start: Property, end: int) -> CardPart:
        return CardPart(start.line, data[start.start : min(end, start.start + LARGEST)], uid, version)

    for line in octet_lines(data):
        is_card = line.name in ("BEGIN", "END") and line.value.strip().upper() == "VCARD"
        if is_card and line.name == "BEGIN":
            if begun and previous is not None and is_agent(previous):
                inner += 1
            else:
                if begun and first is not None:
                    yield part(first, line.start)
                first, begun, inner, uid, version = line, True, 0, "", 0
        elif is_card and inner:
            inner -= 1
        elif is_card:
            yield part(first or line, line.end)
            first, begun = None, False
        elif first is None:
            first = line
        elif not inner and line.name.endswith(("UID", "REV")):
            name = split_name(line.name)[1]
            uid = uid or (text_value(line) if name == "UID" else "")
            version = version or (stamp_number(line.value) if name == "REV" else 0)
        previous = line
    if begun and first is not None:
        yield part(first, len(data))


def with_uid(card: str) -> tuple[str, int]:
    """A card with a UID, and in which line that was added; 0 for a card that has one and is as it was.

    The UID is derived from the text, so that importing the card again finds it again.

    :raises InvalidAddressData: for a text that does not begin with BEGIN:VCARD or holds what is no content line.
    """
    try:
        lines = list(content_lines(card))
    except InvalidCalendarData as error:
        raise InvalidAddressData(error.message, error.line) from None
    if any(split_name(line.name)[1] == "UID" and line.value.strip() for line in lines):
        return card, 0
    if len(lines) < 2 or lines[0].name != "BEGIN" or lines[0].value.strip().upper() != "VCARD":
        raise InvalidAddressData("A vCard begins with BEGIN:VCARD.", 1)
    begin = card[: lines[0].end]
    uid = hashlib.sha256(card.encode()).hexdigest()[:32]
    line_end = "\r\n" if begin.endswith("\r\n") else "\n"
    return f"{begin}UID:{uid}{line_end}{card[lines[0].end :]}", begin.count("\n") + 1
