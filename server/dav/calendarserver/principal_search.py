"""Apple's CS:calendarserver-principal-search: people, rooms and equipment by what somebody types."""

from __future__ import annotations

from server.dav.core import xml
from server.dav.core.errors import Refused
from server.dav.core.names import calendarserver, dav
from server.dav.core.registry import Report, Standard
from server.dav.core.request import Request
from server.dav.core.resource import Kind, Kinds, Resource
from server.dav.rfc3744.principal_search import MAX_TERMS, found, read_limit, scope
from server.dav.rfc3744.principals import demand_depth_zero, read_prop
from server.domain.errors import BadRequest
from server.domain.principal_search import PrincipalSearch, Term
from server.domain.principals import PrincipalKind
from server.http.answer import Answer

_CONTEXTS: dict[str, tuple[PrincipalKind, ...]] = {
    "": ("individual", "group", "room", "resource"),
    "user": ("individual",),
    "group": ("group",),
    "attendee": ("individual", "group", "resource", "room"),
    "location": ("room",),
    "resource": ("resource",),
}
FOLDERS = Kinds.of(Resource, Kind.PRINCIPALS)


async def principal_search(request: Request, resource: Resource, root: xml.Element) -> Answer:
    """Each token begins a word of a name, or an address."""
    demand_depth_zero(request)
    wanted = read_prop(root)
    tokens = [xml.text_of(item) for item in root.findall(calendarserver("search-token"))]
    if not tokens or len(tokens) > MAX_TERMS or not all(tokens):
        raise BadRequest(f"A search has 1 to {MAX_TERMS} tokens.")
    if not any(len(token) > 1 for token in tokens):
        raise Refused(403, calendarserver("search-token-length"), "One of the tokens must be longer than a character.")
    context = root.get("context", "")
    if context not in _CONTEXTS:
        raise BadRequest(f"The context is one of {', '.join(filter(None, _CONTEXTS))}.")
    everywhere = root.find(dav("apply-to-principal-collection-set")) is not None
    by_uid, kinds = scope(resource, everywhere=everywhere)
    search = PrincipalSearch(
        tuple((Term("word", token),) for token in tokens), tuple(kind for kind in kinds if kind in _CONTEXTS[context])
    )
    return await found(request, resource, search, read_limit(request, root), wanted, by_uid=by_uid)


STANDARD = Standard(
    "calendarserver-principal-search",
    reports=(Report(calendarserver("calendarserver-principal-search"), FOLDERS, principal_search),),
    tokens=(("calendarserver-principal-search", FOLDERS | {Kind.PRINCIPAL}),),
)
