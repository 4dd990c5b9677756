"""Homes, collections and the objects that lie in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from server.domain.scheduling import SchedulingRole
from server.domain.values import value

HomeKind = Literal["calendar", "addressbook"]
CollectionKind = Literal["calendar", "addressbook", "inbox", "outbox", "notification"]
Rights = Literal["owner", "write", "read"]


@value
class Home:
    """The calendar or address-book home of a principal."""

    id: int
    kind: HomeKind
    principal_id: int
    revision: int
    """Latest revision given to a change in this home."""
    incarnation: int
    used_bytes: int
    """Bytes that the owner sees: objects, and the dead properties of objects, collections and the home."""
    kept_bytes: int
    """Other bytes: deleted texts with their dead properties, neutral texts, personal copies."""
    quota_bytes: int | None
    """The home's own quota; None: the default of the installation."""
    sync_floor: int
    """Oldest revision whose token of depth 1 is still valid."""
    infinite_sync_floor: int
    """Oldest revision whose token of infinite depth is still valid."""
    created_at: datetime
    modified_at: datetime
    properties: Mapping[str, str] = field(default_factory=dict)
    """Dead properties: qualified name `{ns}local` to the XML element as text."""


@value
class Collection:
    """A collection as one home shows it, by a binding."""

    home_id: int
    """The home where the members lie."""
    id: int
    name: str
    """The binding's name: the path segment, decoded."""
    kind: CollectionKind
    rights: Rights
    components: tuple[str, ...]
    """Components that a calendar takes (supported-calendar-component-set); empty: all, and for other kinds."""
    revision: int
    """Latest revision of the collection, its properties and its members: the ctag."""
    binding_revision: int
    """Latest revision of the collection as a member of the home that shows it."""
    incarnation: int
    sync_floor: int
    """Oldest revision whose token is still valid."""
    member_count: int
    used_bytes: int
    created_at: datetime
    modified_at: datetime
    binding_home_id: int
    """The home that shows it."""
    deleted_revision: int | None = None
    """Set if the binding is a tombstone; only `home_changes` returns those."""
    timezone: str | None = None
    """CALDAV:calendar-timezone as iCalendar text."""
    source: str | None = None
    """href of a subscribed collection (CS:source)."""
    properties: Mapping[str, str] = field(default_factory=dict)
    """Every other settable and dead property, in the viewer's view: `{ns}local` to the XML element as text."""
    views: bool = False
    """Whether its objects have a neutral text and views, because it is shared."""
    view: int | None = None
    """The id of the principal in whose view the members are; None: the owner's texts."""
    blocks: bool = False
    """Whether private members are shown as others see them. In a view they always are."""


@value
class Object:
    """A calendar object resource or address object resource."""

    id: int
    name: str
    uid: str
    component: str
    """VEVENT, VTODO, ... or VCARD."""
    etag: str
    """Without quotes."""
    schedule_tag: str | None
    size: int
    """Bytes of the text in UTF-8."""
    revision: int
    created_at: datetime
    modified_at: datetime
    time_key: str
    """Hash of all parts that affect time: equal keys mean equal occurrences."""
    properties: Mapping[str, str] = field(default_factory=dict)
    """Dead properties."""
    view_revision: int = 0
    """Revision of the view; 0 if the object is not in a view."""
    text: str | None = None
    """The text that the client sent; None unless it was requested."""
    role: SchedulingRole = SchedulingRole.NONE
    """What it is in scheduling to the owner of its calendar."""
    private: bool = False
    """Whether some people see a part of it at most (`server.calendar.visibility`)."""


@value
class Target:
    """The names in a path, for `Storage.resolve`. They are decoded; the owner's name is compared case-folded."""

    owner: str
    by: Literal["uid", "individual", "group", "room", "resource", "directory"]
    """`uid` for `__uids__`; otherwise the kind of the folder in the path."""
    home: HomeKind | None = None
    """None: the principal itself."""
    collection: str | None = None
    object: str | None = None


@dataclass(frozen=True, slots=True)
class NewCollection:
    """A collection to be made."""

    name: str
    kind: CollectionKind
    components: tuple[str, ...] = ()
    timezone: str | None = None
    source: str | None = None
    properties: Mapping[str, str] = field(default_factory=dict)


PERSONAL_PROPERTIES = frozenset(
    {
        "{DAV:}displayname",
        "{urn:ietf:params:xml:ns:caldav}calendar-description",
        "{urn:ietf:params:xml:ns:caldav}schedule-calendar-transp",
        "{urn:ietf:params:xml:ns:caldav}default-alarm-vevent-date",
        "{urn:ietf:params:xml:ns:caldav}default-alarm-vevent-datetime",
        "{urn:ietf:params:xml:ns:caldav}default-alarm-vtodo-date",
        "{urn:ietf:params:xml:ns:caldav}default-alarm-vtodo-datetime",
        "{http://apple.com/ns/ical/}calendar-color",
        "{http://apple.com/ns/ical/}calendar-order",
    }
)
"""Properties of a calendar that each sharee sets in a view of their own. All others are shared."""
