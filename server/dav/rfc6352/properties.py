"""The properties of RFC 6352: of address books (§6.2), of principals (§7.1), and of collations (§8.3.1)."""

from __future__ import annotations

from server.dav.core import names, xml
from server.dav.core.names import carddav
from server.dav.core.registry import Property
from server.dav.core.request import Request
from server.dav.core.resource import ADDRESSBOOK, PRINCIPAL, PrincipalResource, Resource, home_href
from server.dav.core.xml import Element
from server.domain import collation


def _nothing(request: Request, resource: Resource) -> None:
    return None


def _read_text(request: Request, resource: Resource, element: Element) -> str:
    return xml.to_fragment(element)


def _address_data(request: Request, resource: Resource) -> str:
    return '<A:address-data-type content-type="text/vcard" version="3.0"/>'


def _max_resource_size(request: Request, resource: Resource) -> str:
    return str(request.site.limits.max_resource_size)


def _collations(request: Request, resource: Resource) -> str:
    return "".join(
        names.element(carddav("supported-collation"), names.escape(name)) for name in sorted(collation.COLLATIONS)
    )


def _home_set(request: Request, resource: PrincipalResource) -> str | None:
    if resource.owner.kind != "individual":
        return None
    return names.href(request.url(home_href(resource.owner, "addressbook")))


PROPERTIES = (
    Property(carddav("addressbook-description"), ADDRESSBOOK, _nothing, read=_read_text, stored=True),
    Property(carddav("supported-address-data"), ADDRESSBOOK, _address_data),
    Property(carddav("max-resource-size"), ADDRESSBOOK, _max_resource_size),
    Property(carddav("supported-collation-set"), ADDRESSBOOK, _collations),
    Property(carddav("addressbook-home-set"), PRINCIPAL, _home_set),
)
