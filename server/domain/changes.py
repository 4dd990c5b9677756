"""What a write carries besides the text: its cause, the state that it was decided on, and limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Cause:
    """Who makes a change, and from where; written to `outbox` and `audit`."""

    principal_id: int | None
    origin: str
    """`caldav`, `carddav`, `import`, `cli`, ...; a connector's own name, so that it does not hear its own writes."""
    request_id: str = ""


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
