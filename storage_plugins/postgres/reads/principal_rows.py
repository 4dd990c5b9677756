"""Whole principals from rows: every column of a `Principal`, wherever a statement reads one."""

from __future__ import annotations

from typing import Any

from server.domain.principals import Principal

PRINCIPAL = (
    "p.id, p.uid, p.kind, p.name, p.display_name, "
    "array(select a.address from principal_address a where a.principal_id = p.id order by a.position), p.roles, "
    "p.disabled_at is not null, p.credential_version"
)
"""Columns of a principal `p`, as `principal` reads them."""
PRINCIPAL_WIDTH = 9
"""How many columns these are."""


def principal(row: Any) -> Principal:
    """A principal from the columns of `PRINCIPAL`."""
    id_, uid, kind, name, display_name, addresses, roles, disabled, version = row[:PRINCIPAL_WIDTH]
    return Principal(id_, uid, kind, name, display_name, tuple(addresses), frozenset(roles), disabled, version)
