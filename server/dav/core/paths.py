"""URLs: which resource a path names, and how hrefs are written.

    /principals/{users,groups,locations,resources}/NAME/      /principals/__uids__/ID/
    /calendars/{users,…}/NAME/COLLECTION/OBJECT               /calendars/__uids__/ID/COLLECTION/OBJECT
    /addressbooks/{users,…}/NAME/COLLECTION/OBJECT            /addressbooks/__uids__/ID/COLLECTION/OBJECT

A resource has one href per form, as `server.http.paths` spells it.
"""

from __future__ import annotations

from typing import Literal

from server.domain.errors import NotFound
from server.domain.objects import HomeKind, Target
from server.domain.principals import PrincipalKind
from server.http.paths import UrlPath

Folder = Literal["__uids__", "users", "groups", "locations", "resources"]
FOLDER_KINDS: dict[str, PrincipalKind] = {
    "users": "individual",
    "groups": "group",
    "locations": "room",
    "resources": "resource",
}
KIND_FOLDERS: dict[PrincipalKind, str] = {kind: folder for folder, kind in FOLDER_KINDS.items()}
TREES: dict[str, HomeKind | None] = {"principals": None, "calendars": "calendar", "addressbooks": "addressbook"}
HOME_TREES: dict[HomeKind, str] = {"calendar": "calendars", "addressbook": "addressbooks"}
ADD_MEMBER = ";add-member"


class Path(UrlPath):
    """A request's path, and what it names."""

    __slots__ = ()

    @property
    def tree(self) -> str:
        """The first segment; empty for the root."""
        return self.segments[0] if self.segments else ""

    @property
    def add_member(self) -> bool:
        """Whether the path is a collection's add-member URL (RFC 5995)."""
        return len(self.segments) == 5 and self.segments[4] == ADD_MEMBER

    def target(self) -> Target | None:
        """What storage is to look for; None for the fixed resources above principals and homes.

        Below a collection's members nothing is, so that the home alone is looked for. Raises `NotFound` for paths that
        can name nothing.
        """
        segments = self.segments
        if len(segments) < 3:
            return None
        tree, folder, owner = segments[:3]
        if tree not in TREES or (folder != "__uids__" and folder not in FOLDER_KINDS):
            raise NotFound
        by = "uid" if folder == "__uids__" else FOLDER_KINDS[folder]
        home = TREES[tree]
        if home is None:
            return Target(owner, by)
        if len(segments) > 5:
            return Target(owner, by, home)
        collection = segments[3] if len(segments) > 3 else None
        name = segments[4] if len(segments) > 4 and segments[4] != ADD_MEMBER else None
        return Target(owner, by, home, collection, name)
