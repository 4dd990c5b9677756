"""Change sets: what is to be written, the states that it was decided on, who does it, and within which limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from server.domain.contents import ObjectContent, ObjectView, Views
from server.domain.objects import Collection


@dataclass(frozen=True, slots=True)
class Cause:
    """Who makes a change, and from where; written to `outbox` and `audit`."""

    principal_id: int | None
    origin: str
    """`caldav`, `carddav`, `import`, `cli`, ...; a connector's own name, so that it does not hear its own writes."""
    request_id: str = ""
    acting_for: int | None = None
    """The id of the principal for whom a delegate, or the installation, makes it."""
    trace: str = ""
    """The W3C trace context of the request, as the header `traceparent` has it; empty where there is none."""


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
class UnchangedObject:
    """A member that was read to decide, and that the set does not write."""

    home_id: int
    state: ObjectState


@dataclass(frozen=True, slots=True)
class Written:
    """What a write of a member leaves."""

    revision: int
    id: int
    modified_at: datetime | None
    """None where it is deleted, or has other properties only."""


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
    max_personal_properties_size: int
    """Bytes of what one person sets for themselves on a collection that is not theirs."""


@dataclass(frozen=True, slots=True)
class StoredContent:
    """The content of a member as it is stored, with its dead properties: what COPY and MOVE put elsewhere."""

    collection: Collection
    name: str
    state: ObjectState


@dataclass(frozen=True, slots=True)
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
    """Dead properties to be set with the content; those of `StoredContent` come by themselves."""
    keep_id: bool = False
    """A move (RFC 4918 §9.9): `content` is stored, and the set deletes the member that it is stored of."""


@dataclass(frozen=True, slots=True)
class Delete:
    """Make a member a tombstone. What it held can be restored for a while."""

    collection: Collection
    name: str
    expected: ObjectState


@dataclass(frozen=True, slots=True)
class SetPersonal:
    """Set what one person sees of a member, which stays as it is; only this person's home and collection change."""

    collection: Collection
    name: str
    expected: ObjectState
    view: ObjectView
    view_revision: int
    """Of the view that is replaced; 0: there is none."""


@dataclass(frozen=True, slots=True)
class SetProperties:
    """Set dead properties of a member: the ETag stays, the revision moves."""

    collection: Collection
    name: str
    expected: ObjectState
    changes: PropertyChanges


Write = Put | Delete | SetPersonal | SetProperties


@dataclass(frozen=True, slots=True)
class CopyMembers:
    """Copy members into a collection that nothing shows before its copy is complete."""

    home_id: int
    collection_id: int
    """Of the new collection."""
    members: tuple[ObjectState, ...]
    names: tuple[str, ...] | None
    """Of the members, and of those that were deleted: what was copied of them before goes. None: nothing was."""
    after: int
    """The revision of the source up to which members had been copied when these were read."""
    position: int
    """The revision up to which they are copied with these."""


@dataclass(frozen=True, slots=True)
class Remember:
    """Set what a home knows of the messages about a UID, beside the object's text."""

    home_id: int
    uid: str
    state: Mapping[str, Any] | None
    """JSON; None: nothing that the text does not say."""
    version: int
    """The version of the state that it replaces; 0: there is none."""


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """Writes of members in any homes that become visible together, or not at all.

    No two of them concern the same member, except the two of a move. Deletions come before the rest, whatever the order
    of the writes: a name or UID that one gives up is free for another.
    """

    writes: tuple[Write, ...]
    limits: WriteLimits
    cause: Cause
    unchanged: tuple[Unchanged | UnchangedObject, ...] = ()
    """What was read to decide and must still be so."""
    remembered: tuple[Remember, ...] = ()
    """What homes know of scheduling messages afterwards; each of a home in which the set writes."""
    copied: CopyMembers | None = None
    """A set of a copy of a collection; it has no other writes."""
