"""calendar-multiget (RFC 4791 §7.9)."""

from __future__ import annotations

from functools import partial

from server.dav.core import xml
from server.dav.core.multiget import multiget
from server.dav.core.request import Request
from server.dav.core.resource import InHome
from server.dav.rfc4791.calendar_data import asked_for, readers
from server.http.answer import Answer


async def calendar_multiget(request: Request, resource: InHome, root: xml.Element) -> Answer:
    """Answers the report."""
    wanted, data = asked_for(request, root)
    return await multiget(request, resource, root, wanted, partial(readers, data))
