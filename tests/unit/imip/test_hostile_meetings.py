"""Meetings whose texts are hostile or broken make mails that are sound, or none."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import icalendar
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.calendar.contentline import content_line, escape_text
from server.domain.errors import InvalidData
from server.imip.addresses import is_mail_address, mail_address
from server.imip.composing import Person, compose
from server.itip.messages import Method
from tests.unit.calendar.test_broken_values import CASES
from tests.unit.imip.kinds import ANNA, ATTENDEES, BERLIN, ORGANIZER, draft, text
from tests.unit.imip.test_golden import calendar_of, parsed

WORDS = st.text(max_size=60) | st.sampled_from(
    (
        "<script>alert(1)</script>",
        "a\r\nBcc: everybody@example.org",
        "\nBEGIN:VALARM",
        "=?utf-8?q?=0d=0aBcc:_x?=",
        "\u202egnp.exe",
        '"><img src=x onerror=alert(1)>',
        "{name} {0} %s",
        "x" * 3000,
        "\x00\x1b[31m",
    )
)
TAGS = {"html", "head", "meta", "body", "p", "h2", "strong", "table", "tr", "th", "td", "a", "br"}


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name == "href"]


def line(name: str, value: str) -> str:
    return content_line(name, {}, escape_text(value)).rstrip("\r\n")


@given(WORDS, WORDS, WORDS, WORDS, st.sampled_from(("de", "en", "ja")))
@settings(max_examples=40, deadline=None)
def test_no_text_becomes_markup_or_a_header(summary: str, place: str, words: str, name: str, language: str) -> None:
    values = [
        re.sub("\r(?!\n)|\x00", "", each.encode("utf-8", "replace").decode()) for each in (summary, place, words, name)
    ]
    lines = [line(*pair) for pair in zip(("SUMMARY", "LOCATION", "DESCRIPTION", "COMMENT"), values, strict=True)]
    url = content_line("URL", {}, re.sub(r"[\r\n]", "", values[0])).rstrip("\r\n")
    person = content_line("ATTENDEE", {"CN": [values[3]]}, "mailto:x@example.com").rstrip("\r\n")
    made = draft(Method.REQUEST, text("REQUEST", (*BERLIN, *lines, url, ORGANIZER, *ATTENDEES, person)))
    before = draft(Method.REQUEST, text("REQUEST", (*BERLIN, line("SUMMARY", "Old"), ORGANIZER, *ATTENDEES)))
    made = replace(made, sender=Person(ANNA.address, name), language=language, before=before.message)  # type: ignore[arg-type]
    mail = compose(made)
    found = parsed(mail)
    headers = ["From", "To", "Reply-To", "Subject", "Date", "Message-ID", "Auto-Submitted", "Content-Language"]
    assert [key for key in found if key not in ("MIME-Version", "Content-Type")] == headers
    assert found["To"].addresses[0].addr_spec == "zoe@example.com"
    assert len(found["From"].addresses) == len(found["To"].addresses) == 1
    assert mail.count(b"\n") == mail.count(b"\r\n")
    (page,) = (part for part in found.walk() if part.get_content_type() == "text/html")
    parser = Tags()
    parser.feed(page.get_payload(decode=True).decode())
    assert parser.tags <= TAGS
    assert parser.attributes <= {"lang", "charset", "style", "align", "valign", "cellpadding", "href", "rel"}
    assert all(re.match("https?://", each, re.IGNORECASE) for each in parser.links)
    calendar = calendar_of(found)
    assert re.findall("^BEGIN:.*", calendar, re.MULTILINE).count("BEGIN:VALARM\r") == 0
    assert [each.errors for each in icalendar.Calendar.from_ical(calendar).walk("VEVENT")] == [[]]


@pytest.mark.parametrize("name", CASES)
def test_broken_values_do_not_leave(name: str) -> None:
    """What the server accepts of apps (docs/standards.md)."""
    broken = CASES[name][0]
    component = broken.split("\n", 1)[0].removeprefix("BEGIN:")
    if component not in ("VEVENT", "VTODO"):
        return
    people = "\r\n".join((ORGANIZER, *ATTENDEES))
    body = re.sub("^(UID:.*)$", lambda found: f"{found[1]}\r\n{people}", broken, count=1, flags=re.MULTILINE)
    message = f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nMETHOD:REQUEST\r\n{body}\r\nEND:VCALENDAR\r\n"
    try:
        mail = compose(draft(Method.REQUEST, message))
    except InvalidData:
        return
    calendar = calendar_of(parsed(mail))
    for each in icalendar.Calendar.from_ical(calendar).walk():
        assert each.errors == [], calendar
    assert "00000000" not in calendar


@given(st.text())
def test_every_calendar_user_address_gives_a_mail_address_or_none(value: str) -> None:
    found = mail_address(value)
    assert found is None or is_mail_address(found)


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("mailto:Ann@example.org", "Ann@example.org"),
        ("MAILTO:ann%2Bx@example.org?subject=a", "ann+x@example.org"),
        ("ann@bücher.example", "ann@xn--bcher-kva.example"),
        ("mailto:ann@example.org,ben@example.org", None),
        ("mailto:ann@example.org\r\nBcc:x", None),
        ("mailto:jörg@example.org", "jörg@example.org"),
        ("urn:uuid:1", None),
        ("mailto:", None),
    ],
)
def test_mail_addresses_in_calendar_user_addresses(value: str, address: str | None) -> None:
    assert mail_address(value) == address
