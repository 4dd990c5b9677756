"""The authorisation policy: all decisions on privileges are made here, for all front ends. `docs/access.md` describes
it.

Grants add up: those of the access control list of a collection (RFC 3744), of its sharing, and of delegation. A denial
in an access control list removes only privileges that such a list grants. The viewer None is the installation itself:
commands and jobs.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Literal

from server.domain import privileges
from server.domain.grants import NO_GRANTS, Ace, Grants
from server.domain.objects import Collection, CollectionKind, HomeKind, Object
from server.domain.principals import Principal
from server.domain.privileges import (
    CONTAINED,
    NO_PRIVILEGES,
    READING,
    SENDING,
    WRITING,
    Privilege,
    Privileges,
    expanded,
)

Relation = Literal["owner", "admin", "other"]

SHAREABLE: frozenset[CollectionKind] = frozenset({"calendar", "addressbook"})
"""Kinds of collections that sharing gives access to, with their members."""
GRANTABLE: frozenset[CollectionKind] = SHAREABLE | {"inbox", "outbox"}
"""Kinds of collections that have an access control list."""
EVERYONE_DELIVERS = Ace(0, "authenticated", True, (Privilege.SCHEDULE_DELIVER,))
"""The last entry of the list of an inbox (`for_everyone`)."""
EVERYONE_INVITES = Ace(0, "authenticated", True, (Privilege.SCHEDULE_DELIVER_INVITE, Privilege.SCHEDULE_DELIVER_REPLY))
"""In its place where the installation does not let everyone ask when a person is busy."""
INVITING: Privileges = frozenset({Privilege.SCHEDULE_SEND_INVITE, Privilege.SCHEDULE_SEND_REPLY})
"""What somebody who may invite from a shared calendar has on its owner's outbox."""
_AGGREGATES = (Privilege.SCHEDULE_DELIVER, Privilege.SCHEDULE_SEND, Privilege.WRITE, Privilege.ALL)
_FREE_BUSY = frozenset({Privilege.READ_FREE_BUSY})
_OWN_ACCOUNT = frozenset({Privilege.READ, Privilege.WRITE_CONTENT})
_PLAIN_READING = READING - _FREE_BUSY
_CHANGING = WRITING | {Privilege.ALL, Privilege.WRITE_ACL}


def relation(viewer: Principal | None, owner: Principal | None) -> Relation:
    """The relation of a person to the owner of a resource; the installation counts as an administrator."""
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


def on_directory(viewer: Principal | None) -> Privileges:
    """The privileges of a person on the directory: on the records of all principals, on making and on deleting them."""
    return privileges.EVERY_PRIVILEGE if relation(viewer, None) == "admin" else NO_PRIVILEGES


def on_installation(viewer: Principal | None) -> Privileges:
    """The privileges of a person on the installation: its state, its settings and its jobs."""
    return on_directory(viewer)


def on_account(viewer: Principal | None, principal_id: int) -> Privileges:
    """The privileges of a person on the record of a principal, whose content are its password and app passwords."""
    own = viewer is not None and viewer.id == principal_id
    return on_directory(viewer) | (_OWN_ACCOUNT if own else NO_PRIVILEGES)


def on_home(
    viewer: Principal | None, owner: Principal | None, kind: HomeKind, grants: Grants = NO_GRANTS
) -> Privileges:
    """The privileges of a person on the home of its owner."""
    if viewer is not None and owner is not None and owner.kind == "directory":
        return _PLAIN_READING
    if viewer is None or relation(viewer, owner) != "other":
        return privileges.on_home(kind)
    if kind == "calendar" and grants is not NO_GRANTS:
        return _by_delegation(grants.groups | {viewer.id}, grants) & privileges.on_home(kind)
    return NO_PRIVILEGES


