"""What calendar-query (RFC 4791 §7.8) and addressbook-query (RFC 6352 §8.6) share: walking members and testing them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from server.dav.core import names
from server.dav.core.large_pages import in_parts, is_large
from server.dav.core.member_pages import member_pages
from server.dav.core.multistatus import MemberWriter, paged, status_response, whole
from server.dav.core.names import dav
from server.dav.core.registry import MemberValue
from server.dav.core.request import Request
from server.dav.core.resource import (
    CollectionResource,
    HomeResource,
    InHome,
    Kind,
    MemberResource,
    collection_of,
    holder_of,
    member_kind,
)
from server.domain.rows import MemberColumn, Row
from server.http.answer import Answer
from server.process.computing import computed
from server.services.lookup import Found

Test = Callable[[Row, Mapping[MemberColumn, int]], bool]
"""Whether a row matches; the mapping says where each column stands."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What of one collection may match."""

    ids: Sequence[int] | None = None
    """The only members to be looked at; None: all."""
    test: Test | None = None
    """What decides about these; None: all of them match."""
    heavy: bool = False
    """Whether the test parses texts, and so is done off the event loop."""
    special: Mapping[str, MemberValue] = field(default_factory=dict)
    """How the data property is read."""
    components: Sequence[str] | None = None
    """Only members of these component types can match; None: members of any type."""


@dataclass(frozen=True, slots=True)
class Query:
    """A query over collections."""

    wanted: Sequence[str]
    """Names of the properties asked for."""
    select: Callable[[Found], Awaitable[Selection]]
    columns: Sequence[MemberColumn]
    """What `Selection.test` needs."""
    kinds: frozenset[Kind]
    """Kinds of collections that are asked below a home."""
    limit: int | None = None
    """The most results that the client wants."""


async def run(request: Request, resource: InHome, query: Query) -> Answer:
    """Answers with the members that match, in order of names.

    At depth 0 a collection has no members to be asked, at depth 1 (the default) a home has none but collections.
    """
    depth = request.depth("1")
    await request.prepare_members(resource, query.wanted)
    if isinstance(resource, MemberResource):
        return await paged(request, "", one_member(request, resource, query))
    collections: list[CollectionResource] = []
    if isinstance(resource, CollectionResource) and depth != "0":
        collections = [resource]
    elif isinstance(resource, HomeResource) and depth == "infinity":
        shown = await request.site.reading.collections(request.actor, resource.found)
        children = [collection_of(resource, item) for item in shown]
        collections = [child for child in children if child.kind in query.kinds]
    return await paged(request, "", matching(request, resource, collections, query))


async def one_member(request: Request, resource: MemberResource, query: Query) -> AsyncIterator[str]:
    """The response of the one member that was asked, if it matches."""
    member = resource.object
    holder = holder_of(resource)
    selection = await query.select(holder.found)
    if selection.ids is not None and member.id not in selection.ids:
        yield ""
        return
    writer = writer_for(request, holder, query, selection)
    found = await request.site.reading.member(resource.found, writer.columns, components=selection.components)
    async for page in written(writer, found, selection):
        yield page


def writer_for(request: Request, collection: CollectionResource, query: Query, selection: Selection) -> MemberWriter:
    """Writes matching members of a collection."""
    known = request.site.registry.by_kind[member_kind(collection.kind)]
    return MemberWriter(request, collection, query.wanted, known, selection.special, query.columns)


async def written(writer: MemberWriter, rows: Sequence[Row], selection: Selection) -> AsyncIterator[str]:
    """The responses of those rows that match; what parses texts or copies large ones does so off the event loop."""
    test = selection.test
    large = is_large(rows, writer.columns)
    if not (selection.heavy or writer.heavy or large):
        yield writer.page(tested(writer, rows, test))
        return
    if not (selection.heavy or writer.heavy):
        for row in tested(writer, rows, test):
            for fragment in whole(writer, row):
                yield fragment
        return
    left = rows
    if not selection.heavy:
        left, test = tested(writer, rows, test), None
        at = 0
        while at < len(left):
            part, after = writer.light_part(left, at)
            if after == at:
                break
            yield part
            at = after
            if at < len(left):
                await asyncio.sleep(0)
        left = left[at:]

    def write(number: int) -> str:
        row = left[number]
        return writer.one(row) if test is None or test(row, writer.where) else ""

    async for part in in_parts(len(left), write):
        yield part


def tested(writer: MemberWriter, rows: Sequence[Row], test: Test | None) -> Sequence[Row]:
    """The rows that pass a test."""
    return rows if test is None else [row for row in rows if test(row, writer.where)]


def pages_of(
    request: Request, found: Found, columns: Sequence[MemberColumn], selection: Selection
) -> AsyncIterator[Sequence[Row]]:
    """Rows of the members that may match."""
    if selection.ids is None:
        return member_pages(request, found, columns, components=selection.components)
    return request.site.reading.pages_by_id(found, selection.ids, columns, components=selection.components)


async def matching(
    request: Request, resource: InHome, collections: Sequence[CollectionResource], query: Query
) -> AsyncIterator[str]:
    """The responses of what matches, page by page; with a row that says so where the limit cuts off (507)."""
    left = query.limit
    for collection in collections:
        selection = await query.select(collection.found)
        writer = writer_for(request, collection, query, selection)
        async for rows in pages_of(request, collection.found, writer.columns, selection):
            if left is None:
                async for page in written(writer, rows, selection):
                    yield page
                del rows  # before the next page is fetched
                continue
            test = selection.test
            found = await computed(tested, writer, rows, test) if selection.heavy else tested(writer, rows, test)
            async for page in written(writer, found[:left], Selection()):
                yield page
            if len(found) > left:
                precondition = names.element(dav("number-of-matches-within-limits"))
                yield status_response(request.url(resource.href), 507, precondition)
                return
            left -= len(found)
            del rows, found
