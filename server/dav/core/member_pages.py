"""Walking the members of a collection, page by page in order of names."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

from server.domain.objects import Collection
from server.services import text_pages
from server.storage.reads import MemberColumn, Row

if TYPE_CHECKING:
    from server.dav.core.request import Request


def page_size(request: Request, columns: Sequence[MemberColumn]) -> int:
    """Rows of a page."""
    return text_pages.page_size(columns, request.site.page_size)


def member_pages(
    request: Request,
    collection: Collection,
    columns: Sequence[MemberColumn],
    *,
    components: Sequence[str] | None = None,
) -> AsyncIterator[Sequence[Row]]:
    """Pages of rows, none of them empty, of members of the component types. `columns` starts with the name."""
    storage, size = request.site.storage, page_size(request, columns)
    return text_pages.member_pages(storage, collection, columns, size, components=components)
