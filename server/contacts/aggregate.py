"""Files of many cards: an address book as one .vcf file, and such a file taken apart into its cards."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator

from server.calendar.contentline import BOM, content_lines
from server.contacts.properties import split_name
from server.errors import InvalidAddressData, InvalidCalendarData

_BOUNDARY = re.compile(r"^(?:\ufeff?(BEGIN)|END):VCARD[ \t]*(?:\r{0,2}\n|\r?\Z)", re.IGNORECASE | re.MULTILINE)
_BEGIN = re.compile(r"[ \t\r\n\ufeff]*BEGIN:VCARD[ \t]*(\r{0,2}\n)", re.IGNORECASE)


def concatenate(cards: Iterable[str]) -> str:
    """Cards one after the other, as sent but for byte order marks and blank lines around; each ends its last line.

    Pages of an address book concatenated one by one and sent in turn are the same as the whole at once.
    """
    parts: list[str] = []
    for card in cards:
        bare = card.removeprefix(BOM).strip("\r\n\t ")
        parts.append(bare)
        parts.append("\r\n" if "\r\n" in bare else "\n")
    return "".join(parts)


def split_cards(text: str) -> Iterator[tuple[int, str]]:
    """The cards of a file, each with the line it begins in (from 1), from BEGIN:VCARD to after END:VCARD, as they are.

    What lies between cards is left out. Nothing is judged, so that one broken card costs none of the others: a card
    that does not end goes as far as the next one begins, and `server.contacts.vcard` says what is wrong with it.
    """
    start: int | None = None
    counted_to, number = 0, 1
    for match in _BOUNDARY.finditer(text):
        if start is not None:
            end = match.start() if match[1] else match.end()
            yield number, text[start:end]
            start = None
        if match[1]:
            start = match.start(1)
            number += text.count("\n", counted_to, start)
            counted_to = start
    if start is not None:
        yield number, text[start:]


def with_uid(card: str) -> str:
    """A card with a UID: as it is, or with one derived from its text, so that importing it again finds it again.

    :raises InvalidAddressData: for a text that does not begin with BEGIN:VCARD or holds what is no content line.
    """
    try:
        if any(split_name(line.name)[1] == "UID" and line.value.strip() for line in content_lines(card)):
            return card
    except InvalidCalendarData as error:
        raise InvalidAddressData(error.message, error.line) from None
    begin = _BEGIN.match(card)
    if begin is None:
        raise InvalidAddressData("A vCard begins with BEGIN:VCARD.", 1)
    uid = hashlib.sha256(card.encode()).hexdigest()[:32]
    return f"{card[: begin.end()]}UID:{uid}{begin[1]}{card[begin.end() :]}"
