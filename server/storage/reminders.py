"""The protocol for reminders: the alarms of all homes that ring soon."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, Protocol, runtime_checkable

from server.domain.occurrences import DueAlarm


class AlarmPlace(NamedTuple):
    """The place of an alarm among those of all homes; opaque to callers."""

    floating: bool
    next_at: datetime | None
    home_id: int
    object_id: int
    viewer_id: int
    component: int
    alarm: int


@runtime_checkable
class Reminders(Protocol):
    """Reads for reminders."""

    async def due_alarms(
        self, since: datetime, until: datetime, *, after: AlarmPlace | None = None, limit: int = 500
    ) -> tuple[Sequence[DueAlarm], AlarmPlace | None]:
        """Alarms of all homes, of owners and in personal copies, that ring in `since` <= time < `until`: the first ring
        of each.

        Floating times and dates have their place in the calendar's zone, else in UTC. `since` lies less than an hour
        ago: the next rings take the place of those before. A page of alarms by an index, which may hold fewer than
        `limit` or none, and the place after which the next one begins; None after the last.
        """
