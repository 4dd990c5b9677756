"""calendarserver ctag: a tag that changes when anything in a collection or home does (caldav-ctag)."""

from __future__ import annotations

from server.dav.core.names import calendarserver
from server.dav.core.registry import Property, Standard
from server.dav.core.request import Request
from server.dav.core.resource import HOMES_AND_COLLECTIONS, CollectionResource, InHome


def _getctag(request: Request, resource: InHome) -> str:
    holder = resource.collection if isinstance(resource, CollectionResource) else resource.home
    return f"{holder.incarnation}-{holder.revision}"


STANDARD = Standard(
    "calendarserver ctag", properties=(Property(calendarserver("getctag"), HOMES_AND_COLLECTIONS, _getctag),)
)
