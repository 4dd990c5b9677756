"""The authorisation policy: every decision on who may do what is made here, for all front ends.

`docs/access.md` says the same in words. What is granted adds up: by the access control list of a collection (RFC 3744),
by sharing it, and by making somebody a delegate. A denial in an access control list takes only from what such a list
grants. A viewer of None is the installation itself: commands and jobs.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Literal

from server.domain.grants import NO_GRANTS, Ace, Grants
from server.domain.objects import Collection, CollectionKind, HomeKind
from server.domain.principals import Principal
from server.domain.privileges import (
    CONTAINED,
    EVERY_PRIVILEGE,
    NO_PRIVILEGES,
    READING,
    WRITING,
    Privilege,
    Privileges,
    expanded,
)

Relation = Literal["owner", "admin", "other"]

GRANTABLE: frozenset[CollectionKind] = frozenset({"calendar", "addressbook"})
"""Kinds of collections that access control lists and sharing give access to, with their members."""
_WITH_FREE_BUSY: frozenset[CollectionKind] = frozenset({"calendar", "inbox", "outbox"})
_AGGREGATES = (Privilege.WRITE, Privilege.ALL)
_FREE_BUSY = frozenset({Privilege.READ_FREE_BUSY})
_PLAIN_READING = READING - _FREE_BUSY


def relation(viewer: Principal | None, owner: Principal | None) -> Relation:
    """How a person stands to the owner of a resource; the installation, which acts for nobody, is an administrator."""
    if viewer is None or viewer.is_admin:
        return "admin"
    return "owner" if owner is not None and owner.id == viewer.id else "other"


def on_fixed(viewer: Principal | None) -> Privileges:
    """The privileges of a person on the fixed resources above principals and homes."""
    return _PLAIN_READING | {Privilege.READ_ACL} if relation(viewer, None) == "admin" else _PLAIN_READING


def on_principal(viewer: Principal | None, principal: Principal | None) -> Privileges:
    """The privileges of a person on a principal, and on the groups of its delegates."""
    if relation(viewer, principal) == "other":
        return _PLAIN_READING
    return _PLAIN_READING | {Privilege.READ_ACL, Privilege.WRITE_PROPERTIES}


def on_home(
    viewer: Principal | None, owner: Principal | None, kind: HomeKind, grants: Grants = NO_GRANTS
) -> Privileges:
    """The privileges of a person on the home of its owner."""
    if viewer is None or relation(viewer, owner) != "other":
        held = EVERY_PRIVILEGE
    elif kind == "calendar" and grants is not NO_GRANTS:
        held = _by_delegation(grants.groups | {viewer.id}, grants)
    else:
        return NO_PRIVILEGES
    return held if kind == "calendar" else held - _FREE_BUSY


def on_collection(
    viewer: Principal | None, owner: Principal | None, collection: Collection, grants: Grants = NO_GRANTS
) -> Privileges:
    """The privileges of a person on a collection as the home of `owner` shows it, and on each of its members.

    `grants` are those of the home.
    """
    who = relation(viewer, owner)
    if viewer is None or who != "other":
        return _inherent(who, collection.kind, collection.rights)
    if grants is NO_GRANTS:
        return NO_PRIVILEGES
    concerned = grants.groups | {viewer.id}
    found: set[Privilege] = set()
    if collection.kind != "addressbook":
        found |= _by_delegation(concerned, grants) & _inherent("owner", collection.kind, collection.rights)
    if collection.kind in GRANTABLE and collection.rights == "owner":
        found |= _by_sharing(concerned, grants, collection.id)
        found |= _by_acl(concerned, (ace for ace in grants.aces if ace.collection_id == collection.id))
    if collection.kind not in _WITH_FREE_BUSY:
        found -= _FREE_BUSY
    return frozenset(found)


def acts_for(viewer: Principal | None, owner: Principal | None, grants: Grants) -> bool:
    """Whether a person acts for the owner of a calendar home there, as a delegate. Who may do so anyway does not."""
    if viewer is None or relation(viewer, owner) != "other":
        return False
    return bool(_by_delegation(grants.groups | {viewer.id}, grants))


def may_keep_view(viewer: Principal | None, owner: Principal | None, collection: Collection, held: Privileges) -> bool:
    """Whether a person may set properties of a collection in their own view: readers of another's collection may.

    `held` are the viewer's privileges on the collection.
    """
    others = collection.rights != "owner" or owner is None or viewer is None or owner.id != viewer.id
    return others and Privilege.READ in held


def sees_as_sharee(viewer: Principal | None, owner: Principal | None, collection: Collection, grants: Grants) -> bool:
    """Whether a person sees a calendar by its owner's URL as in their own home: sharees do, except those who act for
    the owner.
    """
    if not collection.views or collection.view is not None:
        return False
    if viewer is None or relation(viewer, owner) != "other":
        return False
    concerned = grants.groups | {viewer.id}
    return Privilege.READ in _by_sharing(concerned, grants, collection.id) and not _by_delegation(concerned, grants)


def may_keep_own_parts(
    viewer: Principal | None, owner: Principal | None, collection: Collection, grants: Grants = NO_GRANTS
) -> bool:
    """Whether somebody may change what the owner of a home keeps for themselves in objects that are only shown there.

    Granted to people who may read it: the sharee, and everyone with write access to the sharee's whole home.
    """
    if collection.view is None or owner is None or collection.view != owner.id:
        return False
    if viewer is None or relation(viewer, owner) != "other":
        return True
    concerned = grants.groups | {viewer.id}
    return any(rights == "write" and delegate in concerned for delegate, rights in grants.delegates)


@lru_cache(maxsize=256)
def _inherent(who: Relation, kind: CollectionKind, rights: str) -> Privileges:
    """The privileges without any grant: the owner of a home has all in it, except on what is shared with them."""
    held = EVERY_PRIVILEGE
    if who == "owner" and rights != "owner":
        held = READING | WRITING if rights == "write" else READING
    return held if kind in _WITH_FREE_BUSY else held - _FREE_BUSY


def _by_delegation(concerned: frozenset[int], grants: Grants) -> Privileges:
    rights = {held for delegate, held in grants.delegates if delegate in concerned}
    if "write" in rights:
        return READING | WRITING
    return READING if rights else NO_PRIVILEGES


def _by_sharing(concerned: frozenset[int], grants: Grants, collection_id: int) -> Privileges:
    rights = {held for id_, whom, held in grants.shares if id_ == collection_id and whom in concerned}
    if "write" in rights:
        return READING | WRITING
    if "read" in rights:
        return READING
    return _FREE_BUSY if rights else NO_PRIVILEGES


def _by_acl(concerned: frozenset[int], aces: Iterable[Ace]) -> Privileges:
    """Of each privilege, the first entry that concerns the viewer and names it decides (RFC 3744 §6)."""
    decided: dict[Privilege, bool] = {}
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
