"""What a storage plugin must offer: values, and the protocol that services call.

A *home* belongs to a principal and is of one kind (calendars or address books). Its revision counter orders every
change of everything in it. A *binding* is the name under which a home shows a collection, a *member* is an object
resource of a collection. All methods raise the domain errors of `server.errors`; an absent or overloaded database is
`Unavailable`.

Reads are single statements. Writes are compare-and-set: they carry the state that the caller's decision was based on
and raise `WriteConflict` when it has changed since; the caller reads again and repeats. Each write is one transaction
that leaves its rows in `outbox` and `audit` and takes the home's revision last.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, runtime_checkable
from uuid import UUID

if TYPE_CHECKING:
    from server.calendar.filter_plan import UidSearch
    from server.calendar.occurrences import AlarmTrigger, Busy, Materialised, Occurrence, Timing

PrincipalKind = Literal["individual", "group", "room", "resource"]
HomeKind = Literal["calendar", "addressbook"]
CollectionKind = Literal["calendar", "addressbook", "inbox", "outbox", "notification"]
Rights = Literal["owner", "write", "read"]


@dataclass(frozen=True, slots=True)
class Principal:
    """A person, group, room or piece of equipment, always with all of its fields."""

    id: int
    """Internal key; never shown."""
    uid: str
    """The stable id in URLs (`/principals/__uids__/{uid}/`)."""
    kind: PrincipalKind
    name: str
    display_name: str
    emails: tuple[str, ...]
    roles: frozenset[str]
    disabled: bool
    credential_version: int
    """Moves when a password, an app password or the right to sign in changes."""

    @property
    def is_admin(self) -> bool:
        """Whether the principal reads and changes everything."""
        return "admin" in self.roles


@dataclass(frozen=True, slots=True)
class Home:
    """The calendar or address-book home of a principal."""

    id: int
    kind: HomeKind
    principal_id: int
    revision: int
    """Latest revision given to a change in this home."""
    incarnation: int
    used_bytes: int
    kept_bytes: int
    """Bytes that are kept beside: deleted texts, neutral texts, personal copies."""
    quota_bytes: int | None
    """A quota of its own; None where the installation's default holds."""
    sync_floor: int
    """Oldest revision whose token of depth 1 is still valid."""
    infinite_sync_floor: int
    """Oldest revision whose token of infinite depth is still valid."""
    created_at: datetime
    modified_at: datetime
    properties: Mapping[str, str] = field(default_factory=dict)
    """Dead properties: qualified name `{ns}local` to the XML element as text."""


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection as one home shows it: what is stored, seen through a binding."""

    home_id: int
    """The home where the members lie."""
    id: int
    name: str
    """The binding's name: the path segment, decoded."""
    kind: CollectionKind
    rights: Rights
    components: tuple[str, ...]
    """What a calendar takes (supported-calendar-component-set); empty for other kinds."""
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
    """Set when the binding is a tombstone (only `home_changes` gives such)."""
    timezone: str | None = None
    """CALDAV:calendar-timezone as iCalendar text."""
    source: str | None = None
    """href of a subscribed collection (CS:source)."""
    properties: Mapping[str, str] = field(default_factory=dict)
    """Every other settable and dead property, in the viewer's view: `{ns}local` to the XML element as text."""
    views: bool = False
    """Whether its objects have a neutral text and views, since it is shared."""
    view: int | None = None
    """Whose view of the members this is (a principal's id); None: the owner's, or there are none."""


@dataclass(frozen=True, slots=True)
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
    """Hash of what concerns time: equal keys mean equal occurrences."""
    properties: Mapping[str, str] = field(default_factory=dict)
    """Dead properties."""
    view_revision: int = 0
    """Latest revision of the view in which this is the object; 0 where there is none."""
    text: str | None = None
    """What the client sent; read only where asked for."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a path names, for `Storage.resolve`. Names are decoded and compared as they are, owners case-folded."""

    owner: str
    by: Literal["uid", "individual", "group", "room", "resource"]
    """`uid` for `__uids__`; else the kind whose folder the name was found under."""
    home: HomeKind | None = None
    """None: the principal itself."""
    collection: str | None = None
    object: str | None = None


DelegateRights = Literal["read", "write"]
ShareRights = Literal["write", "read", "free-busy"]
PrincipalClass = Literal["all", "authenticated", "unauthenticated", "owner"]


