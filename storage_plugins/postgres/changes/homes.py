"""The homes that a principal has from the start."""

from __future__ import annotations

from server.domain.objects import CollectionKind, HomeKind
from server.domain.principals import PrincipalKind
from storage_plugins.postgres.database import Connection

_CALENDAR_HOME: tuple[tuple[str, CollectionKind, str | None], ...] = (
    ("calendar", "calendar", "VEVENT"),
    ("tasks", "calendar", "VTODO"),
    ("inbox", "inbox", None),
    ("outbox", "outbox", None),
    ("notification", "notification", None),
)
"""Name, kind and component of each collection."""
_ADDRESSBOOK_HOME: tuple[tuple[str, CollectionKind, str | None], ...] = (("addressbook", "addressbook", None),)

HOMES: dict[PrincipalKind, tuple[HomeKind, ...]] = {
    "individual": ("calendar", "addressbook"),
    "group": (),
    "room": ("calendar",),
    "resource": ("calendar",),
    "directory": ("addressbook",),
}
"""The kinds of homes that each kind of principal has."""


async def create_homes(connection: Connection, principal_id: int, kind: PrincipalKind) -> None:
    """Make the homes of a new principal with their first collections, in the caller's transaction.

    Homes that exist stay as they are.
    """
    for home in HOMES[kind]:
        collections = _CALENDAR_HOME if home == "calendar" else _ADDRESSBOOK_HOME
        await connection.execute(
            "select koyomi_create_home_1($1, $2, $3, $4, $5)",
            principal_id,
            home,
            [name for name, _, _ in collections],
            [collection_kind for _, collection_kind, _ in collections],
            [component for _, _, component in collections],
        )
