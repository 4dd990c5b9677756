"""calendarserver ctag: a tag that changes when anything in a collection or home does (caldav-ctag)."""

from __future__ import annotations

from server.dav.core.names import calendarserver
from server.dav.core.registry import Property, Standard
from server.dav.core.request import Request
from server.dav.core.resource import COLLECTIONS, HOMES, Resource


def _getctag(request: Request, resource: Resource) -> str:
    holder = resource.collection or resource.home
    assert holder is not None
    return f"{holder.incarnation}-{holder.revision}"


STANDARD = Standard(
    "calendarserver ctag", properties=(Property(calendarserver("getctag"), COLLECTIONS | HOMES, _getctag),)
)
