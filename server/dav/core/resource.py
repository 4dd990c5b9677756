"""Resources: what a request's path names, with what storage knows of it."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import Generic, TypeVar, final

from server.dav.core.paths import HOME_TREES, KIND_FOLDERS, Path
from server.domain.errors import NotFound
from server.domain.grants import DelegateRights
from server.domain.objects import Collection, Home, Object
from server.domain.principals import Principal
from server.domain.privileges import Privilege
from server.domain.values import value
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


@value
class Resource:
    """A resource that exists. Of this type itself are those above principals and homes, which are always there."""

    kind: Kind
    href: str
    """Its URL's path in the form asked in; ends with a slash for everything but members of collections."""
    found: Found
    """What `Lookup.find` found, or what lies in what it found."""
    by_uid: bool
    """Whether the href is of the `__uids__` form; hrefs of related resources follow it."""

    @property
    def name(self) -> str:
        """The last segment, decoded."""
        return self.href.rstrip("/").rpartition("/")[2]


@value
class Owned(Resource):
    """A principal, or what is a principal's."""

    owner: Principal


@value
class InHome(Owned):
    """A home, or what lies in one."""

    home: Home


@value
class InCollection(InHome):
    """A collection that a home shows, or a member of it."""

    collection: Collection


@final
@value
class PrincipalResource(Owned):
    """A principal, or a group of its delegates."""


@final
@value
class HomeResource(InHome):
    """A home."""


@final
@value
class CollectionResource(InCollection):
    """A collection that a home shows."""

    @property
    def name(self) -> str:
        """The last segment, decoded."""
        return self.collection.name


@final
@value
class MemberResource(InCollection):
    """A member of a collection."""

    object: Object

    @property
    def name(self) -> str:
        """The last segment, decoded."""
        return self.object.name


TYPES: dict[Kind, type[Resource]] = {
    Kind.ROOT: Resource,
    Kind.PRINCIPALS: Resource,
    Kind.HOMES: Resource,
    Kind.PRINCIPAL: PrincipalResource,
    **dict.fromkeys(DELEGATE_NAMES, PrincipalResource),
    Kind.CALENDAR_HOME: HomeResource,
    Kind.ADDRESSBOOK_HOME: HomeResource,
    **dict.fromkeys(_COLLECTION_KINDS.values(), CollectionResource),
    **dict.fromkeys(_MEMBER_KINDS.values(), MemberResource),
}
"""The type of the resources of each kind."""

T_co = TypeVar("T_co", bound=Resource, covariant=True)


class Kinds(frozenset[Kind], Generic[T_co]):
    """Kinds of resources that all have one type, so that what is registered for them can rely on it."""

    @classmethod
    def of(cls, type_: type[T_co], *kinds: Kind) -> Kinds[T_co]:
        """These kinds. Raises `TypeError` for one whose resources are of another type."""
        for kind in kinds:
            if not issubclass(TYPES[kind], type_):
                raise TypeError(f"Resources of the kind {kind} are no {type_.__name__}.")
        return cls(kinds)


EVERY = Kinds.of(Resource, *Kind)
PRINCIPAL = Kinds.of(PrincipalResource, Kind.PRINCIPAL)
DELEGATES = Kinds.of(PrincipalResource, *DELEGATE_NAMES)
PRINCIPALS = Kinds.of(PrincipalResource, *PRINCIPAL, *DELEGATES)
"""A principal, and the groups of its delegates."""
HOMES = Kinds.of(HomeResource, Kind.CALENDAR_HOME, Kind.ADDRESSBOOK_HOME)
CALENDAR = Kinds.of(CollectionResource, Kind.CALENDAR)
ADDRESSBOOK = Kinds.of(CollectionResource, Kind.ADDRESSBOOK)
INBOX = Kinds.of(CollectionResource, Kind.INBOX)
MADE = Kinds.of(CollectionResource, *CALENDAR, *ADDRESSBOOK)
"""Collections that people make, and put members into."""
COLLECTIONS = Kinds.of(CollectionResource, *_COLLECTION_KINDS.values())
"""Collections that a home shows."""
HOMES_AND_COLLECTIONS: Kinds[HomeResource | CollectionResource] = Kinds((*HOMES, *COLLECTIONS))
OBJECTS = Kinds.of(MemberResource, *_MEMBER_KINDS.values())
"""Members of such collections."""
OWNED = Kinds.of(InHome, *HOMES, *COLLECTIONS, *OBJECTS)
"""What lies in somebody's home."""
CONTAINERS = Kinds.of(Resource, *(EVERY - OBJECTS))
"""Everything that is a WebDAV collection."""


def member_kind(kind: Kind) -> Kind:
    """The kind of the members of a collection."""
    return _MEMBER_KINDS[kind]


def home_kind(home: Home) -> Kind:
    """The kind of a home."""
    return Kind.CALENDAR_HOME if home.kind == "calendar" else Kind.ADDRESSBOOK_HOME


def resource_at(path: Path, found: Found) -> Resource:
    """The resource that a path names. Raises `NotFound`."""
    segments = path.segments
    depth = len(segments)
    if depth < 3:
        return _fixed(path, found)
    owner, by_uid = found.owner, segments[1] == "__uids__"
    if owner is None:
        raise NotFound
    if segments[0] == "principals":
        principal = PrincipalResource(Kind.PRINCIPAL, principal_href(owner, by_uid), found, by_uid, owner)
        if depth == 3:
            return principal
        for child in delegates_of(principal):
            if depth == 4 and child.name == segments[3]:
                return child
        raise NotFound
    if found.home is None or depth > 5:
        raise NotFound
    home = home_href(owner, found.home.kind, by_uid)
    if depth == 3:
        return home_at(home, found, by_uid)
    if depth == 4 or path.add_member:
        return collection_at(_below(home, found), found, by_uid)
    return member_at(_below(home, found), found, by_uid)


