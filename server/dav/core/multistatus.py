"""Writing `DAV:multistatus` bodies from fragments, page by page (RFC 4918 §13)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from server.dav.core import names
from server.dav.core.errors import Refused
from server.dav.core.large_pages import PART, encoded
from server.dav.core.registry import MemberValue, Property, TakesLong
from server.dav.core.resource import CollectionResource, HomeResource, MemberResource, Resource, member_kind
from server.domain.joined_rows import BETWEEN_ROWS, BETWEEN_VALUES, JoinedRows
from server.domain.privileges import Privilege
from server.domain.rows import MemberColumn, Row
from server.http.answer import Answer
from server.http.paths import encode, is_plain, is_plain_but

if TYPE_CHECKING:
    from server.dav.core.request import Request
    from server.dav.core.resource import Resource

CONTENT_TYPE = "application/xml; charset=utf-8"
OPEN = f"{names.PROLOGUE}<D:multistatus {names.DECLARATIONS}>"
CLOSE = "</D:multistatus>"

SEPARATORS = (BETWEEN_ROWS + BETWEEN_VALUES).encode()

STATUS = {
    200: "HTTP/1.1 200 OK",
    201: "HTTP/1.1 201 Created",
    204: "HTTP/1.1 204 No Content",
    400: "HTTP/1.1 400 Bad Request",
    403: "HTTP/1.1 403 Forbidden",
    404: "HTTP/1.1 404 Not Found",
    409: "HTTP/1.1 409 Conflict",
    415: "HTTP/1.1 415 Unsupported Media Type",
    423: "HTTP/1.1 423 Locked",
    424: "HTTP/1.1 424 Failed Dependency",
    507: "HTTP/1.1 507 Insufficient Storage",
}


def propstat(props: str, status: int, error: str = "", description: str = "") -> str:
    """A `DAV:propstat` element with markup of properties."""
    more = f"<D:error>{error}</D:error>" if error else ""
    if description:
        more += f"<D:responsedescription>{names.escape(description)}</D:responsedescription>"
    return f"<D:propstat><D:prop>{props}</D:prop><D:status>{STATUS[status]}</D:status>{more}</D:propstat>"


def response(href: str, inner: str) -> str:
    """A `DAV:response` element."""
    return f"<D:response><D:href>{names.escape(href)}</D:href>{inner}</D:response>"


def status_response(href: str, status: int, error: str = "") -> str:
    """A `DAV:response` with a status of the resource as a whole."""
    more = f"<D:error>{error}</D:error>" if error else ""
    return response(href, f"<D:status>{STATUS[status]}</D:status>{more}")


def propstats(found: Iterable[str], missing: Iterable[str], denied: Iterable[str] = (), *, minimal: bool) -> str:
    """The propstats of a response. With `minimal`, those that are missing are left out (RFC 8144 §2.1)."""
    good, bad, forbidden = "".join(found), "" if minimal else "".join(missing), "".join(denied)
    parts = []
    if good or not (bad or forbidden):
        parts.append(propstat(good, 200))
    if bad:
        parts.append(propstat(bad, 404))
    if forbidden:
        parts.append(propstat(forbidden, 403))
    return "".join(parts)


def properties_of(request: Request, resource: Resource) -> Mapping[str, str]:
    """What is stored of a resource's settable and dead properties."""
    match resource:
        case MemberResource():
            return resource.object.properties
        case CollectionResource():
            return resource.collection.properties
        case HomeResource():
            return resource.home.properties
        case _:
            return {}


def describe(request: Request, resource: Resource, wanted: Sequence[str]) -> str:
    """A `DAV:response` with the properties asked for."""
    known = request.site.registry.by_kind[resource.kind]
    stored = properties_of(request, resource)
    privileges = None
    found: list[str] = []
    missing: list[str] = []
    denied: list[str] = []
    for name in wanted:
        item = known.get(name)
        if item is None:
            fragment = stored.get(name)
            if fragment is None:
                missing.append(names.tags(name)[2])
            else:
                found.append(fragment)
            continue
        if item.privilege is not Privilege.READ:
            privileges = privileges if privileges is not None else request.privileges(resource)
            if item.privilege not in privileges:
                denied.append(names.tags(name)[2])
                continue
        if item.stored and name in stored:
            found.append(stored[name])
            continue
        value = item.render(request, resource)
        if value is None:
            value = request.loaded.get((resource.href, name))
        if value is None:
            missing.append(names.tags(name)[2])
        else:
            start, end, empty = names.tags(name)
            found.append(start + value + end if value else empty)
    return response(request.url(resource.href), propstats(found, missing, denied, minimal=request.minimal))


def present(request: Request, resource: Resource, *, allprop: bool) -> list[str]:
    """Names of the properties that a resource has: all of them, or those that `DAV:allprop` stands for."""
    known = request.site.registry.by_kind[resource.kind]
    stored = properties_of(request, resource)
    out = [
        name
        for name, item in known.items()
        if (item.in_allprop or not allprop)
        and (
            (item.stored and name in stored)
            or item.render(request, resource) is not None
            or (resource.href, name) in request.loaded
        )
    ]
    return out + [name for name in stored if name not in known]


