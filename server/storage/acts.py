"""The protocol for acts that change nothing in a home, for the journal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from server.domain.changes import Cause
from server.domain.values import value


@value
class Act:
    """What somebody did."""

    kind: str
    cause: Cause
    subject_id: int | None = None
    """The id of the principal whom it concerns."""
    details: Mapping[str, Any] | None = None
    """Ids and codes."""
    text: str | None = None
    """Names, addresses and free texts, which can be erased with the people whom the act concerns."""


class Acts(Protocol):
    """Records acts."""

    async def record(self, act: Act) -> None:
        """Record an act. It is of no home, and gets into the journal as changes do."""
