"""The reports principal-property-search (RFC 3744 §9.4) and principal-search-property-set (§9.5).

With what macOS and iOS send besides: `test` and `type` on the report, `match-type` and `caseless` on DAV:match, and
CS:limit; and CS:first-name and CS:last-name, which they search by and ask for.
"""

from __future__ import annotations

from typing import get_args

from server.dav.core import names, xml
from server.dav.core.multistatus import CONTENT_TYPE, answer, status_response
from server.dav.core.names import caldav, calendarserver, dav
from server.dav.core.paths import FOLDER_KINDS, Path
from server.dav.core.registry import Property, Report, Standard
from server.dav.core.request import Request
from server.dav.core.resource import EVERY, PRINCIPAL, Kind, Kinds, PrincipalResource, Resource
from server.dav.rfc3744.principals import demand_depth_zero, describe_all, read_prop, resource_of
from server.dav.room_properties import SEARCHED
from server.domain.errors import BadRequest
from server.domain.principal_search import MatchType, PrincipalSearch, Term
from server.domain.principals import PrincipalKind
from server.http.answer import Answer

MAX_TERMS = 100
"""Properties and texts of one search."""
USER_TYPES: dict[str, PrincipalKind] = {
    "INDIVIDUAL": "individual",
    "GROUP": "group",
    "ROOM": "room",
    "RESOURCE": "resource",
}
"""Calendar user types (RFC 5545 §3.2.3)."""
_ALL: tuple[PrincipalKind, ...] = ("individual", "group", "room", "resource")
_SEARCHABLE = {
    dav("displayname"): "Name",
    calendarserver("first-name"): "First name",
    calendarserver("last-name"): "Last name",
    calendarserver("email-address-set"): "E-mail address",
    caldav("calendar-user-address-set"): "Calendar user address",
    caldav("calendar-user-type"): "Kind",
}


def _first_name(request: Request, resource: PrincipalResource) -> str | None:
    return _part_of_name(resource, 0)


def _last_name(request: Request, resource: PrincipalResource) -> str | None:
    return _part_of_name(resource, -1)


def _part_of_name(resource: PrincipalResource, at: int) -> str | None:
    """The first or last word of a person's name, as the search takes them: the directory knows no other parts."""
    owner = resource.owner
    if owner.kind != "individual":
        return None
    words = (owner.display_name or owner.name).split(" ")
    return names.escape(words[at])


async def principal_property_search(request: Request, resource: Resource, root: xml.Element) -> Answer:
    """The principals below a folder (or all, if the body says so) whose properties match."""
    demand_depth_zero(request)
    wanted = read_prop(root)
    everywhere = root.find(dav("apply-to-principal-collection-set")) is not None
    if resource.kind is not Kind.PRINCIPALS and not everywhere:
        return answer(request)
    by_uid, kinds = scope(resource, everywhere=everywhere)
    asked = USER_TYPES.get(root.get("type", "").upper()) if root.get("type") else None
    if asked is not None:
        kinds = tuple(kind for kind in kinds if kind == asked)
    search = PrincipalSearch(read_terms(root), kinds, any_group=root.get("test", "allof") == "anyof")
    return await found(request, resource, search, read_limit(request, root), wanted, by_uid=by_uid)


def scope(resource: Resource, *, everywhere: bool) -> tuple[bool, tuple[PrincipalKind, ...]]:
    """The form of URLs, and the kinds of principals, of a folder of principals."""
    kind = FOLDER_KINDS.get(resource.name)
    if everywhere or resource.kind is not Kind.PRINCIPALS or kind is None:
        return True, _ALL
    return False, (kind,)


async def found(
    request: Request, resource: Resource, search: PrincipalSearch, limit: int, wanted: list[str] | None, *, by_uid: bool
) -> Answer:
    """The responses of what a search finds, with a row that says so where the limit cuts it off."""
    principals = await request.site.people.search(request.actor, search, limit + 1)
    rows = await describe_all(request, [resource_of(item, by_uid) for item in principals[:limit]], wanted)
    if len(principals) > limit:
        precondition = names.element(dav("number-of-matches-within-limits"))
        rows.append(status_response(request.url(resource.href), 507, precondition))
    return answer(request, *rows)


def read_limit(request: Request, root: xml.Element) -> int:
    """The most results: the client's limit, but no more than a page."""
    text = xml.text_of(root.find(f"{calendarserver('limit')}/{calendarserver('nresults')}"))
    if not text:
        return request.site.page_size
    if not text.isascii() or not text.isdecimal() or len(text) > 9 or int(text) < 1:
        raise BadRequest("CS:nresults is a positive number.")
    return min(int(text), request.site.page_size)


