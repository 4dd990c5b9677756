"""Mail addresses, also those that are not ASCII (RFC 6531, RFC 6532)."""

from __future__ import annotations

from email.message import EmailMessage
from email.policy import SMTPUTF8

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.calendar.attendance import address_key
from server.imip.addresses import is_international, is_mail_address, mail_address, mailto, own_address
from server.imip.composing import Person, mailbox_of, policy_for
from server.imip.mail import read_mail

DORA = "дора@пример.example"
DORA_AT = "дора@xn--e1afmkfd.example"


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("mailto:zoe@elsewhere.example", "zoe@elsewhere.example"),
        (f"mailto:{DORA}", DORA_AT),
        ("MAILTO:%D0%B4%D0%BE%D1%80%D0%B0@xn--e1afmkfd.example", DORA_AT),
        (DORA, DORA_AT),
        ("mailto:zoe@пример.example", "zoe@xn--e1afmkfd.example"),
        ("mailto:u\u0308@x.example", "ü@x.example"),
        ("mailto:ü.x+y@x.example", "ü.x+y@x.example"),
        ("mailto:" + "ü" * 32 + "@x.example", "ü" * 32 + "@x.example"),
        ("mailto:" + "ü" * 33 + "@x.example", None),
        ("mailto:ü..x@x.example", None),
        ("mailto:ü x@x.example", None),
        ("mailto:ü\u00a0x@x.example", None),
        ("mailto:ü\u2028x@x.example", None),
        ("mailto:\u202eü@x.example", None),
        ("mailto:ü\x00@x.example", None),
        ("mailto:ü>@x.example", None),
        ("mailto:ü,x@x.example", None),
        ("mailto:ü%0D%0Ax@x.example", None),
        ("mailto:ü@-x.example", None),
        ("mailto:ü@", None),
        ("urn:x-uid:ü", None),
    ],
)
def test_the_mail_address_of_a_calendar_user_address(written: str, address: str | None) -> None:
    assert mail_address(written) == address
    if address is not None:
        assert is_mail_address(address) is address.isascii()
        assert is_international(address) is not address.isascii()


def test_people_here_have_an_address_that_every_mail_server_takes_if_any() -> None:
    assert own_address(["urn:x-uid:1", f"mailto:{DORA}", "mailto:dora@x.example"]) == "dora@x.example"
    assert own_address([f"mailto:{DORA}"]) == DORA_AT
    assert own_address(["urn:x-uid:1"]) is None


@given(st.text(min_size=1, max_size=20), st.sampled_from(["x.example", "пример.example"]))
def test_an_address_survives_as_a_uri(local: str, domain: str) -> None:
    address = mail_address(f"{local}@{domain}".replace("?", "_").replace("%", "_"))
    if address is None:
        return
    uri = mailto(address)
    assert uri.isascii()
    assert mail_address(uri) == address
    assert address_key(uri) == address_key(f"mailto:{address}")


@pytest.mark.parametrize("name", ["Dora", 'Döra, die "Große" \\', "", "x\r\nBcc: evil@example.com"])
def test_a_header_with_an_address_that_is_not_ascii(name: str) -> None:
    people = Person("calendar@example.org"), Person(DORA_AT, name)
    policy = policy_for(*people)
    assert policy is SMTPUTF8
    message = EmailMessage(policy)
    message["To"] = mailbox_of(people[1])
    written = message.as_bytes().decode().removesuffix("\r\n")
    assert [each.username for each in message["To"].addresses] == ["дора"]
    assert written.count("\n") == written.count("\n ") + 1, "one field"
    mail = read_mail(f"From: {written.removeprefix('To: ')}\r\n".encode())
    assert mail.sender == DORA_AT
