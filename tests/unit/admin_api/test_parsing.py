"""Queries, bodies, cursors and limits of the JSON API, without a server."""

from __future__ import annotations

import contextlib
import json
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin_api.models import Given, PageQuery, Text
from admin_api.paging import cursor_of, number_key, text_key
from admin_api.parsing import body_of, query_of
from admin_api.rates import Rates
from server.domain.errors import BadRequest, InvalidRequest


class Thing(Given):
    name: Text
    size: int | None = None


class Query(PageQuery):
    kinds: list[Literal["a", "b"]] | None = None
    text: Text | None = None


@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_a_text_comes_back_from_its_cursor(key: str) -> None:
    if "\0" not in key:
        assert text_key(cursor_of(key)) == key


@given(st.integers(0, (1 << 63) - 1))
def test_a_number_comes_back_from_its_cursor(key: int) -> None:
    assert number_key(cursor_of(key)) == key


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda data: data.decode("latin-1")))
def test_what_is_no_cursor_is_refused_in_words(cursor: str) -> None:
    for read in (text_key, number_key):
        try:
            read(cursor)
        except InvalidRequest as error:
            assert error.errors[0][0] == "cursor"


@pytest.mark.parametrize("key", ["\0", "\ud800"])
def test_a_cursor_holds_no_text_that_cannot_be_stored(key: str) -> None:
    with pytest.raises(InvalidRequest):
        text_key(cursor_of(key))


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.text() | st.floats(), st.lists).map(json.dumps).map(str.encode)
)
def test_any_body_is_a_thing_or_refused(body: bytes) -> None:
    with contextlib.suppress(BadRequest, InvalidRequest):
        assert isinstance(body_of(Thing, body), Thing)


@given(st.text(max_size=200))
def test_any_query_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(BadRequest, InvalidRequest):
        assert isinstance(query_of(Query, f"/?{text}"), Query)


def test_all_that_is_wrong_is_named() -> None:
    with pytest.raises(InvalidRequest) as refused:
        body_of(Thing, b'{"name": "a\\u0000", "size": "x", "a/b": 1}')
    assert [at for at, _ in refused.value.errors] == ["/name", "/size", "/a~1b"]
    with pytest.raises(BadRequest):
        body_of(Thing, b"[" * 100_000)
    with pytest.raises(InvalidRequest) as refused:
        query_of(Query, "/?kinds=a&kinds=c&text=a%00&limit=0")
    assert [at for at, _ in refused.value.errors] == ["limit", "kinds/1", "text"]


def test_lists_are_given_by_repeated_parameters() -> None:
    assert query_of(Query, "/?kinds=a&kinds=b&limit=7#x") == Query(kinds=["a", "b"], limit=7)


def test_people_are_limited_each_for_themselves() -> None:
    rates = Rates(2)
    assert [rates.take(1)[0] for _ in range(3)] == [True, True, False]
    assert rates.take(2)[0] is True
    assert 1 <= rates.wait(1) <= 60
    assert Rates(0).take(1) == (True, {})
