"""Pages of members with a bounded number of rows, and of bytes if they contain the texts.

Storage omits the texts that do not fit a page; the next page begins with the first of them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from server.domain.privileges import Privilege
from server.domain.rows import MemberColumn, Row
from server.services.lookup import Found
from server.services.permissions import readable
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
    found: Found,
    columns: Sequence[MemberColumn],
    size: int,
    *,
    components: Sequence[str] | None = None,
) -> AsyncIterator[Sequence[Row]]:
    """The members (of some component types) of the found collection, in order of names.

    Pages have at most `size` rows; none is empty. `columns` starts with the name. Raises `AccessDenied`.
    """
    collection = readable(found)
    after: str | None = None
    while True:
        rows = await storage.members(collection, columns, after=after, limit=size + 1, components=components)
        page = rows[:-1] if len(rows) > size else rows
        page = _fitting(page, columns)
        more = len(page) < len(rows)
        if page:
            after = page[-1][0]
            del rows  # so that a slow reader holds one page and no row of the next
            yield page
            del page  # so that no row of this page is held while the next one is read
        if not more:
            return


async def members_by_id(
    storage: Storage,
    found: Found,
    ids: Sequence[int],
    columns: Sequence[MemberColumn],
    size: int,
    *,
    components: Sequence[str] | None = None,
    need: Privilege = Privilege.READ,
) -> AsyncIterator[Sequence[Row]]:
    """The members of the found collection with these ids (and of some component types); each page in order of names,
    none empty.

    `columns` has the id if it has the text. Raises `AccessDenied` if the actor lacks `need`.
    """
    collection = readable(found, need)
    for at in range(0, len(ids), size):
        asked = list(ids[at : at + size])
        while asked:
            rows = await storage.members_by_id(collection, asked, columns, components=components)
            page = _fitting(rows, columns)
            asked = [row[columns.index("id")] for row in rows[len(page) :]]
            del rows
            if page:
                yield page
            del page
