"""Pages that are bounded by the sum of the sizes of their texts. `server.storage.reads.with_texts` cuts them."""

from __future__ import annotations

from server.storage.reads import TEXT_PAGE


def fits(size: str, order: str) -> str:
    """Whether the texts before a row leave room in a page (`TEXT_PAGE`); the first row always has it.

    A condition for a select list: the running sum is computed while the index is read, and no text is for it.
    """
    before = f"sum({size}) over (order by {order} rows between unbounded preceding and 1 preceding)"
    return f"coalesce({before}, 0) < {TEXT_PAGE}"
