"""The words of an RTF text, for apps that show none. Its work grows with the length only, whatever the text holds.

RTF that Outlook has made of HTML ([MS-OXRTFEX]) holds both; the HTML is in destinations that are passed over.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

_TOKEN = re.compile(
    rb"\\(?P<word>[a-zA-Z]{1,32})(?P<number>-?[0-9]{1,9})? ?|\\'(?P<octet>[0-9a-fA-F]{2})|\\(?P<symbol>[^a-zA-Z])"
    rb"|(?P<brace>[{}])|(?P<text>[^\\{}\r\n]+)|[\r\n]+|\\",
    re.DOTALL,
)
_HIDDEN = frozenset(
    (
        *(b"fonttbl", b"colortbl", b"stylesheet", b"info", b"pict", b"object", b"header", b"headerl", b"headerr"),
        *(
            b"headerf",
            b"footer",
            b"footerl",
            b"footerr",
            b"footerf",
            b"footnote",
            b"annotation",
            b"fldinst",
            b"nonshppict",
        ),
    )
)
"""Destinations that hold no words of the text."""
_WORDS = {
    b"par": "\n",
    b"line": "\n",
    b"row": "\n",
    b"sect": "\n",
    b"page": "\n",
    b"tab": "\t",
    b"cell": "\t",
    b"emdash": "\u2014",
    b"endash": "\u2013",
    b"emspace": " ",
    b"enspace": " ",
    b"lquote": "\u2018",
    b"rquote": "\u2019",
    b"ldblquote": "\u201c",
    b"rdblquote": "\u201d",
    b"bullet": "\u2022",
}
_SYMBOLS = {b"~": "\xa0", b"_": "-", b"-": "", b"\n": "\n", b"\r": "\n"}
_LITERAL = b"\\{}"
_PAGES = {
    0: 1252,
    128: 932,
    129: 949,
    134: 936,
    136: 950,
    161: 1253,
    162: 1254,
    163: 1258,
    177: 1255,
    178: 1256,
    186: 1257,
    204: 1251,
    222: 874,
    238: 1250,
}
"""Code pages by the charsets of fonts (`fcharset`)."""
_FALLBACKS = 100
"""What stands for a character of Unicode has at most so many characters."""


@dataclass(frozen=True, slots=True)
class _Group:
    """What holds until a group ends."""

    hidden: bool = False
    fonts: bool = False
    """It is the table of fonts."""
    fallback: int = 1
    """How many characters follow a character of Unicode, for programs that know no Unicode."""
    font: int = -1


def text_of_rtf(data: bytes) -> str:
    """The words of an RTF text, line by line. Layout and pictures are lost."""
    return _Reader().read(data)


class _Reader:
    def __init__(self) -> None:
        self._group = _Group()
        self._outer: list[_Group] = []
        self._pages: dict[int, int] = {}
        self._page = 1252
        self._pieces: list[str] = []
        self._octets = bytearray()
        self._octets_of = 0
        self._skipped = 0
        """How many characters are still those for programs without Unicode."""

    def read(self, data: bytes) -> str:
        position, begins = 0, False
        while (found := _TOKEN.match(data, position)) is not None:
            position = found.end()
            if word := found["word"]:
                number = None if found["number"] is None else int(found["number"])
                if word == b"bin":
                    position += max(0, number or 0)
                else:
                    self._word(word, number, begins=begins)
            elif found["octet"]:
                self._bytes(bytes.fromhex(found["octet"].decode()))
            elif (symbol := found["symbol"]) is not None:
                self._symbol(symbol)
            elif (brace := found["brace"]) is not None:
                self._brace(brace)
            elif (text := found["text"]) is not None:
                self._bytes(text)
            begins = found["brace"] == b"{"
        self._flush()
        joined = "".join(self._pieces)
        return joined.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

    def _brace(self, brace: bytes) -> None:
        self._skipped = 0
        if brace == b"{":
            self._outer.append(self._group)
        elif self._outer:
            self._group = self._outer.pop()

    def _symbol(self, symbol: bytes) -> None:
        if symbol in _LITERAL:
            self._bytes(symbol)
        elif symbol == b"*":
            self._group = replace(self._group, hidden=True)  # a destination that programs may pass over
        else:
            self._shown(_SYMBOLS.get(symbol, ""))

    def _word(self, word: bytes, number: int | None, *, begins: bool) -> None:
        group = self._group
        if begins and word in _HIDDEN:
            self._group = replace(group, hidden=True, fonts=word == b"fonttbl")
        elif word == b"u" and number is not None:
            self._shown(chr(number & 0xFFFF))
            self._skipped = group.fallback
        elif word == b"uc":
            self._group = replace(group, fallback=min(max(0, number or 0), _FALLBACKS))
        elif word == b"f" and number is not None:
            self._group = replace(group, font=number)
        elif word == b"fcharset" and group.fonts and number in _PAGES:
            self._pages[group.font] = _PAGES[number]
        elif word == b"ansicpg" and number:
            self._page = number
        elif word in _WORDS:
            self._shown(_WORDS[word])

    def _bytes(self, octets: bytes) -> None:
        """Characters in the code page of their font."""
        skipped = min(self._skipped, len(octets))
        self._skipped -= skipped
        if self._group.hidden or skipped == len(octets):
            return
        page = self._pages.get(self._group.font, self._page)
        if page != self._octets_of:
            self._flush()
            self._octets_of = page
        self._octets += octets[skipped:]

    def _shown(self, text: str) -> None:
        if self._skipped:
            self._skipped -= 1
        elif not self._group.hidden and text:
            self._flush()
            self._pieces.append(text)

    def _flush(self) -> None:
        if self._octets:
            self._pieces.append(_decoded(bytes(self._octets), self._octets_of))
            self._octets.clear()


def _decoded(octets: bytes, page: int) -> str:
    try:
        return octets.decode("utf-8" if page == 65001 else f"cp{page}", "replace")
    except LookupError:
        return octets.decode("cp1252", "replace")
