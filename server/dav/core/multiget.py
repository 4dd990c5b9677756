"""What calendar-multiget (RFC 4791 §7.9) and addressbook-multiget (RFC 6352 §8.7) share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

from server.computing import computed
from server.dav.core import xml
from server.dav.core.errors import Refused
from server.dav.core.multistatus import MemberWriter, paged, status_response
from server.dav.core.names import dav
from server.dav.core.paths import Path
from server.dav.core.registry import MemberValue
from server.dav.core.request import Answer, Request
from server.dav.core.resource import OBJECTS, Resource, collection_of, member_kind
from server.directory import name_key
from server.errors import BadRequest
from server.storage import Collection, Row

Special = Callable[[Collection], Awaitable[Mapping[str, MemberValue]]]
"""How the data property of a collection's members is read."""
PAGE = 100
"""Members that one statement fetches with their texts."""


async def multiget(
    request: Request, resource: Resource, root: xml.Element, wanted: Sequence[str], special: Special
) -> Answer:
    """Answers for each href in the body, in the form in which it was asked. `special` reads the data property."""
    hrefs = [xml.text_of(item) for item in root.iterchildren(dav("href"))]
    if not hrefs:
        raise BadRequest("The body has no DAV:href.")
    if len(hrefs) > request.site.limits.max_multiget_hrefs:
        raise Refused(403, dav("number-of-matches-within-limits"), "There are too many hrefs.")
    await request.prepare_members(resource, wanted)
    collections: dict[str, Collection] = {}
    if resource.collection is not None:
        collections[resource.collection.name] = resource.collection
    elif resource.home is not None:
        shown = await request.site.storage.collections(resource.home, request.person.id)
        collections = {item.name: item for item in shown}
    return await paged(request, "", pages(request, resource, list(dict.fromkeys(hrefs)), collections, wanted, special))


async def pages(
    request: Request,
    resource: Resource,
    hrefs: Sequence[str],
    collections: Mapping[str, Collection],
    wanted: Sequence[str],
    special: Special,
) -> AsyncIterator[str]:
    """The responses, `PAGE` hrefs at a time."""
    writers: dict[tuple[str, ...], MemberWriter] = {}
    for start in range(0, len(hrefs), PAGE):
        parts: list[Part] = []
        asked: list[tuple[Collection, str]] = []
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
            asked.append((collection, path.segments[4]))
        columns = next(iter(writers.values())).columns if writers else ("name",)
        found = await request.site.storage.members_named(asked, columns) if asked else {}
        if any(writer.heavy for writer in writers.values()):
            yield await computed(written, request, parts, found)
        else:
            yield written(request, parts, found)


Part = str | tuple[Path, Collection, MemberWriter]
"""What is asked by an href: a finished response, or a member that may exist."""


def written(request: Request, parts: Sequence[Part], found: Mapping[tuple[int, str], Row]) -> str:
    """The responses, in the order of the hrefs."""
    out: list[str] = []
    for part in parts:
        if isinstance(part, str):
            out.append(part)
            continue
        path, collection, writer = part
        row = found.get((collection.id, path.segments[4]))
        out.append(status_response(request.url(path.href), 404) if row is None else writer.one(row))
    return "".join(out)


def member_path(request: Request, resource: Resource, href: str) -> Path | None:
    """The path of an href that names a member below the resource asked; None for any other."""
    try:
        path = request.parse_href(href)
    except BadRequest:
        return None
    segments = path.segments
    if len(segments) != 5 or resource.owner is None or segments[0] != request.path.tree:
        return None
    owner = resource.owner
    same = segments[2] == owner.uid if segments[1] == "__uids__" else name_key(segments[2]) == name_key(owner.name)
    if not same or (resource.kind in OBJECTS and resource.object and segments[4] != resource.object.name):
        return None
    return path


async def writer_for(
    request: Request,
    resource: Resource,
    collection: Collection,
    path: Path,
    wanted: Sequence[str],
    special: Special,
) -> MemberWriter:
    """Writes members of a collection with hrefs of the form of `path`."""
    home = replace(resource, href=path.parent().parent().href + "/", collection=None, object=None)
    holder = collection_of(home, collection)
    known = request.site.registry.by_kind[member_kind(holder.kind)]
    return MemberWriter(request, holder, wanted, known, await special(collection))
