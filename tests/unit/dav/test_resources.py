"""What a path names is a resource of the type that its kind has, on which what is registered for kinds can rely."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from server.dav.core.paths import Path
from server.dav.core.resource import (
    COLLECTIONS,
    HOMES,
    OBJECTS,
    OWNED,
    PRINCIPALS,
    TYPES,
    CollectionResource,
    HomeResource,
    InHome,
    Kind,
    Kinds,
    MemberResource,
    Owned,
    PrincipalResource,
    Resource,
    collection_in,
    holder_of,
    parent_of,
    resource_at,
)
from server.domain.errors import NotFound
from server.domain.objects import Collection, CollectionKind, Home, Object
from server.domain.principals import Principal
from server.domain.privileges import EVERY_PRIVILEGE, Privilege
from server.services.lookup import Found

NOW = datetime(2026, 3, 1, tzinfo=UTC)
OWNER = Principal(1, "uid-1", "individual", "anna", "Anna", (), frozenset(), False, 1)


def collection(kind: CollectionKind) -> Collection:
    return Collection(1, 2, kind, kind, "owner", (), 1, 1, 1, 0, 0, 0, NOW, NOW, 1)


def found(path: str, kind: CollectionKind = "calendar") -> Found:
    """What a lookup finds at a path, where all that it can name exists."""
    target = Path.parse(path).target()
    parts: dict[str, Any] = {}
    if target is not None:
        parts["owner"] = OWNER
        if target.home is not None:
            parts["home"] = Home(1, target.home, 1, 1, 1, 0, 0, None, 0, 0, NOW, NOW)
        if target.collection is not None:
            parts["collection"] = collection(kind)
        if target.object is not None:
            parts["object"] = Object(3, target.object, "u", "VEVENT", "e", None, 1, 1, NOW, NOW, "")
    return Found(OWNER, target, EVERY_PRIVILEGE, **parts)


PATHS: dict[Kind, tuple[str, CollectionKind]] = {
    Kind.ROOT: ("/", "calendar"),
    Kind.PRINCIPALS: ("/principals/users/", "calendar"),
    Kind.HOMES: ("/calendars/", "calendar"),
    Kind.PRINCIPAL: ("/principals/users/anna/", "calendar"),
    Kind.READ_DELEGATES: ("/principals/users/anna/calendar-proxy-read/", "calendar"),
    Kind.WRITE_DELEGATES: ("/principals/users/anna/calendar-proxy-write/", "calendar"),
    Kind.CALENDAR_HOME: ("/calendars/users/anna/", "calendar"),
    Kind.ADDRESSBOOK_HOME: ("/addressbooks/users/anna/", "calendar"),
    Kind.CALENDAR: ("/calendars/users/anna/calendar/", "calendar"),
    Kind.INBOX: ("/calendars/users/anna/inbox/", "inbox"),
    Kind.OUTBOX: ("/calendars/users/anna/outbox/", "outbox"),
    Kind.NOTIFICATIONS: ("/calendars/users/anna/notification/", "notification"),
    Kind.ADDRESSBOOK: ("/addressbooks/users/anna/addressbook/", "addressbook"),
    Kind.CALENDAR_OBJECT: ("/calendars/users/anna/calendar/a%20b.ics", "calendar"),
    Kind.ADDRESS_OBJECT: ("/addressbooks/users/anna/addressbook/a.vcf", "addressbook"),
    Kind.NOTIFICATION: ("/calendars/users/anna/notification/n.xml", "notification"),
}


@pytest.mark.parametrize("kind", Kind)
def test_each_kind_has_one_type(kind: Kind) -> None:
    path, collection_kind = PATHS[kind]
    resource = resource_at(Path.parse(path), found(path, collection_kind))
    assert (resource.kind, type(resource), resource.href) == (kind, TYPES[kind], path)


@pytest.mark.parametrize("kind", Kind)
def test_what_it_lies_in_is_a_resource_of_its_kind(kind: Kind) -> None:
    path, collection_kind = PATHS[kind]
    resource = resource_at(Path.parse(path), found(path, collection_kind))
    parent = parent_of(resource)
    assert type(parent) is TYPES[parent.kind]
    if isinstance(resource, MemberResource | CollectionResource):
        assert parent.href == resource.href.rstrip("/").rpartition("/")[0] + "/"
        assert isinstance(parent, CollectionResource if isinstance(resource, MemberResource) else HomeResource)
        assert collection_in(Path.parse(path), resource.found) == holder_of(resource)
    else:
        assert parent is resource


@pytest.mark.parametrize("path", [path for path, _ in PATHS.values() if path.count("/") > 3])
def test_where_nothing_was_found_there_is_no_resource(path: str) -> None:
    with pytest.raises(NotFound):
        resource_at(Path.parse(path), Found(OWNER, Path.parse(path).target()))


@pytest.mark.parametrize(
    ("type_", "kinds"),
    [
        (PrincipalResource, PRINCIPALS),
        (HomeResource, HOMES),
        (CollectionResource, COLLECTIONS),
        (MemberResource, OBJECTS),
        (InHome, OWNED),
        (Owned, OWNED | PRINCIPALS),
        (Resource, frozenset(Kind)),
    ],
)
def test_kinds_of_another_type_are_refused(type_: type[Resource], kinds: frozenset[Kind]) -> None:
    assert Kinds.of(type_, *kinds) == kinds
    for kind in frozenset(Kind) - kinds:
        with pytest.raises(TypeError, match=kind):
            Kinds.of(type_, *kinds, kind)


def test_a_child_of_a_home_has_the_privileges_that_the_policy_gives_it() -> None:
    home = found("/calendars/users/anna/")
    for kind in ("calendar", "inbox"):
        child = home.child(collection(kind))
        assert child.name == kind
        assert Privilege.READ in child.privileges
        assert (Privilege.SCHEDULE_DELIVER in child.privileges) == (kind == "inbox")
