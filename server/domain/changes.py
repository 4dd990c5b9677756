"""Change sets: writes, the states that they are based on, the cause, and the limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from server.domain.contents import ObjectContent, ObjectView, PlainText, Views
from server.domain.jobs import Job
from server.domain.mails import NewMails
from server.domain.objects import Collection, Target
from server.domain.values import value


@value
class Cause:
    """The actor and origin of a change, for the journal."""

    principal_id: int | None
    origin: str
    """`caldav`, `carddav`, `import`, `cli`, ...; a connector's own name, so that it does not hear its own writes."""
    request_id: str = ""
    acting_for: int | None = None
    """The id of the principal for whom a delegate, or the installation, makes it."""
    trace: str = ""
    """The W3C trace context of the request, as the header `traceparent` has it; empty where there is none."""


@value
class ObjectState:
    """The state of a name that a write is based on; `None` in its place says that the name is free."""

    id: int
    revision: int


@dataclass(frozen=True, slots=True)
class Unchanged:
    """A state, beside the target, that a write is based on: the write fails if it has changed since it was read."""

    home_id: int
    collection_id: int | None
    """None: the home itself."""
    revision: int
    """As read, in the viewer's view."""
    viewer: int
    """The id of the principal who read it."""


@dataclass(frozen=True, slots=True)
class UnchangedObject:
    """A member that the decision is based on, and that the set does not write."""

    home_id: int
    state: ObjectState


@dataclass(frozen=True, slots=True)
class UnchangedRoom:
    """A room or piece of equipment whose attributes and policy the decision is based on."""

    principal_id: int
    version: int
    """`server.domain.rooms.Room.version`."""


@value
class Written:
    """The result of a write of a member."""

    revision: int
    id: int
    modified_at: datetime | None
    """None after a deletion, and after a change of properties."""


@dataclass(frozen=True, slots=True)
class PropertyChanges:
    """Changes of a resource's properties: a value sets one, None removes it. All are applied, or none."""

    properties: Mapping[str, str | None] = field(default_factory=dict)
    timezone: str | None = None
    """New calendar-timezone; an empty string removes it; None leaves it."""
    source: str | None = None
    """As `timezone`."""


@dataclass(frozen=True, slots=True)
class WriteLimits:
    """Limits that are checked in the transaction."""

    quota_bytes: int
    """For homes without a quota of their own."""
    max_members: int
    max_collections: int
    max_personal_properties_size: int
    """Bytes of the properties that one person sets for themselves on another person's collection."""


@dataclass(frozen=True, slots=True)
class StoredContent:
    """The stored content of a member, with its dead properties, for COPY and MOVE."""

    collection: Collection
    name: str
    state: ObjectState


@value
class Put:
    """Create a member or replace it."""

    collection: Collection
    name: str
    content: ObjectContent | StoredContent
    expected: ObjectState | None
    """The member that is replaced; None: the name is free."""
    views: Views | None = None
    """For calendars whose objects have them (`Collection.views`)."""
    properties: Mapping[str, str] = field(default_factory=dict)
    """Dead properties to be set with the content. Those of `StoredContent` are copied without being named here."""
    keep_id: bool = False
    """A move (RFC 4918 §9.9): `content` is stored, and the set deletes the member that it is stored of.

    A second put of the set may have the state of before the move as `expected`: it replaces what was moved.
    """


@value
class Delete:
    """Delete a member. It becomes a tombstone, and can be restored for a while."""

    collection: Collection
    name: str
    expected: ObjectState


@dataclass(frozen=True, slots=True)
class SetPersonal:
    """Set one person's view of a member. The member stays; only this person's home and binding change."""

    collection: Collection
    name: str
    expected: ObjectState
    view: ObjectView
    view_revision: int
    """Of the view that is replaced; 0: there is none."""


@dataclass(frozen=True, slots=True)
class SetProperties:
    """Set dead properties of a member: the ETag stays, the revision changes."""

    collection: Collection
    name: str
    expected: ObjectState
    changes: PropertyChanges


Write = Put | Delete | SetPersonal | SetProperties


@dataclass(frozen=True, slots=True)
class CopyUnderWay:
    """The copy of a collection that is made in several sets."""

    source: Target
    """As the home shows it, under whose name of a collection it was read."""
    cause: Cause
    replaced: int | None = None
    """The id of the collection of the home that is deleted when the copy appears."""


@dataclass(frozen=True, slots=True)
class CopyMembers:
    """Copy members into a collection that no home shows before the copy is complete."""

    home_id: int
    collection_id: int
    """Of the new collection."""
    members: tuple[ObjectState, ...]
    names: tuple[str, ...] | None
    """Names of the members, and of deleted ones: earlier copies of them are removed. None: there are none."""
    after: int
    """The revision of the source up to which members had been copied when these were read."""
    position: int
    """The revision up to which they are copied with these."""
    plain: tuple[tuple[str, PlainText], ...] = ()
    """The texts that copies of meetings get, by their names."""


@dataclass(frozen=True, slots=True)
class Remember:
    """Set the state that a home keeps of the messages about a UID, beside the object's text."""

    home_id: int
    uid: str
    state: Mapping[str, Any] | None
    """JSON; None: no state beside the text."""
    version: int
    """The version of the state that it replaces; 0: there is none."""


@dataclass(frozen=True, slots=True)
class Released:
    """A member of a deleted collection that is a scheduling object no longer, since its removal was sent.

    It takes no revision. The set fails if the member has changed or its collection was restored.
    """

    home_id: int
    state: ObjectState


@value
class SetDispatch:
    """Store scheduling messages of one change that jobs deliver, or what has become of them."""

    home_id: int
    """The sender's home."""
    uid: str
    meeting: int
    """A number for the meeting: messages with the same number are delivered in the order in which they were stored."""
    state: Mapping[str, Any]
    """JSON: the messages, their recipients and outcomes."""
    waiting: bool
    """Whether there are recipients to whom a delivery is still to be tried."""
    failing: bool
    """Whether there are recipients to whom it is to be tried again."""
    id: int | None = None
    """Of the stored row that is replaced; None: there is none yet."""
    version: int = 0
    """The version of this row."""


@value
class ChangeSet:
    """Writes of members in any homes that become visible together, or not at all.

    No two of them concern the same member, except the two of a move, and the put that follows a move. Deletions are
    made first, in any order of the writes, so that other writes can use their names and UIDs; then moves. What lies in
    the calendars of rooms and equipment is reserved last (`server.storage.reservations`).
    """

    writes: tuple[Write, ...]
    limits: WriteLimits
    cause: Cause
    unchanged: tuple[Unchanged | UnchangedObject | UnchangedRoom, ...] = ()
    """States that the decision is based on, and that must not have changed."""
    remembered: tuple[Remember, ...] = ()
    """New states of scheduling messages, only of homes in which the set writes."""
    dispatches: tuple[SetDispatch, ...] = ()
    """Scheduling messages that jobs deliver, and outcomes of such deliveries."""
    mails: tuple[NewMails, ...] = ()
    """Scheduling messages to people elsewhere."""
    jobs: tuple[Job, ...] = ()
    """Jobs that do the rest of the change."""
    released: tuple[Released, ...] = ()
    """Members of deleted collections that lose their role in scheduling."""
    copied: CopyMembers | None = None
    """A set of a copy of a collection; it has no other writes."""
    graced: frozenset[int] = frozenset()
    """Homes that may use a tenth more than their quota: those of the recipients of scheduling messages. The set only
    puts and deletes."""