SLICE = 256 * 1024
"""Characters of a long text that are escaped at once."""
LIGHT_PART = 256 * 1024
"""Characters of responses whose values are edited on the event loop at once."""
_TEXT = BETWEEN_VALUES
"""Stands for a text; no response contains this character otherwise."""

_Part = tuple[str, str, str, tuple[int, ...], Callable[..., str | None] | None]
"""Of a value: markup before, behind and without it, where its columns stand in a row, and what writes it."""


class MemberWriter:
    """Writes members of one collection from rows: what to write is decided once, not for each row."""

    def __init__(
        self,
        request: Request,
        collection: CollectionResource,
        wanted: Sequence[str],
        known: Mapping[str, Property[Request, Any]],
        special: Mapping[str, MemberValue] | None = None,
        more_columns: Sequence[MemberColumn] = (),
        *,
        every_dead: bool = False,
        names_only: bool = False,
    ) -> None:
        """`every_dead` adds all dead properties that a member has, `names_only` writes no values (DAV:propname)."""
        self.every_dead = every_dead
        self.live = frozenset(known)
        """Names of live properties, some of which are stored among the dead ones."""
        self.names_only = names_only
        self.prefix = request.url(collection.href)
        self.minimal = request.minimal
        columns: list[MemberColumn] = ["name"]
        constant_found: list[str] = []
        self.missing: list[str] = []
        any_member: CollectionResource | None = None
        self.dead: list[str] = []
        self.parts: list[_Part] = []
        attempts: list[_Part] = []

        def index(column: MemberColumn) -> int:
            if column not in columns:
                columns.append(column)
            return columns.index(column)

        self.denied: list[str] = []
        for name in wanted:
            value = special.get(name) if special else None
            item = known.get(name)
            start, end, empty = names.tags(name)
            if value is None and item is None:
                self.dead.append(name)
                continue
            if value is None and item is not None:
                if item.privilege is not Privilege.READ and item.privilege not in request.privileges(collection):
                    self.denied.append(empty)
                    continue
                if item.same_for_members:
                    any_member = any_member or replace(collection, kind=member_kind(collection.kind))
                    constant = "" if names_only else item.render(request, any_member)
                    if constant is not None:
                        constant_found.append(start + constant + end if constant else empty)
                    else:
                        self.missing.append(empty)
                    continue
                value = item.member
            assert value is not None
            where = tuple(index(column) for column in value.columns)
            part = (start + value.before, value.after + end, empty, where)
            self.parts.append((*part, value.render))
            attempts.append((*part, value.attempt or value.render))
        self.constants = "".join(constant_found)
        self.properties_at = index("properties") if self.dead or every_dead else -1
        for column in more_columns:
            index(column)
        self.columns: tuple[MemberColumn, ...] = tuple(columns)
        self.where: Mapping[MemberColumn, int] = {column: at for at, column in enumerate(columns)}
        """The position of each column in a row."""
        self.markup = self._markup()
        self.template = None if self.markup is None else "%s".join(text.replace("%", "%%") for text in self.markup)
        """A format for whole rows."""
        heavy = [value for value in (special or {}).values() if value.heavy]
        self.heavy = bool(heavy)
        """Whether writing a page parses texts."""
        text_at = self.where.get("text")
        self._whole_text = [render for *_, where, render in self.parts if text_at in where] == [names.escape]
        """Whether the text is written once, as it is stored."""
        self._attempts = attempts if heavy and all(value.attempt for value in heavy) else None

    def _markup(self) -> list[str] | None:
        """What stands around the values of a row, when every property wanted is a plain column and asked for once."""
        special_case = self.dead or self.missing or self.denied or self.every_dead or self.names_only
        if special_case or any(render or len(at) != 1 for _, _, _, at, render in self.parts):
            return None
        if [at[0] for _, _, _, at, _ in self.parts] != list(range(1, len(self.parts) + 1)):
            return None
        markup = [f"<D:response><D:href>{names.escape(self.prefix)}", "</D:href><D:propstat><D:prop>"]
        for start, end, *_ in self.parts:
            markup[-1] += start
            markup.append(end)
        markup[-1] += f"{self.constants}</D:prop><D:status>{STATUS[200]}</D:status></D:propstat></D:response>"
        return markup

    def page(self, rows: Sequence[Row]) -> str:
        """The responses of existing members."""
        template = self.template
        if template is None or self.markup is None:
            return "".join([self.one(row) for row in rows])
        end = len(self.parts) + 1
        if isinstance(rows, JoinedRows) and end == len(self.columns) == 2 and is_plain_but(rows.text, SEPARATORS):
            return joined(self.markup, rows.text)
        if is_plain("".join([row[0] for row in rows])):
            return "".join([template % tuple(row[:end]) for row in rows])
        return "".join([template % (names.escape(encode(row[0])), *row[1:end]) for row in rows])

    def light_part(self, rows: Sequence[Row], at: int) -> tuple[str, int]:
        """What `one` gives for the rows from `at` on, of a writer that is heavy, and the place of the first row left.

        Ends where a row has to be written off the event loop, and where the responses reach `LIGHT_PART`.
        """
        responses: list[str] = []
        if self._attempts is None:
            return "", at
        room = LIGHT_PART
        try:
            while at < len(rows) and room > 0:
                responses.append(self.one(rows[at], self._attempts))
                room -= len(responses[-1])
                at += 1
        except TakesLong:
            pass
        return "".join(responses), at

    def one(self, row: Row, parts: Sequence[_Part] | None = None) -> str:
        """The response of an existing member; `parts` are others than usual."""
        if self.template is not None:
            return self.template % (names.escape(encode(row[0])), *row[1 : len(self.parts) + 1])
        try:
            return response(self.prefix + encode(row[0]), self.propstats(row, parts))
        except Refused as error:
            precondition = names.element(error.precondition) if error.precondition else ""
            return status_response(self.prefix + encode(row[0]), error.status, precondition)

    def around_text(self, row: Row) -> tuple[str, str, str] | None:
        """The response of a member divided into what stands before its text, the text and what follows it.

        The text is not escaped yet. None where the text is not written as it is stored.
        """
        if not self._whole_text:
            return None
        at = self.where["text"]
        marked = (*row[:at], _TEXT, *row[at + 1 :])
        before, _, after = self.one(marked).partition(_TEXT)
        return before, row[at], after

    def propstats(self, row: Row, parts: Sequence[_Part] | None = None) -> str:
        """The propstats of an existing member; `parts` are others than usual."""
        found = [self.constants] if self.constants else []
        missing = list(self.missing)
        for start, end, empty, where, render in self.parts if parts is None else parts:
            values = [row[at] for at in where]
            value = values[0] if render is None else render(*values)
            if value is None:
                missing.append(empty)
            else:
                found.append(empty if self.names_only else f"{start}{value}{end}")
        if self.properties_at >= 0:
            stored: Mapping[str, str] = row[self.properties_at] or {}
            dead = [name for name in stored if name not in self.live] if self.every_dead else []
            for name in (*self.dead, *dead):
                fragment = stored.get(name)
                if fragment is None:
                    missing.append(names.tags(name)[2])
                else:
                    found.append(names.tags(name)[2] if self.names_only else fragment)
        if self.names_only:
            return propstat("".join(found), 200)
        return propstats(found, missing, self.denied, minimal=self.minimal)


