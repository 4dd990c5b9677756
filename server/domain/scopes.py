"""What credentials open: doors of the server, and areas of the JSON API."""

from __future__ import annotations

from typing import Literal, get_args

Door = Literal["apps", "api"]
"""`apps`: CalDAV, CardDAV and monitoring, which apps sign in to; `api`: the JSON API."""
DOORS: frozenset[Door] = frozenset(get_args(Door))
Area = Literal["principals", "system"]
"""A part of the JSON API."""
AREAS: tuple[Area, ...] = get_args(Area)
Access = Literal["read", "write"]
SCOPES: tuple[str, ...] = tuple(f"{area}:{access}" for area in AREAS for access in get_args(Access))
"""What a service token can be limited to, as `principals:read`; writing an area contains reading it."""


def allows(scopes: frozenset[str] | None, area: Area, access: Access) -> bool:
    """Whether credentials with these scopes may be used for an operation; None: they are not limited."""
    return scopes is None or f"{area}:{access}" in scopes or f"{area}:write" in scopes
