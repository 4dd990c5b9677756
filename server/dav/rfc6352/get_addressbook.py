"""GET on an address book: all of it as one stream of vCards."""

from __future__ import annotations

from collections.abc import AsyncIterator

from server.contacts.aggregate import concatenate
from server.dav.core.large_pages import encoded, is_large
from server.dav.core.member_pages import member_pages
from server.dav.core.request import Request
from server.dav.core.resource import CollectionResource
from server.dav.rfc4918.properties import CARD_TYPE
from server.http.answer import Answer
from server.process.computing import computed


async def get_addressbook(request: Request, resource: CollectionResource, headers: dict[str, str]) -> Answer:
    """Answers GET on an address book."""
    headers["Content-Type"] = CARD_TYPE

    async def chunks() -> AsyncIterator[bytes]:
        async for rows in member_pages(request, resource.found, ("name", "text")):
            cards = [row[1] for row in rows]
            large = is_large(rows, ("name", "text"))
            for chunk in encoded(await computed(concatenate, cards) if large else concatenate(cards)):
                yield chunk

    return Answer(200, headers=headers, stream=chunks())
