"""MKCALENDAR (RFC 4791 §5.3.1)."""

from __future__ import annotations

from functools import partial

from server.dav.core.errors import Refused
from server.dav.core.names import caldav, dav
from server.dav.core.request import Request
from server.dav.core.resource import Kind
from server.dav.rfc5689_extended_mkcol import create, demand_free, look_up_name, props_to_set
from server.domain.errors import AlreadyExists
from server.http.answer import Answer
from server.services.changing import change
from server.services.lookup import Found


async def mkcalendar(request: Request) -> Answer:
    """Answers MKCALENDAR. Where a resource exists, that is 403 DAV:resource-must-be-null for any body (§5.3.1)."""
    try:
        return await _mkcalendar(request)
    except AlreadyExists:
        raise Refused(403, dav("resource-must-be-null"), "There is something at this URL.") from None


async def _mkcalendar(request: Request) -> Answer:
    return await change(partial(look_up_name, request, Kind.CALENDAR), partial(_make, request))


async def _make(request: Request, found: Found) -> Answer:
    unchanged = await demand_free(request, Kind.CALENDAR, found)
    root = await request.xml()
    if root is not None and root.tag != caldav("mkcalendar"):
        raise Refused(415, message="The body of MKCALENDAR is CALDAV:mkcalendar.")
    return await create(request, Kind.CALENDAR, found, props_to_set(root), caldav("mkcalendar-response"), unchanged)
