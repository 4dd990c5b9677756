"""Apple's calendar-proxy (caldav-proxy.txt): delegates, as two groups below each principal that has a calendar home.

Also CS:expanded-group-member-set and CS:expanded-group-membership, which follow groups of groups.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from server.dav.core import names, xml
from server.dav.core.errors import Refused
from server.dav.core.names import calendarserver, dav
from server.dav.core.registry import Property, Standard
from server.dav.core.request import Request
from server.dav.core.resource import (
    DELEGATES,
    EVERY,
    PRINCIPAL,
    Kind,
    PrincipalResource,
    Resource,
    delegates_href,
    principal_href,
)
from server.dav.rfc3744.principals import at
from server.domain.grants import DelegateRights
from server.domain.principals import Principal
from server.services.permissions import principal_of

MAX_DELEGATES = 1000
"""Delegates that one group takes."""


def _rights(resource: PrincipalResource) -> DelegateRights:
    return "read" if resource.kind is Kind.READ_DELEGATES else "write"


def _hrefs(request: Request, principals: Iterable[Principal]) -> str:
    return "".join(names.href(request.url(principal_href(item))) for item in principals)


def _nothing(request: Request, resource: Resource) -> None:
    return None


def _empty(request: Request, resource: Resource) -> str:
    return ""


async def _load_delegates(request: Request, resources: Sequence[PrincipalResource]) -> list[str]:
    delegations = await request.site.people.delegates([resource.found for resource in resources])
    return [
        _hrefs(request, (item.principal for item in delegations[resource.owner.id] if item.rights == _rights(resource)))
        for resource in resources
    ]


async def _read_delegates(request: Request, resource: Resource, element: xml.Element) -> str:
    """Ids of the principals that the hrefs name, with spaces between them. All must exist."""
    hrefs = [xml.text_of(item) for item in element.iterchildren(dav("href"))]
    if len(hrefs) > MAX_DELEGATES:
        raise Refused(507, message=f"There are at most {MAX_DELEGATES} delegates.")
    found = await at(request, hrefs)
    if any(href not in found for href in hrefs):
        raise Refused(403, dav("recognized-principal"), "There is no such principal.")
    ids = [principal_of(each).id for each in found.values()]
    if principal_of(resource.found).id in ids:
        raise Refused(403, dav("allowed-principal"), "Nobody is their own delegate.")
    return " ".join(map(str, ids))


async def _write_delegates(request: Request, resource: PrincipalResource, value: str) -> None:
    ids = frozenset(map(int, value.split()))
    await request.site.granting.set_delegates(request.actor, resource.found, _rights(resource), ids)


def _own_url(request: Request, resource: PrincipalResource) -> str:
    return names.href(request.url(delegates_href(resource.owner, _rights(resource))))


def _own_url_by_name(request: Request, resource: PrincipalResource) -> str:
    return names.href(request.url(delegates_href(resource.owner, _rights(resource), by_uid=False)))


async def _load_delegators(
    request: Request, resources: Sequence[PrincipalResource], rights: DelegateRights
) -> list[str]:
    found = [resource.found for resource in resources]
    delegators = await request.site.people.delegators(found, through_groups=True)
    return [
        _hrefs(request, (item.principal for item in delegators[resource.owner.id] if item.rights == rights))
        for resource in resources
    ]


async def _load_reads_for(request: Request, resources: Sequence[PrincipalResource]) -> list[str]:
    return await _load_delegators(request, resources, "read")


async def _load_writes_for(request: Request, resources: Sequence[PrincipalResource]) -> list[str]:
    return await _load_delegators(request, resources, "write")


async def _load_all_members(request: Request, resources: Sequence[PrincipalResource]) -> list[str]:
    members = await request.site.people.all_members_of([resource.found for resource in resources])
    return [_hrefs(request, members[resource.owner.id]) for resource in resources]


async def _load_all_groups(request: Request, resources: Sequence[PrincipalResource]) -> list[str]:
    found = [resource.found for resource in resources]
    groups = await request.site.people.all_groups_of(found)
    delegators = await request.site.people.delegators(found, through_groups=True)
    return [
        _hrefs(request, groups[id_])
        + "".join(names.href(request.url(delegates_href(item.principal, item.rights))) for item in delegators[id_])
        for id_ in (resource.owner.id for resource in resources)
    ]


STANDARD = Standard(
    "calendar-proxy",
    properties=(
        Property(dav("principal-URL"), DELEGATES, _own_url),
        Property(dav("alternate-URI-set"), DELEGATES, _own_url_by_name),
        Property(
            dav("group-member-set"),
            DELEGATES,
            _nothing,
            load=_load_delegates,
            read=_read_delegates,
            write=_write_delegates,
        ),
        Property(dav("group-membership"), DELEGATES, _empty),
        Property(calendarserver("calendar-proxy-read-for"), PRINCIPAL, _nothing, load=_load_reads_for),
        Property(calendarserver("calendar-proxy-write-for"), PRINCIPAL, _nothing, load=_load_writes_for),
        Property(calendarserver("expanded-group-member-set"), PRINCIPAL, _nothing, load=_load_all_members),
        Property(calendarserver("expanded-group-membership"), PRINCIPAL, _nothing, load=_load_all_groups),
    ),
    tokens=(("calendar-proxy", EVERY),),
)
