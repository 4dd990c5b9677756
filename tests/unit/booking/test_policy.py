"""Booking policies as JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from docs.policy_reference import REFERENCE, document
from server.booking.policy import RULES, Policy, Requester, as_json, parse_policy
from server.booking.policy_values import EVERYONE, MAX_NAMES, NOBODY, Audience
from server.domain.errors import InvalidPrincipal

WHO = st.sampled_from(["everyone", "nobody"]) | st.lists(
    st.text("abc", min_size=1), min_size=1, max_size=3, unique=True
)


def _values(name: str) -> st.SearchStrategy[Any]:
    default = RULES[name].default
    if name.startswith(("book_in", "request_")) or name == "no_show_exempt":
        return WHO
    if isinstance(default, bool):
        return st.booleans()
    if name in ("automation", "beyond_window", "capacity", "check_in"):
        return st.sampled_from(RULES[name].kind.words.replace(" or ", ", ").split(", "))
    if name == "additional_response":
        return st.sampled_from(["", "Thank you.", "Two\nlines"])
    if name == "min_duration_minutes":
        return st.none() | st.integers(1, 10)
    if name == "max_duration_minutes":
        return st.none() | st.integers(10, 100)
    return st.none() | st.integers(1, 100)


@given(st.fixed_dictionaries({}, optional={name: _values(name) for name in RULES}))
def test_what_is_read_is_written_again_without_defaults(values: dict[str, Any]) -> None:
    assume(not values.get("release_no_shows") or values.get("check_in", "off") != "off")
    policy = parse_policy(values)
    written = as_json(policy)
    differing = {name: value for name, value in values.items() if value != RULES[name].default}
    assert written == {"automation": "accept", **differing}
    assert parse_policy(json.loads(json.dumps(written))) == policy


def test_an_empty_policy_has_the_defaults() -> None:
    assert parse_policy({}) == Policy()
    assert as_json(Policy()) == {"automation": "accept"}
    assert all(parse_policy({name: rule.default}) == Policy() for name, rule in RULES.items())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (None, "policy must be an object."),
        ([], "policy must be an object."),
        ({"autmation": "accept"}, "policy has no 'autmation'. It has automation, book_in_policy, "),
        ({"conflicts_stay_open": True}, "policy has no 'conflicts_stay_open'."),
        ({"automation": "yes"}, "policy.automation must be none, update or accept."),
        ({"automation": ["accept"]}, "policy.automation must be none, update or accept."),
        ({"allow_recurring": 1}, "policy.allow_recurring must be true or false."),
        ({"allow_recurring": None}, "policy.allow_recurring must be true or false."),
        ({"booking_window_days": True}, "policy.booking_window_days must be a whole number from 1 to 3650, or null"),
        ({"booking_window_days": -1}, "policy.booking_window_days must be a whole number"),
        ({"booking_window_days": 1.5}, "policy.booking_window_days must be a whole number"),
        ({"booking_window_days": 10**400}, "policy.booking_window_days must be a whole number"),
        ({"max_duration_minutes": 0}, "policy.max_duration_minutes must be a whole number from 1 to"),
        (
            {"conflict_percentage_allowed": 101},
            "policy.conflict_percentage_allowed must be a whole number from 0 to 100",
        ),
        ({"min_duration_minutes": 60, "max_duration_minutes": 30}, "policy.min_duration_minutes may not exceed"),
        ({"min_duration_minutes": 1441}, "policy.min_duration_minutes may not exceed"),
        ({"release_no_shows": True}, "policy.release_no_shows needs policy.check_in link or panel"),
        ({"release_no_shows": True, "check_in": "off"}, "policy.release_no_shows needs policy.check_in"),
        ({"check_in": "door"}, "policy.check_in must be off, link or panel."),
        ({"book_in_policy": "anna"}, "policy.book_in_policy must be everyone, nobody, or a list"),
        ({"book_in_policy": [1]}, "Each of policy.book_in_policy must be a name"),
        ({"book_in_policy": [""]}, "Each of policy.book_in_policy must be a name"),
        ({"book_in_policy": ["a" * 256]}, "Each of policy.book_in_policy must be a name"),
        ({"book_in_policy": ["a\x00"]}, "Each of policy.book_in_policy must be a name"),
        ({"book_in_policy": ["a"] * (MAX_NAMES + 1)}, "policy.book_in_policy may name at most 200"),
        ({"additional_response": "a" * 1001}, "policy.additional_response must be a text of at most 1000 characters."),
        ({"additional_response": "a\x00"}, "policy.additional_response may not contain control characters."),
        ({"additional_response": "\ud800"}, "policy.additional_response may not contain control characters."),
        ({"additional_response": {}}, "policy.additional_response must be a text"),
    ],
)
def test_what_cannot_be_read_names_the_parameter(values: Any, message: str) -> None:
    with pytest.raises(InvalidPrincipal) as error:
        parse_policy(values)
    assert error.value.message.startswith(message)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*RULES, "x"]), inner, max_size=3),
        max_leaves=5,
    )
)
def test_hostile_values_are_refused_with_words(values: Any) -> None:
    try:
        assert isinstance(parse_policy(values), Policy)
    except InvalidPrincipal as error:
        assert error.message.endswith(".")


def test_a_requester_belongs_to_those_whom_a_policy_names() -> None:
    team = Audience(names=("team", "id-7"))
    assert Policy(book_in_policy=team).named == {"team", "id-7"}
    assert not Requester().belongs_to(team)
    assert Requester(frozenset(["id-7"])).belongs_to(team)
    assert Requester().belongs_to(EVERYONE)
    assert not Requester(frozenset(["team"])).belongs_to(NOBODY)


def test_the_documentation_has_each_parameter() -> None:
    assert REFERENCE.read_text() == document()
    assert all(f"| `{name}` |" in document() for name in RULES)
