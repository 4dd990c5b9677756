"""DELETE (RFC 4918 §9.6)."""

from __future__ import annotations

from functools import partial

from server.dav.core.request import Request
from server.dav.core.resource import MADE, MemberResource, Resource
from server.dav.rfc4918 import conditions
from server.dav.rfc6638_implicit import sending, sent
from server.domain.errors import AccessDenied, BadRequest
from server.domain.privileges import Privilege
from server.http.answer import Answer
from server.services.changing import change


async def delete(request: Request) -> Answer:
    """Answers DELETE."""
    await change(
        partial(request.resource, need=Privilege.UNBIND, on_parent=True),
        partial(delete_resource, request),
    )
    return Answer(204)


async def delete_resource(request: Request, resource: Resource) -> None:
    """Delete a member, a calendar or an address book."""
    unchanged = await conditions.demand(request, resource)
    site, found = request.site, resource.found
    if isinstance(resource, MemberResource):
        with sending(request, found):
            await site.scheduling.delete(request.actor, found, sent(request), unchanged=unchanged)
        return
    if resource.kind not in MADE:
        raise AccessDenied(resource.href, Privilege.UNBIND)
    if request.depth("infinity") != "infinity":
        raise BadRequest("DELETE of a collection has the depth infinity (RFC 4918 §9.6.1).")
    await site.collections.delete(request.actor, found, unchanged=unchanged)
