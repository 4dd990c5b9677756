import pytest
import vobject
from hypothesis import given
from hypothesis import strategies as st

from server.calendar.contentline import content_lines
from server.contacts.partial import AddressDataSelection, PropertySelection, select

from . import cards


def wanted(*names: str, no_value: tuple[str, ...] = ()) -> AddressDataSelection:
    return AddressDataSelection(
        tuple(PropertySelection(name) for name in names) + tuple(PropertySelection(name, True) for name in no_value)
    )


@pytest.mark.parametrize("card", [cards.RFC6352, cards.APPLE, cards.OLD_PHONE, "\ufeff" + cards.GROUP])
def test_without_properties_everything_is_asked_for(card):
    assert select(card, AddressDataSelection()) == card


def test_the_selection_of_rfc_6352_8_6_3():
    found = select(cards.RFC6352, wanted("VERSION", "UID", "NICKNAME", "EMAIL", "FN"))
    assert found == (
        "BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Cyrus Daboo\r\nEMAIL;TYPE=INTERNET,PREF:cyrus@example.com\r\n"
        "NICKNAME:me\r\nUID:1234-5678-9000-1\r\nEND:VCARD\r\n"
    )


def test_version_is_kept_so_that_the_rest_can_be_read():
    assert select(cards.RFC6352, wanted("uid")) == (
        "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:1234-5678-9000-1\r\nEND:VCARD\r\n"
    )


def test_groups():
    """RFC 6352 §10.4.2."""
    card = "BEGIN:VCARD\nVERSION:3.0\nTEL:1\nX-ABC.TEL:2\nx-abc-1.tel:3\nEND:VCARD\n"
    assert select(card, wanted("TEL")) == card
    assert select(card, wanted("X-ABC.TEL")) == "BEGIN:VCARD\nVERSION:3.0\nX-ABC.TEL:2\nEND:VCARD\n"
    assert select(card, wanted("X-ABC.TEL", "X-ABC-1.Tel")).count(":") == 5


def test_folds_stay_as_they_are():
    found = select(cards.APPLE, wanted("PHOTO", "ADR"))
    lines = cards.APPLE.split("\n")
    start = lines.index("PHOTO;BASE64:")
    assert "\n".join(lines[start : start + 3]) + "\n" in found
    assert "Street\\nOn\n  The Hill" in found


def test_without_values():
    found = select(cards.APPLE, wanted("FN", no_value=("PHOTO", "ADR", "VERSION", "EMAIL", "FN")))
    assert found == (
        "BEGIN:VCARD\nVERSION:\nFN:Default Thompson\nEMAIL;type=INTERNET;type=WORK;type=pref:\n"
        "EMAIL;type=INTERNET;type=HOME:\nitem1.ADR;type=WORK;type=pref:\nPHOTO;BASE64:\nEND:VCARD\n"
    )


def test_a_head_that_was_folded_is_folded_again():
    card = "BEGIN:VCARD\r\nVERSION:3.0\r\nX-LO\r\n NG;X-P=" + "a" * 90 + ":value\r\nEND:VCARD\r\n"
    found = select(card, wanted(no_value=("x-long",)))
    assert all(len(line) <= 75 for line in found.split("\r\n"))
    assert found.replace("\r\n ", "").split("\r\n")[2] == "X-LONG;X-P=" + "a" * 90 + ":"


def test_vobject_reads_a_selection():
    card = vobject.readOne(select(cards.RFC6352, wanted("FN", "EMAIL")))
    assert card.fn.value == "Cyrus Daboo"
    assert set(card.contents) == {"version", "fn", "email"}


@given(cards.cards(), st.lists(st.sampled_from((*cards.NAMES, "adr", "X-NONE")), min_size=1, max_size=4))
def test_what_is_selected_is_lines_of_the_card(card, names):
    found = select(card, wanted(*names))
    kept = [(line.name, line.parameter_text, line.value) for line in content_lines(found)]
    upper = {name.upper() for name in names} | {"BEGIN", "VERSION", "END"}
    assert kept == [
        (line.name, line.parameter_text, line.value)
        for line in content_lines(card)
        if line.name in upper or line.name.rpartition(".")[2] in upper
    ]
    assert select(found, wanted(*names)) == found


@given(cards.cards())
def test_lines_reproduce_the_card(card):
    assert "".join(card[line.start : line.end] for line in content_lines(card)) == card.removeprefix("\ufeff")
