"""The authorisation policy: every decision on who may do what is made here, for DAV and JSON alike.

A person's calendars and address books are theirs; a person with the role `admin` reads and changes everything; all who
are signed in read principals and the fixed resources above homes.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from server.storage import Principal

READ = frozenset({"{DAV:}read", "{DAV:}read-current-user-privilege-set"})
WRITE = frozenset({"{DAV:}write", "{DAV:}write-properties", "{DAV:}write-content", "{DAV:}bind", "{DAV:}unbind"})
FREE_BUSY = "{urn:ietf:params:xml:ns:caldav}read-free-busy"
ALL = READ | WRITE | {"{DAV:}all", "{DAV:}read-acl", "{DAV:}write-acl", "{DAV:}unlock", FREE_BUSY}

Relation = Literal["owner", "admin", "stranger"]

_FIXED = frozenset({"root", "principals", "homes"})
_CALENDARS = frozenset({"calendar-home", "calendar", "calendar-object", "inbox", "outbox"})


def relation(viewer: Principal, owner: Principal | None) -> Relation:
    """How a person stands to the owner of a resource."""
    if viewer.is_admin:
        return "admin"
    return "owner" if owner is not None and owner.id == viewer.id else "stranger"


def privileges(viewer: Principal, owner: Principal | None, kind: str) -> frozenset[str]:
    """The privileges of a person on a resource of a kind (RFC 3744 §3), abstract and aggregate ones included."""
    return _granted(relation(viewer, owner), kind)


@lru_cache(maxsize=256)
def _granted(who: Relation, kind: str) -> frozenset[str]:
    kind = str(kind)
    if kind in _FIXED:
        return READ | {"{DAV:}read-acl"} if who == "admin" else READ
    if kind == "principal":
        if who == "stranger":
            return READ
        return READ | {"{DAV:}read-acl", "{DAV:}write-properties"}
    if who == "stranger":
        return frozenset()
    return ALL if kind in _CALENDARS else ALL - {FREE_BUSY}
