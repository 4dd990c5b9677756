"""What calendar-query (RFC 4791 §7.8) and addressbook-query (RFC 6352 §8.6) share: walking members and testing them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from server.dav.core import names
from server.dav.core.multistatus import MemberWriter, paged, status_response
from server.dav.core.names import dav
from server.dav.core.registry import MemberValue
from server.dav.core.request import Answer, Request
from server.dav.core.resource import COLLECTIONS, OBJECTS, Kind, Resource, collection_of, member_kind
from server.storage import MemberColumn, Row

Test = Callable[[Row, Mapping[MemberColumn, int]], bool]
"""Whether a row matches; the mapping says where each column stands."""


async def query(
    request: Request,
    resource: Resource,
    wanted: Sequence[str],
    special: Mapping[str, MemberValue],
    test: Test | None,
    columns: Sequence[MemberColumn],
    kinds: frozenset[Kind],
    limit: int | None,
) -> Answer:
    """Answers with the members that pass `test` (None: all do), which needs `columns`, in order of names.

    At depth 0 a collection has no members to be asked, at depth 1 (the default) a home has none but collections.
    """
    depth = request.depth("1")
    if resource.kind in OBJECTS:
        return await paged(request, "", one_member(request, resource, wanted, special, test, columns))
    collections: list[Resource] = []
    if resource.kind in COLLECTIONS and depth != "0":
        collections = [resource]
    elif resource.home is not None and resource.collection is None and depth == "infinity":
        shown = await request.site.storage.collections(resource.home, request.person.id)
        collections = [child for child in (collection_of(resource, item) for item in shown) if child.kind in kinds]
    found = matching(request, resource, collections, wanted, special, test, columns, limit)
    return await paged(request, "", found)


async def one_member(
    request: Request,
    resource: Resource,
    wanted: Sequence[str],
    special: Mapping[str, MemberValue],
    test: Test | None,
    columns: Sequence[MemberColumn],
) -> AsyncIterator[str]:
    """The response of the one member that was asked, if it matches."""
    assert resource.collection is not None
    assert resource.object is not None
    holder = Resource(
        _holder_kind(resource.kind),
        resource.href[: resource.href.rindex("/") + 1],
        resource.by_uid,
        resource.owner,
        resource.home,
        resource.collection,
    )
    writer = writer_for(request, holder, wanted, special, columns)
    asked = [(resource.collection, resource.object.name)]
    found = await request.site.storage.members_named(asked, writer.columns)
    where = {column: at for at, column in enumerate(writer.columns)}
    yield "".join(writer.one(row) for row in found.values() if test is None or test(row, where))


def _holder_kind(kind: Kind) -> Kind:
    return Kind.ADDRESSBOOK if kind is Kind.ADDRESS_OBJECT else Kind.CALENDAR


def writer_for(
    request: Request,
    collection: Resource,
    wanted: Sequence[str],
    special: Mapping[str, MemberValue],
    columns: Sequence[MemberColumn],
) -> MemberWriter:
    """Writes matching members of a collection."""
    known = request.site.registry.by_kind[member_kind(collection.kind)]
    return MemberWriter(request, collection, wanted, known, special, columns)


async def matching(
    request: Request,
    resource: Resource,
    collections: Sequence[Resource],
    wanted: Sequence[str],
    special: Mapping[str, MemberValue],
    test: Test | None,
    columns: Sequence[MemberColumn],
    limit: int | None,
) -> AsyncIterator[str]:
    """The responses of what matches, page by page; with a row that says so where the limit cuts off (507)."""
    left = limit
    for collection in collections:
        assert collection.collection is not None
        writer = writer_for(request, collection, wanted, special, columns)
        where = {column: at for at, column in enumerate(writer.columns)}
        size = max(10, request.site.page_size // 10) if "text" in writer.columns else request.site.page_size
        after: str | None = None
        while True:
            rows = await request.site.storage.members(collection.collection, writer.columns, after=after, limit=size)
            last = len(rows) < size
            after = rows[-1][0] if rows else after
            if test is not None and rows:
                rows = await asyncio.to_thread(_tested, rows, where, test)
            if left is not None and len(rows) > left:
                more = status_response(
                    request.url(resource.href), 507, names.element(dav("number-of-matches-within-limits"))
                )
                yield writer.page(rows[:left]) + more
                return
            if left is not None:
                left -= len(rows)
            if rows:
                yield writer.page(rows)
            if last:
                break


def _tested(rows: Sequence[Row], where: Mapping[MemberColumn, int], test: Test) -> list[Row]:
    return [row for row in rows if test(row, where)]
