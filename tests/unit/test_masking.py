"""Addresses as others see them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.masking import masked


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("john.doe@example.com", "jo***@example.com"),
        ("abc@example.com", "ab***@example.com"),
        ("ab@example.com", "**@example.com"),
        ("a@example.com", "**@example.com"),
        ("@example.com", "**@example.com"),
        ("nothing", "***"),
        ("a@b@c", "***"),
        ("", "***"),
    ],
)
def test_masked(address: str, shown: str) -> None:
    assert masked(address) == shown


@given(st.text(alphabet="abc", min_size=3), st.text(alphabet="xy"))
def test_nothing_of_the_local_part_is_left_but_its_beginning(local: str, domain: str) -> None:
    assert masked(f"{local}@{domain}") == f"{local[:2]}***@{domain}"
