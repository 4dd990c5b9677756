"""What a path can name, as far as its shape tells: the kinds of resources that routes go by."""

from __future__ import annotations

from server.dav.core.paths import FOLDER_KINDS, TREES, Path
from server.dav.core.resource import DELEGATE_NAMES, EVERY, Kind

ADD_MEMBER = "add-member"
"""The URL of a collection to which new members are posted (RFC 5995)."""
BELOW = "below"
"""Deeper than members and delegates: there is nothing, but there may be something above."""
NOWHERE = "nowhere"
"""What no resource has as its URL."""
SHAPES: frozenset[str] = frozenset({*EVERY, ADD_MEMBER, BELOW, NOWHERE})
MEMBERS: frozenset[str] = frozenset({Kind.CALENDAR_OBJECT, Kind.ADDRESS_OBJECT})

_DELEGATES = {name: kind for kind, name in DELEGATE_NAMES.items()}
_NAMED = {"inbox": Kind.INBOX, "outbox": Kind.OUTBOX, "notification": Kind.NOTIFICATIONS}
"""Collections that every home has under this name."""


def shape_of(path: Path) -> str:
    """What a path can name."""
    segments = path.segments
    depth = len(segments)
    if depth == 0:
        return Kind.ROOT
    tree = segments[0]
    if tree not in TREES or (depth > 1 and segments[1] != "__uids__" and segments[1] not in FOLDER_KINDS):
        return NOWHERE
    if depth < 3:
        return Kind.PRINCIPALS if tree == "principals" else Kind.HOMES
    if tree == "principals":
        if depth == 3:
            return Kind.PRINCIPAL
        return _DELEGATES.get(segments[3], NOWHERE) if depth == 4 else BELOW
    card = tree == "addressbooks"
    if depth == 3:
        return Kind.ADDRESSBOOK_HOME if card else Kind.CALENDAR_HOME
    if depth == 4:
        return Kind.ADDRESSBOOK if card else _NAMED.get(segments[3], Kind.CALENDAR)
    if depth > 5:
        return BELOW
    if path.add_member:
        return ADD_MEMBER
    return Kind.ADDRESS_OBJECT if card else Kind.CALENDAR_OBJECT


def kind_shown(path: Path) -> Kind:
    """The kind of resource whose `Allow` a refusal at a path shows."""
    shape = shape_of(path)
    if shape == ADD_MEMBER:
        return Kind.ADDRESSBOOK if path.tree == "addressbooks" else Kind.CALENDAR
    return Kind.HOMES if shape in (BELOW, NOWHERE) else Kind(shape)
