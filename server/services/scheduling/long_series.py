"""The server divides long series by itself, if a setting says so (caldav-recursplit §4): their past becomes an object
of its own, as by a request (`server.services.scheduling.splitting`).

A write of a series that may be long stores a job, which looks at the series as it is then.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from server.domain.changes import Put
from server.domain.contents import ObjectContent
from server.domain.jobs import Job
from server.domain.scheduling import SchedulingRole
from server.itip.long_series import Thresholds, may_be_long
from server.services.scheduling.delivery import Delivered
from server.services.scheduling.settings import SchedulingSettings

SPLITS = "splits"
"""Kind of the jobs that divide one series."""


def thresholds(settings: SchedulingSettings) -> Thresholds:
    """Which series are divided."""
    past, kept = timedelta(days=settings.split_past_days), timedelta(days=settings.split_kept_days)
    return Thresholds(past, settings.split_overrides, kept)


def split_jobs(
    settings: SchedulingSettings, home_id: int, object_id: int, content: ObjectContent, now: datetime
) -> tuple[Job, ...]:
    """The job that divides a series that was written, if it may be long."""
    if not settings.split_series or content.component != "VEVENT" or content.scheduling.role is SchedulingRole.ATTENDEE:
        return ()
    if not may_be_long(content.text, now, thresholds(settings)):
        return ()
    key, payload = f"split {object_id}", {"home": home_id, "object": object_id}
    return (Job(SPLITS, payload, key, key, delay=timedelta(seconds=settings.split_delay)),)


def split_jobs_after(settings: SchedulingSettings, delivered: Iterable[Delivered], now: datetime) -> tuple[Job, ...]:
    """The same for organizers' objects that answers have changed."""
    if not settings.split_series:
        return ()
    found: list[Job] = []
    for done in delivered:
        for write in done.writes if any(result.answers for result in done.received) else ():
            if not isinstance(write, Put) or write.expected is None or not isinstance(write.content, ObjectContent):
                continue
            if write.content.scheduling.role is SchedulingRole.ORGANIZER:
                found += split_jobs(settings, write.collection.home_id, write.expected.id, write.content, now)
    return tuple(found)
