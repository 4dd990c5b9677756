"""Tokens of links to check in."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.imip.check_in_links import CheckInLink, read_token, token_of

SECRET, OTHER = b"s" * 32, b"t" * 32
LINKS = st.builds(
    CheckInLink,
    st.integers(0, 2**48 - 1),
    st.integers(0, 2**63 - 1),
    st.integers(0, 2**33).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
)


@given(LINKS)
def test_a_token_names_what_was_signed(link: CheckInLink) -> None:
    token = token_of(link, SECRET)
    assert read_token(token, SECRET) == link
    assert read_token(token, OTHER) is None


@given(LINKS, st.integers(0, 45), st.sampled_from("ABCabc019-_"))
def test_a_changed_token_is_none(link: CheckInLink, place: int, letter: str) -> None:
    token = token_of(link, SECRET)
    changed = token[:place] + letter + token[place + 1 :]
    assert (read_token(changed, SECRET) == link) == (changed == token)


@given(st.text() | st.text("ABC-_=", min_size=46, max_size=48))
def test_what_was_not_signed_here_is_none(token: str) -> None:
    assert read_token(token, SECRET) is None


@pytest.mark.parametrize("token", ["", "A" * 47, "é" * 47, "A" * 46 + "=", "\ud800" * 47, "A" * 10_000])
def test_hostile_tokens_are_none(token: str) -> None:
    assert read_token(token, SECRET) is None
