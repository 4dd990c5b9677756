"""Descriptions in compressed RTF: decompression, and the words of RTF."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.errors import InvalidCalendarData
from server.imip.compressed_rtf import MAX_LENGTH, rtf_of
from server.imip.rtf_text import text_of_rtf
from tests.unit.imip.tnef_writer import compressed_rtf, rtf

TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\n\t\\\\{}?ü"), max_size=200)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        # The examples of [MS-OXRTFCP] §3.
        (
            "2d0000002b0000004c5a4675f1c5c7a703000a007263706731323542320af32068656c090020627705b06c647d0a800fa0",
            b"{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n",
        ),
        ("1a0000001c0000004c5a4675e2d44b51410004205758595a0d6e7d010eb0", b"{\\rtf1 WXYZWXYZWXYZWXYZWXYZ}"),
        # Not compressed.
        ("0f000000030000004d454c41000000007b7d20", b"{} "),
    ],
)
def test_rtf_is_decompressed(data: str, found: bytes) -> None:
    assert rtf_of(bytes.fromhex(data)) == found


@given(st.binary(max_size=500) | st.binary(max_size=20).map(lambda piece: piece * 400))
def test_what_is_compressed_is_decompressed(data: bytes) -> None:
    assert rtf_of(compressed_rtf(data)) == data


@given(st.binary(max_size=200))
def test_any_octets_are_read_or_refused(data: bytes) -> None:
    for each in (data, struct.pack("<IIII", len(data) + 12, 1000, 0x75465A4C, 0) + data):
        with contextlib.suppress(InvalidCalendarData):
            text_of_rtf(rtf_of(each))
    text_of_rtf(data)


def test_damaged_texts_are_refused() -> None:
    data = compressed_rtf(b"{\\rtf1 plan}")
    for broken in (data[:10], data[:-1], data[:-1] + b"x", b"x" * 20):
        with pytest.raises(InvalidCalendarData):
            rtf_of(broken)


def test_a_text_that_would_be_huge_is_read_to_the_bound() -> None:
    assert rtf_of(compressed_rtf(b"a" * (MAX_LENGTH + 5000))) == b"a" * MAX_LENGTH


@given(TEXTS, st.sampled_from([1252, 1251, 932]))
def test_the_words_of_rtf_are_those_of_the_text(text: str, page: int) -> None:
    assert text_of_rtf(rtf(text, page)) == text


@pytest.mark.parametrize(
    ("written", "found"),
    [
        (rb"{\rtf1 a\line b\tab c\~d\_e\-f\emdash g}", "a\nb\tc\xa0d-ef\u2014g"),
        (
            rb"{\rtf1{\info{\title no}}{\*\generator no;}{\pict 0102}{\field{\*\fldinst HYPERLINK x}{\fldrslt yes}}}",
            "yes",
        ),
        (rb"{\rtf1 a{\pict\bin5 {{}}x}b}", "ab"),
        (rb"{\rtf1\uc2 \u1055\'83\'5cx{\uc0\u1083 y}}", "\u041fx\u043by"),
        (rb"{\rtf1{\fonttbl{\f1\fcharset128 M;}}\f1 \'83\'5c\f0 x}", "\u30bdx"),
        (b"}}{\\rtf1 a\\", "a"),
        (b"{\\rtf1 a\r\nb\\\nc}", "ab\nc"),
    ],
)
def test_what_programs_write(written: bytes, found: str) -> None:
    assert text_of_rtf(written) == found


@pytest.mark.parametrize("piece", [b"{", b"}", b"\\f1{", b"\\u1?", b"\\'", b"\\", b"{\\*", b"\\bin9 "])
def test_long_texts_are_read_in_no_time(piece: bytes) -> None:
    assert len(text_of_rtf(piece * 100_000)) <= 100_000
