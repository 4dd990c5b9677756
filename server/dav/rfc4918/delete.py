"""DELETE (RFC 4918 §9.6)."""

from __future__ import annotations

from functools import partial

from server.dav.core.request import Request
from server.dav.core.resource import MADE, MemberResource, Resource
from server.dav.rfc4918 import conditions
from server.dav.rfc6638_implicit import sending, sent
from server.domain.errors import AccessDenied, BadRequest, NotFound
from server.domain.privileges import Privilege
from server.http.answer import Answer
from server.services.changing import change


async def delete(request: Request) -> Answer:
    """Answers DELETE."""
    read = partial(request.resource, need=Privilege.UNBIND, on_parent=True)
    try:
        await change(read, partial(delete_resource, request))
    except NotFound:
        if not await was_moved(request):
            raise
    return Answer(204)


async def was_moved(request: Request) -> bool:
    """Whether the request deletes what its app has moved a moment ago by a PUT under another name.

    Conditions are not evaluated: they are about what was there before.
    """
    if len(request.path.segments) != 5:
        return False
    found = await request.look_up(need=Privilege.UNBIND)
    calendar = found.collection is not None and found.collection.kind == "calendar"
    return calendar and found.object is None and await request.site.scheduling.was_moved(found)


async def delete_resource(request: Request, resource: Resource) -> None:
    """Delete a member, a calendar or an address book."""
    unchanged = await conditions.demand(request, resource)
    site, found = request.site, resource.found
    if isinstance(resource, MemberResource):
        with sending(request):
            await site.scheduling.delete(request.actor, found, sent(request), unchanged=unchanged)
        return
    if resource.kind not in MADE:
        raise AccessDenied(resource.href, Privilege.UNBIND)
    if request.depth("infinity") != "infinity":
        raise BadRequest("DELETE of a collection has the depth infinity (RFC 4918 §9.6.1).")
    await site.collections.delete(request.actor, found, unchanged=unchanged)
