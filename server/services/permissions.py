"""The privileges that an actor needs to read and to change found resources."""

from __future__ import annotations

from server.auth import policy
from server.domain.changes import PropertyChanges
from server.domain.errors import AccessDenied, NotFound, ParentMissing
from server.domain.objects import PERSONAL_PROPERTIES, Collection, Home, Object
from server.domain.principals import Principal
from server.domain.privileges import Privilege
from server.services.lookup import Found


def readable(found: Found, need: Privilege = Privilege.READ) -> Collection:
    """The found collection. Raises `AccessDenied` if the actor lacks `need` on it, and `ParentMissing`."""
    found.require(need)
    return collection_of(found)


def takes_members(collection: Collection) -> bool:
    """Whether clients may put members into a collection: calendars and address books, except subscriptions."""
    return collection.kind in ("calendar", "addressbook") and collection.source is None


def demand_writable(found: Found) -> bool:
    """Whether a put at the found name may change personal parts only.

    Raises `AccessDenied` if the actor may put nothing there.
    """
    collection = collection_of(found)
    need = Privilege.BIND if found.object is None else Privilege.WRITE_CONTENT
    if not takes_members(collection):
        raise AccessDenied("", need)
    if (
        found.object is not None
        and not found.sees_part
        and need not in found.privileges
        and policy.may_keep_own_parts(found.viewer, found.owner, collection, found.grants)
    ):
        return True
    found.require(need)
    return False


def demand_receivable(target: Found, *, keep: bool) -> None:
    """Raises `AccessDenied` if the actor may not copy (`keep`) or move a member to the found name."""
    if not takes_members(collection_of(target)):
        raise AccessDenied("", Privilege.BIND)
    if target.object is None:
        target.require(Privilege.BIND)
    elif keep:
        target.require(Privilege.WRITE_CONTENT, Privilege.WRITE_PROPERTIES)
    else:
        target.require(Privilege.BIND, Privilege.UNBIND)


def demand_properties(found: Found, changes: PropertyChanges) -> None:
    """Raises `AccessDenied` if the actor may not set these properties of the found collection.

    Readers of another person's collection may set personal properties in their own view.
    """
    if Privilege.WRITE_PROPERTIES in found.privileges:
        return
    personal = (
        changes.timezone is None and changes.source is None and PERSONAL_PROPERTIES.issuperset(changes.properties)
    )
    if not (personal and policy.may_keep_view(found.viewer, found.owner, collection_of(found), found.privileges)):
        raise AccessDenied("", Privilege.WRITE_PROPERTIES)


def principal_of(found: Found) -> Principal:
    """The found principal, or the owner of the found resource. Raises `NotFound`."""
    if found.owner is None:
        raise NotFound
    return found.owner


def home_of(found: Found) -> Home:
    """The home that was found. Raises `NotFound`."""
    if found.home is None:
        raise NotFound
    return found.home


def collection_of(found: Found) -> Collection:
    """The found collection, or that of the found member. Raises `ParentMissing`."""
    if found.collection is None:
        raise ParentMissing
    return found.collection


def member_of(found: Found) -> Object:
    """The member that was found. Raises `NotFound`."""
    if found.object is None:
        raise NotFound
    return found.object