def on_collection(
    viewer: Principal | None,
    owner: Principal | None,
    collection: Collection,
    grants: Grants = NO_GRANTS,
    *,
    asked_by_all: bool = True,
) -> Privileges:
    """The privileges of a person on a collection as the home of `owner` shows it, and on each of its members.

    `grants` are those of the home. `asked_by_all` is as in `for_everyone`.
    """
    if viewer is not None and owner is not None and owner.kind == "directory":
        return _PLAIN_READING
    who = relation(viewer, owner)
    if viewer is None or who != "other":
        return _inherent(who, collection.kind, collection.rights)
    if grants is NO_GRANTS and collection.kind != "inbox":
        return NO_PRIVILEGES
    concerned = grants.groups | {viewer.id}
    found: set[Privilege] = set()
    if collection.kind != "addressbook":
        found |= _by_delegation(concerned, grants) & _inherent("owner", collection.kind, collection.rights)
    if collection.kind in SHAREABLE and collection.rights == "owner":
        found |= _by_sharing(concerned, grants, collection.id)
    if collection.kind == "outbox" and any(whom in concerned for _, whom in grants.inviting):
        found |= INVITING
    if collection.kind in GRANTABLE and collection.rights == "owner":
        entries = _entries(collection, grants)
        last = [for_everyone(owner, asked_by_all=asked_by_all)] if collection.kind == "inbox" else []
        found |= _by_acl(concerned, [*entries, *last])
    return privileges.on_collection(collection.kind) & found


def acts_for(viewer: Principal | None, owner: Principal | None, grants: Grants) -> bool:
    """Whether a person acts in a calendar home as a delegate of its owner. The owner and administrators do not."""
    if viewer is None or relation(viewer, owner) != "other":
        return False
    return bool(_by_delegation(grants.groups | {viewer.id}, grants))


def for_everyone(owner: Principal | None, *, asked_by_all: bool) -> Ace:
    """The last entry of the list of an inbox (RFC 6638 §6.1); an entry of the list before it can deny the same.

    `asked_by_all`: whether the installation lets everyone ask when people are busy. Rooms and equipment are asked by
    all in any case.
    """
    is_person = owner is not None and owner.kind not in ("room", "resource")
    return EVERYONE_INVITES if is_person and not asked_by_all else EVERYONE_DELIVERS


def may_ask(asker: Principal, person: Principal, inbox: Collection, grants: Grants, *, asked_by_all: bool) -> bool:
    """Whether somebody may ask when a person is busy (RFC 6638 §6.1.4).

    `grants` are those of the person's inbox, `asked_by_all` is as in `for_everyone`. Where not everyone may ask,
    delegates may: they read the calendars themselves.
    """
    if asker.is_admin or asker.id == person.id or (not asked_by_all and acts_for(asker, person, grants)):
        return True
    last = for_everyone(person, asked_by_all=asked_by_all)
    return Privilege.SCHEDULE_QUERY_FREE_BUSY in _by_acl(grants.groups | {asker.id}, [*_entries(inbox, grants), last])


def may_deliver(sender: Principal, inbox: Collection, grants: Grants, need: Privilege) -> bool:
    """Whether messages in the name of a person may be delivered to somebody else's inbox (RFC 6638 §6.1).

    `need` is CALDAV:schedule-deliver-invite or -reply, `grants` are those of the inbox.
    """
    if sender.is_admin:
        return True
    return need in _by_acl(grants.groups | {sender.id}, [*_entries(inbox, grants), EVERYONE_DELIVERS])


def may_send(viewer: Principal | None, owner: Principal | None, calendar: int, grants: Grants) -> bool:
    """Whether a person sends any messages in the name of the owner of a calendar (RFC 6638 §6.2), as far as the
    calendar says: write delegates do, and those whose sharing of this calendar says so.

    Of others, the access control list of the owner's outbox decides (`sends_by_list`).

    :param calendar: the id of the calendar in which they write.
    """
    if viewer is None or relation(viewer, owner) != "other":
        return True
    concerned = grants.groups | {viewer.id}
    if any(id_ == calendar and whom in concerned for id_, whom in grants.inviting):
        return True
    return Privilege.SCHEDULE_SEND in _by_delegation(concerned, grants)


def sends_by_list(viewer: Principal, outbox: Collection, grants: Grants) -> Privileges:
    """The privileges to send in the name of somebody else that the access control list of their outbox grants."""
    return SENDING & _by_acl(grants.groups | {viewer.id}, _entries(outbox, grants))


