"""The authorisation policy: every decision on who may do what is made here, for DAV and JSON alike.

`privileges` is the one function that decides; `docs/access.md` says the same in words. What is granted adds up: by the
access control list of a collection (RFC 3744), by sharing it, and by making somebody a delegate. A denial in an access
control list takes only from what such a list grants.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Literal

from server.domain.grants import NO_GRANTS, Ace, Grants
from server.domain.objects import Collection
from server.domain.principals import Principal

READ = "{DAV:}read"
WRITE = "{DAV:}write"
WRITE_PROPERTIES = "{DAV:}write-properties"
WRITE_CONTENT = "{DAV:}write-content"
BIND = "{DAV:}bind"
UNBIND = "{DAV:}unbind"
READ_OWN_PRIVILEGES = "{DAV:}read-current-user-privilege-set"
READ_ACL = "{DAV:}read-acl"
WRITE_ACL = "{DAV:}write-acl"
UNLOCK = "{DAV:}unlock"
EVERYTHING = "{DAV:}all"
FREE_BUSY = "{urn:ietf:params:xml:ns:caldav}read-free-busy"

CONTAINED: dict[str, frozenset[str]] = {
    READ: frozenset({FREE_BUSY, READ_OWN_PRIVILEGES}),
    WRITE: frozenset({WRITE_PROPERTIES, WRITE_CONTENT, BIND, UNBIND}),
    EVERYTHING: frozenset(
        {READ, FREE_BUSY, READ_OWN_PRIVILEGES, WRITE, WRITE_PROPERTIES, WRITE_CONTENT, BIND, UNBIND}
        | {READ_ACL, WRITE_ACL, UNLOCK}
    ),
}
"""What privileges stand for besides themselves (RFC 3744 §3.12, RFC 4791 §6.1.1)."""
PRIVILEGES = CONTAINED[EVERYTHING] | {EVERYTHING}
"""All that there are."""
READING = CONTAINED[READ] | {READ}
CHANGING = CONTAINED[WRITE] | {WRITE}
_AGGREGATES = (WRITE, EVERYTHING)

Relation = Literal["owner", "admin", "other"]

FIXED = frozenset({"root", "principals", "homes"})
"""Kinds of resources above principals and homes."""
PRINCIPALS = frozenset({"principal", "read-delegates", "write-delegates"})
CALENDAR_KINDS = frozenset({"calendar-home", "calendar", "calendar-object", "inbox", "outbox"})
"""Kinds for which there is free-busy time to be seen."""
DELEGATED = CALENDAR_KINDS | {"notifications", "notification"}
"""Kinds in a calendar home, to which delegates have access."""
GRANTABLE = frozenset({"calendar", "calendar-object", "addressbook", "address-object"})
"""Kinds that access control lists and sharing give access to."""
_NOTHING: frozenset[str] = frozenset()


def relation(viewer: Principal, owner: Principal | None) -> Relation:
    """How a person stands to the owner of a resource."""
    if viewer.is_admin:
        return "admin"
    return "owner" if owner is not None and owner.id == viewer.id else "other"


def privileges(
    viewer: Principal,
    owner: Principal | None,
    kind: str,
    collection: Collection | None = None,
    grants: Grants = NO_GRANTS,
) -> frozenset[str]:
    """The privileges of a person on a resource (RFC 3744 §3), aggregate ones included.

    `owner` is whose home the resource lies in, or the principal that it is; `kind` is its kind; `collection` is the
    collection that it is or lies in, as that home shows it; `grants` are those of the home.
    """
    who = relation(viewer, owner)
    rights = "owner" if collection is None else collection.rights
    if who != "other" or kind in FIXED or kind in PRINCIPALS:
        return _inherent(who, str(kind), rights)
    if grants is NO_GRANTS:
        return _NOTHING
    concerned = grants.groups | {viewer.id}
    found: set[str] = set()
    if kind in DELEGATED:
        found |= _by_delegation(concerned, grants) & _inherent("owner", str(kind), rights)
    if collection is not None and kind in GRANTABLE and rights == "owner":
        found |= _by_sharing(concerned, grants, collection.id)
        found |= _by_acl(concerned, (ace for ace in grants.aces if ace.collection_id == collection.id))
    return _of_kind(found, str(kind)) if found else _NOTHING


def may_keep_view(viewer: Principal, owner: Principal | None, collection: Collection, held: frozenset[str]) -> bool:
    """Whether a person may set properties of a collection in their own view: readers of another's collection may.

    `held` are the viewer's privileges on the collection.
    """
    others = collection.rights != "owner" or owner is None or owner.id != viewer.id
    return others and READ in held


def sees_as_sharee(viewer: Principal, owner: Principal | None, collection: Collection, grants: Grants) -> bool:
    """Whether a person sees a calendar by its owner's URL as in their own home: sharees do, except those who act for
    the owner.
    """
    if not collection.views or collection.view is not None or relation(viewer, owner) != "other":
        return False
    concerned = grants.groups | {viewer.id}
    return READ in _by_sharing(concerned, grants, collection.id) and not _by_delegation(concerned, grants)


def may_keep_own_parts(
    viewer: Principal, owner: Principal | None, collection: Collection, grants: Grants = NO_GRANTS
) -> bool:
    """Whether somebody may change what the owner of a home keeps for themselves in objects that are only shown there.

    Those who read it may: the sharee, and whoever may write in all of the sharee's home.
    """
    if collection.view is None or owner is None or collection.view != owner.id:
        return False
    if relation(viewer, owner) != "other":
        return True
    concerned = grants.groups | {viewer.id}
    return any(rights == "write" and delegate in concerned for delegate, rights in grants.delegates)


def expanded(names: Iterable[str]) -> frozenset[str]:
    """Privileges with all that they contain."""
    found: set[str] = set()
    for name in names:
        found.add(name)
        found |= CONTAINED.get(name, _NOTHING)
    return frozenset(found)


@lru_cache(maxsize=256)
def _inherent(who: Relation, kind: str, rights: str) -> frozenset[str]:
    """The privileges without any grant: the owner of a home has all in it, except on what is shared with them."""
    if kind in FIXED:
        return _of_kind(READING | {READ_ACL} if who == "admin" else READING, kind)
    if kind in PRINCIPALS:
        return _of_kind(READING if who == "other" else READING | {READ_ACL, WRITE_PROPERTIES}, kind)
    if who == "other":
        return _NOTHING
    if who == "owner" and rights != "owner":
        return _of_kind(READING | CHANGING if rights == "write" else READING, kind)
    return _of_kind(PRIVILEGES, kind)


def _by_delegation(concerned: frozenset[int], grants: Grants) -> frozenset[str]:
    rights = {held for delegate, held in grants.delegates if delegate in concerned}
    if "write" in rights:
        return READING | CHANGING
    return READING if rights else _NOTHING


def _by_sharing(concerned: frozenset[int], grants: Grants, collection_id: int) -> frozenset[str]:
    rights = {held for id_, whom, held in grants.shares if id_ == collection_id and whom in concerned}
    if "write" in rights:
        return READING | CHANGING
    if "read" in rights:
        return READING
    return frozenset({FREE_BUSY}) if rights else _NOTHING


def _by_acl(concerned: frozenset[int], aces: Iterable[Ace]) -> frozenset[str]:
    """Of each privilege, the first entry that concerns the viewer and names it decides (RFC 3744 §6)."""
    decided: dict[str, bool] = {}
    for ace in aces:
        if ace.whom in ("all", "authenticated") or ace.whom in concerned:
            for name in expanded(ace.privileges):
                decided.setdefault(name, ace.grants)
    granted = {name for name, grants in decided.items() if grants}
    for aggregate in _AGGREGATES:
        if CONTAINED[aggregate] <= granted:
            granted.add(aggregate)
        else:
            granted.discard(aggregate)
    return frozenset(granted)


def _of_kind(names: Iterable[str], kind: str) -> frozenset[str]:
    """Those privileges that there are on a kind of resource."""
    found = frozenset(names)
    if kind not in CALENDAR_KINDS:
        found -= {FREE_BUSY}
    return found
