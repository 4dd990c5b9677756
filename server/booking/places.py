"""How far a room is from somebody's office, by site, building and floor. Pure."""

from __future__ import annotations

from dataclasses import dataclass

SAME_FLOOR = 0
FLOOR_APART = 4
OTHER_BUILDING = 40
OTHER_SITE = 400
"""What a way costs, in the points that rank rooms (`server.booking.finding`). An empty seat costs one."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is. What is not known is empty. Names are compared without regard to case."""

    site: str = ""
    building: str = ""
    floor: str = ""


NOWHERE = Place()


@dataclass(frozen=True, slots=True)
class Way:
    """The way from an office to a room."""

    cost: int
    words: str
    """As in `Main, floor 3: your floor`."""


def way(office: Place, place: Place) -> Way:
    """The way from an office to a place. What is not known of one of them counts as another building."""
    where = ", ".join(part for part in (place.building or place.site, place.floor and f"floor {place.floor}") if part)
    if office.site and place.site and not _same(office.site, place.site):
        return Way(OTHER_SITE, f"{where}: another site")
    if not (office.building and place.building):
        return Way(OTHER_BUILDING, f"{where}: the way is not known" if where else "where it is is not known")
    if not _same(office.building, place.building):
        return Way(OTHER_BUILDING, f"{where}: another building")
    if not (office.floor and place.floor):
        return Way(FLOOR_APART, f"{where}: your building")
    apart = _floors_apart(office.floor, place.floor)
    if not apart:
        return Way(SAME_FLOOR, f"{where}: your floor")
    cost = min(apart * FLOOR_APART, OTHER_BUILDING - 1)
    return Way(cost, f"{where}: {apart} floor{'s' if apart > 1 else ''} from yours")


def _same(one: str, other: str) -> bool:
    return one.strip().casefold() == other.strip().casefold()


def _floors_apart(one: str, other: str) -> int:
    """Floors that are no numbers are one apart if they are not the same."""
    try:
        return abs(int(one) - int(other))
    except ValueError:
        return 0 if _same(one, other) else 1