@dataclass(frozen=True, slots=True)
class Ace:
    """An access control entry of a collection (RFC 3744 §5.5)."""

    collection_id: int
    whom: int | PrincipalClass
    """The id of a principal, or a class of them."""
    grants: bool
    """Whether it grants or denies."""
    privileges: tuple[str, ...]
    """Qualified names, as they were set."""


@dataclass(frozen=True, slots=True)
class Grants:
    """What was granted in a home, as far as it may concern one viewer; the policy decides what follows from it.

    Of the collection that was asked for, or of all that lie in the home where that was asked for itself. Empty for the
    owner and administrators, for whom it is not read.
    """

    groups: frozenset[int] = frozenset()
    """The groups that the viewer belongs to, directly and through other groups."""
    delegates: tuple[tuple[int, DelegateRights], ...] = ()
    """Delegates of the home's owner, by id."""
    shares: tuple[tuple[int, int, ShareRights], ...] = ()
    """Collection id, principal id, rights."""
    aces: tuple[Ace, ...] = ()
    """In their order within each collection."""


NO_GRANTS = Grants()


@dataclass(frozen=True, slots=True)
class Resolution:
    """What one statement finds about a request: who asks, and what the path names. Absent things are None."""

    viewer: Principal | None
    owner: Principal | None = None
    home: Home | None = None
    collection: Collection | None = None
    object: Object | None = None
    grants: Grants = NO_GRANTS


MemberColumn = Literal[
    "name",
    "id",
    "uid",
    "component",
    "etag",
    "schedule_tag",
    "size",
    "revision",
    "deleted_revision",
    "created_at",
    "modified_at",
    "properties",
    "text",
]
"""Columns of a member row. Rows come as tuples (or what unpacks alike) in the order asked for."""

Row = Sequence[Any]


class _Columns(Protocol):
    def __getitem__(self, at: int, /) -> Any: ...


_R = TypeVar("_R", bound=_Columns)


@dataclass(frozen=True, slots=True)
class Cause:
    """Who makes a change, and from where; written to `outbox` and `audit`."""

    principal_id: int | None
    origin: str
    """`caldav`, `carddav`, `import`, `cli`, ...; a connector's own name, so that it does not hear its own writes."""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class ObjectContent:
    """What is stored of a member: the text and all that reads need of it."""

    uid: str
    component: str
    etag: str
    text: str
    size: int
    time_key: str
    schedule_tag: str | None = None
    summary: Mapping[str, str] = field(default_factory=dict)
    """What lists and search show, by name: `summary`, `location`, `organizer`, ... or `fn`, `email`, ..."""
    materialised: Materialised | None = None
    """Occurrences, alarms and zones; None leaves those that are stored alone (equal time key) or means none (cards)."""


@dataclass(frozen=True, slots=True)
class ObjectView:
    """An object as one person sees it with whom its calendar is shared."""

    principal_id: int
    etag: str
    text: str
    size: int
    personal: str
    """What is this person's own (`server.calendar.personal`)."""
    busy: tuple[Busy, ...] | None = None
    """What each component of VCALENDAR makes busy; None: the same as for the owner."""
    alarms: tuple[AlarmTrigger, ...] = ()


@dataclass(frozen=True, slots=True)
class Views:
    """An object as others than the owner see it."""

    neutral_etag: str
    neutral_text: str | None
    """For those without a view; None: the object's own text."""
    neutral_busy: tuple[Busy, ...] | None
    """As `ObjectView.busy`."""
    views: tuple[ObjectView, ...] = ()
    based_on: tuple[int, int] = (0, 0)
    """How many views there were, and their latest revision."""


@dataclass(frozen=True, slots=True)
class SharedObject:
    """What is stored of an object in a calendar with views."""

    id: int
    revision: int
    text: str
    """The owner's."""
    neutral_text: str | None
    """What sharees without a view see; None: the owner's text."""
    personal: Mapping[int, str]
    """The personal parts of those who have views, by principal."""
    views_revision: int
    """The latest revision of a view; 0 where there is none."""
    owner: frozenset[str] = frozenset()
    """The addresses of the calendar's owner, by `server.calendar.attendance.address_keys`."""

    @property
    def neutral(self) -> str:
        """The text without anybody's personal parts."""
        return self.text if self.neutral_text is None else self.neutral_text

    @property
    def state(self) -> tuple[int, int]:
        """`Views.based_on` for a write that was decided by this."""
        return len(self.personal), self.views_revision


@dataclass(frozen=True, slots=True)
class ObjectState:
    """The state of a name that a write is based on; `None` in its place says that the name is free."""

    id: int
    revision: int


