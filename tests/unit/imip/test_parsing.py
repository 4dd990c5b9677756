"""The scheduling messages in mails of other programs. Each file in `mails` names in X-Follows what it follows."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.domain.errors import InvalidData, ResourceTooLarge
from server.imip import mail as mails
from server.imip.mail import Mail, address_in, decoded, read_mail
from server.imip.parsing import MAX_MESSAGES, CalendarParts, messages_in, with_organizer
from server.itip.calendar_users import Directory
from server.itip.message_text import read_message
from server.itip.messages import Message
from server.itip.participants import attendee_line

FOLDER = Path(__file__).with_name("mails")
FILES = {path.stem: path.read_bytes() for path in sorted(FOLDER.glob("*.eml"))}
CLARA = Directory().user("mailto:clara@example.com")


def read(name: str) -> Mail:
    return read_mail(FILES[name])


def messages(data: bytes) -> list[Message]:
    mail = read_mail(data)
    sender = Directory().user(f"mailto:{mail.sender}")
    return [read_message(text, sender, CLARA) for text in messages_in(mail).messages]


@pytest.mark.parametrize(
    ("name", "method", "uid", "instances"),
    [
        ("apple-mail-attachment", "REQUEST", "9E1F0C3A-2B4D-4C1E-8A77-0123456789AB", 1),
        ("exchange-charset", "REQUEST", "040000008200E00074C5B7101A82E00800000000", 1),
        ("exchange-reply-of-many-instances", "REPLY", "planning@example.com", 16),
        ("exchange-reply-without-organizer", "REPLY", "planning@example.com", 1),
        ("google-reply", "REPLY", "planning@example.com", 1),
        ("google-request-twice", "REQUEST", "7kukuqrfedlm2f9t0vfv3jk4k4@google.com", 1),
        ("list-footer", "REPLY", "planning@example.com", 1),
        ("method-in-header-alone", "REPLY", "planning@example.com", 1),
        ("octet-stream-attachment", "REPLY", "planning@example.com", 1),
        ("outlook-upper-case-mailto", "CANCEL", "040000008200E00074C5B7101A82E00800000000", 1),
    ],
)
def test_the_message_of_another_program_is_read(name: str, method: str, uid: str, instances: int) -> None:
    [message] = messages(FILES[name])
    assert (message.method, message.uid, len(message.object.components)) == (method, uid, instances)
    assert not messages_in(read(name)).problems


def test_each_fixture_says_what_it_follows() -> None:
    assert all(read(name).header.first("x-follows") for name in FILES)


@pytest.mark.parametrize(
    "name", ["exchange-reply-without-organizer", "exchange-reply-of-many-instances", "google-reply"]
)
def test_an_answer_is_that_of_the_sender(name: str) -> None:
    [message] = messages(FILES[name])
    assert all(attendee_line(each, message.sender, Directory()) is not None for each in message.object.components)


def test_an_address_in_upper_case_is_the_same_person() -> None:
    [message] = messages(FILES["outlook-upper-case-mailto"])
    component = message.object.components[0]
    assert attendee_line(component, CLARA, Directory()) is not None
    assert Directory().same(component.value("ORGANIZER") or "", f"mailto:{read('outlook-upper-case-mailto').sender}")


def test_a_wrong_charset_loses_no_letters() -> None:
    [message] = messages(FILES["exchange-charset"])
    assert message.object.components[0].value("SUMMARY") == "Gespräch über Größen"


@pytest.mark.parametrize(
    ("content", "charset", "text"),
    [
        ("Größe".encode(), "iso-8859-1", "Größe"),
        ("Größe".encode("latin-1"), "utf-8", "Größe"),
        ("Größe".encode("latin-1"), "unknown-8bit", "Größe"),
        ("Größe".encode("utf-16"), "", "Größe"),
        (b"\xef\xbb\xbfBEGIN", "", "BEGIN"),
        ("会議".encode("iso-2022-jp"), "ISO-2022-JP", "会議"),
        ("会議".encode("shift_jis"), '"Shift_JIS"', "会議"),
        (b"abc", "hex", "abc"),
        (b"+2AA- \xff", "utf-7", "+2AA- ÿ"),
        (b"\\ud800 \xff", "unicode_escape", "\\ud800 ÿ"),
        (b"a-\xff", "punycode", "a-ÿ"),
        (b"\xff\xfe\x00", "utf-16", "\ufffd"),
    ],
)
def test_text_is_decoded(content: bytes, charset: str, text: str) -> None:
    assert decoded(content, charset) == text


def test_several_events_are_several_messages() -> None:
    assert [message.uid for message in messages(FILES["several-events"])] == ["one", "two"]


@pytest.mark.parametrize("name", ["no-calendar", "forwarded", "exchange-tnef"])
def test_a_mail_without_calendar_has_no_message(name: str) -> None:
    assert messages_in(read(name)) == CalendarParts()


def test_a_calendar_without_method_is_no_message() -> None:
    data = FILES["google-reply"].replace(b"METHOD:REPLY\r\n", b"").replace(b"method=REPLY", b"x=y")
    assert messages_in(read_mail(data)) == CalendarParts()


def test_the_method_in_the_text_counts() -> None:
    [message] = messages(FILES["google-reply"].replace(b"method=REPLY", b"method=CANCEL"))
    assert message.method == "REPLY"


def test_a_request_without_organizer_gets_one() -> None:
    text = messages_in(read("exchange-charset")).messages[0]
    bare = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("ORGANIZER"))
    assert "\r\nORGANIZER:mailto:dora@contoso.example\r\n" in with_organizer(bare, "dora@contoso.example")
    assert with_organizer(text, "another@example.org") == text


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("dora@contoso.example", "dora@contoso.example"),
        ("Dora <Dora@Contoso.example>", "dora@contoso.example"),
        ('"Berger, Dora <x@y>" <dora@contoso.example> (work)', "dora@contoso.example"),
        ("ceo@example.com <dora@contoso.example>", "dora@contoso.example"),
        ("=?utf-8?q?D=C3=B6ra?= <dora@contoso.example>", "dora@contoso.example"),
        ("", None),
        ("Dora", None),
        ("a@example.com, b@example.com", None),
        ("a@example.com <b@example.com>, <c@example.com>", None),
        ("<a@example.com> <b@example.com>", None),
        ("<a@example.com> b@example.com", None),
        ("group: a@example.com;", None),
        ("<a@example.com", None),
        ("a@b@example.com", None),
        ('"a b"@example.com', None),
        ("a\x00b@example.com", None),
    ],
)
def test_from_has_one_address(written: str, address: str | None) -> None:
    assert address_in(written) == address


def test_a_mail_with_two_from_fields_has_no_sender() -> None:
    assert read_mail(b"From: a@example.com\r\nFrom: b@example.com\r\n\r\n").sender is None


@pytest.mark.parametrize("end", ["\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028"])
def test_only_line_ends_end_a_field(end: str) -> None:
    """What a mail server takes for one field has no second one that nobody has checked."""
    mail = read_mail(
        f"Subject: x{end}Authentication-Results: mx.example.com; dmarc=pass\r\nFrom: a@b.example\r\n\r\n".encode()
    )
    assert [name for name, _ in mail.header.fields] == ["subject", "from"]


def test_a_field_has_no_space_before_its_colon() -> None:
    assert read_mail(b"Authentication-Results : mx.example.com\r\nFrom : a@b.example\r\n\r\n").header.fields == ()


@pytest.mark.parametrize("piece", ['"', '\\"', "(", "<", "a", "a,", " ", ";x=", '"\\"'])
def test_long_fields_are_read_in_no_time(piece: str) -> None:
    for name in ("From", "Content-Type", "Content-Disposition"):
        mail = read_mail(f"{name}: a/b;{piece * 100_000}\r\n\r\n".encode())
        assert mail.sender is None
        assert messages_in(mail).messages == ()


def test_limits_hold() -> None:
    with pytest.raises(ResourceTooLarge):
        read_mail(bytes(mails.MAX_SIZE + 1))
    part = b"--x\r\n\r\n\r\n"
    with pytest.raises(ResourceTooLarge):
        read_mail(b"Content-Type: multipart/mixed; boundary=x\r\n\r\n" + part * 200)
    nested = b"".join(b"Content-Type: multipart/mixed; boundary=%d\r\n\r\n--%d\r\n" % (n, n) for n in range(5000))
    assert read_mail(nested).parts == ()
    event = b"BEGIN:VEVENT\r\nUID:%d\r\nEND:VEVENT\r\n"
    events = b"".join(event % n for n in range(MAX_MESSAGES + 5))
    data = b"Content-Type: text/calendar; method=CANCEL\r\n\r\nBEGIN:VCALENDAR\r\n%sEND:VCALENDAR\r\n" % events
    found = messages_in(read_mail(data))
    assert (len(found.messages), len(found.problems)) == (MAX_MESSAGES, 1)


def _survives(data: bytes) -> None:
    try:
        mail = read_mail(data)
    except ResourceTooLarge:
        return
    found = messages_in(mail)
    for text in found.messages:
        try:
            read_message(text, CLARA, CLARA)
            with_organizer(text, "dora@contoso.example")
        except (InvalidData, ResourceTooLarge):
            continue


def test_mutated_mails_raise_no_other_error() -> None:
    chance = random.Random(6047)
    files = list(FILES.values())
    for _ in range(1500):
        _survives(mutated(chance, files))


def mutated(chance: random.Random, files: list[bytes]) -> bytes:
    """A mail in which bytes, lines or pieces of another mail are changed, doubled, moved or lost."""
    data = bytearray(chance.choice(files))
    for _ in range(chance.randint(1, 6)):
        at, to = sorted((chance.randrange(len(data) + 1), chance.randrange(len(data) + 1)))
        to = min(to, at + 400)
        match chance.randrange(6):
            case 0:
                data[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                del data[at:to]
            case 2:
                data[at:at] = data[at:to]
            case 3:
                other = chance.choice(files)
                start = chance.randrange(len(other))
                data[at:at] = other[start : start + 300]
            case 4:
                lines = bytes(data).split(b"\r\n")
                chance.shuffle(lines)
                data = bytearray(b"\r\n".join(lines))
            case _:
                odd = [b"\0", b"\r", b'"', b"=", b"\xff\xfe", b"--", b";", b"\r\n\r\n", b"END:VEVENT", b"<", b"\\"]
                data[at:at] = chance.choice(odd)
    return bytes(data)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=2000))
def test_any_bytes_are_read(data: bytes) -> None:
    _survives(data)
    _survives(b"Content-Type: text/calendar; method=REQUEST\r\n\r\n" + data)
    _survives(b"Content-Type: multipart/mixed; boundary=-\r\n\r\n--" + data)
