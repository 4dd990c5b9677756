import pytest
import vobject
from hypothesis import given
from hypothesis import strategies as st

from server.contacts.aggregate import concatenate, split_cards, with_uid
from server.contacts.vcard import read_address_object
from server.domain.errors import InvalidAddressData
from server.domain.limits import Limits

from . import cards


def split(text: str) -> list[tuple[int, str]]:
    return [(card.line, card.octets.decode()) for card in split_cards(text.encode())]


def test_an_address_book_as_one_file():
    book = concatenate(["\ufeff" + cards.RFC6352, cards.APPLE.strip(), "\n" + cards.GROUP + "\n\n"])
    assert book == cards.RFC6352 + cards.APPLE + cards.GROUP
    assert [card.uid.value for card in vobject.readComponents(book)] == [
        "1234-5678-9000-1",
        "ED7A5AEC-AB19-4CE0-AD6A-2923A3E5C4E1:ABPerson",
        "760d9b28-5a13-4880-b7eb-5769e6600fa3",
    ]


def test_an_empty_address_book():
    assert concatenate([]) == ""
    assert split("") == []


def test_taking_a_file_apart():
    text = "\ufeff" + cards.RFC6352 + "\r\njunk\r\n" + cards.OLD_PHONE + cards.APPLE.strip()
    assert split(text) == [
        (1, cards.RFC6352),
        (cards.RFC6352.count("\n") + 3, cards.OLD_PHONE),
        (cards.RFC6352.count("\n") + cards.OLD_PHONE.count("\n") + 3, cards.APPLE.strip()),
    ]


def test_a_broken_card_costs_no_other():
    unfinished = cards.GROUP.replace("END:VCARD\n", "")
    assert split(unfinished + cards.APPLE + unfinished) == [
        (1, unfinished),
        (unfinished.count("\n") + 1, cards.APPLE),
        ((unfinished + cards.APPLE).count("\n") + 1, unfinished),
    ]
    assert split("FN:x\nEND:VCARD\n" + cards.APPLE) == [(1, "FN:x\nEND:VCARD\n"), (3, cards.APPLE)]


def test_lines_may_be_folded_anywhere():
    folded = cards.APPLE.replace("BEGIN:VCARD", "BEG\r\n IN:VC\r\n ARD").replace("END:VCARD", "END\r\n :VCARD")
    assert split(folded + cards.GROUP) == [(1, folded), (folded.count("\n") + 1, cards.GROUP)]
    begin = "BEGIN\n :VCARD\n"
    uid = read_address_object(with_uid(begin + "VERSION:3.0\nFN:x\nEND:VCARD\n")[0].encode(), Limits()).uid
    assert with_uid(begin + "VERSION:3.0\nFN:x\nEND:VCARD\n") == (
        f"{begin}UID:{uid}\nVERSION:3.0\nFN:x\nEND:VCARD\n", 3,
    )  # fmt: skip


def test_a_card_in_a_card_stays_there():
    """AGENT of vCard 2.1 (§2.4.4): both are one, and refused with the reason."""
    outer = cards.OLD_PHONE.replace("END:VCARD", "AGENT:\n" + cards.OLD_PHONE.rstrip() + "\nEND:VCARD")
    assert split(cards.APPLE + outer + cards.GROUP)[1] == (cards.APPLE.count("\n") + 1, outer)
    with pytest.raises(InvalidAddressData, match="holds another one .AGENT"):
        read_address_object(outer.encode(), Limits())


@given(st.lists(cards.cards(), max_size=4))
def test_apart_and_together_again(texts):
    """Also page by page."""
    book = concatenate(texts)
    assert concatenate(texts[:2]) + concatenate(texts[2:]) == book
    assert concatenate(card for _, card in split(book)) == book
    assert len(split(book)) == len(texts)


@given(st.text(st.sampled_from("BEGIN:VCARD\r\nEND:VCARD\n \ufeff")) | st.text())
def test_any_text_is_taken_apart(text):
    position = 0
    for line, card in split(text):
        assert card in text[position:]
        assert line >= 1
        position = text.index(card, position) + len(card)


def test_a_card_without_uid_gets_the_same_one_each_time():
    for text in (cards.APPLE, "\ufeff\r\n" + cards.RFC6352):
        lines = text.splitlines(keepends=True)
        without = "".join(line for line in lines if not line.startswith("UID"))
        found = with_uid(without)[0]
        assert found == with_uid(without)[0]
        uid = read_address_object(found.encode(), Limits()).uid
        assert found.replace(f"UID:{uid}\r\n" if "\r" in text else f"UID:{uid}\n", "") == without
        assert with_uid(text) == (text, 0)
    empty = cards.GROUP.replace("UID:760d9b28-5a13-4880-b7eb-5769e6600fa3", "UID:")
    assert read_address_object(with_uid(empty)[0].encode(), Limits()).uid


@pytest.mark.parametrize("text", ["", "FN:x\n", "BEGIN:VCARD", "no line at all", "BEGIN:VEVENT\nEND:VEVENT\n"])
def test_what_is_no_card_gets_no_uid(text):
    with pytest.raises(InvalidAddressData):
        with_uid(text)
