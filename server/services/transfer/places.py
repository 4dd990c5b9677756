"""The people and collections that an import puts objects into, found or made."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import partial

from server.auth.passwords import PasswordHasher
from server.calendar.calendar_object import CALENDAR_COMPONENTS
from server.domain.actors import Actor
from server.domain.changes import PropertyChanges, Unchanged
from server.domain.errors import BadRequest, NotFound
from server.domain.limits import Limits
from server.domain.objects import Collection, HomeKind, NewCollection, Target
from server.domain.privileges import Privilege
from server.services.changing import change
from server.services.collections import Collections
from server.services.lookup import Found, Lookup
from server.services.permissions import collection_of
from server.services.principals import changes as principals
from server.services.text_pages import member_pages
from server.services.transfer.collection_properties import (
    COLOR,
    DESCRIPTIONS,
    DISPLAYNAME,
    Shown,
    equal,
    text_property,
)
from server.services.transfer.items import Titles, can_be_name
from server.storage import Storage
from server.storage.directory import Directory, PrincipalRecord

_PAGE = 5000
_MIXED = ("VEVENT", "VJOURNAL", "VTODO")
"""The components of a Radicale calendar without a component set."""


@dataclass(slots=True)
class Known:
    """A stored object of a collection."""

    name: str
    etag: str
    taken: str = ""
    """The component type if this import has put the object, or has found it unchanged; otherwise empty."""


@dataclass(slots=True)
class Place:
    """A collection that an import puts objects into, and its members."""

    owner: PrincipalRecord
    found: Found
    """The latest result of the lookup."""
    by_uid: dict[str, Known]
    names: set[str]

    @property
    def collection(self) -> Collection:
        """The collection."""
        return collection_of(self.found)


@dataclass(slots=True)
class Made:
    """Numbers of people and collections that an import has made or changed."""

    people: int = 0
    collections: int = 0
    collections_changed: int = 0
    without_password: set[str] = field(default_factory=set)
    """Names of those people of the import who have no password."""


class Places:
    """Finds people and collections, and makes those that are missing."""

    def __init__(
        self, storage: Storage, directory: Directory, hasher: PasswordHasher, limits: Limits, actor: Actor
    ) -> None:
        self._storage = storage
        self._directory = directory
        self._hasher = hasher
        self._limits = limits
        self._actor = actor
        self._lookup = Lookup(storage)
        self._collections = Collections(storage, limits)
        self.made = Made()

    async def person(self, name: str) -> PrincipalRecord:
        """The person with a name; if there is none, one is made, without a password.

        Raises `InvalidPrincipal`, `BadRequest`, `AccessDenied`.
        """
        try:
            found = await principals.find(self._actor, self._directory, name)
        except NotFound:
            await principals.add_person(self._actor, self._directory, self._hasher, name, None)
            found = await principals.find(self._actor, self._directory, name)
            self.made.people += 1
        if found.kind == "group":
            raise BadRequest(f"{found.name} is a group: groups have no calendars.")
        if found.kind == "individual" and not found.has_password:
            self.made.without_password.add(found.name)
        return found

    async def place(
        self, owner: PrincipalRecord, kind: HomeKind, name: str, shown: Shown, titles: Iterable[Titles]
    ) -> Place:
        """A collection of a person with the properties in `shown`; it is made if it does not exist.

        A new collection takes properties from `titles` that `shown` lacks. Raises `BadRequest` if the name is not
        possible, or that of another kind of collection, and `TooManyCollections`.
        """
        actor = replace(self._actor, acting_for=owner.id)
        find = partial(self._find, actor, owner, kind, name)
        found = await change(find, partial(self._delete_if_too_narrow, actor, shown))
        if found.collection is None:
            if not can_be_name(name, self._limits):
                raise BadRequest("A collection cannot have this name, which is a part of its URL.")
            await self._collections.create(actor, found, _new(kind, name, shown, titles))
            self.made.collections += 1
            found = await find()
        else:
            await self._set(actor, found, shown)
        return await self._known(owner, found)

    async def _find(self, actor: Actor, owner: PrincipalRecord, kind: HomeKind, name: str) -> Found:
        """A person's collection of a name, if there is one. Raises `BadRequest` for a collection of another kind."""
        found = await self._lookup.find(actor, Target(owner.uid, "uid", kind, name), Privilege.BIND)
        if found.home is None:
            raise BadRequest(f"{owner.name} has no home.")
        if found.collection is not None and found.collection.kind != kind:
            raise BadRequest(f"{name} is the name of another kind of collection.")
        return found

    async def _delete_if_too_narrow(self, actor: Actor, shown: Shown, found: Found) -> Found:
        """Delete an empty calendar that does not take the components of the import; returns the result of a new lookup.

        Raises `WriteConflict` if the calendar has changed meanwhile.
        """
        collection = found.collection
        if collection is None or not _takes_too_little(collection, shown):
            return found
        empty = Unchanged(collection.home_id, collection.id, collection.revision, actor.acting_for or 0)
        await self._collections.delete(actor, found, unchanged=(empty,))
        return await self._lookup.find(actor, found.target, Privilege.BIND)

    async def _set(self, actor: Actor, found: Found, shown: Shown) -> None:
        collection = collection_of(found)
        if shown.tag == "VSUBSCRIBED" and collection.source is None:
            raise BadRequest(f"{collection.name} exists already and is not a subscription.")
        there = collection.properties
        changed = {
            name: value
            for name, value in shown.properties.items()
            if name not in there or not equal(value, there[name])
        }
        timezone = shown.timezone if shown.timezone != collection.timezone else None
        source = shown.source if shown.source != collection.source else None
        if changed or timezone or source:
            changes = PropertyChanges(changed, timezone, source)
            await self._collections.set_properties(actor, found, changes)
            self.made.collections_changed += 1

    async def _known(self, owner: PrincipalRecord, found: Found) -> Place:
        place = Place(owner, found, {}, set())
        async for rows in member_pages(self._storage, found, ("name", "uid", "etag"), _PAGE):
            for name, uid, etag in rows:
                place.by_uid[uid] = Known(name, etag)
                place.names.add(name)
        return place


def _takes_too_little(collection: Collection, shown: Shown) -> bool:
    """Whether a calendar is empty, as the first ones of each home are, and lacks components that the import needs."""
    wanted = _components(shown)
    return (
        collection.kind == "calendar"
        and collection.member_count == 0
        and bool(collection.components)
        and not set(wanted) <= set(collection.components)
    )


def _components(shown: Shown) -> tuple[str, ...]:
    return shown.components or (_MIXED if shown.tag == "VCALENDAR" else ())


def _new(kind: HomeKind, name: str, shown: Shown, titles: Iterable[Titles]) -> NewCollection:
    properties = dict(shown.properties)
    components: set[str] = set(_components(shown))
    if shown.tag is None:
        for each in titles:
            components |= each.components & CALENDAR_COMPONENTS
            for key, text in ((DISPLAYNAME, each.name), (DESCRIPTIONS[kind], each.description), (COLOR, each.color)):
                if text and (kind == "calendar" or key == DISPLAYNAME):
                    properties.setdefault(key, text_property(key, text))
    if kind == "addressbook":
        return NewCollection(name, "addressbook", properties=properties)
    source = (shown.source or "") if shown.tag == "VSUBSCRIBED" else None
    return NewCollection(name, "calendar", tuple(sorted(components)) or ("VEVENT",), shown.timezone, source, properties)
