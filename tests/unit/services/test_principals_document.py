"""The document that principals are loaded from."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.errors import InvalidPrincipal
from server.services.principals.document import read

PERSON: dict[str, Any] = {"kind": "individual", "name": "anna"}


def test_an_entry_says_what_it_says() -> None:
    document = {
        "principals": [
            {
                "id": "1",
                "kind": "individual",
                "name": " Anna ",
                "display_name": "Anna A\u0308",
                "emails": ["mailto:Anna@example.org", "anna@EXAMPLE.org", "a@example.org"],
                "password": "x",
                "roles": ["admin"],
                "quota_bytes": 10,
                "delegates": {"read": ["bob"], "write": ["carl", "bob"]},
            },
            {"kind": "room", "name": "Saal", "auto_schedule": {"mode": "automatic"}, "address": {"name": "A1"}},
        ]
    }
    (anna, room), refusals = read(document)
    assert not refusals
    assert (anna.uid, anna.name, anna.display_name) == ("1", "Anna", "Anna \u00c4")
    assert anna.addresses == ("anna@EXAMPLE.org", "a@example.org")
    assert anna.delegates == (("bob", "read"), ("carl", "write"), ("bob", "write"))
    assert room.uid is None
    assert room.display_name is None
    assert room.auto_schedule == {"mode": "automatic"}
    assert room.place == {"name": "A1"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"kind": "robot"}, "kind must be one of"),
        ({"kind": ["room"]}, "kind must be one of"),
        ({"name": 7}, "name must be a text"),
        ({"name": None}, "name must be a text"),
        ({"name": "a/b"}, "slash"),
        ({"name": "a:b"}, "colon"),
        ({"name": "x" * 300}, "at most 255 bytes"),
        ({"id": ".."}, "a part of URLs"),
        ({"id": 7}, "id must be a text"),
        ({"emails": "a@b"}, "list of texts"),
        ({"emails": ["nonsense"]}, "not an e-mail address"),
        ({"emails": ["a@b@c"]}, "not an e-mail address"),
        ({"password": ""}, "may not be empty"),
        ({"password": "x" * 2000}, "at most 1024 bytes"),
        ({"roles": ["king"]}, "no role king"),
        ({"quota_bytes": -1}, "number of bytes"),
        ({"quota_bytes": True}, "number of bytes"),
        ({"quota_bytes": 1e9}, "number of bytes"),
        ({"members": ["bob"]}, "not for the kind individual"),
        ({"delegates": ["bob"]}, "read and write"),
        ({"delegates": {"all": []}}, "read and write"),
        ({"delegates": {"read": [7]}}, "must be a text"),
        ({"colour": "red"}, "no field 'colour'"),
        ({"kind": "group", "password": "x"}, "not for the kind group"),
        ({"kind": "room", "auto_schedule": {"mode": "maybe"}}, "auto_schedule.mode"),
        ({"kind": "room", "auto_schedule": {}}, "auto_schedule.mode"),
        ({"kind": "room", "auto_schedule": {"mode": "none", "x": "y"}}, "object with mode"),
        ({"kind": "room", "address": {"planet": "Mars"}}, "object with name"),
        ({"display_name": "\u0000"}, "control characters"),
        ({"display_name": "\ud800"}, "control characters"),
    ],
)
def test_what_cannot_be_taken_is_refused_with_its_reason(change: dict[str, Any], reason: str) -> None:
    entries, refusals = read({"principals": [PERSON | change, {"kind": "group", "name": "others"}]})
    assert [entry.name for entry in entries] == ["others"]
    assert [refusal.who.split(" (")[0] for refusal in refusals] == ["principal 1"]
    assert reason in refusals[0].reason


@pytest.mark.parametrize(
    "second",
    [
        {"kind": "room", "name": "ANNA"},
        {"kind": "room", "name": "Anna@Example.org"},
        {"kind": "group", "name": "g", "emails": ["ANNA@example.org"]},
        {"kind": "group", "name": "g", "emails": ["anna@example.org"]},
        {"kind": "group", "name": "g", "id": "1"},
    ],
)
def test_names_addresses_and_ids_stand_in_it_once(second: dict[str, Any]) -> None:
    first = PERSON | {"id": "1", "emails": ["anna@example.org"]}
    entries, refusals = read({"principals": [first, second]})
    assert [entry.name for entry in entries] == ["anna"]
    assert "principal 1 (anna) in the same document has" in refusals[0].reason


def test_a_name_may_be_the_persons_own_address() -> None:
    entries, refusals = read({"principals": [PERSON | {"name": "a@example.org", "emails": ["A@example.org"]}]})
    assert len(entries) == 1
    assert not refusals


@pytest.mark.parametrize("document", [None, [], {}, {"principals": {}}, "x", 7])
def test_what_is_no_such_document(document: object) -> None:
    with pytest.raises(InvalidPrincipal, match="principals"):
        read(document)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NAMES = ("id", "name", "display_name", "emails", "password", "roles", "quota_bytes", "members", "delegates")
ENTRIES = st.fixed_dictionaries(
    {"kind": st.sampled_from(["individual", "group", "room", "resource"])},
    optional=dict.fromkeys((*NAMES, "auto_schedule", "address"), JSON),
)


@given(st.lists(ENTRIES | JSON, max_size=3))
def test_any_json_is_taken_or_refused(items: list[object]) -> None:
    entries, refusals = read({"principals": items})
    assert len(entries) + len(refusals) == len(items)
    json.dumps([refusal.reason for refusal in refusals])
