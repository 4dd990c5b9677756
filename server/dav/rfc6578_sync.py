"""RFC 6578: DAV:sync-token and the sync-collection report, on collections and homes, depth 1 and infinite.

A token says which collection or home it is of, its incarnation, and the revision up to which the client is informed; in
a paged initial synchronisation also the revision at which that began, so that what was removed since is reported, and
older tombstones are not (§3.5.2). It is read before the members.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from server.dav.core import names, xml
from server.dav.core.member_pages import member_pages
from server.dav.core.multistatus import MemberWriter, answer, describe, paged, status_response
from server.dav.core.names import dav
from server.dav.core.registry import Property, Report, Standard
from server.dav.core.request import Request
from server.dav.core.resource import (
    HOMES,
    HOMES_AND_COLLECTIONS,
    CollectionResource,
    HomeResource,
    Kind,
    Resource,
    collection_of,
    home_at,
    member_kind,
)
from server.dav.rfc4918.propfind import names_in
from server.domain.errors import BadRequest, InvalidSyncToken
from server.domain.rows import Row
from server.http.answer import Answer
from server.http.paths import encode
from server.services import permissions

_TOKEN = re.compile(r"koyomi-sync:(c|h)-(\d{1,18})-(\d{1,18})-(\d{1,18})(m?)(?:-(\d{1,18}))?\Z")


LEVEL, TOKEN, LIMIT, PROP = dav("sync-level"), dav("sync-token"), dav("limit"), dav("prop")


@dataclass(frozen=True, slots=True)
class Token:
    """A sync token."""

    scope: str
    """`c` for a collection, `h` for a home."""
    id: int
    incarnation: int
    revision: int
    """The client knows every change up to this one."""
    members_only: bool = False
    """Of this last revision it knows the member only, not yet that the member's collection changed with it."""
    began: int | None = None
    """In a paged initial synchronisation: the revision at which it began."""

    def __str__(self) -> str:
        half = "m" if self.members_only else ""
        began = "" if self.began is None else f"-{self.began}"
        return f"koyomi-sync:{self.scope}-{self.id}-{self.incarnation}-{self.revision}{half}{began}"


def parse_token(text: str) -> Token:
    """Raises `InvalidSyncToken`."""
    match = _TOKEN.match(text)
    if match is None:
        raise InvalidSyncToken
    began = None if match[6] is None else int(match[6])
    return Token(match[1], int(match[2]), int(match[3]), int(match[4]), bool(match[5]), began)


def current_token(resource: HomeResource | CollectionResource) -> Token:
    """The token of a collection's or home's present state."""
    if isinstance(resource, CollectionResource):
        collection = resource.collection
        return Token("c", collection.id, collection.incarnation, collection.revision)
    return Token("h", resource.home.id, resource.home.incarnation, resource.home.revision)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a sync-collection report asks for."""

    token: str
    infinite: bool
    limit: int | None
    wanted: Sequence[str]


def read(request: Request, root: xml.Element) -> Asked:
    """Reads the report's body (§6.1). Raises `BadRequest`."""
    parts = {child.tag: child for child in reversed(xml.elements(root))}
    level = xml.text_of(parts.get(LEVEL)) or request.depth("1")
    if level not in ("0", "1", "infinite", "infinity"):
        raise BadRequest("DAV:sync-level is 1 or infinite.")
    limit: int | None = None
    results = parts[LIMIT].find(dav("nresults")) if LIMIT in parts else None
    if results is not None:
        text = xml.text_of(results)
        if not text.isascii() or not text.isdecimal() or len(text) > 9 or int(text) < 1:
            raise BadRequest("DAV:nresults is a positive number.")
        # What is limited is held in memory: no more of it than of a page (§3.6 lets the server truncate earlier).
        limit = min(int(text), request.site.page_size)
    wanted = names_in(parts[PROP]) if PROP in parts else []
    return Asked(xml.text_of(parts.get(TOKEN)), level.startswith("inf"), limit, wanted)


def resume(resource: HomeResource | CollectionResource, asked: Asked) -> Token:
    """Where the client's state ends: its token, checked, or the start of an initial synchronisation.

    Raises `InvalidSyncToken` for a token that is foreign, from another incarnation, of the future, or too old.
    """
    now = current_token(resource)
    if not asked.token:
        return Token(now.scope, now.id, now.incarnation, 0, began=now.revision)
    token = parse_token(asked.token)
    same = (token.scope, token.id, token.incarnation) == (now.scope, now.id, now.incarnation)
    if not same or token.revision > now.revision or (token.began is not None and token.began > now.revision):
        raise InvalidSyncToken
    if isinstance(resource, CollectionResource):
        floor = resource.collection.sync_floor
    else:
        floor = resource.home.infinite_sync_floor if asked.infinite else resource.home.sync_floor
    if (token.revision if token.began is None else token.began) < floor:
        raise InvalidSyncToken
    return token


