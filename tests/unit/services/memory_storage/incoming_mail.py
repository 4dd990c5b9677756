"""`server.storage.incoming_mail.IncomingMail` in memory."""

from __future__ import annotations

from collections.abc import Sequence

from server.domain.changes import ObjectState
from server.domain.objects import Collection
from server.domain.principals import Principal
from server.storage.incoming_mail import HELD, HeldItem
from tests.unit.services.memory_storage import seen
from tests.unit.services.memory_storage.tables import ObjectRow, Tables


class MemoryIncomingMail:
    """Reads and counts for mail that arrives. The counts are of one hour, which does not end."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.counts: dict[bytes, int] = {}

    async def owner_of_home(self, home_id: int) -> Principal | None:
        home = self.tables.homes.get(home_id)
        if home is None or home.kind != "calendar":
            return None
        row = self.tables.principals[home.principal_id]
        return None if row.deleted_at is not None else seen.principal(row)

    async def organizers_after(self, uid: str, home_id: int | None, addresses: Sequence[str]) -> Sequence[Principal]:
        found = []
        for (home, known), (_, state) in self.tables.memory.items():
            former = state.get("former", {"homes": [], "addresses": []})
            if known == uid and (home_id in former["homes"] or not set(addresses).isdisjoint(former["addresses"])):
                owner = await self.owner_of_home(home)
                found += [] if owner is None else [owner]
        return found[:10]

    async def knows_sender(self, principal_id: int, address: str) -> bool:
        homes = {each.id: each.kind for each in self.tables.homes.values() if each.principal_id == principal_id}
        for row in self.tables.objects.values():
            kind = homes.get(row.home_id)
            if kind is None or row.deleted_revision is not None:
                continue
            role, text = row.content.scheduling.role, row.content.text.lower().replace("\r", "").replace("\n ", "")
            if kind == "addressbook":
                found = address in (row.content.summary or {}).get("email", "").lower().split("\n")
            elif role == 2:
                found = row.content.scheduling.organizer == f"mailto:{address}"
            else:
                found = role == 1 and f"mailto:{address}\n" in text
            if found:
                return True
        return False

    async def count_messages(self, sender: bytes, messages: int, limit: int) -> bool:
        if self.counts.get(sender, 0) + messages > limit:
            return False
        self.counts[sender] = self.counts.get(sender, 0) + messages
        return True

    async def held_in(self, inbox: Collection) -> int:
        return sum(row.collection_id == inbox.id for row in self._held())

    async def held_items(self, after: tuple[int, int] = (0, 0), limit: int = 100) -> Sequence[HeldItem]:
        found = sorted(self._held(), key=lambda row: (row.home_id, row.id))
        return [self._item(row) for row in found if (row.home_id, row.id) > after][:limit]

    async def held_item(self, item_id: int) -> HeldItem | None:
        return next((self._item(row) for row in self._held() if row.id == item_id), None)

    async def forget_senders(self) -> int:
        return 0

    def _held(self) -> list[ObjectRow]:
        rows = self.tables.objects.values()
        return [row for row in rows if row.is_message and HELD in row.properties and row.deleted_revision is None]

    def _item(self, row: ObjectRow) -> HeldItem:
        owner = self.tables.principals[self.tables.homes[row.home_id].principal_id]
        state = ObjectState(row.id, row.revision)
        held, text = row.properties[HELD], row.content.text
        return HeldItem(
            row.home_id, seen.principal(owner), row.name, state, row.content.uid, row.created_at, held, text
        )
