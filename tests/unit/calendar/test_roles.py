"""Whose scheduling object a calendar object is (RFC 6638 §3.1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.calendar.attendance import address_keys
from server.calendar.component import parse_calendar
from server.calendar.roles import scheduling
from server.domain.scheduling import NO_SCHEDULING, Scheduling, SchedulingRole

OWNER = address_keys("0f3c", "Cyrus", ("cyrus@example.com", "daboo@example.org"))
OWN = ("mailto:cyrus@example.com", "MAILTO:Daboo@Example.org", "urn:x-uid:0f3c", "/principals/users/cyrus/")
OTHER = ("mailto:bernard@example.com", "urn:x-uid:other", "/principals/users/bernard/")
NONE, ORGANIZER, ATTENDEE, _ = SchedulingRole


def found(*components, owner=OWNER, kind="VEVENT"):
    """Each component is a list of lines."""
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Test//EN"]
    for component in components:
        lines += [f"BEGIN:{kind}", "UID:1", "DTSTAMP:20260101T000000Z", *component, f"END:{kind}"]
    return scheduling(parse_calendar("\r\n".join((*lines, "END:VCALENDAR", ""))), owner)


@pytest.mark.parametrize("kind", ["VEVENT", "VTODO"])
@pytest.mark.parametrize("address", OWN)
def test_the_owner_organizes(address, kind):
    key = address.casefold() if "principals" not in address else "name:cyrus"
    expected = Scheduling(ORGANIZER, key, 3, one_organizer=True)
    lines = [f"ORGANIZER;CN=Cyrus:{address}", "SEQUENCE:3", f"ATTENDEE:{OTHER[0]}", f"ATTENDEE:{OWN[0]}"]
    assert found(lines, kind=kind) == expected


@pytest.mark.parametrize("address", OWN)
def test_the_owner_attends(address):
    lines = [f"ORGANIZER:{OTHER[0]}", f"ATTENDEE;PARTSTAT=DECLINED:{address}"]
    assert found(lines) == Scheduling(ATTENDEE, OTHER[0], 0, one_organizer=True)
    # It is enough to be invited to one instance.
    assert found(lines[:1], lines) == Scheduling(ATTENDEE, OTHER[0], 0, one_organizer=True)


def test_an_owner_with_several_addresses_organizes_by_all_of_them():
    assert found([f"ORGANIZER:{OWN[1]}"], [f"ORGANIZER:{OWN[2]}"]).role is ORGANIZER


@pytest.mark.parametrize(
    "components",
    [
        ([f"ORGANIZER:{OTHER[0]}", f"ATTENDEE:{OTHER[1]}"],),
        ([f"ORGANIZER:{OWN[0]}"], []),
        ([], [f"ORGANIZER:{OTHER[0]}", f"ATTENDEE:{OWN[0]}"]),
        ([f"ORGANIZER:{OTHER[0]}", f"ATTENDEE:{OWN[0]}"], [f"ORGANIZER:{OTHER[1]}", f"ATTENDEE:{OWN[0]}"]),
        ([f"ORGANIZER:{OWN[0]}", f"ATTENDEE:{OWN[0]}"], [f"ORGANIZER:{OTHER[0]}", f"ATTENDEE:{OWN[0]}"]),
    ],
    ids=["others", "master alone", "override alone", "two organizers", "owner and another organize"],
)
def test_what_is_no_scheduling_object(components):
    result = found(*components)
    assert result.role is NONE
    assert result.organizer is not None


def test_without_organizer_nothing_is_said():
    assert found([f"ATTENDEE:{OWN[0]}", "SEQUENCE:7"]) == NO_SCHEDULING
    assert found([f"ORGANIZER:{OWN[0]}"], kind="VJOURNAL") == NO_SCHEDULING


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (("2", "7", "5"), 7),
        (("-1",), 0),
        (("",), 0),
        (("x",), 0),
        (("\u0663",), 0),
        (("4294967296",), 2**31 - 1),
        (("9" * 5000,), 2**31 - 1),
        (("0" * 5000 + "12",), 12),
    ],
)
def test_the_sequence_fits_its_column(values, expected):
    assert found(*([f"ORGANIZER:{OWN[0]}", f"SEQUENCE:{value}"] for value in values)).sequence == expected


people = st.sampled_from((None, *OWN, *OTHER))


@given(st.lists(st.tuples(people, st.lists(st.sampled_from((*OWN, *OTHER)), max_size=3)), min_size=1, max_size=4))
def test_the_definitions_of_the_rfc(parts):
    components = [
        [*([] if organizer is None else [f"ORGANIZER:{organizer}"]), *(f"ATTENDEE:{each}" for each in attendees)]
        for organizer, attendees in parts
    ]
    organizers = {organizer for organizer, _ in parts}
    scheduling = found(*components)
    result = scheduling.role
    assert scheduling.one_organizer == (len(organizers) == 1 and scheduling.organizer is not None)
    assert (result is ORGANIZER) == organizers.issubset(OWN)
    attends = any(each in OWN for _, attendees in parts for each in attendees)
    one_other = len(organizers) == 1 and organizers.issubset(OTHER)
    assert (result is ATTENDEE) == (one_other and attends)
    assert found(*reversed(components)).role is result
    assert found(*components, owner=frozenset()).role is NONE
