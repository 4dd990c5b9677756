"""URLs: which resource a path names, and how hrefs are written.

    /principals/{users,groups,locations,resources}/NAME/      /principals/__uids__/ID/
    /calendars/{users,…}/NAME/COLLECTION/OBJECT               /calendars/__uids__/ID/COLLECTION/OBJECT
    /addressbooks/{users,…}/NAME/COLLECTION/OBJECT            /addressbooks/__uids__/ID/COLLECTION/OBJECT

A path is decoded whole, empty segments are dropped (`//` is `/`) and written anew in one spelling, so that a resource
has one href per form.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from string import ascii_letters, digits
from typing import Literal
from urllib.parse import quote, unquote_to_bytes, urlsplit

from server.domain.errors import BadRequest, NotFound
from server.domain.objects import HomeKind, Target
from server.domain.principals import PrincipalKind

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
MAX_SEGMENT = 1000
"""Bytes of a segment in UTF-8, decoded."""
_PLAIN = re.compile(r"[A-Za-z0-9._~@-]+\Z")
_PLAIN_CHARACTERS = (ascii_letters + digits + "._~@-").encode()
_USUAL = re.compile(r"(?:/(?!\.)[A-Za-z0-9._~@-]{1,200})+(/?)\Z")
"""Paths that stand in their one spelling as they are, as nearly all do."""
_FORBIDDEN = re.compile(r"[/\x00-\x1f\x7f]")
"""Characters that a decoded segment may not have."""


def is_plain(text: str) -> bool:
    """Whether segments with these characters stand in hrefs as they are."""
    return _PLAIN.match(text) is not None


def is_plain_but(text: str, others: bytes) -> bool:
    """Whether a long text has such characters only, and those named."""
    return not text.encode("utf-8", "surrogatepass").translate(None, _PLAIN_CHARACTERS + others)


def encode(segment: str) -> str:
    """A decoded segment as it is written in an href."""
    return segment if is_plain(segment) else quote(segment, safe="@~!$'()*+,;=:")


@dataclass(frozen=True, slots=True)
class Path:
    """A request's path: its segments, decoded, and what they name."""

    segments: tuple[str, ...]
    slash: bool
    """Whether the path ended with a slash."""
    href: str = field(init=False)
    """The path in its one spelling, without a slash at the end except for the root."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "href", "/" + "/".join(map(encode, self.segments)))

    @property
    def url(self) -> str:
        """The path in its one spelling, with a slash at the end where it was asked for with one."""
        return self.href + "/" if self.slash and self.segments else self.href

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

    def parent(self) -> Path:
        """The path one segment shorter."""
        return Path(self.segments[:-1], True)


def parse(raw: str, prefix: str = "") -> Path:
    """The path of a request target or href: origin form, or absolute form whose scheme and host are dropped.

    `prefix` is the path under which a proxy shows this server (without a slash at its end); it is taken off where it
    stands. Raises `BadRequest`.
    """
    if not raw.startswith("/"):
        try:
            parts = urlsplit(raw)
        except ValueError:
            raise BadRequest("This is not a URL.") from None
        if parts.scheme not in ("http", "https"):
            raise BadRequest("This is not an absolute path or URL.")
        raw = parts.path or "/"
    else:
        raw = raw.partition("?")[0].partition("#")[0]
    if prefix and (raw == prefix or raw.startswith(prefix + "/")):
        raw = raw[len(prefix) :] or "/"
    if usual := _USUAL.match(raw):
        return _path(raw, slash=bool(usual[1]))
    segments = []
    for part in raw.split("/"):
        if not part:
            continue
        segment = part if "%" not in part and part.isascii() else _decode(part)
        if segment in (".", ".."):
            raise BadRequest("A path may not have dot segments.")
        size = len(segment) if segment.isascii() else len(segment.encode())
        if size > MAX_SEGMENT or _FORBIDDEN.search(segment):
            raise BadRequest("A path segment is too long or has a character that is not allowed.")
        segments.append(segment)
    return Path(tuple(segments), raw.endswith("/"))


def _path(raw: str, *, slash: bool) -> Path:
    """The path that is spelled as it stands."""
    href = raw[:-1] if slash else raw
    path = Path.__new__(Path)
    object.__setattr__(path, "segments", tuple(href[1:].split("/")))
    object.__setattr__(path, "slash", slash)
    object.__setattr__(path, "href", href)
    return path


def _decode(part: str) -> str:
    try:
        return unquote_to_bytes(part).decode("utf-8")
    except UnicodeError:  # also of raw bytes, which aiohttp gives as surrogates
        raise BadRequest("A path segment is not UTF-8.") from None