@dataclass(frozen=True, slots=True)
class Unchanged:
    """A state that a write rests on beside its target: the write fails if it has changed since it was read."""

    home_id: int
    collection_id: int | None
    """None: the home itself."""
    revision: int
    """As read, in the viewer's view."""
    viewer: int
    """The id of the principal who read it."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a write of a member leaves."""

    revision: int
    id: int
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class NewCollection:
    """A collection to be made."""

    name: str
    kind: CollectionKind
    components: tuple[str, ...] = ()
    timezone: str | None = None
    source: str | None = None
    properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PropertyChanges:
    """Changes of a resource's properties: values to set, None to remove. Applied as a whole."""

    properties: Mapping[str, str | None] = field(default_factory=dict)
    timezone: str | None = None
    """New calendar-timezone; an empty string removes it; None leaves it."""
    source: str | None = None
    """As `timezone`."""


@dataclass(frozen=True, slots=True)
class WriteLimits:
    """Limits that only the transaction itself can hold."""

    quota_bytes: int
    """For homes without a quota of their own."""
    max_members: int
    max_collections: int


@dataclass(frozen=True, slots=True)
class Change:
    """What a worker hears after a commit, within 100 ms."""

    home_id: int
    collection_id: int | None
    revision: int


@dataclass(frozen=True, slots=True)
class BusyTimes:
    """When a calendar's objects are busy: type, start and end of each stretch."""

    merged: Sequence[tuple[Busy, datetime, datetime]]
    """Of timed occurrences, those of one type put together; may reach out of the window."""
    floating: Sequence[tuple[Busy, datetime, datetime]]
    """Of floating times and dates: where they would lie in UTC."""
    unexpanded: Sequence[int]
    """Ids of objects whose stored occurrences do not cover the window."""


@dataclass(frozen=True, slots=True)
class Overlapping:
    """Which objects of a calendar overlap a window (RFC 4791 §9.9)."""

    objects: Sequence[int]
    """Ids of those with a timed occurrence that does."""
    floating: Sequence[tuple[int, Occurrence]]
    """Floating times and dates that do in some zone, by the id of their object; all but their times is not told."""
    unexpanded: Sequence[int]
    """Ids of objects whose stored occurrences do not cover the window."""


@dataclass(frozen=True, slots=True)
class StoredRecurrence:
    """The recurrence of an object of which not all occurrences are stored."""

    object_id: int
    recurrence: str
    """As `server.calendar.stored_recurrence` writes it."""
    busy: tuple[Busy, ...] | None = None
    """What each component of VCALENDAR makes busy for the viewer; None: what the recurrence says."""


@dataclass(frozen=True, slots=True)
class Timings:
    """When the objects of a calendar occur in a window (RFC 4791 §9.9)."""

    timed: Sequence[tuple[int, Timing]]
    """Those that overlap it, by the id of their object; in no order."""
    floating: Sequence[tuple[int, Occurrence]]
    """Floating times and dates that do in some zone; their busy type is not told."""
    unexpanded: Sequence[int]
    """Ids of objects whose stored occurrences do not cover the window."""


ANYTHING = Change(0, None, 0)
"""What a worker hears when it may have missed changes: the database was away, or there were too many to tell."""

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
"""What others than the owner of a calendar set in a view of their own; everything else they share."""


MAX_TIMINGS = 100_000
"""Occurrences in a window that are held at once; of a calendar with more, the objects are expanded page by page."""
TEXT_PAGE = 2 * 1024 * 1024
"""Bytes of texts that fill a page: what one statement reads is less than this and one text."""


def with_texts(rows: Sequence[_R], at: int) -> Sequence[_R]:
    """The rows of a page before the first whose text (at this place) was left out, with which the next page begins."""
    left_out = next((number for number, row in enumerate(rows) if row[at] is None), None)
    return rows if left_out is None else rows[:left_out]


