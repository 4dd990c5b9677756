"""Searches for principals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from server.domain.principals import PrincipalKind
from server.domain.rooms import RoomAttribute

MatchType = Literal["contains", "starts-with", "equals"]
Field = Literal["display-name", "first-name", "last-name", "address", "name", "uid", "word", "kind", "room", "nothing"]


@dataclass(frozen=True, slots=True)
class Term:
    """A condition on a principal. `word`: a word of the name or of a room's attributes, or an address, begins with the
    text; `room`: an attribute of a room matches; `nothing` is always false."""

    field: Field
    text: str
    """As typed; it is folded where case does not count."""
    match: MatchType = "contains"
    caseless: bool = True
    attribute: RoomAttribute | None = None
    """For `room`. Case never counts in features and the type."""


@dataclass(frozen=True, slots=True)
class PrincipalSearch:
    """A search for principals."""

    groups: tuple[tuple[Term, ...], ...]
    """One term of each group must be true; with `any_group`, one term of one group is enough."""
    kinds: tuple[PrincipalKind, ...]
    any_group: bool = False
