"""The protocol for scheduling messages that arrive by mail. The rules of `server.storage` apply.

A message that is held lies in an inbox, with the property `HELD`. It is accepted and dropped by change sets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

from server.domain.changes import ObjectState
from server.domain.objects import Collection
from server.domain.principals import Principal

HELD = "{urn:koyomi:mail}held"
"""The property of an item in an inbox whose message has no effect until somebody accepts it."""


@dataclass(frozen=True, slots=True)
class HeldItem:
    """An item of an inbox whose message is held."""

    home_id: int
    owner: Principal
    """The owner of the home."""
    name: str
    state: ObjectState
    uid: str
    created_at: datetime
    held: str
    """The property `HELD`."""
    text: str


@runtime_checkable
class IncomingMail(Protocol):
    """Scheduling messages that arrive by mail."""

    async def owner_of_home(self, home_id: int) -> Principal | None:
        """The owner of a calendar home; None where it is gone."""

    async def organizers_after(self, uid: str, home_id: int | None, addresses: Sequence[str]) -> Sequence[Principal]:
        """Who may organize a meeting that somebody has handed over; at most 10, the latest first.

        :param home_id: the calendar home of the person who handed it over, which may be gone; None: it is not known.
        :param addresses: digests of addresses of theirs (`server.services.scheduling.former_organizers`).
        """

    async def knows_sender(self, principal_id: int, address: str) -> bool:
        """Whether a person has a contact with a mail address, or a meeting that this address organizes or attends.

        :param address: in lower case, without `mailto:`.
        """

    async def count_messages(self, sender: bytes, messages: int, limit: int) -> bool:
        """Count messages of a sender in the present hour; False where they exceed the limit.

        :param sender: a digest of the address.
        """

    async def held_in(self, inbox: Collection) -> int:
        """How many items of an inbox are held."""

    async def held_items(self, after: tuple[int, int] = (0, 0), limit: int = 100) -> Sequence[HeldItem]:
        """A page of held items of all homes, in order of home and id, after one of these places."""

    async def held_item(self, item_id: int) -> HeldItem | None:
        """The held item with an id."""

    async def forget_senders(self) -> int:
        """Remove the counts of past hours; returns their number."""
