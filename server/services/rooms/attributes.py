"""The attributes of rooms in documents, CSV files and commands: names, and values as JSON or as texts."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final, get_args

from server.booking.policy import as_json, parse_policy
from server.calendar.iana import named_zone
from server.domain.errors import InvalidPrincipal
from server.domain.principals import name_key
from server.domain.rooms import Position, Room, RoomType
from server.services.principals.changes import MAX_TEXT, name_of, text_of
from server.services.rooms.opening_times import opening_times

MAX_FEATURES = 100
MAX_METADATA = 100
"""Entries of the metadata."""
MAX_PIECES = 10_000
"""Also of allowed overlaps."""
MAX_BUFFER = 1440
"""Minutes."""
MAX_CAPACITY = 1_000_000
METADATA = "metadata."
"""The beginning of the names that set one entry of the metadata."""
_TYPES: tuple[str, ...] = get_args(RoomType)
_NUMBER = re.compile(r"[+-]?\d{1,3}(?:\.\d{1,15})?")


@dataclass(frozen=True, slots=True)
class RoomFields:
    """Attributes to be set. What is not in them stays."""

    values: Mapping[str, Any] = field(default_factory=dict)
    """By the names of the fields of `Room`."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Entries of the metadata; an empty text removes one."""
    parent: str | None = None
    """The name or id of the room that it is a part of; empty: of none."""

    def __bool__(self) -> bool:
        return bool(self.values or self.metadata or self.parent is not None)

    def applied(self, room: Room) -> Room:
        """The room with them, except the parent, which the caller looks up."""
        metadata = dict(self.values.get("metadata", room.metadata)) | dict(self.metadata)
        kept = {name: text for name, text in metadata.items() if text}
        if len(kept) > MAX_METADATA:
            raise InvalidPrincipal(f"metadata may have at most {MAX_METADATA} entries.")
        return replace(room, **{**self.values, "metadata": kept})


def read_attributes(given: Mapping[str, object], features: Collection[str] = ()) -> RoomFields:
    """Attributes by name. Numbers, lists and positions may be texts, too.

    :param features: the features that are allowed, folded; empty: all.

    Raises `InvalidPrincipal`, whose message names the attribute.
    """
    values: dict[str, Any] = {}
    metadata: dict[str, str] = {}
    parent = None
    for name, value in given.items():
        if name.startswith(METADATA):
            metadata |= _metadata({name.removeprefix(METADATA): value}, name)
        elif name == "parent":
            parent = "" if value in (None, "") else name_of(_text(value, name), "room")
        elif name in _READERS:
            where, read = _READERS[name]
            values[where] = read(value, name)
        else:
            known = ", ".join(ATTRIBUTES)
            raise InvalidPrincipal(f"There is no attribute {name[:100]!r}; attributes: {known}.")
    unknown = values.get("features", frozenset()) - set(features)
    if features and unknown:
        raise InvalidPrincipal(f"There is no feature {min(unknown)}; features: {', '.join(sorted(features))}.")
    return RoomFields(values, metadata, parent)


def shown_attributes(room: Room, parent: str = "") -> dict[str, str]:
    """What is known of a room, as texts that `read_attributes` takes; opening times as they are stored."""
    position = room.position
    texts = {
        "type": room.type,
        "site": room.site,
        "building": room.building,
        "floor": room.floor,
        "number": room.number,
        "capacity": "" if room.capacity is None else str(room.capacity),
        "features": ", ".join(sorted(room.features)),
        "accessibility": room.accessibility,
        "position": "" if position is None else position.uri.removeprefix("geo:"),
        "photograph": room.photograph,
        "contact": room.contact,
        "time_zone": room.time_zone,
        "opening_times": room.opening_times,
        "buffer_before_minutes": _minutes_of(room.buffer_before),
        "buffer_after_minutes": _minutes_of(room.buffer_after),
        "pieces": "" if room.pieces == 1 else str(room.pieces),
        "allowed_overlaps": str(room.allowed_overlaps or ""),
        "parent": parent,
    }
    texts |= {METADATA + name: text for name, text in sorted(room.metadata.items())}
    return {name: text for name, text in texts.items() if text}


def feature_of(text: object) -> str:
    """A feature as it is stored: folded, so that it is found however it is written."""
    return name_key(text_of(_text(text, "A feature"), "A feature", 100))


def _minutes_of(buffer: timedelta) -> str:
    minutes = buffer // timedelta(minutes=1)
    return str(minutes) if minutes else ""


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise InvalidPrincipal(f"{what} must be a text.")
    return value


def _words(value: object, what: str) -> str:
    text = _text(value, what)
    return text_of(text, what, MAX_TEXT) if text.strip() else ""


