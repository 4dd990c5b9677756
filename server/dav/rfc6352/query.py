"""addressbook-query (RFC 6352 §8.6)."""

from __future__ import annotations

from collections.abc import Mapping

from server.contacts.filters import compiled
from server.dav.core import xml
from server.dav.core.query import Query, Selection, run
from server.dav.core.request import Request
from server.dav.core.resource import ADDRESSBOOK, InHome
from server.dav.rfc6352.address_data import ADDRESS_DATA, asked_for
from server.dav.rfc6352.filter_xml import read_query
from server.domain.rows import MemberColumn, Row
from server.http.answer import Answer
from server.services.lookup import Found


async def addressbook_query(request: Request, resource: InHome, root: xml.Element) -> Answer:
    """Answers the report."""
    wanted, data = asked_for(request, root)
    asked = read_query(root)
    matches = compiled(asked.card_filter)

    def test(row: Row, where: Mapping[MemberColumn, int]) -> bool:
        return matches(row[where["text"]])

    everything = not asked.card_filter.prop_filters

    async def select(found: Found) -> Selection:
        return Selection(None, None if everything else test, not everything, {ADDRESS_DATA: data})

    query = Query(
        wanted,
        select,
        () if everything else ("text",),
        ADDRESSBOOK,
        asked.limit,
    )
    return await run(request, resource, query)
