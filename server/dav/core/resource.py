"""Resources: what a request's path names, with what storage knows of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from server.dav.core.paths import HOME_TREES, KIND_FOLDERS, Path
from server.domain.errors import NotFound
from server.domain.grants import DelegateRights
from server.domain.objects import Collection, Home, Object
from server.domain.principals import Principal
from server.domain.privileges import Privilege
from server.http.paths import encode
from server.services.lookup import Found


class Kind(StrEnum):
    """What a resource is; properties, reports and methods name the kinds that they apply to."""

    ROOT = "root"
    PRINCIPALS = "principals"
    """`/principals/` and the folders below it."""
    PRINCIPAL = "principal"
    READ_DELEGATES = "read-delegates"
    """The group of those who may read what is a principal's; a child of the principal."""
    WRITE_DELEGATES = "write-delegates"
    HOMES = "homes"
    """`/calendars/`, `/addressbooks/` and the folders below them."""
    CALENDAR_HOME = "calendar-home"
    ADDRESSBOOK_HOME = "addressbook-home"
    CALENDAR = "calendar"
    ADDRESSBOOK = "addressbook"
    INBOX = "inbox"
    OUTBOX = "outbox"
    NOTIFICATIONS = "notifications"
    CALENDAR_OBJECT = "calendar-object"
    ADDRESS_OBJECT = "address-object"
    NOTIFICATION = "notification"


EVERY = frozenset(Kind)
DELEGATES = frozenset({Kind.READ_DELEGATES, Kind.WRITE_DELEGATES})
PRINCIPALS = DELEGATES | {Kind.PRINCIPAL}
"""A principal, and the groups of its delegates."""
HOMES = frozenset({Kind.CALENDAR_HOME, Kind.ADDRESSBOOK_HOME})
COLLECTIONS = frozenset({Kind.CALENDAR, Kind.ADDRESSBOOK, Kind.INBOX, Kind.OUTBOX, Kind.NOTIFICATIONS})
"""Collections that a home shows."""
OBJECTS = frozenset({Kind.CALENDAR_OBJECT, Kind.ADDRESS_OBJECT, Kind.NOTIFICATION})
"""Members of such collections."""
OWNED = HOMES | COLLECTIONS | OBJECTS
"""What lies in somebody's home."""
CONTAINERS = EVERY - OBJECTS
"""Everything that is a WebDAV collection."""

_COLLECTION_KINDS = {
    "calendar": Kind.CALENDAR,
    "addressbook": Kind.ADDRESSBOOK,
    "inbox": Kind.INBOX,
    "outbox": Kind.OUTBOX,
    "notification": Kind.NOTIFICATIONS,
}
_PRIVILEGES_ON_PARENT = frozenset({Privilege.BIND, Privilege.UNBIND})
DELEGATE_NAMES = {Kind.READ_DELEGATES: "calendar-proxy-read", Kind.WRITE_DELEGATES: "calendar-proxy-write"}
"""The last segment of their URLs."""
_MEMBER_KINDS = {
    Kind.CALENDAR: Kind.CALENDAR_OBJECT,
    Kind.INBOX: Kind.CALENDAR_OBJECT,
    Kind.OUTBOX: Kind.CALENDAR_OBJECT,
    Kind.ADDRESSBOOK: Kind.ADDRESS_OBJECT,
    Kind.NOTIFICATIONS: Kind.NOTIFICATION,
}


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource that exists."""

    kind: Kind
    href: str
    """Its URL's path in the form asked in; ends with a slash for everything but members of collections."""
    found: Found
    """What `Lookup.find` found, or what lies in what it found."""
    by_uid: bool = True
    """Whether the href is of the `__uids__` form; hrefs of related resources follow it."""
    owner: Principal | None = None
    home: Home | None = None
    collection: Collection | None = None
    object: Object | None = None

    @property
    def name(self) -> str:
        """The last segment, decoded."""
        if self.object is not None:
            return self.object.name
        if self.collection is not None:
            return self.collection.name
        return self.href.rstrip("/").rpartition("/")[2]


def member_kind(kind: Kind) -> Kind:
    """The kind of the members of a collection."""
    return _MEMBER_KINDS[kind]


def home_kind(home: Home) -> Kind:
    """The kind of a home."""
    return Kind.CALENDAR_HOME if home.kind == "calendar" else Kind.ADDRESSBOOK_HOME


