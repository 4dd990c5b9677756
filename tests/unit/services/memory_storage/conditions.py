"""What must hold when a write is made."""

from __future__ import annotations

from collections.abc import Sequence

from server.domain.changes import ObjectState, Put, Unchanged, UnchangedRoom
from server.domain.errors import KoyomiError, NotFound, WriteConflict
from server.domain.objects import Collection
from tests.unit.services.memory_storage.tables import Tables


def require_collection(tables: Tables, collection: Collection) -> None:
    """Raises `NotFound` if a collection was deleted, `WriteConflict` if it is no longer shown as it was read."""
    if tables.live_collection(collection.id) is None:
        raise NotFound
    binding = tables.live_binding(collection.binding_home_id, collection.name)
    if binding is None or (binding.collection_id, binding.incarnation) != (collection.id, collection.incarnation):
        raise WriteConflict


def require_unchanged(tables: Tables, states: Sequence[Unchanged]) -> None:
    """Raises `WriteConflict` if a home or a collection, in somebody's view, has changed since it was read."""
    for state in states:
        if state.collection_id is None:
            home = tables.homes.get(state.home_id)
            latest = None if home is None else home.revision
        else:
            latest = _latest(tables, state.collection_id, state.viewer)
        if latest is None or latest > state.revision:
            raise WriteConflict


def require_rooms(tables: Tables, states: Sequence[UnchangedRoom]) -> None:
    """Raises `WriteConflict` if a room has changed since it was read, or was deleted."""
    for state in states:
        room, principal = tables.rooms.get(state.principal_id), tables.principals.get(state.principal_id)
        if room is None or principal is None or principal.deleted_at or room.version != state.version:
            raise WriteConflict


def _latest(tables: Tables, collection_id: int, viewer: int) -> int | None:
    """The latest revision of a collection in somebody's view; None for one that is gone."""
    collection = tables.live_collection(collection_id)
    if collection is None:
        return None
    own = tables.own_properties.get((collection_id, viewer))
    shown = [
        binding.view_revision
        for binding in tables.bindings_of(collection_id)
        if tables.homes[binding.home_id].principal_id == viewer
    ]
    return max(collection.revision, 0 if own is None else own.revision, *shown)


def require_state(tables: Tables, collection: Collection, name: str, state: ObjectState) -> None:
    """Raises `WriteConflict` unless a member is in a state."""
    row = tables.objects.get(state.id)
    if (
        row is None
        or row.deleted_revision is not None
        or (row.collection_id, row.name, row.revision) != (collection.id, name, state.revision)
    ):
        raise WriteConflict


def require_views(tables: Tables, write: Put) -> None:
    """Raises `WriteConflict` unless a put was decided for a calendar with views as this is, or without."""
    if tables.collections[write.collection.id].views is not (write.views is not None):
        raise WriteConflict


def of_write(index: int | None, error: KoyomiError) -> KoyomiError:
    """An error that names the write that it concerns."""
    error.write = index
    return error
