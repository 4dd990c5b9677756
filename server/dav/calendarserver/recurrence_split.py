"""calendarserver recurrence splitting: POST to a calendar object divides its series in two (caldav-recursplit)."""

from __future__ import annotations

from functools import partial
from urllib.parse import unquote

from server.dav.core import names
from server.dav.core.errors import Refused
from server.dav.core.multistatus import answer, propstat, response
from server.dav.core.names import caldav, dav
from server.dav.core.paths import Path
from server.dav.core.registry import Standard
from server.dav.core.request import Request
from server.dav.core.resource import Kind, Kinds, MemberResource, resource_at
from server.dav.rfc4918 import conditions
from server.dav.rfc6638_implicit import sending
from server.domain.errors import BadRequest, InvalidSplitPoint, KoyomiError, NotFound
from server.domain.privileges import Privilege
from server.http.answer import Answer
from server.http.routes import Route
from server.services.changing import change
from server.services.lookup import Found

_OBJECT = Kinds.of(MemberResource, Kind.CALENDAR_OBJECT)
_OFFERED = frozenset({*_OBJECT, Kind.CALENDAR, Kind.CALENDAR_HOME, Kind.PRINCIPAL})


async def post(request: Request) -> Answer:
    """Answers POST to a calendar object: `?action=split&rid=TIME`, perhaps with the `uid` of the new object."""
    query = _query(request)
    if query.get("action") != ["split"]:
        await request.resource(need=Privilege.WRITE_CONTENT)
        # The condition is that of RFC 8607 §3.11, the other document with actions of POST.
        raise Refused(403, caldav("valid-action"), "POST to a calendar object divides it: ?action=split.")
    # A page of another site can make a browser send this, with remembered credentials: it has no body and no header.
    if request.headers.get("Sec-Fetch-Site", "none").strip().lower() not in ("none", "same-origin"):
        raise Refused(403, message="Another site's page may not change a calendar.")
    look_up = partial(request.look_up, need=Privilege.WRITE_CONTENT)
    name = await change(look_up, partial(_split, request, query))
    path = Path.of((*request.path.segments[:4], name), False)
    shown = await _parts(request, path) if request.representation else None
    if shown is not None:
        return shown
    return Answer(204, headers={"Split-Component-URL": request.url(path.href)})


async def _split(request: Request, query: dict[str, list[str]], found: Found) -> str:
    """Divide the member that was found; returns the name of the new one."""
    try:
        resource = resource_at(request.path, found)
    except NotFound:
        request.demand_sight(request.path, found, Privilege.WRITE_CONTENT)
        raise
    unchanged = await conditions.demand(request, resource)
    rid, uid = query.get("rid", []), query.get("uid", [])
    if len(rid) != 1:
        raise InvalidSplitPoint("The parameter rid names the time at which the series is divided.")
    if len(uid) > 1:
        raise BadRequest("There may be one parameter uid.")
    with sending(request), request.denied_at(resource.href):
        splitting = request.site.splitting
        return await splitting.split(request.actor, found, rid[0], uid[0] if uid else None, unchanged=unchanged)


def _query(request: Request) -> dict[str, list[str]]:
    """The parameters of the query. Raises `BadRequest` for octets that are no UTF-8."""
    found: dict[str, list[str]] = {}
    for part in request.wire.target.partition("?")[2].split("&"):
        name, _, value = part.partition("=")
        try:
            found.setdefault(unquote(name, errors="strict"), []).append(unquote(value, errors="strict"))
        except UnicodeDecodeError:
            raise BadRequest("The query is not UTF-8.") from None
    return found


async def _parts(request: Request, path: Path) -> Answer | None:
    """Both members with their texts, the divided one first; None where they cannot be read (RFC 7240 §2)."""
    try:
        resources = [await request.resource(each, text=True) for each in (request.path, path)]
    except KoyomiError:
        return None
    members = [each for each in resources if isinstance(each, MemberResource)]
    if len(members) != len(resources):
        return None
    headers = {"ETag": conditions.entity_tag(members[0]), "Preference-Applied": "return=representation"}
    return answer(request, *(_response(request, each) for each in members), headers=headers)


def _response(request: Request, member: MemberResource) -> str:
    found = member.object
    properties = [
        names.element(dav("getetag"), names.escape(conditions.entity_tag(member))),
        names.element(caldav("calendar-data"), names.escape(found.text or "")),
    ]
    if found.schedule_tag is not None:
        properties.append(names.element(caldav("schedule-tag"), names.escape(f'"{found.schedule_tag}"')))
    return response(request.url(member.href), propstat("".join(properties), 200))


STANDARD = Standard(
    "calendarserver recurrence splitting",
    routes=(Route("POST", _OBJECT, post),),
    offers=(("POST", _OBJECT),),
    tokens=(("calendarserver-recurrence-split", _OFFERED),),
)
