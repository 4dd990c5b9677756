"""Notices to delegates: words alone, in each language, whatever people have written."""

from __future__ import annotations

from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.imip.catalogue import CATALOGUE, Language
from server.imip.composing import Person
from server.imip.notice import Notice, compose_notice
from server.itip.calendar_users import Directory
from server.itip.messages import Method
from server.itip.scheduling_object import read_object
from tests.unit.calendar.texts import calendar
from tests.unit.itip.texts import attendee, event, organizer


def notice(language: Language, owner: str, summary: str, method: Method = Method.REQUEST) -> EmailMessage:
    text = calendar(event(organizer(1), attendee(2), f"SUMMARY:{summary}"))
    composed = compose_notice(
        Notice(
            method,
            read_object(text),
            Directory(),
            owner,
            Person("calendar@example.com"),
            Person("aide@example.com", owner),
            "<1@example.com>",
            datetime(2026, 12, 1, tzinfo=UTC),
            language,
            None,
        )
    )
    assert b"\n" not in composed.replace(b"\r\n", b"")
    found = message_from_bytes(composed, policy=default)
    assert isinstance(found, EmailMessage)
    return found


@pytest.mark.parametrize("language", get_args(Language))
@pytest.mark.parametrize(("method", "occasion"), [(Method.REQUEST, "invited"), (Method.CANCEL, "cancelled")])
def test_a_notice_in_each_language(language: Language, method: Method, occasion: str) -> None:
    texts, mail = CATALOGUE[language], notice(language, "Clara", "Plan", method)
    subject = texts.subjects[occasion].format(summary="Plan")
    assert mail["Subject"] == texts.notice_subject.format(owner="Clara", subject=subject)
    assert texts.notice.format(owner="Clara") in mail.get_content().replace("\n", " ").replace("  ", " ")
    assert mail["Content-Language"] == language


LINE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"), max_size=80)


@given(LINE, LINE)
def test_names_and_titles_become_no_headers(owner: str, summary: str) -> None:
    mail = notice("en", owner, summary)
    assert set(mail.keys()) == {
        "From",
        "To",
        "Subject",
        "Date",
        "Message-ID",
        "Auto-Submitted",
        "Content-Type",
        "Content-Transfer-Encoding",
        "MIME-Version",
        "Content-Language",
    }
    assert mail.get_content_type() == "text/plain"
