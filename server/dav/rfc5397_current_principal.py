"""RFC 5397: DAV:current-user-principal."""

from __future__ import annotations

from server.dav.core import names
from server.dav.core.names import dav
from server.dav.core.registry import Property, Standard
from server.dav.core.request import Request
from server.dav.core.resource import EVERY, Resource, principal_href


def _current_user_principal(request: Request, resource: Resource) -> str:
    return names.href(request.url(principal_href(request.person)))


STANDARD = Standard(
    "RFC 5397",
    properties=(Property(dav("current-user-principal"), EVERY, _current_user_principal, same_for_members=True),),
)
