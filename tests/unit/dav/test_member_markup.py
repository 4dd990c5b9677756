"""Markup of listings: rows that come joined are written as the same rows one by one are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.dav.core import xml
from server.dav.core.multistatus import joined
from server.dav.core.paths import Path
from server.domain.errors import BadRequest
from server.domain.joined_rows import BETWEEN_ROWS, BETWEEN_VALUES, JoinedRows
from server.http.paths import encode, is_plain, is_plain_but

VALUES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)
ROWS = st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=8)
MARKUP = ("<a>100%s ", " %% b\\", "</a>")


def text_of(rows: list[tuple[str, str]]) -> str:
    return BETWEEN_ROWS.join(BETWEEN_VALUES.join(row) for row in rows)


@given(ROWS)
def test_joined_rows_are_the_rows(rows: list[tuple[str, str]]) -> None:
    found = JoinedRows(text_of(rows))
    assert len(found) == len(rows)
    assert tuple(found[-1]) == rows[-1]
    assert [tuple(row) for row in found] == rows
    assert tuple(found[-1]) == rows[-1]
    assert [tuple(row) for row in found[:1]] == rows[:1]
    assert [tuple(row) for row in found[:-1]] == rows[:-1]


@given(ROWS)
def test_their_markup_is_that_of_each_row(rows: list[tuple[str, str]]) -> None:
    before, between, after = MARKUP
    assert joined(MARKUP, text_of(rows)) == "".join(before + name + between + etag + after for name, etag in rows)


@given(st.text(max_size=40))
def test_long_texts_are_plain_where_each_part_is(text: str) -> None:
    assert is_plain_but(text, b"\x1e") == all(is_plain(part) for part in text.split("\x1e") if part)


@given(st.lists(st.from_regex(r"[A-Za-z0-9._~@-]{1,12}", fullmatch=True), min_size=1, max_size=6), st.booleans())
def test_usual_paths_are_read_as_all_others(segments: list[str], slash: bool) -> None:
    raw = "/" + "/".join(segments) + "/" * slash
    if {".", ".."} & set(segments):
        with pytest.raises(BadRequest):
            Path.parse(raw)
        return
    # An escaped character sends the same path the other way.
    first = f"%{ord(segments[0][0]):02X}{segments[0][1:]}"
    assert Path.parse(raw) == Path.parse(f"/{'/'.join([first, *segments[1:]])}{'/' * slash}")
    assert Path.parse(raw).href == "/" + "/".join(map(encode, segments))


def test_a_body_that_came_before_is_read_as_the_first_time() -> None:
    body = b'<D:propfind xmlns:D="DAV:"><D:allprop/></D:propfind>'
    assert xml.parse_again(body) is xml.parse_again(body)
    assert xml.parse(body) is not xml.parse_again(body)
    for _ in range(2):
        with pytest.raises(BadRequest):
            xml.parse_again(b"<unclosed>")
