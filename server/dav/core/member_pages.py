"""Walking the members of a collection, page by page in order of names."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

from server.storage import Collection, MemberColumn, Row

if TYPE_CHECKING:
    from server.dav.core.request import Request


def page_size(request: Request, columns: Sequence[MemberColumn]) -> int:
    """Rows of a page: few where the texts come with them, so that the memory of a page is bounded."""
    size = request.site.page_size
    return max(10, size // 10) if "text" in columns else size


async def member_pages(
    request: Request,
    collection: Collection,
    columns: Sequence[MemberColumn],
    *,
    components: Sequence[str] | None = None,
) -> AsyncIterator[Sequence[Row]]:
    """Pages of rows, none of them empty, of members of the component types. `columns` starts with the name."""
    size = page_size(request, columns)
    after: str | None = None
    while True:
        rows = await request.site.storage.members(
            collection, columns, after=after, limit=size + 1, components=components
        )
        more = len(rows) > size
        rows = rows[:-1] if more else rows
        if rows:
            yield rows
            after = rows[-1][0]
        if not more:
            return
