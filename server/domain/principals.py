"""Principals: people, groups, rooms and equipment."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Literal

PrincipalKind = Literal["individual", "group", "room", "resource", "directory"]
"""`directory`: the owner of the address book of rooms, which no search and no folder of principals shows."""
KINDS: tuple[PrincipalKind, ...] = ("individual", "group", "room", "resource")
"""The kinds that people make and find."""
DIRECTORY = "koyomi-directory"
"""The stable id and the name of the principal of the kind `directory`."""
CalendarPlace = Literal["here", "elsewhere"]
"""Where a person keeps their calendar: `elsewhere` gets scheduling messages by mail alone."""
ExpandableBy = Literal["everyone", "members", "nobody"]
"""Whose invitations of a group invite its members."""


@dataclass(frozen=True, slots=True)
class Office:
    """Where a person works; empty where nothing is known."""

    building: str = ""
    floor: str = ""


@dataclass(frozen=True, slots=True)
class Principal:
    """A person, group, room or piece of equipment, with all fields."""

    id: int
    """Internal key; never shown."""
    uid: str
    """The stable id in URLs (`/principals/__uids__/{uid}/`)."""
    kind: PrincipalKind
    name: str
    display_name: str
    emails: tuple[str, ...]
    roles: frozenset[str]
    disabled: bool
    credential_version: int
    """Changes with a password, an app password, the names and addresses, and the right to sign in."""

    @property
    def is_admin(self) -> bool:
        """Whether the principal reads and changes everything."""
        return "admin" in self.roles


def name_key(text: str) -> str:
    """A name or an e-mail address as it is compared: case-folded, in Unicode's NFC."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
