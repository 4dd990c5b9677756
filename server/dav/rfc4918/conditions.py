"""Conditional requests: HTTP's, and the headers If (RFC 4918 §10.4) and If-Schedule-Tag-Match (RFC 6638 §8.3)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from server.dav.core.names import dav
from server.dav.core.request import Request
from server.dav.core.resource import (
    CollectionResource,
    HomeResource,
    MemberResource,
    PrincipalResource,
    Resource,
    resource_at,
)
from server.dav.rfc4918.listing import principal_listing
from server.domain.changes import Unchanged
from server.domain.errors import AccessDenied, BadRequest, NotFound, PreconditionFailed
from server.domain.etags import etag_of
from server.domain.objects import Collection, Home, Object
from server.domain.privileges import Privilege
from server.http import conditions

MAX_CONDITIONS = 500
"""Conditions allowed in one If header."""

_CONDITIONS = ("If", *conditions.CONDITIONS, "If-Schedule-Tag-Match")
_IF = re.compile(r"\s*(?:(?P<open>\()|(?P<close>\))|(?P<no>Not\b)|<(?P<uri>[^>]*)>|\[(?P<tag>[^\]]*)\])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class State:
    """What conditions are held against."""

    etag: str | None
    """With its quotes; None where nothing exists."""
    modified: datetime | None = None
    schedule_tag: str | None = None
    """Without quotes; None for what has none (RFC 6638 §3.2.10)."""
    tokens: frozenset[str] = frozenset()
    """State tokens: the sync token of a collection (RFC 6578 §5)."""


ABSENT = State(None)


def entity_tag(resource: Resource) -> str:
    """The ETag of a resource, with quotes. That of a collection changes with its members, that of a principal with its
    page."""
    match resource:
        case MemberResource():
            return f'"{resource.object.etag}"'
        case CollectionResource():
            return f'"{resource.collection.incarnation}-{resource.collection.revision}"'
        case HomeResource():
            return f'"{resource.home.incarnation}-{resource.home.revision}"'
        case PrincipalResource():
            return f'"{etag_of(principal_listing(resource))}"'
        case _:
            return '"fixed"'


def last_modified(resource: Resource) -> datetime | None:
    """When a resource was last changed; None for what has no time."""
    holder = stored_in(resource)
    return None if holder is None else holder.modified_at


def stored_in(resource: Resource) -> Object | Collection | Home | None:
    """What of a resource has times; None for principals and what is above them."""
    match resource:
        case MemberResource():
            return resource.object
        case CollectionResource():
            return resource.collection
        case HomeResource():
            return resource.home
        case _:
            return None


def state_of(request: Request, resource: Resource | None) -> State:
    """The state of a resource that may not exist. Its sync token, where it has one, is a state token (RFC 6578 §5)."""
    if resource is None:
        return ABSENT
    token = request.site.registry.by_kind[resource.kind].get(dav("sync-token"))
    value = token.render(request, resource) if token is not None else None
    tokens = frozenset() if value is None else frozenset((value,))
    schedule_tag = resource.object.schedule_tag if isinstance(resource, MemberResource) else None
    return State(entity_tag(resource), last_modified(resource), schedule_tag, tokens)


async def check(request: Request, resource: Resource | None) -> bool:
    """Whether a GET or HEAD may be answered with 304.

    Raises `PreconditionFailed`, `BadRequest`.
    """
    return (await _evaluate(request, resource))[0]


async def demand(request: Request, resource: Resource | None) -> tuple[Unchanged, ...]:
    """Evaluate the conditions of a write; returns the states of collections and homes that they rest on.

    The write must fail if one of these states has changed. Raises `PreconditionFailed`, `BadRequest`.
    """
    rest_on = (await _evaluate(request, resource))[1]
    viewer = request.person.id
    return tuple(_unchanged(found, viewer) for found in rest_on if isinstance(found, HomeResource | CollectionResource))


def _unchanged(resource: HomeResource | CollectionResource, viewer: int) -> Unchanged:
    if isinstance(resource, HomeResource):
        return Unchanged(resource.home.id, None, resource.home.revision, viewer)
    return Unchanged(resource.collection.home_id, resource.collection.id, resource.collection.revision, viewer)


async def _evaluate(request: Request, resource: Resource | None) -> tuple[bool, list[Resource]]:
    """Whether a GET or HEAD may be answered with 304, and the resources whose state the conditions rest on."""
    headers = request.headers
    named = [name for name in _CONDITIONS if name in headers]
    if not named:
        return False, []
    known: dict[str | None, Resource | None] = {None: resource}
    if "If" in headers and not await _if_header(request, headers["If"], known):
        raise PreconditionFailed("No list of the If header holds.")
    unmodified = _unmodified(request, state_of(request, resource))
    if named == ["If-Match"] and "*" in conditions.tags_of(headers, "If-Match"):
        return unmodified, []  # Any state will do.
    return unmodified, [found for found in known.values() if found is not None]


def _unmodified(request: Request, state: State) -> bool:
    """Whether a GET or HEAD may be answered with 304. Raises `PreconditionFailed`."""
    headers = request.headers
    if "If-Schedule-Tag-Match" in headers:
        tag = state.schedule_tag
        if tag is None or headers["If-Schedule-Tag-Match"].strip() != f'"{tag}"':
            raise PreconditionFailed("The Schedule-Tag is not that of If-Schedule-Tag-Match.")
    return conditions.unmodified(headers, request.method, state.etag, state.modified)


@dataclass(slots=True)
class _List:
    resource: str | None
    """The tag before the list; None for the request's own resource."""
    conditions: list[tuple[bool, str, bool]]
    """Whether negated, the value, and whether it is an entity tag."""


