"""Mails of every kind are those of the golden files, and others' libraries read them."""

import re
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

import icalendar
import pytest
import vobject

from server.imip.composing import compose
from server.imip.description import is_link
from tests.unit.imip.kinds import GOLDEN, KINDS, SENT_AT


def parsed(mail: bytes) -> EmailMessage:
    found = message_from_bytes(mail, policy=default)
    assert isinstance(found, EmailMessage)
    return found


def comparable(mail: EmailMessage) -> list[object]:
    """What a mail says. How headers are folded depends on the version of Python."""
    return [
        (
            [(name, str(value)) for name, value in part.items()],
            None if part.is_multipart() else part.get_payload(decode=True),
        )
        for part in mail.walk()
    ]


def calendar_of(mail: EmailMessage) -> str:
    (part,) = (part for part in mail.walk() if part.get_content_type() == "text/calendar")
    return part.get_payload(decode=True).decode()


def test_each_kind_has_its_file() -> None:
    assert {path.stem for path in GOLDEN.glob("*.eml")} == KINDS.keys()


@pytest.mark.parametrize("name", KINDS)
def test_mails_are_those_of_the_files(name: str) -> None:
    """`python -m tests.unit.imip.kinds` writes the files anew."""
    made, stored = parsed(compose(KINDS[name])), parsed((GOLDEN / f"{name}.eml").read_bytes())
    assert comparable(made) == comparable(stored)


@pytest.mark.parametrize("name", KINDS)
def test_mails_are_well_formed(name: str) -> None:
    draft = KINDS[name]
    mail = compose(draft)
    assert mail.count(b"\n") == mail.count(b"\r\n")
    assert all(len(line) <= 998 for line in mail.split(b"\r\n"))
    found = parsed(mail)
    assert not found.defects
    assert found["From"].addresses[0].addr_spec == draft.sender.address
    assert found["To"].addresses[0].addr_spec == draft.recipient.address
    assert found["Auto-Submitted"] == "auto-generated"
    assert found["Date"].datetime == SENT_AT
    assert (found["Reply-To"] is None) is (draft.reply_to is None)
    types = [part.get_content_type() for part in found.walk()]
    alternatives = ["multipart/alternative", "text/plain", "text/html", "text/calendar"]
    assert types == ["multipart/mixed", *alternatives, "application/ics"]
    (part,) = (part for part in found.walk() if part.get_content_type() == "text/calendar")
    assert part["Content-Type"].params == {"method": str(draft.method), "charset": "utf-8"}
    (attached,) = found.iter_attachments()
    assert attached.get_payload(decode=True) == part.get_payload(decode=True)
    assert attached.get_filename() == "invite.ics"


@pytest.mark.parametrize("name", KINDS)
def test_other_libraries_read_the_calendar(name: str) -> None:
    text = calendar_of(parsed(compose(KINDS[name])))
    assert text.count("\n") == text.count("\r\n")
    assert all(len(line.encode()) <= 75 for line in text.split("\r\n"))
    calendar = icalendar.Calendar.from_ical(text)
    assert calendar["METHOD"] == str(KINDS[name].method)
    assert [each.errors for each in calendar.walk()] == [[] for _ in calendar.walk()]
    assert vobject.readOne(text).method.value == str(KINDS[name].method)
    unfolded = text.replace("\r\n ", "")
    used = set(re.findall(r"TZID=([^:;]+)", unfolded))
    assert used == set(re.findall(r"^TZID:(.+)\r$", unfolded, re.MULTILINE))
    people = re.findall(r"^(?:ATTENDEE|ORGANIZER)(?:;[^:\"]*(?:\"[^\"]*\"[^:\"]*)*)?:(.*)\r$", unfolded, re.MULTILINE)
    assert people
    assert all(each.startswith("mailto:") for each in people)
    events = re.sub("BEGIN:VTIMEZONE.*END:VTIMEZONE", "", unfolded, flags=re.DOTALL)
    assert not re.search(r"^[A-Z-]+:\d{8}T\d{6}\r$", events, re.MULTILINE), "no floating times"


def test_a_mail_composed_again_is_the_same() -> None:
    assert compose(KINDS["update"]) == compose(KINDS["update"])


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("https://example.org/a?b=c&d", True),
        ("HTTP://example.org", True),
        ("javascript:alert(1)", False),
        ('https://example.org/"onclick="x', False),
        ("https://example.org/a b", False),
        ("mailto:a@example.org", False),
    ],
)
def test_only_sound_addresses_of_the_web_are_links(text: str, is_one: bool) -> None:
    assert is_link(text) is is_one
