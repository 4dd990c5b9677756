"""What is stored: rows as frozen values in dictionaries, so that a copy of the dictionaries is a whole state."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from server.domain.changes import SetDispatch
from server.domain.contents import ObjectContent, ObjectView
from server.domain.errors import NotFound
from server.domain.grants import Ace, DelegateRights, ShareRights
from server.domain.jobs import Job
from server.domain.messages import Message
from server.domain.objects import CollectionKind, HomeKind, Rights
from server.domain.occurrences import Busy
from server.domain.principals import CalendarPlace, ExpandableBy, Office, PrincipalKind, name_key
from server.domain.rooms import Room
from server.domain.scheduling import SchedulingRole
from server.domain.scopes import Door
from server.storage.check_ins import BookingId, CheckInState
from server.storage.journal import Position
from server.storage.queues import Queue

BindingTask = Literal["bind", "check"]
"""`bind` looks at the homes of all sharees, `check` at those that show the collection."""
BINDING_TASKS: tuple[BindingTask, ...] = get_args(BindingTask)
SCHEDULING_OBJECTS = (SchedulingRole.ORGANIZER, SchedulingRole.ATTENDEE)
"""Roles that one object of a UID in a home has (RFC 6638 §3.2.4.1)."""


@dataclass(frozen=True, slots=True)
class PrincipalRow:
    id: int
    uid: str
    kind: PrincipalKind
    name: str
    display_name: str
    created_at: datetime
    addresses: tuple[str, ...] = ()
    former_addresses: tuple[str, ...] = ()
    """In the order in which they were given up."""
    roles: frozenset[str] = frozenset()
    disabled_at: datetime | None = None
    deleted_at: datetime | None = None
    credential_version: int = 0
    quota_bytes: int | None = None
    auto_schedule: Mapping[str, Any] | None = None
    place: Mapping[str, Any] | None = None
    password_hash: str | None = None
    expandable_by: ExpandableBy = "everyone"
    calendar: CalendarPlace = "here"
    office: Office | None = None

    @property
    def key(self) -> str:
        """The name as it is compared; empty for a deleted principal, who has none."""
        return "" if self.deleted_at is not None else name_key(self.name)


@dataclass(frozen=True, slots=True)
class AppPasswordRow:
    id: int
    principal_id: int
    name: str
    selector: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None = None
    doors: frozenset[Door] = frozenset({"apps"})


@dataclass(frozen=True, slots=True)
class MailRow:
    home_id: int
    uid: str
    meeting: int
    method: str
    recipient: str
    address: str
    instances: tuple[str, ...]
    text: str
    before: str | None
    withdrawable: bool
    created_at: datetime
    status: str = "waiting"
    unstated: str | None = None
    first_tried_at: datetime | None = None
    sent_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class NoticeRow:
    created_at: datetime
    status: str = "sending"
    sent_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class HomeRow:
    id: int
    principal_id: int
    kind: HomeKind
    revision: int
    created_at: datetime
    modified_at: datetime
    incarnation: int = 1
    sync_floor: int = 0
    infinite_sync_floor: int = 0
    properties: Mapping[str, str] = field(default_factory=dict)
    hidden_after: int = 0
    hidden_until: int = 0
    """The revisions behind `hidden_after`, up to this one, changed nothing that the owner sees."""

    @property
    def visible_revision(self) -> int:
        """The latest revision that changed something that the owner sees."""
        return self.hidden_after if self.hidden_until == self.revision else self.revision


@dataclass(frozen=True, slots=True)
class CollectionRow:
    home_id: int
    id: int
    kind: CollectionKind
    components: tuple[str, ...]
    revision: int
    created_at: datetime
    modified_at: datetime
    timezone: str | None = None
    source: str | None = None
    properties: Mapping[str, str] = field(default_factory=dict)
    deleted_at: datetime | None = None
    views: bool = False


@dataclass(frozen=True, slots=True)
class BindingRow:
    home_id: int
    name: str
    collection_home_id: int
    collection_id: int
    revision: int
    rights: Rights = "owner"
    incarnation: int = 1
    view_revision: int = 0
    """Latest revision, of the collection's home, of a personal copy of the person whose home this is."""
    deleted_revision: int | None = None

    @property
    def is_own(self) -> bool:
        """Whether the collection lies in the home that shows it."""
        return self.home_id == self.collection_home_id