def parse_if(value: str) -> list[_List]:
    """The lists of an If header. Raises `BadRequest`."""
    lists: list[_List] = []
    tagged: str | None = None
    current: _List | None = None
    negated = False
    position = count = 0
    value = value.strip()
    while position < len(value):
        match = _IF.match(value, position)
        count += 1
        if match is None or count > 4 * MAX_CONDITIONS:
            raise BadRequest("The If header is not valid (RFC 4918 §10.4).")
        position = match.end()
        if match["open"]:
            if current is not None:
                raise BadRequest("The If header has a list within a list.")
            current = _List(tagged, [])
        elif match["close"]:
            if current is None or not current.conditions or negated:
                raise BadRequest("The If header has an empty list.")
            lists.append(current)
            current = None
        elif match["no"]:
            if current is None or negated:
                raise BadRequest("The If header has a Not outside a list.")
            negated = True
        elif current is None:
            if match["uri"] is None:
                raise BadRequest("The If header has a condition outside a list.")
            tagged = match["uri"]
        else:
            entity = match["tag"] is not None
            current.conditions.append((negated, match["tag"] if entity else match["uri"], entity))
            negated = False
        while position < len(value) and value[position].isspace():
            position += 1
    if current is not None or not lists:
        raise BadRequest("The If header ends within a list.")
    return lists


async def _if_header(request: Request, value: str, known: dict[str | None, Resource | None]) -> bool:
    """Whether one of the lists holds. Adds the resources that they name to `known`."""
    states = {tag: state_of(request, found) for tag, found in known.items()}
    for item in parse_if(value):
        if item.resource not in known:
            known[item.resource] = found = await _find(request, item.resource or "")
            states[item.resource] = state_of(request, found)
        state = states[item.resource]
        if all(
            ((value == state.etag) if entity else (value in state.tokens)) != negated
            for negated, value, entity in item.conditions
        ):
            return True
    return False


async def _find(request: Request, href: str) -> Resource | None:
    path = request.parse_href(href)
    try:
        return resource_at(path, await request.look_up(path, need=Privilege.READ))
    except (NotFound, AccessDenied):
        return None
