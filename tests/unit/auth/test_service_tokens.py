"""The form of service tokens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.auth import service_tokens
from server.auth.service_tokens import fits, generate, in_header


def test_a_token_is_read_from_its_header_and_fits_its_digest_alone() -> None:
    made, other = generate(), generate()
    assert in_header(f"Bearer {made.text}") == made
    assert in_header(f" bearer  {made.text} ") == made
    assert fits(made, made.digest)
    assert not fits(made, other.digest)
    assert not fits(made, None)
    assert not fits(made, service_tokens._NOBODYS)
    assert made.secret not in repr(made)


@pytest.mark.parametrize("scheme", ["Basic", "Token", ""])
def test_other_schemes_hold_no_token(scheme: str) -> None:
    assert in_header(f"{scheme} {generate().text}") is None


@given(st.text(max_size=250))
def test_any_other_header_holds_no_token(text: str) -> None:
    assert in_header(text) is None
    assert in_header(f"Bearer {text}") is None
