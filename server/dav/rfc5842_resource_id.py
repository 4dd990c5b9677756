"""RFC 5842 §3.1: DAV:resource-id, a URN that stays with a resource when it is moved and is never used again."""

from __future__ import annotations

from functools import partial
from hashlib import blake2b
from uuid import UUID

from server.dav.core.names import dav
from server.dav.core.registry import MemberValue, Property, Standard
from server.dav.core.request import Request
from server.dav.core.resource import OWNED, PRINCIPALS, CollectionResource, HomeResource, Kinds, MemberResource, Owned

IDENTIFIED = Kinds.of(Owned, *OWNED, *PRINCIPALS)


def _urn(installation: bytes, what: str, number: int) -> str:
    """An UUID from the installation's and the resource's own keys: nothing has to be stored for it."""
    digest = blake2b(f"{what}:{number}".encode(), key=installation, digest_size=16).digest()
    return f"<D:href>urn:uuid:{UUID(bytes=digest, version=5)}</D:href>"


def _resource_id(request: Request, resource: Owned) -> str:
    installation = request.site.installation
    match resource:
        case MemberResource():
            return _urn(installation, "object", resource.object.id)
        case CollectionResource():
            return _urn(installation, "collection", resource.collection.id)
        case HomeResource():
            return _urn(installation, "home", resource.home.id)
        case _:
            return _urn(installation, resource.kind, resource.owner.id)


def standard(installation: bytes) -> Standard[Request]:
    """The module's standard; member rows need the installation's id."""
    member = MemberValue(("id",), partial(_urn, installation, "object"))
    return Standard("RFC 5842", properties=(Property(dav("resource-id"), IDENTIFIED, _resource_id, member),))
