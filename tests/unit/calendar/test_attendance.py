"""Whose address an ATTENDEE is, and which events somebody has declined."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.calendar.attendance import OF_ROOM, address_key, address_keys, declined, may_be_free
from server.calendar.derivation import PREFIX, VERSION, versioned
from server.calendar.personal import busy_types
from server.domain.occurrences import Busy
from tests.unit.calendar.time.texts import calendar, calendar_text, component, event

OWN = address_keys("0f3c", "Cyrus", ("cyrus@example.com", "Daboo@Example.org"))
START = "DTSTART:20260101T000000Z"


@pytest.mark.parametrize(
    ("address", "is_own"),
    [
        ("mailto:cyrus@example.com", True),
        (" MAILTO:Cyrus@example.COM ", True),
        ("mailto:daboo@example.org", True),
        ("urn:x-uid:0F3C", True),
        ("/principals/__uids__/0f3c/", True),
        ("/principals/users/cyrus", True),
        ("/principals/users/cyrus/", True),
        ("https://example.com/dav/principals/resources/cyrus/", True),
        ("/principals/users/c%79rus/", True),
        ("/principals/users/0f3c/", False),
        ("/principals/__uids__/cyrus/", False),
        ("/principals/users/", False),
        ("/principals/", False),
        ("/calendars/users/cyrus/", False),
        ("mailto:cyrus@example.org", False),
        ("mailto:", False),
        ("cyrus@example.com", True),
        ("mailto:cyrus%40example.com", True),
        ("mailto://cyrus@example.com?subject=x", True),
        ("<mailto:cyrus@example.com>", True),
        ("urn:uuid:0f3c", False),
        ("", False),
    ],
)
def test_whose_address_it_is(address: str, is_own: bool) -> None:
    assert (address_key(address) in OWN) is is_own


@given(st.text(max_size=30))
def test_any_text_is_an_address_and_keys_are_stable(text: str) -> None:
    key = address_key(text)
    assert key == address_key(f"  {text}  ") == address_key(text)
    assert address_key(f"mailto:{text}x") not in OWN


def test_all_of_somebody_s_attendees_must_have_declined() -> None:
    mine = "ATTENDEE;PARTSTAT=DECLINED:mailto:cyrus@example.com"
    accepted = "ATTENDEE;PARTSTAT=ACCEPTED:urn:x-uid:0f3c"
    also = "ATTENDEE;EMAIL=daboo@example.org;PARTSTAT=declined:urn:uuid:1"
    others = "ATTENDEE;PARTSTAT=DECLINED:mailto:other@example.com"
    tree = calendar(
        event(START, mine),
        event(START, mine, accepted),
        event(START, mine, also, others),
        event(START, others),
        event(START, "ATTENDEE:mailto:cyrus@example.com"),
        component("VTODO", mine),
    )
    assert declined(tree, OWN) == {0, 2}
    assert declined(tree, frozenset()) == frozenset()
    assert [may_be_free(part) for part in tree.components] == [True] * 6
    assert not any(may_be_free(part) for part in calendar(event(START, accepted), event(START)).components)
    # a room is free, too, where it has not answered
    assert declined(tree, OWN | {OF_ROOM}) == {0, 2, 4}


def test_a_declined_event_is_free_whatever_its_transparency() -> None:
    mine = "ATTENDEE;PARTSTAT=DECLINED:mailto:cyrus@example.com"
    parts = event(START, mine), event(START, "STATUS:TENTATIVE"), event(START, mine, "TRANSP:OPAQUE")
    text = calendar_text(*(line for part in parts for line in part))
    assert busy_types(text, OWN) == (Busy.FREE, Busy.TENTATIVE, Busy.FREE)
    assert busy_types(text) == (Busy.BUSY, Busy.TENTATIVE, Busy.BUSY)


def test_time_keys_of_older_versions_sort_before_those_of_this_and_later_ones_behind() -> None:
    earlier = ("", "0" * 32, "f" * 32, "v001:x", f"v{VERSION - 1:03}:x")
    assert all(key[:4] < PREFIX for key in earlier)
    assert f"v{VERSION + 1:03}"[:4] > PREFIX == versioned("x")[:4]
    assert len({versioned("x"), versioned("x", {1}), versioned("x", {1, 2}), versioned("y", {1})}) == 4
    assert versioned("x", {2, 1}) == versioned("x", [1, 2])
