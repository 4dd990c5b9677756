"""Walking the members of a collection, page by page in order of names."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

from server.domain.rows import MemberColumn, Row
from server.services.lookup import Found

if TYPE_CHECKING:
    from server.dav.core.request import Request


def member_pages(
    request: Request,
    found: Found,
    columns: Sequence[MemberColumn],
    *,
    components: Sequence[str] | None = None,
) -> AsyncIterator[Sequence[Row]]:
    """Pages of rows, none of them empty, of members of the component types. `columns` starts with the name."""
    return request.site.reading.pages(found, columns, components=components)
