"""The reports acl-principal-prop-set (RFC 3744 §9.2) and principal-match (§9.3)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from server.dav.core import names, xml, xml_trees
from server.dav.core.member_pages import member_pages
from server.dav.core.multistatus import MemberWriter, answer, describe, paged, status_response
from server.dav.core.names import dav
from server.dav.core.paths import FOLDER_KINDS
from server.dav.core.registry import Report, Standard
from server.dav.core.request import Request
from server.dav.core.resource import (
    COLLECTIONS,
    HOMES,
    OWNED,
    CollectionResource,
    HomeResource,
    InHome,
    Kind,
    Kinds,
    PrincipalResource,
    Resource,
    collection_of,
    delegates_href,
    member_kind,
    principal_href,
)
from server.dav.rfc3744 import acl as rfc3744_acl
from server.dav.rfc3744.principals import delegates_resource, demand_depth_zero, describe_all, read_prop, resource_of
from server.domain.errors import BadRequest
from server.domain.grants import DelegateRights, Delegation
from server.domain.principals import Principal
from server.domain.privileges import Privilege
from server.http.answer import Answer
from server.services.lookup import principal_as_seen

MATCHED = Kinds.of(Resource, Kind.PRINCIPALS, *HOMES, *COLLECTIONS)
_RIGHTS: tuple[DelegateRights, ...] = ("read", "write")


async def acl_principal_prop_set(request: Request, resource: InHome, root: xml.Element) -> Answer:
    """Properties of the principals that a resource's access control list names."""
    demand_depth_zero(request)
    wanted = read_prop(root)
    facts = await rfc3744_acl.facts_of(request, resource)
    viewer = resource.found.viewer
    named = rfc3744_acl.principals_in(resource, facts)
    found = [resource_of(principal_as_seen(viewer, principal)) for principal in named]
    if resource.kind in rfc3744_acl.WITH_DELEGATES:
        owner = principal_as_seen(viewer, resource.owner)
        found += [delegates_resource(owner, rights) for rights in _RIGHTS]
    return answer(request, *await describe_all(request, found, wanted))


async def principal_match(request: Request, resource: Resource, root: xml.Element) -> Answer:
    """The principals that the person is, or the resources below one whose property names the person."""
    demand_depth_zero(request)
    wanted = read_prop(root)
    selectors = [item for item in xml.elements(root) if item.tag in (dav("self"), dav("principal-property"))]
    if len(selectors) != 1:
        raise BadRequest("The body has one of DAV:self and DAV:principal-property.")
    if selectors[0].tag == dav("self"):
        found = await own_principals(request, resource) if resource.kind is Kind.PRINCIPALS else []
        return answer(request, *await describe_all(request, found, wanted))
    inner = xml.elements(selectors[0])
    if len(inner) != 1:
        raise BadRequest("DAV:principal-property names one property.")
    return await paged(request, "", naming(request, resource, str(inner[0].tag), wanted))


async def own_principals(request: Request, folder: Resource) -> list[PrincipalResource]:
    """The person, their groups, and the groups of delegates that they belong to, as far as a folder has them."""
    person = request.person
    groups, delegators = await belonging(request)
    kind = FOLDER_KINDS.get(folder.name)
    everybody = folder.href == "/principals/" or folder.by_uid
    by_uid = kind is None
    found = [
        resource_of(principal_as_seen(person, item), by_uid)
        for item in (person, *groups)
        if everybody or item.kind == kind
    ]
    return found + [
        delegates_resource(principal_as_seen(person, item.principal), item.rights, by_uid)
        for item in delegators
        if everybody or item.principal.kind == kind
    ]


async def belonging(request: Request) -> tuple[Sequence[Principal], Sequence[Delegation]]:
    """The groups that the person belongs to, and for whom they act."""
    person = request.person
    own = [principal_as_seen(person, person)]
    groups = await request.site.people.all_groups_of(own)
    return groups[person.id], (await request.site.people.delegators(own, through_groups=True))[person.id]


async def naming(request: Request, resource: Resource, name: str, wanted: Sequence[str] | None) -> AsyncIterator[str]:
    """The responses of the collections and members below a resource whose property `name` has an href of the person."""
    own = await hrefs_of(request)
    children: list[CollectionResource] = []
    if isinstance(resource, HomeResource):
        shown = await request.site.reading.collections(request.actor, resource.found)
        children = [collection_of(resource, item) for item in shown]
    elif isinstance(resource, CollectionResource):
        children = [resource]
    await request.prepare(children, (name, *(wanted or ())))
    await request.prepare_members(resource, (name, *(wanted or ())))
    for child in children:
        named = names_any(request, child, name, own)
        if child is not resource and named:
            yield status_response(request.url(child.href), 200) if wanted is None else describe(request, child, wanted)
        item = request.site.registry.by_kind[member_kind(child.kind)].get(name)
        if item is not None and item.same_for_members and named:
            async for page in members(request, child, wanted or (dav("resourcetype"),)):
                yield page


async def members(request: Request, collection: CollectionResource, wanted: Sequence[str]) -> AsyncIterator[str]:
    """The responses of all members of a collection."""
    known = request.site.registry.by_kind[member_kind(collection.kind)]
    writer = MemberWriter(request, collection, wanted, known)
    async for rows in member_pages(request, collection.found, writer.columns):
        yield writer.page(rows)


async def hrefs_of(request: Request) -> frozenset[str]:
    """The URLs of all principals that the person is, in both forms."""
    person = request.person
    groups, delegators = await belonging(request)
    found = set()
    for by_uid in (True, False):
        found |= {principal_href(item, by_uid) for item in (person, *groups)}
        found |= {delegates_href(held.principal, held.rights, by_uid) for held in delegators}
    return frozenset(request.url(href) for href in found)


def names_any(request: Request, resource: Resource, name: str, hrefs: frozenset[str]) -> bool:
    """Whether a property that the person may read, and that was prepared, has one of these hrefs."""
    text = describe(request, resource, (name,))
    root = xml_trees.read(f"<r {names.DECLARATIONS}>{text}</r>".encode())
    good = [item for item in root.iter(dav("propstat")) if " 200 " in xml.text_of(item.find(dav("status")))]
    return any(xml.text_of(href) in hrefs for item in good for href in item.iter(dav("href")))


STANDARD = Standard(
    "RFC 3744 §9",
    reports=(
        Report(dav("acl-principal-prop-set"), OWNED, acl_principal_prop_set, Privilege.READ_ACL),
        Report(dav("principal-match"), MATCHED, principal_match),
    ),
)
