"""Pages of answers that may be large: they are written off the event loop and sent in parts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence

from server.domain.rows import MemberColumn, Row
from server.process.computing import computed

LARGE = 256 * 1024
"""Characters of texts from which a page is written off the event loop."""
PART = 1024 * 1024
"""Characters of a part of a page; one member's response may make it longer."""
CHUNK = 1024 * 1024
"""Characters that are encoded and sent at once. Pages without texts are shorter."""


def is_large(rows: Sequence[Row], columns: Sequence[MemberColumn]) -> bool:
    """Whether the texts of a page take long to write."""
    if "text" not in columns:
        return False
    at = columns.index("text")
    return sum([len(row[at] or "") for row in rows]) > LARGE


async def in_parts(count: int, write: Callable[[int], str]) -> AsyncIterator[str]:
    """What `write` returns for 0 to `count` - 1, joined into parts; it is called off the event loop."""

    def part(at: int) -> tuple[list[str], int]:
        fragments: list[str] = []
        size = 0
        while at < count and size < PART:
            fragments.append(write(at))
            size += len(fragments[-1])
            at += 1
        return fragments, at

    at = 0
    while at < count:
        fragments, at = await computed(part, at)
        yield "".join(fragments)
        fragments.clear()


def encoded(text: str) -> Iterator[bytes]:
    """A text in UTF-8, in chunks, so that a long one is not held twice."""
    if len(text) <= CHUNK:
        yield text.encode()
        return
    for at in range(0, len(text), CHUNK):
        yield text[at : at + CHUNK].encode()
