"""Principals in bodies: from hrefs to principals, and what the reports on principals share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from server.dav.core import xml
from server.dav.core.multistatus import describe, status_response
from server.dav.core.names import dav
from server.dav.core.paths import FOLDER_KINDS, Path
from server.dav.core.request import Request
from server.dav.core.resource import Kind, PrincipalResource, Resource, delegates_href, delegates_of, principal_href
from server.dav.rfc4918.propfind import names_in
from server.domain.errors import BadRequest
from server.domain.grants import DelegateRights
from server.domain.principals import name_key
from server.services.lookup import Found
from server.services.permissions import principal_of


async def at(request: Request, hrefs: Iterable[str]) -> dict[str, Found]:
    """The principals that exist, by the hrefs that name them; one statement."""
    paths: dict[str, Path] = {}
    for href in hrefs:
        try:
            path = request.parse_href(href)
        except BadRequest:
            continue
        segments = path.segments
        if len(segments) == 3 and segments[0] == "principals" and segments[1] in ("__uids__", *FOLDER_KINDS):
            paths[href] = path
    if not paths:
        return {}
    uids = [path.segments[2] for path in paths.values() if path.segments[1] == "__uids__"]
    named = [
        (FOLDER_KINDS[path.segments[1]], path.segments[2]) for path in paths.values() if path.segments[1] != "__uids__"
    ]
    by_uid, by_name = {}, {}
    for found in await request.site.people.principals_at(request.actor, uids, named):
        principal = principal_of(found)
        by_uid[principal.uid] = by_name[principal.kind, name_key(principal.name)] = found
    out = {}
    for href, path in paths.items():
        _, folder, name = path.segments
        each = by_uid.get(name) if folder == "__uids__" else by_name.get((FOLDER_KINDS[folder], name_key(name)))
        if each is not None:
            out[href] = each
    return out


async def resources_at(request: Request, hrefs: Iterable[str]) -> dict[str, PrincipalResource]:
    """Principals and groups of delegates that exist, by the hrefs that name them; one statement."""
    named: dict[str, tuple[str, str]] = {}
    """The principal's href and the name of the group, empty for the principal itself."""
    for href in hrefs:
        try:
            path = request.parse_href(href)
        except BadRequest:
            continue
        group = path.segments[3] if len(path.segments) == 4 else ""
        named[href] = (request.url(path.parent().href), group) if group else (href, "")
    principals = await at(request, (owner for owner, _ in named.values()))
    out = {}
    for href, (owner, group) in named.items():
        if owner in principals:
            found = resource_of(principals[owner], request.parse_href(owner).segments[1] == "__uids__")
            for each in (found, *delegates_of(found)):
                if group == ("" if each is found else each.name):
                    out[href] = each
    return out


def resource_of(found: Found, by_uid: bool = True) -> PrincipalResource:
    """The resource of a principal that was found."""
    principal = principal_of(found)
    return PrincipalResource(Kind.PRINCIPAL, principal_href(principal, by_uid), found, by_uid, principal)


def delegates_resource(found: Found, rights: DelegateRights, by_uid: bool = True) -> PrincipalResource:
    """The resource of the group of the delegates of a principal that was found."""
    kind = Kind.READ_DELEGATES if rights == "read" else Kind.WRITE_DELEGATES
    principal = principal_of(found)
    return PrincipalResource(kind, delegates_href(principal, rights, by_uid), found, by_uid, principal)


def read_prop(root: xml.Element) -> list[str] | None:
    """The names in the one `DAV:prop` that a report's body may have; None without. Raises `BadRequest`."""
    props = root.findall(dav("prop"))
    if len(props) > 1:
        raise BadRequest("The body has at most one DAV:prop.")
    return names_in(props[0]) if props else None


def demand_depth_zero(request: Request) -> None:
    """Raises `BadRequest` for another depth than these reports have (RFC 3744 §9)."""
    if request.depth("0") != "0":
        raise BadRequest("The depth of this report is 0.")


async def describe_all(request: Request, resources: Sequence[Resource], wanted: Sequence[str] | None) -> list[str]:
    """The responses of resources, with the properties asked for, or that they are there.

    What the properties need is read for all of them together.
    """
    if wanted is None:
        return [status_response(request.url(resource.href), 200) for resource in resources]
    await request.prepare(resources, wanted)
    return [describe(request, resource, wanted) for resource in resources]
