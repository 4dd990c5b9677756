"""Conditions of HTTP (RFC 9110 §13), against what its sections say one by one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from server.domain.errors import PreconditionFailed
from server.http.conditions import date_of, tags_of, unmodified

ETAGS = st.sampled_from(['"a"', '"b"', '"c, d"', '""'])
WEAK = st.booleans().map(lambda weak: "W/" if weak else "")
NOW = datetime(2026, 3, 1, 12, 0, 0, 500_000, UTC)


def outcome(headers: dict[str, str], method: str, etag: str | None, modified: datetime | None = None) -> str:
    try:
        return "304" if unmodified(CIMultiDict(headers), method, etag, modified) else "go on"
    except PreconditionFailed:
        return "412"


@given(st.lists(st.tuples(WEAK, ETAGS).map("".join), min_size=1), st.none() | ETAGS, st.sampled_from(["GET", "PUT"]))
def test_if_match_compares_strongly(tags: list[str], etag: str | None, method: str) -> None:
    """RFC 9110 §13.1.1: a weak tag never matches."""
    assert outcome({"If-Match": " , ".join(tags)}, method, etag) == ("go on" if etag in tags else "412")


@given(
    st.lists(st.tuples(WEAK, ETAGS).map("".join), min_size=1),
    st.none() | ETAGS,
    st.sampled_from(["GET", "HEAD", "PUT", "DELETE"]),
)
def test_if_none_match_compares_weakly(tags: list[str], etag: str | None, method: str) -> None:
    """RFC 9110 §13.1.2: 304 for GET and HEAD, 412 for others."""
    matches = etag in {tag.removeprefix("W/") for tag in tags}
    expected = ("304" if method in ("GET", "HEAD") else "412") if matches else "go on"
    assert outcome({"if-none-match": ",".join(tags)}, method, etag) == expected


@pytest.mark.parametrize(("etag", "match", "none_match"), [(None, "412", "go on"), ('"a"', "go on", "412")])
def test_an_asterisk_stands_for_any_state(etag: str | None, match: str, none_match: str) -> None:
    assert outcome({"If-Match": "*"}, "PUT", etag) == match
    assert outcome({"If-None-Match": "*"}, "PUT", etag) == none_match


@given(st.integers(-3, 3), st.sampled_from(["GET", "PUT"]))
def test_dates_are_compared_by_the_second(seconds: int, method: str) -> None:
    """RFC 9110 §13.1.3, §13.1.4: a date of the client's has no fraction."""
    date = format_datetime(NOW.replace(microsecond=0) + timedelta(seconds=seconds), usegmt=True)
    assert outcome({"If-Unmodified-Since": date}, method, '"a"', NOW) == ("go on" if seconds >= 0 else "412")
    expected = "304" if method == "GET" and seconds >= 0 else "go on"
    assert outcome({"If-Modified-Since": date}, method, '"a"', NOW) == expected
    assert outcome({"If-Modified-Since": date}, method, '"a"', None) == "go on"


def test_entity_tags_take_precedence_over_dates() -> None:
    """RFC 9110 §13.2.2."""
    late, early = "Sun, 01 Mar 2026 13:00:00 GMT", "Sun, 01 Mar 2026 11:00:00 GMT"
    assert outcome({"If-Match": '"a"', "If-Unmodified-Since": early}, "PUT", '"a"', NOW) == "go on"
    assert outcome({"If-None-Match": '"b"', "If-Modified-Since": late}, "GET", '"a"', NOW) == "go on"
    assert outcome({"If-Match": '"b"', "If-None-Match": '"a"'}, "GET", '"a"', NOW) == "412"


@given(st.text(max_size=60))
def test_what_is_no_list_or_date_matches_nothing_and_is_no_error(value: str) -> None:
    headers = CIMultiDict({"If-Match": value})
    assert all(tag == "*" or tag.removeprefix("W/")[:1] == '"' == tag[-1] for tag in tags_of(headers, "If-Match"))
    date = date_of(value)
    assert date is None or date.tzinfo is not None


def test_a_list_may_come_in_several_lines() -> None:
    headers = CIMultiDict([("If-Match", '"a"'), ("if-match", 'W/"b", "c"')])
    assert tags_of(headers, "If-Match") == {'"a"', 'W/"b"', '"c"'}
    assert tags_of(headers, "If-None-Match") == frozenset()
