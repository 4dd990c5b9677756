"""The properties of RFC 6352: of address books (§6.2), of principals (§7.1), and of collations (§8.3.1)."""

from __future__ import annotations

from collections.abc import Sequence

from server.dav.core import names, xml
from server.dav.core.names import carddav
from server.dav.core.registry import Property
from server.dav.core.request import Request
from server.dav.core.resource import ADDRESSBOOK, PRINCIPAL, CollectionResource, PrincipalResource, Resource, home_href
from server.dav.core.xml import Element
from server.domain import collation
from server.domain.principals import DIRECTORY


def _nothing(request: Request, resource: Resource) -> None:
    return None


def _read_text(request: Request, resource: Resource, element: Element) -> str:
    return xml.to_fragment(element)


def _address_data(request: Request, resource: CollectionResource) -> str:
    versions = ("3.0", "4.0") if resource.owner.kind == "directory" else ("3.0",)
    return "".join(f'<A:address-data-type content-type="text/vcard" version="{version}"/>' for version in versions)


def _max_resource_size(request: Request, resource: Resource) -> str:
    return str(request.site.limits.max_resource_size)


def _collations(request: Request, resource: Resource) -> str:
    return "".join(
        names.element(carddav("supported-collation"), names.escape(name)) for name in sorted(collation.COLLATIONS)
    )


def _home_set(request: Request, resource: PrincipalResource) -> str | None:
    if resource.owner.kind not in ("individual", "directory"):
        return None
    return names.href(request.url(home_href(resource.owner, "addressbook")))


async def _load_home_set(request: Request, resources: Sequence[PrincipalResource]) -> list[str | None]:
    """A person's own home, and behind it, by a setting, that of the directory."""
    own = [_home_set(request, resource) for resource in resources]
    if not request.site.rooms.directory_in_home_set or not await request.site.rooms.has_directory():
        return own
    more = names.href(request.url(f"/addressbooks/__uids__/{DIRECTORY}/"))
    return [
        home + more if home and resource.owner.kind == "individual" else home
        for resource, home in zip(resources, own, strict=True)
    ]


async def _load_directories(request: Request, resources: Sequence[PrincipalResource]) -> list[str | None]:
    """The address book of rooms, which Apple's apps search and read beside a person's own."""
    if not await request.site.rooms.has_directory():
        return [None for _ in resources]
    href = names.href(request.url(f"/addressbooks/__uids__/{DIRECTORY}/addressbook/"))
    return [href for _ in resources]


PROPERTIES = (
    Property(carddav("addressbook-description"), ADDRESSBOOK, _nothing, read=_read_text, stored=True),
    Property(carddav("supported-address-data"), ADDRESSBOOK, _address_data),
    Property(carddav("max-resource-size"), ADDRESSBOOK, _max_resource_size),
    Property(carddav("supported-collation-set"), ADDRESSBOOK, _collations),
    Property(carddav("addressbook-home-set"), PRINCIPAL, _nothing, load=_load_home_set),
    Property(carddav("directory-gateway"), PRINCIPAL, _nothing, load=_load_directories),
)