def resource_at(path: Path, found: Found) -> Resource:
    """The resource that a path names. Raises `NotFound`."""
    segments = path.segments
    slashed = path.href if path.href == "/" else path.href + "/"
    depth = len(segments)
    if depth == 0:
        return Resource(Kind.ROOT, "/", found)
    tree = segments[0]
    if depth < 3:
        if tree not in ("principals", "calendars", "addressbooks"):
            raise NotFound
        if depth == 2 and segments[1] not in ("__uids__", *KIND_FOLDERS.values()):
            raise NotFound
        if depth == 2 and tree == "addressbooks" and segments[1] not in ("__uids__", "users"):
            raise NotFound
        kind = Kind.PRINCIPALS if tree == "principals" else Kind.HOMES
        return Resource(kind, slashed, found, segments[-1] == "__uids__")
    owner, home, collection = found.owner, found.home, found.collection
    by_uid = segments[1] == "__uids__"
    if owner is None:
        raise NotFound
    if tree == "principals":
        principal = Resource(Kind.PRINCIPAL, principal_href(owner, by_uid), found, by_uid, owner)
        if depth == 3:
            return principal
        for child in delegates_of(principal):
            if depth == 4 and child.name == segments[3]:
                return child
        raise NotFound
    if home is None:
        raise NotFound
    if depth > 5:
        raise NotFound
    if depth == 3:
        return home_of(owner, home, found, by_uid)
    if collection is None:
        raise NotFound
    kind = _COLLECTION_KINDS[collection.kind]
    if depth == 4 or path.add_member:
        href = home_href(owner, home.kind, by_uid) + encode(collection.name) + "/"
        return Resource(kind, href, found, by_uid, owner, home, collection)
    if found.object is None:
        raise NotFound
    href = f"{home_href(owner, home.kind, by_uid)}{encode(collection.name)}/{encode(found.object.name)}"
    return Resource(_MEMBER_KINDS[kind], href, found, by_uid, owner, home, collection, found.object)


def home_of(owner: Principal, home: Home, found: Found, by_uid: bool) -> Resource:
    """The home that was found."""
    href = home_href(owner, home.kind, by_uid)
    return Resource(home_kind(home), href, found, by_uid, owner, home)


def collection_in(path: Path, found: Found) -> Resource | None:
    """The collection that a path to a member leads through, whether it has that member or not."""
    owner, home, collection = found.owner, found.home, found.collection
    if owner is None or home is None or collection is None:
        return None
    by_uid = path.segments[1] == "__uids__"
    href = home_href(owner, home.kind, by_uid) + encode(collection.name) + "/"
    kind = _COLLECTION_KINDS[collection.kind]
    holder = found if found.target is None or found.target.object is None else found.holder()
    return Resource(kind, href, holder, by_uid, owner, home, collection)


def parent_of(resource: Resource) -> Resource:
    """The collection that a member lies in, the home of a collection; anything else itself."""
    if resource.object is not None:
        assert resource.collection is not None
        href = resource.href[: resource.href.rindex("/") + 1]
        return replace(
            resource,
            kind=_COLLECTION_KINDS[resource.collection.kind],
            href=href,
            object=None,
            found=resource.found.holder(),
        )
    if resource.collection is not None:
        assert resource.home is not None
        href = resource.href[: resource.href.rindex("/", 0, -1) + 1]
        return replace(
            resource, kind=home_kind(resource.home), href=href, collection=None, found=resource.found.holder()
        )
    return resource


def lacking(path: Path, privilege: Privilege) -> str:
    """The URL of the resource on which a request at a path needs a privilege (RFC 3744, Appendix B)."""
    on_parent = privilege in _PRIVILEGES_ON_PARENT and len(path.segments) > 3
    return path.parent().url if on_parent else path.url


def delegates_of(principal: Resource) -> list[Resource]:
    """The groups of delegates of a principal that has a home."""
    if principal.owner is None or principal.owner.kind == "group":
        return []
    return [replace(principal, kind=kind, href=f"{principal.href}{name}/") for kind, name in DELEGATE_NAMES.items()]


def collection_of(home: Resource, found: Found) -> Resource:
    """A collection that was found in a home, as a child of the home's resource."""
    return collection_at(home.href + encode(found.name) + "/", found, home.by_uid)


def collection_at(href: str, found: Found, by_uid: bool) -> Resource:
    """The collection that was found, under its URL."""
    collection = found.collection
    assert collection is not None
    return Resource(_COLLECTION_KINDS[collection.kind], href, found, by_uid, found.owner, found.home, collection)


def principal_href(principal: Principal, by_uid: bool = True) -> str:
    """The principal's URL; by its stable id unless the other form is asked for."""
    if by_uid:
        return f"/principals/__uids__/{encode(principal.uid)}/"
    return f"/principals/{KIND_FOLDERS[principal.kind]}/{encode(principal.name)}/"


def delegates_href(principal: Principal, rights: DelegateRights, by_uid: bool = True) -> str:
    """The URL of the group of a principal's delegates."""
    kind = Kind.READ_DELEGATES if rights == "read" else Kind.WRITE_DELEGATES
    return f"{principal_href(principal, by_uid)}{DELEGATE_NAMES[kind]}/"


def home_href(principal: Principal, kind: str, by_uid: bool = True) -> str:
    """The URL of a principal's calendar or address-book home."""
    tree = HOME_TREES["calendar" if kind == "calendar" else "addressbook"]
    if by_uid:
        return f"/{tree}/__uids__/{encode(principal.uid)}/"
    return f"/{tree}/{KIND_FOLDERS[principal.kind]}/{encode(principal.name)}/"
