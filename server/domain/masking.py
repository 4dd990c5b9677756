"""E-mail addresses as others than those whom a setting names see them."""

from __future__ import annotations

_SHOWN = 2
"""Characters before the @ that stay."""


def masked(address: str) -> str:
    """An address with its local part hidden: `jo***@example.com`, `**@example.com` for a short one, and `***` for what
    is no address."""
    local, at, domain = address.partition("@")
    if not at or "@" in domain:
        return "***"
    return f"{local[:_SHOWN]}***@{domain}" if len(local) > _SHOWN else f"**@{domain}"
