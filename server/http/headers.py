"""Headers of requests."""

from __future__ import annotations

from multidict import MultiMapping

Headers = MultiMapping[str]
"""Finds headers without regard to case."""


def listed(headers: Headers, name: str) -> str:
    """The value of a header that is a list, which may come in several lines; empty for none (RFC 9110 §5.3)."""
    return ", ".join(headers.getall(name, ()))
