"""Values that tests write."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

from server.calendar.occurrences import AlarmTrigger, Busy, Kind, Materialised, Occurrence
from server.storage import Cause, ObjectContent, ObjectState, WriteLimits, Written

CAUSE = Cause(None, "caldav", "request-1")
LIMITS = WriteLimits(quota_bytes=10**9, max_members=10**6, max_collections=100)


def etag_of(text: bytes) -> str:
    return hashlib.blake2b(text, digest_size=16).hexdigest()


def content(
    uid: str, text: str | None = None, *, occurrences: int | None = 1, component: str = "VEVENT"
) -> ObjectContent:
    """An object with that many daily occurrences; None leaves those stored alone."""
    text = f"BEGIN:VEVENT\r\nUID:{uid}\r\nEND:VEVENT\r\n" if text is None else text
    data = text.encode()
    return ObjectContent(
        uid=uid,
        component=component,
        etag=etag_of(data),
        text=text,
        size=len(data),
        time_key=f"time {occurrences}",
        summary={"summary": uid},
        tzids=("Europe/Berlin",),
        materialised=None if occurrences is None else materialised(occurrences),
    )


def materialised(count: int) -> Materialised:
    first = datetime(2026, 3, 1, 8, tzinfo=UTC)
    hour = timedelta(hours=1)
    rows = tuple(
        Occurrence(
            start=(start := first + timedelta(days=n)),
            end=start + hour,
            matches_from=start,
            matches_until=start + hour,
            local_start=(start + hour).replace(tzinfo=None),
            tzid="Europe/Berlin",
            kind=Kind.TIMED,
            busy=Busy.BUSY,
            recurrence_id=f"{start:%Y%m%dT%H%M%SZ}",
            component=0,
        )
        for n in range(count)
    )
    alarm = AlarmTrigger(component=0, alarm=0, at=None, days=0, seconds=-900, from_end=False)
    return Materialised(
        component="VEVENT",
        occurrences=rows,
        span_start=first,
        span_end=first + timedelta(days=count),
        endless=False,
        expanded_from=None,
        expanded_until=None,
        alarms=(alarm,),
        zones=("Europe/Berlin",),
    )


def state(written: Written) -> ObjectState:
    return ObjectState(written.id, written.revision)
