"""Which calendar takes what is scheduled (RFC 6638 §9.2), without a database."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from server.domain.objects import Collection
from server.services.scheduling.default_calendar import DEFAULT_CALENDAR, DEFAULT_TASKS, default_calendar

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ELEMENT = '<C:schedule-default-calendar-URL xmlns:C="urn:ietf:params:xml:ns:caldav" xmlns:D="DAV:">{}</C:{}>'


def collection(id_: int, name: str, *components: str, kind: str = "calendar", rights: str = "owner") -> Collection:
    return Collection(1, id_, name, kind, rights, components, 1, 1, 1, 0, 0, 0, NOW, NOW, 1)  # type: ignore[arg-type]


SHOWN = [
    collection(9, "a b", "VEVENT", "VTODO"),
    collection(4, "calendar", "VEVENT"),
    collection(2, "tasks", "VTODO"),
    collection(1, "theirs", "VEVENT", rights="write"),
    collection(3, "inbox", kind="inbox"),
]


@pytest.mark.parametrize(
    ("stored", "name"),
    [
        ("", "calendar"),
        ("9", "a b"),
        ("77", "calendar"),
        ("2", "calendar"),
        ("1", "calendar"),
        # as older versions stored it
        ("<D:href>/dav/calendars/__uids__/u/a%20b/</D:href>", "a b"),
        ("<D:href>/dav/calendars/__uids__/u/gone/</D:href>", "calendar"),
        ("<D:href/>", "calendar"),
    ],
)
def test_the_one_that_was_chosen_or_else_the_first(stored: str, name: str) -> None:
    properties = {DEFAULT_CALENDAR: ELEMENT.format(stored, "schedule-default-calendar-URL")} if stored else {}
    inbox = replace(collection(3, "inbox", kind="inbox"), properties=properties)
    found = default_calendar(inbox, SHOWN)
    assert found is not None
    assert found.name == name


def test_the_oldest_where_the_usual_one_is_gone() -> None:
    others = [collection(8, "x", "VEVENT"), collection(5, "y", "VEVENT"), collection(2, "tasks", "VTODO")]
    found = default_calendar(collection(3, "inbox", kind="inbox"), others)
    assert found is not None
    assert found.name == "y"
    assert default_calendar(collection(3, "inbox", kind="inbox"), others[2:]) is None


@pytest.mark.parametrize(("stored", "name"), [("", "tasks"), ("9", "a b"), ("4", "tasks"), ("77", "tasks")])
def test_tasks_have_a_default_of_their_own(stored: str, name: str) -> None:
    properties = {DEFAULT_TASKS: ELEMENT.format(stored, "schedule-default-calendar-URL")} if stored else {}
    inbox = replace(collection(3, "inbox", kind="inbox"), properties={DEFAULT_CALENDAR: "", **properties})
    found = default_calendar(inbox, SHOWN, "VTODO")
    assert found is not None
    assert found.name == name
