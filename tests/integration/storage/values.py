"""Values that tests write."""

from __future__ import annotations

import asyncio
import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import cast

from server.domain.actors import Actor
from server.domain.changes import ObjectState, WriteLimits, Written
from server.domain.contents import ObjectContent
from server.domain.limits import Limits
from server.domain.objects import Collection, Object
from server.services.objects import Objects
from server.storage import Storage
from tests.found import member_in

ACTOR = Actor(None, "caldav", "request-1")
CAUSE = ACTOR.cause
LIMITS = WriteLimits(quota_bytes=10**9, max_members=10**6, max_collections=100, max_personal_properties_size=10**6)
NOW = datetime(2026, 3, 1, tzinfo=UTC)
_CALENDAR = Collection(0, 0, "calendar", "calendar", "owner", (), 0, 0, 0, 0, 0, 0, NOW, NOW, 0)


def etag_of(text: bytes) -> str:
    return hashlib.blake2b(text, digest_size=16).hexdigest()


def event_text(uid: str, *lines: str) -> str:
    """An event that begins on 2026-03-01, 9:00 in Berlin, and rings before; `lines` replace its DTSTART."""
    start = lines or ("DTSTART;TZID=Europe/Berlin:20260301T090000",)
    alarm = ("BEGIN:VALARM", "ACTION:DISPLAY", "DESCRIPTION:x", "TRIGGER:-PT15M", "END:VALARM")
    body = (f"UID:{uid}", f"SUMMARY:{uid}", "DTSTAMP:20260101T000000Z", *start, "DURATION:PT1H", *alarm)
    lines = ("BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Test//EN", "BEGIN:VEVENT", *body, "END:VEVENT")
    return "\r\n".join((*lines, "END:VCALENDAR", ""))


async def read(
    storage: Storage, collection: Collection, text: str, existing: Object | None = None, now: datetime = NOW
) -> ObjectContent:
    """What the service stores of a text."""
    return await Objects(storage, Limits(), lambda: now).read(member_in(collection, "", existing), text.encode())


def content(
    uid: str, text: str | None = None, *, occurrences: int | None = 1, component: str = "VEVENT"
) -> ObjectContent:
    """What the service stores of an event with that many daily occurrences; None leaves those stored alone.

    `text` stands in the place of the event's, for tests to which only its bytes matter; so does `component`.
    """
    found = _content(uid, occurrences or 1)
    if text is not None:
        data = text.encode()
        found = replace(found, text=text, size=len(data), etag=etag_of(data))
    if occurrences is None:
        found = replace(found, materialised=None)
    return replace(found, component=component)


@lru_cache(maxsize=1000)
def _content(uid: str, occurrences: int) -> ObjectContent:
    lines = "DTSTART;TZID=Europe/Berlin:20260301T090000", f"RRULE:FREQ=DAILY;COUNT={occurrences}"
    text = event_text(uid, *lines[: 1 if occurrences == 1 else 2])
    # No attendee has declined, so nothing is asked of the storage.
    reading = read(cast("Storage", None), _CALENDAR, text)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, reading).result()


def state(written: Written) -> ObjectState:
    return ObjectState(written.id, written.revision)
