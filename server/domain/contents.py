"""The stored content of a member: its text, the derived values, and the views of sharees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from server.domain.occurrences import AlarmTrigger, Busy, Materialised
from server.domain.scheduling import NO_SCHEDULING, Scheduling
from server.domain.values import value


@dataclass(frozen=True, slots=True)
class Others:
    """What people see of a private object who do not see the whole of it (`server.calendar.visibility`)."""

    etag: str
    text: str
    busy: tuple[Busy, ...] | None
    """As `ObjectView.busy`."""


@value
class ObjectContent:
    """The stored content of a member: the text, and the values that reads need."""

    uid: str
    component: str
    etag: str
    text: str
    size: int
    time_key: str
    schedule_tag: str | None = None
    summary: Mapping[str, str] = field(default_factory=dict)
    """Fields for lists and search, by name: `summary`, `location`, `organizer`, ... or `fn`, `email`, ...; and
    `others`: `part` if there is `others` below."""
    materialised: Materialised | None = None
    """Occurrences, alarms and zones. None: the stored ones stay (equal time key), or there are none (address
    objects)."""
    scheduling: Scheduling = NO_SCHEDULING
    access: str | None = None
    """X-CALENDARSERVER-ACCESS, in upper case."""
    others: Others | None = None
    """None: others see the whole. In a calendar with views, `Views` has it, too."""


@dataclass(frozen=True, slots=True)
class ObjectView:
    """A sharee's view of an object."""

    principal_id: int
    etag: str
    text: str
    size: int
    personal: str
    """The personal parts (`server.calendar.personal`)."""
    busy: tuple[Busy, ...] | None = None
    """The busy type of each component of VCALENDAR; None: those of the owner."""
    alarms: tuple[AlarmTrigger, ...] = ()


@dataclass(frozen=True, slots=True)
class Views:
    """The neutral text and all views of an object."""

    neutral_etag: str
    neutral_text: str | None
    """For those without a view; None: the object's own text. Of a private object what others see of it."""
    neutral_busy: tuple[Busy, ...] | None
    """As `ObjectView.busy`."""
    views: tuple[ObjectView, ...] = ()
    based_on: tuple[int, int] = (0, 0)
    """How many views there were, and their latest revision."""

    def view_of(self, principal_id: int) -> ObjectView:
        """The view of a principal who has one."""
        return next(view for view in self.views if view.principal_id == principal_id)


@dataclass(frozen=True, slots=True)
class PlainText:
    """The text of a meeting as an event without organizer and attendees."""

    uid: str
    etag: str
    text: str
