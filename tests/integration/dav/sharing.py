"""What tests of sharing begin with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from server.domain.actors import Actor
from server.domain.grants import ShareRights
from tests.integration.dav.person import Person

ACTOR = Actor(None, "test")
CAUSE = ACTOR.cause


class Share(Protocol):
    """Shares a calendar of somebody with somebody else, or ends that."""

    async def __call__(
        self,
        owner: Person,
        whom: Person,
        rights: ShareRights | None,
        name: str = "calendar",
        *,
        may_invite: bool = False,
    ) -> None: ...


async def shown(person: Person, home: str = "") -> list[str]:
    """What a home shows of others."""
    own = {"calendar", "tasks", "inbox", "outbox", "notification", "addressbook"}
    hrefs = await person.names(home or person.home)
    return [href for href in hrefs if href.rstrip("/").rpartition("/")[2] not in own]


async def eventually(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not await condition():  # type: ignore[misc]
            await asyncio.sleep(0.05)