def _type(value: object, what: str) -> str:
    found = _text(value, what).strip().upper()
    if found not in _TYPES:
        raise InvalidPrincipal(f"{what} must be one of {', '.join(_TYPES)}.")
    return found


def _whole(value: object, what: str, least: int, most: int) -> int:
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdecimal() and len(value) < 20:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise InvalidPrincipal(f"{what} must be a whole number from {least} to {most}.")
    return value


def _capacity(value: object, what: str) -> int | None:
    return None if value in (None, "") else _whole(value, what, 0, MAX_CAPACITY)


def _pieces(value: object, what: str) -> int:
    return 1 if value == "" else _whole(value, what, 1, MAX_PIECES)


def _overlaps(value: object, what: str) -> int:
    return 0 if value == "" else _whole(value, what, 0, MAX_PIECES)


def _buffer(value: object, what: str) -> timedelta:
    return timedelta(minutes=0 if value == "" else _whole(value, what, 0, MAX_BUFFER))


def _features(value: object, what: str) -> frozenset[str]:
    if isinstance(value, str):
        value = [part for part in re.split("[,;]", value) if part.strip()]
    if not isinstance(value, list) or len(value) > MAX_FEATURES:
        raise InvalidPrincipal(f"{what} must be a list of at most {MAX_FEATURES} texts.")
    return frozenset(map(feature_of, value))


def _position(value: object, what: str) -> Position | None:
    if value in (None, "", {}):
        return None
    message = f"{what} must be a latitude and a longitude in degrees, as 47.3769,8.5417."
    if isinstance(value, str):
        texts = [part.strip() for part in value.strip().removeprefix("geo:").partition(";")[0].split(",")]
        if len(texts) not in (2, 3) or not all(map(_NUMBER.fullmatch, texts[:2])):
            raise InvalidPrincipal(message)
        numbers: list[object] = [float(text) for text in texts[:2]]
    elif isinstance(value, dict) and set(value) == {"latitude", "longitude"}:
        numbers = [value["latitude"], value["longitude"]]
    else:
        raise InvalidPrincipal(message)
    degrees = []
    for number, most in zip(numbers, (90, 180), strict=True):
        if isinstance(number, bool) or not isinstance(number, int | float) or not abs(number) <= most:
            raise InvalidPrincipal(message)
        degrees.append(float(number))
    # As many digits as are shown: about 10 cm.
    latitude, longitude = (math.copysign(round(abs(number), 6), number) + 0.0 for number in degrees)
    return Position(latitude, longitude)


def _photograph(value: object, what: str) -> str:
    text = _words(value, what)
    if text and (not text.startswith(("https://", "http://")) or not text.isascii() or any(c in text for c in ' "<>')):
        raise InvalidPrincipal(f"{what} must be a URI that begins with https:// or http://.")
    return text


def _time_zone(value: object, what: str) -> str:
    text = _words(value, what)
    if not text:
        return ""
    zone = named_zone(text)
    if zone is None:
        raise InvalidPrincipal(f"{what}: there is no zone named {text}.")
    return zone.key


def _opening_times(value: object, what: str) -> str:
    return opening_times(_text(value, what))


def _metadata(value: object, what: str) -> dict[str, str]:
    if not isinstance(value, dict):
        raise InvalidPrincipal(f"{what} must be an object of texts.")
    return {text_of(_text(name, what), what, 100): _words(text, what) for name, text in value.items()}


def _policy(value: object, what: str) -> dict[str, object]:
    return {} if value in ({}, "", None) else as_json(parse_policy(value))


_READERS: Final[Mapping[str, tuple[str, Callable[[object, str], Any]]]] = {
    "type": ("type", _type),
    "site": ("site", _words),
    "building": ("building", _words),
    "floor": ("floor", _words),
    "number": ("number", _words),
    "capacity": ("capacity", _capacity),
    "features": ("features", _features),
    "accessibility": ("accessibility", _words),
    "position": ("position", _position),
    "photograph": ("photograph", _photograph),
    "contact": ("contact", _words),
    "time_zone": ("time_zone", _time_zone),
    "opening_times": ("opening_times", _opening_times),
    "metadata": ("metadata", _metadata),
    "buffer_before_minutes": ("buffer_before", _buffer),
    "buffer_after_minutes": ("buffer_after", _buffer),
    "pieces": ("pieces", _pieces),
    "allowed_overlaps": ("allowed_overlaps", _overlaps),
    "policy": ("policy", _policy),
}
ATTRIBUTES: Final = (*_READERS, "parent")
"""The names of attributes; those of single entries of the metadata begin with `metadata.`."""
