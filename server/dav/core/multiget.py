"""What calendar-multiget (RFC 4791 §7.9) and addressbook-multiget (RFC 6352 §8.7) share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial

from server.dav.core import xml
from server.dav.core.errors import Refused
from server.dav.core.large_pages import in_parts, is_large
from server.dav.core.multistatus import MemberWriter, paged, status_response, whole
from server.dav.core.names import dav
from server.dav.core.paths import Path
from server.dav.core.registry import MemberValue
from server.dav.core.request import Request
from server.dav.core.resource import InCollection, InHome, MemberResource, collection_at, member_kind
from server.domain.errors import BadRequest
from server.domain.objects import Collection
from server.domain.principals import name_key
from server.domain.rows import MemberColumn, Row
from server.http.answer import Answer
from server.services.lookup import Found
from server.services.permissions import collection_of

Special = Callable[[Collection], Awaitable[Mapping[str, MemberValue]]]
"""How the data property of a collection's members is read."""
PAGE = 100
"""Members that one statement fetches with their texts."""


async def multiget(
    request: Request, resource: InHome, root: xml.Element, wanted: Sequence[str], special: Special
) -> Answer:
    """Answers for each href in the body, in the form in which it was asked. `special` reads the data property."""
    hrefs = [xml.text_of(item) for item in root.iterchildren(dav("href"))]
    if not hrefs:
        raise BadRequest("The body has no DAV:href.")
    if len(hrefs) > request.site.limits.max_multiget_hrefs:
        raise Refused(403, dav("number-of-matches-within-limits"), "There are too many hrefs.")
    await request.prepare_members(resource, wanted)
    collections: dict[str, Found] = {}
    if isinstance(resource, InCollection):
        collections[resource.collection.name] = resource.found
    else:
        shown = await request.site.reading.collections(request.actor, resource.found)
        collections = {item.name: item for item in shown}
    return await paged(request, "", pages(request, resource, list(dict.fromkeys(hrefs)), collections, wanted, special))


async def pages(
    request: Request,
    resource: InHome,
    hrefs: Sequence[str],
    collections: Mapping[str, Found],
    wanted: Sequence[str],
    special: Special,
) -> AsyncIterator[str]:
    """The responses, `PAGE` hrefs at a time and in their order, except that texts that do not fit a page come later."""
    writers: dict[tuple[str, ...], MemberWriter] = {}
    reading = request.site.reading
    for start in range(0, len(hrefs), PAGE):
        parts: list[Part] = []
        for href in hrefs[start : start + PAGE]:
            path = member_path(request, resource, href)
            collection = collections.get(path.segments[3]) if path is not None else None
            if path is None or collection is None:
                parts.append(status_response(href, 404))
                continue
            key = path.segments[:4]
            if key not in writers:
                writers[key] = await writer_for(request, resource, collection, path, wanted, special)
            parts.append((path, collection, writers[key]))
        columns = next(iter(writers.values())).columns if writers else ("name",)
        heavy = any(writer.heavy for writer in writers.values())
        while parts:
            asked = [(part[1], part[0].segments[4]) for part in parts if not isinstance(part, str)]
            found = await reading.members_named(asked, columns) if asked else {}
            complete, left_out = by_text(parts, found, columns)
            if heavy:
                async for text in in_parts(len(complete), partial(written, request, complete, found)):
                    yield text
            elif is_large(list(found.values()), columns):
                for part in complete:
                    for fragment in written_whole(request, part, found):
                        yield fragment
            else:
                yield "".join([written(request, complete, found, number) for number in range(len(complete))])
            del found  # before further texts are fetched
            parts = left_out


Part = str | tuple[Path, Found, MemberWriter]
"""What is asked by an href: a finished response, or a member that may exist."""


def by_text(
    parts: list[Part], found: Mapping[tuple[int, str], Row], columns: Sequence[MemberColumn]
) -> tuple[list[Part], list[Part]]:
    """The parts that can be written, and those whose text did not fit the page and is asked for again."""
    if "text" not in columns:
        return parts, []
    at = columns.index("text")
    keys = {key for key, row in found.items() if row[at] is None}
    if not keys:
        return parts, []
    complete: list[Part] = []
    left_out: list[Part] = []
    for part in parts:
        missing = not isinstance(part, str) and key_of(part) in keys
        (left_out if missing else complete).append(part)
    return complete, left_out


def written(request: Request, parts: Sequence[Part], found: Mapping[tuple[int, str], Row], number: int) -> str:
    """The response of a part."""
    part = parts[number]
    row = row_of(part, found)
    return part[2].one(row) if row is not None and not isinstance(part, str) else absent(request, part)


def written_whole(request: Request, part: Part, found: Mapping[tuple[int, str], Row]) -> Iterator[str]:
    """The response of a part whose text may be long, in fragments."""
    row = row_of(part, found)
    if row is None or isinstance(part, str):
        yield absent(request, part)
    else:
        yield from whole(part[2], row)


def key_of(part: tuple[Path, Found, MemberWriter]) -> tuple[int, str]:
    """By which `Reading.members_named` gives the row of a member."""
    path, found, _ = part
    return collection_of(found).id, path.segments[4]


def row_of(part: Part, found: Mapping[tuple[int, str], Row]) -> Row | None:
    """The row of a member that exists."""
    return None if isinstance(part, str) else found.get(key_of(part))


def absent(request: Request, part: Part) -> str:
    """The response of a part without a row."""
    return part if isinstance(part, str) else status_response(request.url(part[0].href), 404)


def member_path(request: Request, resource: InHome, href: str) -> Path | None:
    """The path of an href that names a member below the resource asked; None for any other."""
    try:
        path = request.parse_href(href)
    except BadRequest:
        return None
    segments = path.segments
    if len(segments) != 5 or segments[0] != request.path.tree:
        return None
    owner, named = resource.owner, segments[2]
    if segments[1] == "__uids__":
        same = named == owner.uid
    else:
        same = named == owner.name or name_key(named) == name_key(owner.name)
    if not same or (isinstance(resource, MemberResource) and segments[4] != resource.object.name):
        return None
    return path


async def writer_for(
    request: Request,
    resource: InHome,
    found: Found,
    path: Path,
    wanted: Sequence[str],
    special: Special,
) -> MemberWriter:
    """Writes members of a collection that was found, with hrefs of the form of `path`."""
    holder = collection_at(path.parent().url, found, resource.by_uid)
    known = request.site.registry.by_kind[member_kind(holder.kind)]
    return MemberWriter(request, holder, wanted, known, await special(collection_of(found)))