@runtime_checkable
class Storage(Protocol):
    """What services need of a database."""

    # reading

    async def resolve(self, viewer: int | None, target: Target | None, *, text: bool = False) -> Resolution:
        """Who asks (principal id `viewer`) and what `target` names, in one statement."""

    async def seen_by(self, found: Resolution, sharee: int, *, text: bool = False) -> Resolution:
        """What `resolve` found in the home of a calendar's owner, in the view of somebody it is shared with."""

    async def installation(self) -> UUID:
        """The id of this installation's data, from which resource ids are made."""

    async def collections(self, home: Home, viewer: int) -> list[Collection]:
        """The collections that a home shows, by name, in the viewer's view; one statement."""

    async def home_changes(self, home: Home, viewer: int, after: int) -> tuple[Home, list[Collection]]:
        """The home as it is now, and its collections that changed after a revision, tombstones included, by binding
        revision; in one snapshot, so that the home's revision and floors are those of a sync token for the list.

        Raises `NotFound` when the home is gone.
        """

    async def members(
        self,
        collection: Collection,
        columns: Sequence[MemberColumn],
        *,
        after: str | None,
        limit: int,
        components: Sequence[str] | None = None,
    ) -> Sequence[Row]:
        """A page of the members in order of names (by code points), those behind the name `after`.

        `components`: only members of these component types; None: all. Of this and of the other reads of members: a
        `text` is None where the texts before it fill the page (`TEXT_PAGE`); `server.services.text_pages` asks for it
        again.
        """

    async def members_named(
        self, members: Sequence[tuple[Collection, str]], columns: Sequence[MemberColumn]
    ) -> Mapping[tuple[int, str], Row]:
        """The members of those names that exist, by (collection id, name); one statement for any number of them."""

    async def members_changed(
        self, collection: Collection, columns: Sequence[MemberColumn], *, after: int, up_to: int, limit: int
    ) -> Sequence[Row]:
        """Members with `after` < revision <= `up_to`, tombstones included, by revision."""

    async def timings(
        self, collection: Collection, window: tuple[datetime, datetime], floating: tuple[datetime, datetime]
    ) -> Timings | None:
        """When the objects of a calendar occur in `window`; floating times are looked for in `floating`.

        None for more than `MAX_TIMINGS`.
        """

    async def overlapping(
        self, collection: Collection, window: tuple[datetime, datetime], floating: tuple[datetime, datetime]
    ) -> Overlapping:
        """Which objects of a calendar overlap `window`; floating times are looked for in `floating`."""

    async def ringing(self, collection: Collection, window: tuple[datetime, datetime]) -> Sequence[int]:
        """Ids of the objects of a calendar that may have an alarm that rings in a window; all others have none.

        In the viewer's view: their own alarms.
        """

    async def busy_times(
        self, collection: Collection, window: tuple[datetime, datetime], floating: tuple[datetime, datetime]
    ) -> BusyTimes:
        """When the objects of a calendar are busy in `window`; floating times are looked for in `floating`."""

    async def recurrences(
        self, collection: Collection, ids: Sequence[int], *, components: Sequence[str] | None = None
    ) -> Sequence[StoredRecurrence]:
        """The recurrences of the objects with these ids, except those without one and those with a very long one.

        `components`: only objects of these component types; None: all.
        """

    async def owner_addresses(self, home_id: int) -> frozenset[str]:
        """The calendar user addresses of a home's owner, by `server.calendar.attendance.address_keys`."""

    async def members_by_id(
        self,
        collection: Collection,
        ids: Sequence[int],
        columns: Sequence[MemberColumn],
        *,
        components: Sequence[str] | None = None,
    ) -> Sequence[Row]:
        """The members with these ids that still exist, in order of names; `components` as in `members`."""

    async def members_of_component(
        self, collection: Collection, component: str, columns: Sequence[MemberColumn]
    ) -> Sequence[Row]:
        """All members that hold a component of a rare type, in order of names."""

    async def uids(self, collection: Collection, search: UidSearch | None) -> Sequence[Row]:
        """Id and UID of the members whose UID a search finds; None: of all members."""

    async def uid_holder(self, collection: Collection, uid: str) -> str | None:
        """The name of the member that has this UID."""

    # writing members; each raises `WriteConflict` if one of the states in `unchanged` has changed

    async def put_object(
        self,
        collection: Collection,
        name: str,
        content: ObjectContent,
        expected: ObjectState | None,
        limits: WriteLimits,
        cause: Cause,
        views: Views | None = None,
        *,
        unchanged: Sequence[Unchanged] = (),
    ) -> Written:
        """Create or replace a member; creates nothing when any of it fails. `views` for calendars that have them.

        Raises `WriteConflict` (name, collection or home is no longer as expected), `UidConflict`, `QuotaExceeded`,
        `TooManyMembers`, `NotFound` (the collection is gone).
        """

    async def shared_object(self, collection: Collection, object_id: int) -> SharedObject | None:
        """What is stored of an object in a calendar with views."""

    async def put_view(
        self,
        collection: Collection,
        name: str,
        view: ObjectView,
        expected: ObjectState,
        view_revision: int,
        limits: WriteLimits,
        cause: Cause,
        *,
        unchanged: Sequence[Unchanged] = (),
    ) -> Written:
        """Set what one person sees of a member, which stays as it is; `view_revision` is that of the view until now.

        Only this person's home and collection get a new revision. Raises `WriteConflict`, `NotFound`, `QuotaExceeded`.
        """

    async def delete_object(
        self,
        collection: Collection,
        name: str,
        expected: ObjectState,
        cause: Cause,
        *,
        unchanged: Sequence[Unchanged] = (),
    ) -> int:
        """Make a member a tombstone; gives the revision. What it held can be restored for a while."""

    async def move_object(
        self,
        source: Collection,
        source_name: str,
        source_state: ObjectState,
        destination: Collection,
        name: str,
        expected: ObjectState | None,
        limits: WriteLimits,
        cause: Cause,
        *,
        unchanged: Sequence[Unchanged] = (),
    ) -> Written:
        """Move a member, which keeps its id and dead properties; may replace what has the name."""

    async def copy_object(
        self,
        source: Collection,
        source_name: str,
        source_state: ObjectState,
        destination: Collection,
        name: str,
        expected: ObjectState | None,
        limits: WriteLimits,
        cause: Cause,
        *,
        unchanged: Sequence[Unchanged] = (),
    ) -> Written:
        """Copy a member with its dead properties and occurrences; may replace what has the name."""

    async def transfer_text(
        self,
        source: Collection,
        source_name: str,
        source_state: ObjectState,
        destination: Collection,
        name: str,
        content: ObjectContent,
        expected: ObjectState | None,
        properties: Mapping[str, str],
        limits: WriteLimits,
        cause: Cause,
        views: Views | None,
        *,
        keep: bool,
        unchanged: Sequence[Unchanged] = (),
    ) -> Written:
        """Put what was read of a member into another collection, and unless `keep` delete it, in one transaction.

        For calendars with views, where a text is another one for everybody. Raises what `put_object` raises.
        """

    async def set_object_properties(
        self,
        collection: Collection,
        name: str,
        state: ObjectState,
        changes: PropertyChanges,
        cause: Cause,
        *,
        unchanged: Sequence[Unchanged] = (),
    ) -> int:
        """Set dead properties of a member; the ETag stays, the revision moves."""

    # writing collections; each raises `WriteConflict` if one of the states in `unchanged` has changed

    async def create_collection(
        self, home: Home, new: NewCollection, limits: WriteLimits, cause: Cause, *, unchanged: Sequence[Unchanged] = ()
    ) -> Collection:
        """Make a collection. Raises `AlreadyExists`, `TooManyCollections`. An old name's infinite tokens end."""

    async def set_collection_properties(
        self,
        home: Home,
        collection: Collection,
        changes: PropertyChanges,
        viewer: int,
        cause: Cause,
        *,
        unchanged: Sequence[Unchanged] = (),
    ) -> int:
        """Set properties, in the viewer's view of another's collection; gives the revision."""

    async def set_home_properties(
        self, home: Home, changes: PropertyChanges, cause: Cause, *, unchanged: Sequence[Unchanged] = ()
    ) -> int:
        """Set dead properties of a home; gives the revision."""

    async def delete_collection(
        self,
        home: Home,
        collection: Collection,
        cause: Cause,
        *,
        replacement: NewCollection | None = None,
        unchanged: Sequence[Unchanged] = (),
    ) -> int:
        """Unbind a collection (its members can be restored for a while), with `replacement` in the same transaction."""

    async def move_collection(
        self,
        home: Home,
        collection: Collection,
        name: str,
        replaced: Collection | None,
        cause: Cause,
        *,
        unchanged: Sequence[Unchanged] = (),
    ) -> int:
        """Give a collection another name in its home; `replaced` is deleted in the same transaction."""

    async def copy_collection(
        self,
        home: Home,
        collection: Collection,
        name: str,
        replaced: Collection | None,
        limits: WriteLimits,
        cause: Cause,
        *,
        with_members: bool,
        unchanged: Sequence[Unchanged] = (),
    ) -> int:
        """Copy a collection under another name of its home; `replaced` is deleted in the same transaction.

        Raises `QuotaExceeded`, `TooManyCollections`.
        """

    # hearing

    def subscribe(self, listener: Callable[[Change], Awaitable[None] | None]) -> Callable[[], None]:
        """Hear of the commits of all workers; gives a function that ends the subscription."""

    async def ready(self) -> bool:
        """Whether the database answers and the schema is this version's."""
