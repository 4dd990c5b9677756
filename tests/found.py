"""What a lookup would find, for tests that begin with a collection."""

from __future__ import annotations

from server.domain.objects import Collection, Object, Target
from server.domain.privileges import EVERY_PRIVILEGE
from server.services.lookup import Found


def collection_found(collection: Collection) -> Found:
    """A collection, as the installation finds it."""
    home = "addressbook" if collection.kind == "addressbook" else "calendar"
    return Found(None, Target("", "uid", home, collection.name), EVERY_PRIVILEGE, collection=collection)


def member_in(collection: Collection, name: str, existing: Object | None = None) -> Found:
    """A name in a collection, as the installation finds it."""
    home = "addressbook" if collection.kind == "addressbook" else "calendar"
    target = Target("", "uid", home, collection.name, name)
    return Found(None, target, EVERY_PRIVILEGE, collection=collection, object=existing)
