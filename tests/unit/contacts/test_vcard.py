import pytest
import vobject
from hypothesis import given
from hypothesis import strategies as st

from server.contacts.vcard import MAX_PROPERTIES, SUMMARY_LENGTH, bare_uid, read_address_object, version_of
from server.domain.errors import InvalidAddressData, InvalidData, ResourceTooLarge, UnsupportedMediaType
from server.domain.limits import Limits

from . import cards

LIMITS = Limits()


def read(text: str):
    return read_address_object(text.encode(), LIMITS)


def card(*lines: str, version: str = "3.0", uid: str = "1") -> str:
    return "\r\n".join(("BEGIN:VCARD", f"VERSION:{version}", f"UID:{uid}", *lines, "END:VCARD", ""))


def test_the_example_of_rfc_6352():
    found = read(cards.RFC6352)
    assert found.text == cards.RFC6352
    assert (found.version, found.uid, found.kind) == ("3.0", "1234-5678-9000-1", "individual")
    assert (found.full_name, found.family_name, found.given_name) == ("Cyrus Daboo", "Daboo", "Cyrus")
    assert found.nicknames == ("me",)
    assert found.organization == ("Self Employed",)
    assert found.emails == ("cyrus@example.com",)
    assert found.phones == ("412 605 0499", "412 605 0705")
    assert found.members == ()


def test_what_apple_sends():
    found = read(cards.APPLE)
    assert found.text == cards.APPLE
    assert found.nicknames == ("Tom", "Tommy, the")
    assert found.organization == ("Apple Inc.", "Contacts")
    assert found.emails == ("lthompson@example.com", "tom@home.example")


def test_what_listings_show():
    assert read(cards.APPLE).summary() == {
        "kind": "individual",
        "fn": "Default Thompson",
        "n": "Thompson\nDefault",
        "nickname": "Tom\nTommy, the",
        "org": "Apple Inc.\nContacts",
        "email": "lthompson@example.com\ntom@home.example",
        "tel": "1-555-555-5555",
    }
    assert read(card()).summary() == {"kind": "individual"}
    assert len(read(card("FN:" + "x" * 5000)).summary()["fn"]) == SUMMARY_LENGTH


@pytest.mark.parametrize("version", ["2.1", "3.0", "4.0"])
def test_the_version_of_a_stored_card(version):
    text = read(card("PHOTO:x", version=f" {version} ")).text
    assert version_of(text) == version
    assert version_of(text.replace("VERSION", "VER\r\n SION")) == version


def test_an_old_export_with_quoted_printable():
    found = read(cards.OLD_PHONE)
    assert found.text == cards.OLD_PHONE
    assert found.version == "2.1"
    assert (found.full_name, found.family_name, found.given_name) == ("Jürgen Müller", "Müller", "Jürgen")
    assert found.phones == ("+49 170 1234567",)


def test_groups_of_apple_and_of_vcard_4():
    found = read(cards.GROUP)
    assert found.kind == "group"
    assert found.members == ("FCBA0FA3-00B2-4C95-B4EC-4CCC4843F8B1", "user01@example.com")
    four = read(card("KIND:Group", "FN:x", "MEMBER:URN:UUID:abc", "MEMBER:mailto:a@b.example", version="4.0"))
    assert (four.kind, four.members) == ("group", ("abc", "mailto:a@b.example"))
    assert bare_uid("urn:uuid:abc") == bare_uid("abc") == "abc"


def test_addresses_that_are_uris():
    found = read(card("EMAIL:mailto:a@b.example", "TEL;VALUE=uri:tel:+1-555", version="4.0"))
    assert (found.emails, found.phones) == (("a@b.example",), ("+1-555",))


@pytest.mark.parametrize(
    ("lines", "full_name"),
    [
        (["FN: Ann ", "N:B;C"], "Ann"),
        (["FN:", "N:Family;Given;Middle;Dr.;Jr."], "Dr. Given Middle Family Jr."),
        (["N:;;;;", "ORG:Acme;Sales"], "Acme, Sales"),
        (["NICKNAME:nick"], "nick"),
        (["EMAIL:a@b.example"], "a@b.example"),
        (["TEL:1"], "1"),
        ([], ""),
    ],
)
def test_a_name_to_show_without_fn(lines, full_name):
    assert read(card(*lines)).full_name == full_name


