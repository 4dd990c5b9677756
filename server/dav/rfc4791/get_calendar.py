"""GET on a calendar: all of it as one iCalendar stream, for subscriptions (webcal) and exports."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from server.calendar.aggregate import Aggregate
from server.dav.core import xml
from server.dav.core.large_pages import encoded, is_large
from server.dav.core.member_pages import member_pages
from server.dav.core.names import dav
from server.dav.core.request import Request
from server.dav.core.resource import CollectionResource
from server.dav.rfc4918.properties import CALENDAR_TYPE
from server.domain.rows import Row
from server.http.answer import Answer
from server.process.computing import computed


async def get_calendar(request: Request, resource: CollectionResource, headers: dict[str, str]) -> Answer:
    """Answers GET on a calendar."""
    collection = resource.collection
    headers["Content-Type"] = CALENDAR_TYPE
    displayname = collection.properties.get(dav("displayname"))
    name = xml.inner_text(displayname).strip() if displayname is not None else collection.name

    async def chunks() -> AsyncIterator[bytes]:
        aggregate = Aggregate(name if collection.member_count else None)
        yield aggregate.head().encode()
        async for rows in member_pages(request, resource.found, ("name", "text")):
            if is_large(rows, ("name", "text")):
                async for chunk in _large_page(aggregate, rows):
                    yield chunk
            else:
                yield "".join([aggregate.add(row[1]) for row in rows]).encode()
            del rows  # before the next page is fetched
        yield aggregate.tail().encode()

    return Answer(200, headers=headers, stream=chunks())


async def _large_page(aggregate: Aggregate, rows: Sequence[Row]) -> AsyncIterator[bytes]:
    """The objects of a page with long texts, in chunks; put together off the event loop."""
    for row in rows:
        for chunk in encoded(await computed(aggregate.add, row[1])):
            yield chunk
