"""Bytes that a home uses and keeps, and the quota that bounds them.

Nothing is counted when it is written: what there is, is summed up when it is asked for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from server.domain.errors import QuotaExceeded
from tests.unit.services.memory_storage.tables import CollectionRow, Tables


@dataclass(frozen=True, slots=True)
class Space:
    """Bytes of a home."""

    used: int
    """Texts and properties of what the owner sees."""
    kept: int
    """Deleted texts and properties, neutral texts and personal copies."""

    @property
    def total(self) -> int:
        """All bytes."""
        return self.used + self.kept


def octets(text: str | None) -> int:
    """Bytes of a text in UTF-8."""
    return len((text or "").encode())


def of_properties(properties: Mapping[str, str]) -> int:
    """Bytes of dead properties as JSON, which is how they are stored."""
    return octets(json.dumps(dict(properties), ensure_ascii=False)) if properties else 0


def _of_collection(collection: CollectionRow) -> int:
    return of_properties(collection.properties) + octets(collection.timezone) + octets(collection.source)


def space_of(tables: Tables, home_id: int) -> Space:
    """What a home uses and keeps."""
    used, kept = of_properties(tables.homes[home_id].properties), 0
    for collection in tables.collections.values():
        if collection.home_id == home_id:
            if collection.deleted_at is None:
                used += _of_collection(collection)
            else:
                kept += _of_collection(collection)
    for row in tables.objects.values():
        if row.home_id != home_id:
            continue
        kept += octets(row.neutral_text)
        if row.deleted_revision is None and tables.collections[row.collection_id].deleted_at is None:
            used += row.content.size + of_properties(row.properties)
        elif row.deleted_revision is None or row.restorable:
            kept += row.content.size + of_properties(row.properties)
    kept += sum(row.view.size + octets(row.view.personal) for row in tables.copies.values() if row.home_id == home_id)
    kept += sum(
        octets(row.content.text) + of_properties(row.properties) for row in tables.trash if row.home_id == home_id
    )
    return Space(used, kept)


def require_space(tables: Tables, home_id: int, before: Space, quota_bytes: int, *, graced: bool = False) -> None:
    """Raises `QuotaExceeded` if a home has grown beyond its quota. Twice as much may be used and kept together.

    `quota_bytes` is that of homes without one of their own. With `graced`, a tenth more is allowed.
    """
    own = tables.quota(tables.homes[home_id])
    quota = quota_bytes if own is None else own
    grace = quota // 10 if graced else 0
    after = space_of(tables, home_id)
    if after.used > max(quota + grace, before.used) or after.total > max(2 * quota + grace, before.total):
        raise QuotaExceeded