async def sync_collection(request: Request, resource: HomeResource | CollectionResource, root: xml.Element) -> Answer:
    """Answers the report."""
    asked = read(request, root)
    await request.prepare_members(resource, asked.wanted)
    if isinstance(resource, HomeResource):
        return await sync_home(request, resource, asked)
    since = resume(resource, asked)
    if asked.limit is None:
        end = tail(current_token(resource))
        return await paged(request, "", with_tail(all_changes(request, resource, asked.wanted, since), end))
    return await limited_changes(request, resource, asked.wanted, since, asked.limit)


def tail(token: Token) -> str:
    """The end of a report's body."""
    return f"<D:sync-token>{token}</D:sync-token>"


def truncated(request: Request, resource: Resource) -> str:
    """The row that says that there is more (§3.6)."""
    return status_response(request.url(resource.href), 507, names.element(dav("number-of-matches-within-limits")))


async def with_tail(pages: AsyncIterator[str], end: str) -> AsyncIterator[str]:
    """The pages, the last of them with the end of the body."""
    held: str | None = None
    async for page in pages:
        if held is not None:
            yield held
        held = page
    yield (held or "") + end


class Changes:
    """Writes changed members from rows."""

    def __init__(self, request: Request, collection: CollectionResource, wanted: Sequence[str], since: Token) -> None:
        known = request.site.registry.by_kind[member_kind(collection.kind)]
        self.writer = MemberWriter(request, collection, wanted, known, more_columns=("deleted_revision", "revision"))
        self.deleted_at = self.writer.columns.index("deleted_revision")
        self.revision_at = self.writer.columns.index("revision")
        self.began = since.began
        self.initial = since.revision == 0

    def reported(self, row: Row) -> bool:
        """Whether the row is reported: all are, except tombstones of what an initial synchronisation never reported."""
        deleted = row[self.deleted_at]
        return deleted is None or not (self.initial or (self.began is not None and deleted <= self.began))

    def write(self, row: Row) -> str:
        """The response of a changed or removed member."""
        if row[self.deleted_at] is None:
            return self.writer.one(row)
        return status_response(self.writer.prefix + encode(row[0]), 404)

    def page(self, rows: Sequence[Row]) -> str:
        """The responses of a page."""
        deleted_at = self.deleted_at
        if all(row[deleted_at] is None for row in rows):
            return self.writer.page(rows)
        return "".join([self.write(row) for row in rows if self.reported(row)])


_NEWEST = 2**63 - 1
"""Above every revision."""


async def all_changes(
    request: Request, collection: CollectionResource, wanted: Sequence[str], since: Token
) -> AsyncIterator[str]:
    """The changes of a collection, page by page, those that are made meanwhile among them.

    A member that changes while the report is on its way leaves its place in the order of revisions for the end. Were
    only what is not newer than the token reported, the client would lack the member until the next report, although
    it was there all the time. It hears of it again then; so it does of what changes after its page was sent, or behind
    the one page that is read beyond the token.
    """
    if since.revision == 0 and since.began is not None:
        # All of an initial synchronisation: what exists, in order of names, in which nothing changes its place.
        properties = request.site.registry.by_kind[member_kind(collection.kind)]
        writer = MemberWriter(request, collection, wanted, properties)
        async for page in member_pages(request, collection.found, writer.columns):
            yield writer.page(page)
        return
    changes = Changes(request, collection, wanted, since)
    after, until = since.revision, collection.collection.revision
    size = request.site.page_size
    sent = array("q")
    while True:
        rows = await request.site.reading.members_changed(
            collection.found, changes.writer.columns, after=after, up_to=_NEWEST, limit=size + 1
        )
        more = len(rows) > size
        rows = rows[:size] if more else rows
        shown = rows
        if sent and rows and rows[-1][changes.revision_at] > until:
            known = set(sent)
            shown = [row for row in rows if row[changes.revision_at] <= until or hash(row[0]) not in known]
        if shown:
            yield changes.page(shown)
        if not more or after >= until:
            return
        sent.extend(hash(row[0]) for row in rows)
        after = rows[-1][changes.revision_at]


async def limited_rows(
    request: Request, collection: CollectionResource, changes: Changes, after: int, limit: int, up_to: int = _NEWEST
) -> list[Row]:
    """The first rows to report behind a revision: `limit` of them, and one more where there are more up to `up_to`."""
    found: dict[str, Row] = {}
    size = min(limit + 1, request.site.page_size)
    while len(found) <= limit:
        rows = await request.site.reading.members_changed(
            collection.found, changes.writer.columns, after=after, up_to=up_to, limit=size
        )
        for row in rows:
            # Once more where it changed since the last statement.
            found.pop(row[0], None)
            if changes.reported(row):
                found[row[0]] = row
        if len(rows) < size:
            break
        after = rows[-1][changes.revision_at]
    return list(found.values())[: limit + 1]