@pytest.mark.parametrize(
    "text",
    [
        card("FN:x").replace("\r\n", "\n"),
        "\ufeff" + card("FN:x"),
        "\r\n\r\n" + card("FN:x") + "\r\n \r\n",
        card("FN:x").removesuffix("\r\n"),
        card("FN:x").replace("\r\n", "\r\r\n"),
        card("FN:x").replace("BEGIN:VCARD", "begin:vcard ").replace("END:VCARD", "End:vCard"),
        card("FN:x").replace("VERSION:3.0\r\n", "").replace("END:", "VERSION:3.0\r\nEND:"),
        card("FN:x", "UID:1"),
        card("FN:x", "UID:"),
        card("FN:x", "PHOTO;BASE64:\r\n  AAAA\r\n"),
        card("FN:x", "F\r\n N:y", 'X-Y;A="b:c";D:e'),
        card("F", " N:x"),
        card("FN:x", "AGENT:BEGIN:VCARD\\nVERSION:3.0\\nEND:VCARD"),
    ],
)
def test_what_can_be_understood_is_kept_as_sent(text):
    found = read(text)
    assert found.text == text
    assert (found.uid, found.full_name) == ("1", "x")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 1),
        ("\r\n\r\n", 1),
        ("BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n", 1),
        ("FN:x\r\n" + card(), 1),
        (card() + "FN:x\r\n", 6 - 1),
        (card() + card(), 5),
        (card().replace("END:VCARD\r\n", ""), 4),
        (card().replace("END:VCARD\r\n", "") + card(), 4),
        ("END:VCARD\r\n", 1),
        (card("no colon"), 4),
        (card("FN:x", ":empty name"), 5),
        (card("NOTE:a\r\n b", "no colon"), 6),
        (card("FN:a\x00b"), 4),
        (card("NOTE:a\x0bb"), 4),
        (card("NOTE:\uffff"), 4),
        (card("NOTE:a\rb"), None),
        (card("FN:x", "UID:2"), 5),
        (card(uid=""), 3),
        (card(uid="a\\nb"), 3),
        (card(uid="x" * 1001), 3),
        (card(uid="ä" * 501), 3),
        (card().replace("UID:1\r\n", ""), None),
        (card().replace("VERSION:3.0\r\n", ""), 1),
        (card("VERSION:4.0"), 4),
        (card("BEGIN:VEVENT", "END:VEVENT"), 4),
        (card("AGENT:", "BEGIN:VCARD", "END:VCARD"), 5),
    ],
)
def test_what_is_refused(text, line):
    with pytest.raises(InvalidAddressData) as caught:
        read(text)
    if line is not None:
        assert caught.value.line == line
    assert "\n" not in caught.value.message


def test_other_versions_are_other_media_types():
    with pytest.raises(UnsupportedMediaType) as caught:
        read(card(version="5.0"))
    assert caught.value.line == 2


def test_what_is_not_utf_8_is_refused_with_its_line():
    with pytest.raises(InvalidAddressData) as caught:
        read_address_object(card("FN:Müller").encode("iso-8859-1"), LIMITS)
    assert caught.value.line == 4


def test_size_and_number_of_properties_are_bounded():
    text = card("NOTE:" + "x" * 100)
    assert read_address_object(text.encode(), Limits(max_resource_size=len(text))).text == text
    with pytest.raises(ResourceTooLarge):
        read_address_object(text.encode(), Limits(max_resource_size=len(text) - 1))
    assert read(card(*["X:"] * (MAX_PROPERTIES - 2)))
    with pytest.raises(InvalidAddressData):
        read(card(*["X:"] * (MAX_PROPERTIES - 1)))


@pytest.mark.parametrize("charset", ["utf-7", "hex", "unicode_escape", "idna", "nonsense", "cp9999", "utf-16", ""])
def test_charsets_that_are_none_do_no_harm(charset):
    found = read(card(f"FN;CHARSET={charset};QUOTED-PRINTABLE:a=00b=FF+2AA-\\udcff"))
    assert "\0" not in found.full_name
    found.full_name.encode()


@given(st.binary(max_size=200))
def test_arbitrary_bytes_give_domain_errors_only(body):
    for data in (body, b"BEGIN:VCARD\nVERSION:3.0\nUID:1\n" + body + b"\nEND:VCARD\n"):
        try:
            found = read_address_object(data, LIMITS)
        except InvalidData:
            continue
        assert found.text.encode() == data


@given(cards.cards())
def test_cards_are_kept_byte_by_byte_and_can_be_shown(text):
    found = read(text)
    assert found.text.encode() == text.encode()
    shown = (found.full_name, found.family_name, *found.nicknames, *found.organization, *found.emails, *found.phones)
    for value in shown:
        assert "\0" not in value
        value.encode()


@pytest.mark.parametrize("text", [cards.RFC6352, cards.APPLE, cards.GROUP])
def test_vobject_reads_the_same(text):
    other = vobject.readOne(text)
    found = read(text)
    assert other.fn.value == found.full_name
    assert other.uid.value == found.uid
    assert [line.value for line in other.contents.get("email", [])] == list(found.emails)
    assert [line.value for line in other.contents.get("tel", [])] == list(found.phones)
    assert other.n.value.family == found.family_name
