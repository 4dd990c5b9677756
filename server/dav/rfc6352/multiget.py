"""addressbook-multiget (RFC 6352 §8.7)."""

from __future__ import annotations

from collections.abc import Mapping

from server.dav.core import xml
from server.dav.core.multiget import multiget
from server.dav.core.registry import MemberValue
from server.dav.core.request import Request
from server.dav.core.resource import InHome
from server.dav.rfc6352.address_data import ADDRESS_DATA, asked_for
from server.domain.objects import Collection
from server.http.answer import Answer


async def addressbook_multiget(request: Request, resource: InHome, root: xml.Element) -> Answer:
    """Answers the report."""
    wanted, data = asked_for(request, root)

    async def special(collection: Collection) -> Mapping[str, MemberValue]:
        return {ADDRESS_DATA: data}

    return await multiget(request, resource, root, wanted, special)