def read_terms(root: xml.Element) -> tuple[tuple[Term, ...], ...]:
    """What each DAV:property-search asks for. One that names several properties wants one of them to match."""
    out = []
    for item in root.findall(dav("property-search")):
        prop, match = item.find(dav("prop")), item.find(dav("match"))
        if prop is None or match is None:
            raise BadRequest("A DAV:property-search has a DAV:prop and a DAV:match.")
        how = read_match_type(match)
        caseless = match.get("caseless", "yes") != "no"
        terms = [
            term
            for asked in xml.elements(prop)
            for term in terms_for(str(asked.tag), match.text or "", how, caseless=caseless)
        ]
        out.append(tuple(terms))
    if not out or sum(map(len, out)) > MAX_TERMS:
        raise BadRequest(f"A search has 1 to {MAX_TERMS} properties.")
    return tuple(out)


def read_match_type(match: xml.Element) -> MatchType:
    """How a text is compared. Raises `BadRequest`."""
    asked = match.get("match-type", "contains")
    for how in get_args(MatchType):
        if asked == how:
            return how  # type: ignore[no-any-return]
    raise BadRequest("match-type is contains, starts-with or equals.")


def terms_for(name: str, text: str, how: MatchType, *, caseless: bool) -> list[Term]:
    """Conditions on a principal, one of which must hold so that a property matches."""
    if name == dav("displayname"):
        return [Term("display-name", text, how, caseless)]
    if name == calendarserver("first-name"):
        return [Term("first-name", text, how, caseless)]
    if name == calendarserver("last-name"):
        return [Term("last-name", text, how, caseless)]
    if name in SEARCHED:
        return [Term("room", text, how, caseless, SEARCHED[name][0])]
    if name == calendarserver("email-address-set"):
        return [Term("address", text, how, caseless)]
    if name == caldav("calendar-user-type"):
        kinds = [kind for word, kind in USER_TYPES.items() if word == text.strip().upper()]
        return [Term("kind", kind, "equals", False) for kind in kinds] or [Term("nothing", "")]
    if name == caldav("calendar-user-address-set"):
        return address_terms(text, how, caseless=caseless)
    return [Term("nothing", "")]


def address_terms(text: str, how: MatchType, *, caseless: bool) -> list[Term]:
    """As `terms_for`, for calendar user addresses, which are URIs of several kinds."""
    scheme, _, rest = text.partition(":")
    if scheme.lower() == "mailto":
        return [Term("address", rest, "starts-with" if how == "contains" else how, caseless)]
    if text.lower().startswith("urn:x-uid:"):
        return [Term("uid", text[len("urn:x-uid:") :], "equals", False)]
    if text.startswith("/") or scheme.lower() in ("http", "https"):
        path = _path_of(text)
        if path is None or len(path.segments) != 3 or path.segments[0] != "principals":
            return [Term("nothing", "")]
        return [Term("uid" if path.segments[1] == "__uids__" else "name", path.segments[2], "equals", True)]
    return [Term("address", text, how, caseless)]


def _path_of(text: str) -> Path | None:
    try:
        return Path.parse(text)
    except BadRequest:
        return None


async def principal_search_property_set(request: Request, resource: Resource, root: xml.Element) -> Answer:
    """Which properties can be searched."""
    demand_depth_zero(request)
    rows = "".join(
        f"<D:principal-search-property><D:prop>{names.tags(name)[2]}</D:prop>"
        f'<D:description xml:lang="en">{text}</D:description></D:principal-search-property>'
        for name, text in (*_SEARCHABLE.items(), *((name, text) for name, (_, text) in SEARCHED.items()))
    )
    start, end, _ = names.tags(dav("principal-search-property-set"))
    body = f"{names.PROLOGUE}{start[:-1]} {names.DECLARATIONS}>{rows}{end}"
    return Answer(200, body.encode(), {"Content-Type": CONTENT_TYPE})


STANDARD = Standard(
    "RFC 3744 §9.4",
    properties=(
        Property(calendarserver("first-name"), PRINCIPAL, _first_name),
        Property(calendarserver("last-name"), PRINCIPAL, _last_name),
    ),
    reports=(
        Report(dav("principal-property-search"), EVERY, principal_property_search),
        Report(
            dav("principal-search-property-set"), Kinds.of(Resource, Kind.PRINCIPALS), principal_search_property_set
        ),
    ),
)
