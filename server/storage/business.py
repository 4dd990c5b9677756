"""The protocol for counts of what people do: events, meetings and answers, and who was active.

The rules of `server.storage` apply here, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from server.domain.messages import Message
from server.storage.journal import Transaction

PERIODS: Mapping[str, timedelta] = {"day": timedelta(days=1), "week": timedelta(days=7), "month": timedelta(days=30)}
"""The periods for which active people are counted."""


@dataclass(frozen=True, slots=True)
class BusinessFigures:
    """What people have done since the server counts it."""

    events: int
    """Events that were added to calendars. Copies that attendees got of a meeting are none."""
    meetings: int
    """Those among them that invited somebody when they were added."""
    answers: int
    """Answers that arrived in inboxes of organizers."""
    active: Mapping[str, int]
    """By a name of `PERIODS`, the people who did something or signed in within that period before now."""


class Business(Protocol):
    """Counts, as a consumer of the journal."""

    async def count(self, transaction: Transaction, messages: Sequence[Message]) -> None:
        """Count what messages tell, as a part of a transaction. What is gone for good by now is left out."""

    async def figures(self) -> BusinessFigures:
        """What has been counted. Raises `Unavailable`, `DatabaseError`."""