def may_keep_view(viewer: Principal | None, owner: Principal | None, collection: Collection, held: Privileges) -> bool:
    """Whether a person may set properties of a collection in their own view: readers of another's collection may.

    `held` are the viewer's privileges on the collection.
    """
    others = collection.rights != "owner" or owner is None or viewer is None or owner.id != viewer.id
    return others and Privilege.READ in held


def sees_as_sharee(viewer: Principal | None, owner: Principal | None, collection: Collection, grants: Grants) -> bool:
    """Whether a person gets their own view of a calendar by its owner's URL: sharees do, except delegates of the
    owner."""
    if not collection.views or collection.view is not None:
        return False
    if viewer is None or relation(viewer, owner) != "other":
        return False
    concerned = grants.groups | {viewer.id}
    return Privilege.READ in _by_sharing(concerned, grants, collection.id) and not _by_delegation(concerned, grants)


def sees_part(collection: Collection, member: Object | None) -> bool:
    """Whether a person to whom a collection shows a member sees a part of it only (`server.calendar.visibility`)."""
    return member is not None and member.private and (collection.blocks or collection.view is not None)


def sees_private(viewer: Principal | None, owner: Principal | None, collection: Collection, grants: Grants) -> bool:
    """Whether a person sees the whole of what is private in a collection that the home of `owner` shows.

    Its owner does, and who writes as their delegate. Administrators do not: who serves an installation need not read
    what its people hide.
    """
    if collection.kind not in ("calendar", "inbox") or viewer is None:
        return True
    if collection.rights != "owner" or owner is None:
        return False
    concerned = grants.groups | {viewer.id}
    return owner.id == viewer.id or any(
        rights == "write" and delegate in concerned for delegate, rights in grants.delegates
    )


def may_restrict(viewer: Principal | None, owner: Principal | None, collection: Collection) -> bool:
    """Whether a person may set X-CALENDARSERVER-ACCESS of members: the owner may, so that nobody else hides from
    themselves what they could not show again."""
    return viewer is None or (owner is not None and owner.id == viewer.id and collection.rights == "owner")


def on_member(held: Privileges, collection: Collection, member: Object | None) -> Privileges:
    """The privileges of a person on a member: who sees a part of it only may not change it.

    An app that syncs would else put that part in place of the whole. `held` are the privileges on the collection.
    """
    return held - _CHANGING if sees_part(collection, member) else held


def may_keep_own_parts(
    viewer: Principal | None, owner: Principal | None, collection: Collection, grants: Grants = NO_GRANTS
) -> bool:
    """Whether a person may change a sharee's personal parts in the objects of a calendar in the sharee's home.

    The sharee may, and so may administrators and delegates with write access to the sharee's home.
    """
    if collection.view is None or owner is None or collection.view != owner.id:
        return False
    if viewer is None or relation(viewer, owner) != "other":
        return True
    concerned = grants.groups | {viewer.id}
    return any(rights == "write" and delegate in concerned for delegate, rights in grants.delegates)


@lru_cache(maxsize=256)
def _inherent(who: Relation, kind: CollectionKind, rights: str) -> Privileges:
    """The privileges without any grant. The owner of a home has all of them, except on collections of others."""
    exist = privileges.on_collection(kind)
    if who == "owner" and rights != "owner":
        return exist & (READING | WRITING if rights == "write" else READING)
    return exist


def _by_delegation(concerned: frozenset[int], grants: Grants) -> Privileges:
    rights = {held for delegate, held in grants.delegates if delegate in concerned}
    if "write" in rights:
        return READING | WRITING | SENDING
    return READING if rights else NO_PRIVILEGES


def _by_sharing(concerned: frozenset[int], grants: Grants, collection_id: int) -> Privileges:
    rights = {held for id_, whom, held in grants.shares if id_ == collection_id and whom in concerned}
    if "write" in rights:
        return READING | WRITING
    if "read" in rights:
        return READING
    return _FREE_BUSY if rights else NO_PRIVILEGES


def _entries(collection: Collection, grants: Grants) -> list[Ace]:
    """The access control list of a collection."""
    return [ace for ace in grants.aces if ace.collection_id == collection.id]


def _by_acl(concerned: frozenset[int], aces: Iterable[Ace]) -> Privileges:
    """For each privilege, the first entry for the viewer that contains it decides (RFC 3744 §6)."""
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