def _fixed(path: Path, found: Found) -> Resource:
    """A resource above principals and homes. Raises `NotFound`."""
    segments = path.segments
    if not segments:
        return Resource(Kind.ROOT, "/", found, True)
    tree = segments[0]
    if tree not in ("principals", "calendars", "addressbooks"):
        raise NotFound
    if len(segments) == 2:
        folders = KIND_FOLDERS.values() if tree != "addressbooks" else ("users",)
        if segments[1] != "__uids__" and segments[1] not in folders:
            raise NotFound
    kind = Kind.PRINCIPALS if tree == "principals" else Kind.HOMES
    return Resource(kind, path.href + "/", found, segments[-1] == "__uids__")


def _below(home: str, found: Found) -> str:
    """The URL of the collection that was found, in its home."""
    return "" if found.collection is None else home + encode(found.collection.name) + "/"


def home_at(href: str, found: Found, by_uid: bool) -> HomeResource:
    """The home that was found, under its URL. Raises `NotFound`."""
    if found.owner is None or found.home is None:
        raise NotFound
    return HomeResource(home_kind(found.home), href, found, by_uid, found.owner, found.home)


def collection_at(href: str, found: Found, by_uid: bool) -> CollectionResource:
    """The collection that was found, under its URL. Raises `NotFound`."""
    owner, home, collection = found.owner, found.home, found.collection
    if owner is None or home is None or collection is None:
        raise NotFound
    return CollectionResource(_COLLECTION_KINDS[collection.kind], href, found, by_uid, owner, home, collection)


def member_at(holder: str, found: Found, by_uid: bool) -> MemberResource:
    """The member that was found, by the URL of its collection. Raises `NotFound`."""
    owner, home, collection, member = found.owner, found.home, found.collection, found.object
    if owner is None or home is None or collection is None or member is None:
        raise NotFound
    kind = _MEMBER_KINDS[_COLLECTION_KINDS[collection.kind]]
    return MemberResource(kind, holder + encode(member.name), found, by_uid, owner, home, collection, member)


def collection_in(path: Path, found: Found) -> CollectionResource:
    """The collection that a path to a member leads through, whether it has that member or not. Raises `NotFound`."""
    if found.owner is None or found.home is None:
        raise NotFound
    by_uid = path.segments[1] == "__uids__"
    href = _below(home_href(found.owner, found.home.kind, by_uid), found)
    holder = found if found.target is None or found.target.object is None else found.holder()
    return collection_at(href, holder, by_uid)


def holder_of(member: InCollection) -> CollectionResource:
    """The collection that a member lies in; a collection itself."""
    if isinstance(member, CollectionResource):
        return member
    return collection_at(member.href[: member.href.rindex("/") + 1], member.found.holder(), member.by_uid)


def parent_of(resource: Resource) -> Resource:
    """The collection that a member lies in, the home of a collection; anything else itself."""
    if isinstance(resource, MemberResource):
        return holder_of(resource)
    if isinstance(resource, CollectionResource):
        href = resource.href[: resource.href.rindex("/", 0, -1) + 1]
        return home_at(href, resource.found.holder(), resource.by_uid)
    return resource


def lacking(path: Path, privilege: Privilege) -> str:
    """The URL of the resource on which a request at a path needs a privilege (RFC 3744, Appendix B)."""
    on_parent = privilege in _PRIVILEGES_ON_PARENT and len(path.segments) > 3
    return path.parent().url if on_parent else path.url


def delegates_of(principal: PrincipalResource) -> list[PrincipalResource]:
    """The groups of delegates of a principal that has a home."""
    if principal.owner.kind in ("group", "directory"):
        return []
    return [replace(principal, kind=kind, href=f"{principal.href}{name}/") for kind, name in DELEGATE_NAMES.items()]


def collection_of(home: HomeResource, found: Found) -> CollectionResource:
    """A collection that was found in a home, as a child of the home's resource."""
    return collection_at(home.href + encode(found.name) + "/", found, home.by_uid)


def _folder(principal: Principal) -> str:
    """The folder of principals and homes by name; the directory, whose name is its id, has none."""
    return KIND_FOLDERS.get(principal.kind, "__uids__")


def principal_href(principal: Principal, by_uid: bool = True) -> str:
    """The principal's URL; by its stable id unless the other form is asked for."""
    if by_uid:
        return f"/principals/__uids__/{encode(principal.uid)}/"
    return f"/principals/{KIND_FOLDERS.get(principal.kind, '__uids__')}/{encode(principal.name)}/"


def delegates_href(principal: Principal, rights: DelegateRights, by_uid: bool = True) -> str:
    """The URL of the group of a principal's delegates."""
    kind = Kind.READ_DELEGATES if rights == "read" else Kind.WRITE_DELEGATES
    return f"{principal_href(principal, by_uid)}{DELEGATE_NAMES[kind]}/"


def home_href(principal: Principal, kind: str, by_uid: bool = True) -> str:
    """The URL of a principal's calendar or address-book home."""
    tree = HOME_TREES["calendar" if kind == "calendar" else "addressbook"]
    if by_uid:
        return f"/{tree}/__uids__/{encode(principal.uid)}/"
    return f"/{tree}/{KIND_FOLDERS.get(principal.kind, '__uids__')}/{encode(principal.name)}/"
