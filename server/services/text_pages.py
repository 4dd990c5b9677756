"""Members in pages that are bounded in rows, and in bytes if they contain the texts.

Storage omits the texts that do not fit a page; the next page begins with the first of them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from server.domain.objects import Collection
from server.domain.rows import MemberColumn, Row
from server.storage import Storage
from server.storage.reads import with_texts

TEXTS = 200
"""Rows of a page with texts, which ends earlier where these are long."""


def page_size(columns: Sequence[MemberColumn], size: int) -> int:
    """Rows of a page; `size` is the number in a page without texts."""
    return max(10, min(TEXTS, size // 5)) if "text" in columns else size


def _fitting(rows: Sequence[Row], columns: Sequence[MemberColumn]) -> Sequence[Row]:
    return with_texts(rows, columns.index("text")) if "text" in columns else rows


async def member_pages(
    storage: Storage,
    collection: Collection,
    columns: Sequence[MemberColumn],
    size: int,
    *,
    components: Sequence[str] | None = None,
) -> AsyncIterator[Sequence[Row]]:
    """The members (of some component types) in order of names, in pages of at most `size` rows, none of them empty.

    `columns` starts with the name.
    """
    after: str | None = None
    while True:
        rows = await storage.members(collection, columns, after=after, limit=size + 1, components=components)
        found = rows[:-1] if len(rows) > size else rows
        found = _fitting(found, columns)
        more = len(found) < len(rows)
        if found:
            after = found[-1][0]
            del rows  # a reader that is slow holds one page, and no row of the next
            yield found
            del found  # and none of this page while the next is fetched
        if not more:
            return


async def members_by_id(
    storage: Storage,
    collection: Collection,
    ids: Sequence[int],
    columns: Sequence[MemberColumn],
    size: int,
    *,
    components: Sequence[str] | None = None,
) -> AsyncIterator[Sequence[Row]]:
    """The members with these ids (and of some component types) that exist; each page in order of names, none empty.

    `columns` has the id where it has the text.
    """
    for at in range(0, len(ids), size):
        asked = list(ids[at : at + size])
        while asked:
            rows = await storage.members_by_id(collection, asked, columns, components=components)
            found = _fitting(rows, columns)
            asked = [row[columns.index("id")] for row in rows[len(found) :]]
            del rows
            if found:
                yield found
            del found
