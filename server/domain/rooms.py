"""Rooms, equipment and parking: what a principal of the kind room or resource has beside its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from server.domain.principals import Principal, PrincipalKind

RoomType = Literal["ROOM", "EQUIPMENT", "PARKING", "OTHER"]
RoomAttribute = Literal[
    "type",
    "site",
    "building",
    "floor",
    "number",
    "capacity",
    "features",
    "accessibility",
    "position",
    "photograph",
    "contact",
    "time_zone",
]
"""The attributes that principals are searched by, as texts (`searched`)."""

NO_BUFFER = timedelta()


@dataclass(frozen=True, slots=True)
class Position:
    """A geographic position in degrees, WGS 84 (RFC 5870)."""

    latitude: float
    longitude: float

    @property
    def uri(self) -> str:
        """The position as a geo URI."""
        return f"geo:{self.latitude:.6f},{self.longitude:.6f}"


@dataclass(frozen=True, slots=True)
class Room:
    """The attributes of a principal of the kind room or resource. Texts are empty where nothing is known."""

    principal_id: int
    type: RoomType = "ROOM"
    site: str = ""
    building: str = ""
    floor: str = ""
    number: str = ""
    capacity: int | None = None
    """People, or of other things than rooms what fits; None: not known."""
    features: frozenset[str] = frozenset()
    accessibility: str = ""
    """In words, as "wheelchair"."""
    position: Position | None = None
    photograph: str = ""
    """A URI."""
    contact: str = ""
    """Who cares for it: a text, or a URI as `mailto:` or `tel:`."""
    time_zone: str = ""
    """The name of a zone in the zone data; empty: that of its calendar holds."""
    opening_times: str = ""
    """A calendar with VAVAILABILITY components (RFC 7953); empty: always open."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    buffer_before: timedelta = NO_BUFFER
    """Time that a booking takes before its start."""
    buffer_after: timedelta = NO_BUFFER
    pieces: int = 1
    """Of a pool: equal pieces, of which each booking takes one."""
    allowed_overlaps: int = 0
    """How many bookings may overlap another, beyond the pieces."""
    parent: int | None = None
    """The id of the room that it is a part of. A booking of either takes the other, too."""
    policy: Mapping[str, Any] = field(default_factory=dict)
    """The parameters of the booking policy that differ from its defaults."""
    version: int = 0
    """Changes with every change of the principal or its attributes; 0: no attributes were ever stored."""


@dataclass(frozen=True, slots=True)
class ListedRoom:
    """A room with its principal."""

    principal: Principal
    room: Room


@dataclass(frozen=True, slots=True)
class RoomSearch:
    """What rooms must have; None or empty: anything. Texts are compared by `name_key`."""

    types: frozenset[RoomType] = frozenset()
    site: str | None = None
    building: str | None = None
    floor: str | None = None
    least_capacity: int | None = None
    """Rooms whose capacity is not known do not have it."""
    features: frozenset[str] = frozenset()
    """All of them."""


def searched(room: Room) -> dict[RoomAttribute, tuple[str, ...]]:
    """The texts that searches compare with, by attribute; empty for what is not known."""
    capacity = () if room.capacity is None else (str(room.capacity),)
    position = () if room.position is None else (room.position.uri,)
    single: dict[RoomAttribute, str] = {
        "type": room.type,
        "site": room.site,
        "building": room.building,
        "floor": room.floor,
        "number": room.number,
        "accessibility": room.accessibility,
        "photograph": room.photograph,
        "contact": room.contact,
        "time_zone": room.time_zone,
    }
    texts: dict[RoomAttribute, tuple[str, ...]] = {name: (text,) if text else () for name, text in single.items()}
    return texts | {"capacity": capacity, "features": tuple(sorted(room.features)), "position": position}


def default_type(kind: PrincipalKind) -> RoomType:
    """The type of a principal of which no other is known."""
    return "EQUIPMENT" if kind == "resource" else "ROOM"