def whole(writer: MemberWriter, row: Row) -> Iterator[str]:
    """The response of a member with its text as it is stored, in fragments, so that a long text is not held twice."""
    divided = writer.around_text(row)
    if divided is None:
        yield writer.one(row)
        return
    before, text, after = divided
    yield before
    for at in range(0, len(text), SLICE):
        yield names.escape(text[at : at + SLICE])
    yield after


def joined(markup: Sequence[str], text: str) -> str:
    """Rows of two values that stand as they are, with the markup around them.

    Bytes are replaced twice as fast as characters.
    """
    before, between, after = (part.encode() for part in markup)
    rows = text.encode().replace(BETWEEN_ROWS.encode(), after + before)
    return b"".join((before, rows.replace(BETWEEN_VALUES.encode(), between), after)).decode()


def answer(request: Request, *fragments: str, headers: Mapping[str, str] | None = None) -> Answer:
    """A 207 whose body is all there."""
    body = (OPEN + "".join(fragments) + CLOSE).encode("utf-8", "surrogatepass")
    return Answer(207, body, {"Content-Type": CONTENT_TYPE, **applied(request), **(headers or {})})


async def paged(request: Request, head: str, pages: AsyncIterator[str]) -> Answer:
    """A 207 whose body is sent page by page; a short one goes out whole, with its length."""
    waiting: list[str] = []
    room = PART
    while room >= 0:
        page = await anext(pages, None)
        if page is None:
            return answer(request, head, *waiting)
        waiting.append(page)
        room -= len(page)

    async def stream() -> AsyncIterator[bytes]:
        yield (OPEN + head).encode()
        while waiting:
            for chunk in encoded(waiting.pop(0)):
                yield chunk
        async for page in pages:
            for chunk in encoded(page):
                yield chunk
        yield CLOSE.encode()

    return Answer(207, headers={"Content-Type": CONTENT_TYPE, **applied(request)}, stream=stream())


def applied(request: Request) -> dict[str, str]:
    """The Preference-Applied header of an answer that lists properties (RFC 7240 §3)."""
    used = sorted(preference for preference in request.preferences if preference != "return=representation")
    return {"Preference-Applied": ", ".join(used), "Vary": "Brief, Prefer"} if used else {"Vary": "Brief, Prefer"}
