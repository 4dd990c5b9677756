"""The grants to others in a home: a column of the first statement of every request."""

from __future__ import annotations

from typing import Any

from server.domain.grants import NO_GRANTS, Ace, Grants
from server.domain.privileges import Privilege


def column(depth: int) -> str:
    """The column, for a target of 2 home, 3 collection, 4 object. It is null for the owner."""
    collection = "null" if depth == 2 else "coalesce(c.id, 0)"
    return f"case when v.id <> p.id then koyomi_grants_2(v.id, p.id, h.id, {collection}) end"


def grants(value: Any) -> Grants:
    """The value of the column."""
    if value is None:
        return NO_GRANTS
    return Grants(
        frozenset(value["groups"]),
        tuple((delegate, rights) for delegate, rights in value["delegates"] or ()),
        tuple((id_, principal_id, rights) for id_, principal_id, rights in value["shares"] or ()),
        tuple(Ace(id_, whom, allows, tuple(map(Privilege, names))) for id_, whom, allows, names in value["aces"] or ()),
        tuple((id_, principal_id) for id_, principal_id in value["inviting"] or ()),
    )
