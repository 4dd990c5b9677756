"""The demo organisation's texts, whatever the day."""

from collections import Counter
from datetime import date

from hypothesis import example, given, settings
from hypothesis import strategies as st

from server.calendar.calendar_object import read_calendar_object
from server.commands.demo_content import PEOPLE, members, principals
from server.contacts.vcard import read_address_object
from server.domain.limits import Limits
from server.services.principals.document import read

COMPONENTS = {"calendar": "VEVENT", "tasks": "VTODO"}


@given(st.dates(date(2020, 1, 1), date(2100, 1, 1)))
@example(date(2024, 2, 29))
@settings(max_examples=5)
def test_every_text_is_valid_and_every_name_is_used_once(today: date) -> None:
    found = members(today)
    assert found == members(today)
    assert len({(each.owner, each.collection, each.name) for each in found}) == len(found)
    for each in found:
        assert "\r\n\r\n" not in each.text, "a line is empty"
        if each.collection == "addressbook":
            assert read_address_object(each.text.encode(), Limits()).uid
        else:
            assert read_calendar_object(each.text.encode(), Limits()).component == COMPONENTS[each.collection]
    counts = Counter((each.owner, each.collection) for each in found)
    for person in PEOPLE:
        assert counts[person.name, "calendar"] > 20
        assert counts[person.name, "tasks"] == 5
        assert counts[person.name, "addressbook"] == 10


def test_the_document_can_be_loaded() -> None:
    entries, refusals = read(principals())
    assert not refusals
    assert Counter(entry.kind for entry in entries) == {"individual": 5, "room": 4, "resource": 2, "group": 2}
    assert all(entry.password is None for entry in entries)