async def limited_changes(
    request: Request, resource: CollectionResource, wanted: Sequence[str], since: Token, limit: int
) -> Answer:
    """A report that is truncated at the client's limit; its token points just past the last row sent."""
    changes = Changes(request, resource, wanted, since)
    rows = await limited_rows(request, resource, changes, since.revision, limit)
    now = current_token(resource)
    body = "".join(changes.write(row) for row in rows[:limit])
    if len(rows) <= limit:
        return answer(request, body, tail(now))
    last = rows[limit - 1][changes.revision_at]
    token = Token(now.scope, now.id, now.incarnation, last, began=since.began)
    return answer(request, body, truncated(request, resource), tail(token))


_Change = tuple[int, int, Callable[[], str]]
"""What changed in a home: its revision, its rank among those of one revision, and what writes its response."""


def _order(change: _Change) -> tuple[int, int]:
    return change[:2]


# -- homes ------------------------------------------------------------------------------------------------------------


async def sync_home(request: Request, home: HomeResource, asked: Asked) -> Answer:
    """A report on a home: its collections, and at infinite depth their members too."""
    since = resume(home, asked)
    after = since.revision - 1 if since.members_only else since.revision
    current, items = await request.site.reading.home_changes(request.actor, home.found, after)
    # The token belongs to the snapshot of the list, not to that of the request's lookup: a collection that changed
    # between them would be left out with all that changed in it before, or appear without its predecessor's end.
    home = home_at(home.href, current, home.by_uid)
    since = resume(home, asked)
    changed = [
        (child, item)
        for child, item in ((collection_of(home, each), permissions.collection_of(each)) for each in items)
        if item.deleted_revision is None or since.began is None or item.deleted_revision > since.began
    ]
    now = current_token(home)
    await request.prepare_listed([child for child, _ in changed], asked.wanted)
    rows: list[_Change] = []
    for child, item in changed:
        if item.deleted_revision is not None:
            write = partial(status_response, request.url(child.href), 404)
        elif asked.infinite and not traversed(child):
            write = partial(refusal, request, child)
        else:
            write = partial(describe, request, child, asked.wanted)
        rows.append((item.binding_revision, 1, write))
    if not asked.infinite:
        return cut(request, home, rows, since, asked.limit)
    inner = [child for child, item in changed if item.deleted_revision is None and traversed(child)]
    if asked.limit is None:
        head = "".join(write() for _, _, write in sorted(rows, key=_order))
        return await paged(request, head, with_tail(home_members(request, inner, asked.wanted, since), tail(now)))
    for child in inner:
        # The rows to report and one more are kept; the next collection is read up to the last of them only.
        rows = sorted(rows, key=_order)[: asked.limit + 1]
        up_to = rows[-1][0] if len(rows) > asked.limit else _NEWEST
        changes = Changes(request, child, asked.wanted, since)
        members = await limited_rows(request, child, changes, since.revision, asked.limit, up_to)
        rows += [(row[changes.revision_at], 0, partial(changes.write, row)) for row in members]
    return cut(request, home, rows, since, asked.limit)


def traversed(child: CollectionResource) -> bool:
    """Whether a sync of infinite depth looks into a collection: into one's own (§3.3)."""
    return child.collection.home_id == child.home.id


def refusal(request: Request, child: CollectionResource) -> str:
    """The row of a changed collection that is not looked into, in place of its own."""
    return status_response(request.url(child.href), 403, names.element(dav("sync-traversal-supported")))


async def home_members(
    request: Request, collections: Sequence[CollectionResource], wanted: Sequence[str], since: Token
) -> AsyncIterator[str]:
    """The changed members of changed collections."""
    for child in collections:
        async for page in all_changes(request, child, wanted, since):
            yield page


def cut(request: Request, home: HomeResource, rows: list[_Change], since: Token, limit: int | None) -> Answer:
    """The rows in order of revisions, at most `limit` of them, and the token that belongs to the last."""
    rows.sort(key=_order)
    now = current_token(home)
    if limit is None or len(rows) <= limit:
        return answer(request, *(write() for _, _, write in rows), tail(now))
    shown = rows[:limit]
    revision, rank, _ = shown[-1]
    half = rank == 0 and rows[limit][0] == revision
    if revision > now.revision:
        # Members that changed after the list of collections was read, in which others may be missing.
        revision, half = now.revision, False
    token = Token(now.scope, now.id, now.incarnation, revision, half, since.began)
    return answer(request, *(write() for _, _, write in shown), truncated(request, home), tail(token))


def _sync_token(request: Request, resource: HomeResource | CollectionResource) -> str:
    return str(current_token(resource))


STANDARD = Standard(
    "RFC 6578",
    properties=(Property(dav("sync-token"), HOMES_AND_COLLECTIONS, _sync_token),),
    reports=(Report(dav("sync-collection"), HOMES_AND_COLLECTIONS, sync_collection),),
    # Apple's clients look for it before they ask a home.
    tokens=(("calendarserver-home-sync", HOMES | {Kind.PRINCIPAL}),),
)
