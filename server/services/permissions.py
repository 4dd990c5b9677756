"""What an actor needs in order to read and change what was found."""

from __future__ import annotations

from server.auth import policy
from server.domain.changes import PropertyChanges
from server.domain.errors import AccessDenied, NotFound, ParentMissing
from server.domain.objects import PERSONAL_PROPERTIES, Collection, Home, Object
from server.domain.principals import Principal
from server.domain.privileges import Privilege
from server.services.lookup import Found


def readable(found: Found, need: Privilege = Privilege.READ) -> Collection:
    """The collection that was found, if the actor may read its members, or what `need` says of them.

    Raises `AccessDenied`, `ParentMissing`.
    """
    found.require(need)
    return collection_of(found)


def takes_members(collection: Collection) -> bool:
    """Whether people put members into a collection: into calendars and address books, not into subscriptions."""
    return collection.kind in ("calendar", "addressbook") and collection.source is None


def demand_writable(found: Found) -> bool:
    """Whether a put at the name that was found may change personal parts only.

    Raises `AccessDenied` where the actor may put nothing.
    """
    collection = collection_of(found)
    need = Privilege.BIND if found.object is None else Privilege.WRITE_CONTENT
    if not takes_members(collection):
        raise AccessDenied("", need)
    if (
        found.object is not None
        and need not in found.privileges
        and policy.may_keep_own_parts(found.viewer, found.owner, collection, found.grants)
    ):
        return True
    found.require(need)
    return False


def demand_receivable(target: Found, *, keep: bool) -> None:
    """Raises `AccessDenied` where the actor may copy (`keep`) or move no member to the name that was found."""
    if not takes_members(collection_of(target)):
        raise AccessDenied("", Privilege.BIND)
    if target.object is None:
        target.require(Privilege.BIND)
    elif keep:
        target.require(Privilege.WRITE_CONTENT, Privilege.WRITE_PROPERTIES)
    else:
        target.require(Privilege.BIND, Privilege.UNBIND)


def demand_properties(found: Found, changes: PropertyChanges) -> None:
    """Raises `AccessDenied` where the actor may not set these properties of the collection that was found.

    Who reads another's collection may set some in a view of their own.
    """
    if Privilege.WRITE_PROPERTIES in found.privileges:
        return
    personal = (
        changes.timezone is None and changes.source is None and PERSONAL_PROPERTIES.issuperset(changes.properties)
    )
    if not (personal and policy.may_keep_view(found.viewer, found.owner, collection_of(found), found.privileges)):
        raise AccessDenied("", Privilege.WRITE_PROPERTIES)


def principal_of(found: Found) -> Principal:
    """The principal that was found, or the owner of what was. Raises `NotFound`."""
    if found.owner is None:
        raise NotFound
    return found.owner


def home_of(found: Found) -> Home:
    """The home that was found. Raises `NotFound`."""
    if found.home is None:
        raise NotFound
    return found.home


def collection_of(found: Found) -> Collection:
    """The collection that was found, or in which a member was. Raises `ParentMissing`."""
    if found.collection is None:
        raise ParentMissing
    return found.collection


def member_of(found: Found) -> Object:
    """The member that was found. Raises `NotFound`."""
    if found.object is None:
        raise NotFound
    return found.object
