"""The attributes of rooms and equipment as properties of their principals, in a namespace of our own.

No standard and no other server that apps know has properties for them; calendar apps see the directory's cards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from server.dav.core import names
from server.dav.core.names import rooms
from server.dav.core.registry import Load, Property, Standard
from server.dav.core.request import Request
from server.dav.core.resource import PRINCIPAL, PrincipalResource
from server.domain.rooms import Room, RoomAttribute, searched

SEARCHED: Final[dict[str, tuple[RoomAttribute, str]]] = {
    rooms("type"): ("type", "Type: ROOM, EQUIPMENT, PARKING, OTHER"),
    rooms("site"): ("site", "Site"),
    rooms("building"): ("building", "Building"),
    rooms("floor"): ("floor", "Floor"),
    rooms("number"): ("number", "Number of the room"),
    rooms("capacity"): ("capacity", "Capacity"),
    rooms("features"): ("features", "Feature"),
    rooms("accessibility"): ("accessibility", "Accessibility"),
    rooms("position"): ("position", "Position"),
    rooms("photograph"): ("photograph", "Photograph"),
    rooms("contact"): ("contact", "Contact"),
    rooms("time-zone"): ("time_zone", "Time zone"),
}
"""The properties that principals are searched by: the attribute, and what it is."""


def _nothing(request: Request, resource: PrincipalResource) -> None:
    return None


def _loading(render: Callable[[Room], str]) -> Load[Request, PrincipalResource]:
    async def load(request: Request, resources: Sequence[PrincipalResource]) -> list[str | None]:
        key = "rooms", *(resource.owner.id for resource in resources)
        if key not in request.facts:
            request.facts[key] = await request.site.rooms.attributes([resource.found for resource in resources])
        known = request.facts[key]
        assert isinstance(known, dict)
        return [render(known[each.owner.id]) or None if each.owner.id in known else None for each in resources]

    return load


def _texts(attribute: RoomAttribute) -> Callable[[Room], str]:
    def render(room: Room) -> str:
        texts = searched(room)[attribute]
        if attribute == "features":
            return "".join(names.element(rooms("feature"), names.escape(text)) for text in texts)
        return "".join(map(names.escape, texts))

    return render


def _opening_times(room: Room) -> str:
    return names.escape(room.opening_times)


def _metadata(room: Room) -> str:
    return "".join(
        f'<R:entry name="{names.escape_attribute(name)}">{names.escape(text)}</R:entry>'
        for name, text in sorted(room.metadata.items())
    )


def _property(name: str, render: Callable[[Room], str]) -> Property[Request, PrincipalResource]:
    return Property(name, PRINCIPAL, _nothing, load=_loading(render))


STANDARD = Standard(
    "Attributes of rooms",
    properties=(
        *(_property(name, _texts(attribute)) for name, (attribute, _) in SEARCHED.items()),
        _property(rooms("opening-times"), _opening_times),
        _property(rooms("metadata"), _metadata),
    ),
)
