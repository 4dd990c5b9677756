"""Attributes of rooms as JSON and as texts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.calendar.component import parse_calendar
from server.calendar.freebusy import unavailable
from server.calendar.zones import UTC_ZONE
from server.domain.errors import InvalidPrincipal
from server.domain.rooms import Position, Room
from server.services.rooms.addresses import made_address
from server.services.rooms.attributes import ATTRIBUTES, METADATA, read_attributes, shown_attributes
from server.services.rooms.opening_times import opening_times

JSON: dict[str, Any] = {
    "type": "EQUIPMENT",
    "site": "Zu\u0308rich",
    "building": " Main ",
    "floor": "-1",
    "number": "0.42",
    "capacity": 12,
    "features": ["Video", "WHITEBOARD"],
    "accessibility": "wheelchair",
    "position": {"latitude": 47.3769, "longitude": -8.5417},
    "photograph": "https://example.com/room.jpg",
    "contact": "mailto:desk@example.com",
    "time_zone": "europe/zurich",
    "opening_times": "MO-FR 08:00-18:00",
    "metadata": {"carpet": "blue", "gone": ""},
    "buffer_before_minutes": 5,
    "buffer_after_minutes": 10,
    "pieces": 3,
    "allowed_overlaps": 1,
    "policy": {"allow_recurring": False},
}


def test_all_attributes_are_read_from_json_and_from_texts() -> None:
    room = read_attributes(JSON).applied(Room(7, version=3))
    assert room.building == "Main"
    assert room.site == "Z\u00fcrich"
    assert room.capacity == 12
    assert room.features == {"video", "whiteboard"}
    assert room.position == Position(47.3769, -8.5417)
    assert room.time_zone == "Europe/Zurich"
    assert room.metadata == {"carpet": "blue"}
    assert room.buffer_before == timedelta(minutes=5)
    assert room.policy == {"automation": "accept", "allow_recurring": False}
    assert (room.principal_id, room.version) == (7, 3)
    shown = shown_attributes(room)
    assert shown["position"] == "47.376900,-8.541700"
    assert read_attributes({**shown, "policy": JSON["policy"]}).applied(Room(7, version=3)) == room


def test_what_is_not_given_stays_and_empty_texts_remove() -> None:
    room = read_attributes(JSON).applied(Room(7))
    assert read_attributes({"floor": "2"}).applied(room).capacity == 12
    emptied = read_attributes(dict.fromkeys(set(ATTRIBUTES) - {"type", "metadata", "parent"}, "")).applied(room)
    assert emptied == Room(7, "EQUIPMENT", metadata={"carpet": "blue"})
    assert read_attributes({f"{METADATA}carpet": ""}).applied(emptied) == Room(7, "EQUIPMENT")
    assert not read_attributes({})
    assert read_attributes({"parent": ""}).parent == ""


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("colour", "blue", "no attribute 'colour'"),
        ("type", "HALL", "one of ROOM"),
        ("type", 7, "must be a text"),
        ("site", "a\nb", "control characters"),
        ("site", "x" * 1001, "at most 1000 bytes"),
        ("capacity", -1, "from 0 to"),
        ("capacity", "twelve", "from 0 to"),
        ("capacity", "²", "from 0 to"),
        ("capacity", True, "from 0 to"),
        ("capacity", 1.5, "from 0 to"),
        ("capacity", "9" * 5000, "from 0 to"),
        ("features", {"video": 1}, "list of at most"),
        ("features", [1], "must be a text"),
        ("features", [f"f{n}" for n in range(101)], "list of at most"),
        ("position", "north", "degrees"),
        ("position", "91,0", "degrees"),
        ("position", "0,181", "degrees"),
        ("position", "nan,0", "degrees"),
        ("position", {"latitude": float("nan"), "longitude": 0}, "degrees"),
        ("position", {"latitude": 1}, "degrees"),
        ("photograph", "javascript:alert(1)", "https://"),
        ("photograph", 'https://a/"', "https://"),
        ("time_zone", "Europe/Atlantis", "no zone named"),
        ("opening_times", "sometimes", "opening_times must be"),
        ("opening_times", "MO 25:00-26:00", "opening_times must be"),
        ("opening_times", "MO-WE-FR 08:00-10:00", "opening_times must be"),
        ("opening_times", "BEGIN:VCALENDAR\r\nEND:VCALENDAR", "no iCalendar text"),
        ("opening_times", "x" * 20_001, "at most"),
        ("metadata", ["a"], "object of texts"),
        ("metadata", {str(n): "x" for n in range(101)}, "at most 100 entries"),
        ("buffer_before_minutes", 1441, "from 0 to 1440"),
        ("buffer_after_minutes", -1, "from 0 to 1440"),
        ("pieces", 0, "from 1 to"),
        ("allowed_overlaps", None, "from 0 to"),
        ("parent", "a/b", "slash"),
        ("policy", {"nonsense": 1}, "nonsense"),
        ("policy", "strict", "must be an object"),
    ],
)
def test_a_wrong_value_is_named(name: str, value: object, reason: str) -> None:
    with pytest.raises(InvalidPrincipal, match=reason):
        read_attributes({name: value}).applied(Room(1))


def test_only_features_of_the_installation_are_taken() -> None:
    allowed = ("projector", "video")
    assert read_attributes({"features": "VIDEO; projector"}, allowed).applied(Room(1)).features == set(allowed)
    with pytest.raises(InvalidPrincipal, match="no feature sauna; features: projector, video"):
        read_attributes({"features": ["video", "sauna"]}, allowed)


_TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(name=st.sampled_from([*ATTRIBUTES, f"{METADATA}x"]), value=_TREES)
def test_any_value_is_taken_or_refused_in_words(name: str, value: object) -> None:
    try:
        room = read_attributes({name: value}).applied(Room(1))
    except InvalidPrincipal as error:
        assert error.message
    else:
        again = read_attributes({**shown_attributes(room), "policy": dict(room.policy)}).applied(Room(1))
        assert again == room


# -- opening times ----------------------------------------------------------------------------------------------------


def hours_open(text: str) -> list[str]:
    """The open times of a week in March 2026, as they are told from the stored calendar, in UTC."""
    begin, end = datetime(2026, 3, 2, tzinfo=UTC), datetime(2026, 3, 9, tzinfo=UTC)
    calendar = opening_times(text)
    closed = unavailable([parse_calendar(calendar)], begin, end, UTC_ZONE) if calendar else []
    found, at = [], begin
    for period in closed:
        if at < period.start:
            found.append(f"{at:%a %H:%M}-{period.start:%a %H:%M}")
        at = period.end
    return [*found, f"{at:%a %H:%M}-{end:%a %H:%M}"] if at < end else found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("MO-TU 08:00-18:00", ["Mon 08:00-Mon 18:00", "Tue 08:00-Tue 18:00"]),
        ("mo,we 8:00-9:00", None),
        ("mo,we 08:00 - 09:00; SA 12:30-24:00", ["Mon 08:00-Mon 09:00", "Wed 08:00-Wed 09:00", "Sat 12:30-Sun 00:00"]),
        ("FR 22:00-02:00", ["Fri 22:00-Sat 02:00"]),
        ("SU-MO 08:00-09:00", ["Mon 08:00-Mon 09:00", "Sun 08:00-Sun 09:00"]),
        ("DAILY 00:00-24:00", ["Mon 00:00-Mon 00:00"]),
        ("", ["Mon 00:00-Mon 00:00"]),
        ("always", ["Mon 00:00-Mon 00:00"]),
    ],
)
def test_opening_times_are_written_by_days(text: str, expected: list[str] | None) -> None:
    if expected is None:
        with pytest.raises(InvalidPrincipal):
            opening_times(text)
    else:
        assert hours_open(text) == expected


# -- addresses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "local"),
    [
        ("Blue Room", "blue-room"),
        ("Straße 4 – Süd", "strasse-4-sud"),
        ("  a..b@c ", "a-b-c"),
        ("x" * 100, "x" * 64),
        ("Ærø/Łódź", "aero-lodz"),
    ],
)
def test_a_name_makes_an_address(name: str, local: str) -> None:
    assert made_address(name, "rooms.example.com") == f"{local}@rooms.example.com"


def test_a_name_without_letters_makes_none() -> None:
    with pytest.raises(InvalidPrincipal, match="give one"):
        made_address("会議室", "example.com")