@dataclass(frozen=True, slots=True)
class ObjectRow:
    home_id: int
    collection_id: int
    id: int
    name: str
    content: ObjectContent
    """`materialised` is what is stored now, also where a write left it alone."""
    revision: int
    created_at: datetime
    modified_at: datetime
    properties: Mapping[str, str] = field(default_factory=dict)
    deleted_revision: int | None = None
    removed_at: datetime | None = None
    restorable: bool = True
    """False for the tombstone that a move leaves: it has no text."""
    underived: bool = False
    """Whether what is derived from the text is that of another owner, and to be derived again."""
    neutral_etag: str | None = None
    neutral_text: str | None = None
    neutral_busy: tuple[Busy, ...] | None = None

    @property
    def private(self) -> bool:
        """Whether others see a part of it at most."""
        return "others" in self.content.summary

    @property
    def is_scheduling_object(self) -> bool:
        """Whether this is the scheduling object of its UID in its home."""
        return self.deleted_revision is None and self.content.scheduling.role in SCHEDULING_OBJECTS

    @property
    def is_message(self) -> bool:
        """Whether this is a scheduling message in an inbox, whose UID others may have, too."""
        return self.content.scheduling.role is SchedulingRole.INBOX


def without_role(content: ObjectContent) -> ObjectContent:
    """A content that is no scheduling object."""
    return replace(content, scheduling=replace(content.scheduling, role=SchedulingRole.NONE))


def of_other_owner(row: ObjectRow) -> ObjectRow:
    """A member that goes to the home of another person, whose addresses decide what they have declined or organize."""
    is_event, is_organized = row.content.component == "VEVENT", row.content.scheduling.organizer is not None
    content = replace(row.content, time_key="" if is_event else row.content.time_key)
    return replace(row, content=without_role(content), underived=row.underived or is_event or is_organized)


@dataclass(frozen=True, slots=True)
class CopyRow:
    """A personal copy."""

    home_id: int
    object_id: int
    revision: int
    modified_at: datetime
    view: ObjectView


@dataclass(frozen=True, slots=True)
class OwnProperties:
    """What a person set for themselves on another's collection."""

    home_id: int
    revision: int
    properties: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TrashRow:
    """A text that is kept after its name was used again."""

    home_id: int
    content: ObjectContent
    properties: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Event:
    """An entry of the journal, as far as sharees' homes follow it."""

    kind: str
    home_id: int | None = None
    collection_id: int | None = None
    subject_id: int | None = None


