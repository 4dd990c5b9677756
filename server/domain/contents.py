"""What is stored of a member: its text, all that reads need of it, and how others than the owner see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from server.domain.occurrences import AlarmTrigger, Busy, Materialised
from server.domain.scheduling import NO_SCHEDULING, Scheduling


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
    scheduling: Scheduling = NO_SCHEDULING


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