def now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Tables:
    """The tables, and the counters of ids."""

    clock: Callable[[], datetime] = now
    principals: dict[int, PrincipalRow] = field(default_factory=dict)
    rooms: dict[int, Room] = field(default_factory=dict)
    """By the id of the principal."""
    app_passwords: dict[int, AppPasswordRow] = field(default_factory=dict)
    memberships: set[tuple[int, int]] = field(default_factory=set)
    """Group and member."""
    delegations: set[tuple[int, int, DelegateRights]] = field(default_factory=set)
    """Principal, delegate, rights."""
    homes: dict[int, HomeRow] = field(default_factory=dict)
    collections: dict[int, CollectionRow] = field(default_factory=dict)
    bindings: dict[tuple[int, str], BindingRow] = field(default_factory=dict)
    """By home and name; one that was deleted is a tombstone."""
    objects: dict[int, ObjectRow] = field(default_factory=dict)
    """With tombstones."""
    copies: dict[tuple[int, int], CopyRow] = field(default_factory=dict)
    """By object and principal."""
    own_properties: dict[tuple[int, int], OwnProperties] = field(default_factory=dict)
    """By collection and principal."""
    shares: dict[tuple[int, int], ShareRights] = field(default_factory=dict)
    inviting: set[tuple[int, int]] = field(default_factory=set)
    """Keys of `shares` by which somebody may invite."""
    """By collection and principal."""
    declined: set[tuple[int, int]] = field(default_factory=set)
    """Collections that principals have taken out of their homes."""
    aces: dict[int, tuple[Ace, ...]] = field(default_factory=dict)
    """By collection."""
    memory: dict[tuple[int, str], tuple[int, Mapping[str, Any]]] = field(default_factory=dict)
    """What homes know of scheduling messages: version and state, by home and UID."""
    dispatches: dict[int, tuple[SetDispatch, datetime]] = field(default_factory=dict)
    queues: dict[tuple[Queue, int], asyncio.Lock] = field(default_factory=dict)
    """By what each is about, and its key."""
    """Scheduling messages that jobs deliver, by id, with the time when they were stored."""
    mails: dict[int, MailRow] = field(default_factory=dict)
    """Mails to people elsewhere, by id."""
    notices: dict[tuple[int, int, int], NoticeRow] = field(default_factory=dict)
    """By home, item and recipient."""
    mail_held: bool = False
    mail_url: str | None = None
    restored_at: datetime | None = None
    jobs: list[Job] = field(default_factory=list)
    check_ins: dict[BookingId, CheckInState] = field(default_factory=dict)
    check_in_links: dict[tuple[int, int], tuple[datetime, datetime]] = field(default_factory=dict)
    """When the last link was sent, and when it expires; by home and object."""
    """Those that wait, in their order; of one kind and queueing key there is one."""
    held: dict[str, tuple[int, datetime]] = field(default_factory=dict)
    """Addresses that were given up and that meetings name: whose they were, and until when nobody else gets them."""
    trash: list[TrashRow] = field(default_factory=list)
    outbox: list[Event] = field(default_factory=list)
    """What has changed, oldest first."""
    dead: list[tuple[str, Message, str]] = field(default_factory=list)
    """Messages that a consumer could not take in, with its name and the class of the error."""
    positions: dict[tuple[str, int], Position] = field(default_factory=dict)
    """How far each consumer has read, by its name and partition."""
    to_bind: set[tuple[int, BindingTask]] = field(default_factory=set)
    """Collections whose bindings may not be those that their shares ask for, and which of them."""
    to_touch: set[int] = field(default_factory=set)
    """Collections whose changes are to be passed on to the homes that show them."""
    rivals: list[Callable[[], Awaitable[object]]] = field(default_factory=list)
    """What others do, one before each of the next transactions."""
    _ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def hold(self, principal_id: int, address: str) -> None:
        """Hold an address that a principal gives up, where a meeting of theirs that is not over names it."""
        for row in self.objects.values():
            text = row.content.text.replace("\r\n ", "").lower()
            if self.homes[row.home_id].principal_id == principal_id and row.is_scheduling_object and address in text:
                stored = row.content.materialised
                end = None if stored is None or stored.endless else stored.span_end
                until = end or datetime.max.replace(tzinfo=UTC)
                if until > self.clock():
                    self.held[address] = principal_id, max(until, self.held.get(address, (0, until))[1])

    def new_id(self) -> int:
        """An id that nothing else has, of whatever kind, so that a wrong kind of id finds nothing."""
        return next(self._ids)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """All changes inside become visible, or none. Others run before it begins, as they may with a real storage."""
        await asyncio.sleep(0)
        if self.rivals:
            await self.rivals.pop(0)()
        names = [
            name for name, value in vars(self).items() if isinstance(value, (dict, set, list)) and name != "rivals"
        ]
        tables = {name: copy(getattr(self, name)) for name in names}
        try:
            yield
        except BaseException:
            vars(self).update(tables)
            raise

    # -- rows ---------------------------------------------------------------------------------------------------------

    def home(self, principal_id: int, kind: HomeKind) -> HomeRow | None:
        """The home of a principal."""
        found = (home for home in self.homes.values() if home.principal_id == principal_id and home.kind == kind)
        return next(found, None)

    def quota(self, home: HomeRow) -> int | None:
        """The quota of the home's owner, if they have one of their own."""
        return self.principals[home.principal_id].quota_bytes

    def live_binding(self, home_id: int, name: str) -> BindingRow | None:
        """The binding of a name, unless it is a tombstone."""
        found = self.bindings.get((home_id, name))
        return None if found is None or found.deleted_revision is not None else found

    def live_bindings(self, home_id: int) -> list[BindingRow]:
        """The bindings of a home, by name."""
        found = [row for row in self.bindings.values() if row.home_id == home_id and row.deleted_revision is None]
        return sorted(found, key=lambda row: row.name)

    def bind_all(self, collection_ids: Iterable[int]) -> None:
        """Let all bindings of collections wait for a comparison with their shares."""
        self.to_bind.update((id_, task) for id_ in collection_ids for task in BINDING_TASKS)

    def bindings_of(self, collection_id: int) -> list[BindingRow]:
        """Where a collection is shown, in the order of the homes' ids."""
        found = [
            row for row in self.bindings.values() if row.collection_id == collection_id and row.deleted_revision is None
        ]
        return sorted(found, key=lambda row: row.home_id)

    def live_collection(self, collection_id: int) -> CollectionRow | None:
        """A collection, unless it was deleted."""
        found = self.collections.get(collection_id)
        return None if found is None or found.deleted_at is not None else found

    def named(self, collection_id: int, name: str) -> ObjectRow | None:
        """The row that has a name in a collection: a member or a tombstone."""
        found = [row for row in self.objects.values() if row.collection_id == collection_id and row.name == name]
        return found[0] if found else None

    def members(self, collection_id: int) -> list[ObjectRow]:
        """The members of a collection, in the order of names."""
        found = (row for row in self.objects.values() if row.collection_id == collection_id)
        return sorted((row for row in found if row.deleted_revision is None), key=lambda row: row.name)

    def copies_of(self, object_id: int) -> list[CopyRow]:
        """The personal copies of an object."""
        return [row for (of, _), row in self.copies.items() if of == object_id]

    def groups_of(self, principal_id: int) -> frozenset[int]:
        """The groups that a principal belongs to, directly and through other groups."""
        found: set[int] = set()
        left = {principal_id}
        while left:
            left = {group for group, member in self.memberships if member in left} - found
            found |= left
        return frozenset(found)

    def take_revision(self, home_id: int, **changes: Any) -> tuple[int, datetime]:
        """Give a change in a home its revision and time. Raises `NotFound`."""
        home = self.homes.get(home_id)
        if home is None:
            raise NotFound
        at = self.clock()
        self.homes[home_id] = replace(home, revision=home.revision + 1, modified_at=at, **changes)
        return home.revision + 1, at
