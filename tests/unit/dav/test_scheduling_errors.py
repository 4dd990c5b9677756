"""The bodies of refusals in scheduling (RFC 6638 §3.2.4)."""

from __future__ import annotations

import pytest

from server.dav.core.errors import body, status_of
from server.domain import errors


@pytest.mark.parametrize(
    ("error", "element"),
    [
        (errors.OrganizerChangeRefused(), "allowed-organizer-scheduling-object-change"),
        (errors.AttendeeChangeRefused("The start is the organizer's."), "allowed-attendee-scheduling-object-change"),
        (errors.DifferentOrganizers(), "same-organizer-in-all-components"),
        (errors.SchedulingObjectExists(), "unique-scheduling-object-resource"),
        (errors.AttendeeCommentRefused(), "valid-attendee-comment-change"),
    ],
)
def test_a_refusal_names_its_precondition(error: errors.KoyomiError, element: str) -> None:
    assert status_of(error) == 403
    assert f":{element}" in (body(error) or "")


def test_the_object_that_has_the_uid_is_named() -> None:
    error = errors.SchedulingObjectExists("wörk", "a.ics")
    found = body(error, collection_href="/dav/calendars/__uids__/id/other/") or ""
    assert "<D:href>/dav/calendars/__uids__/id/w%C3%B6rk/a.ics</D:href>" in found


def test_an_object_in_a_calendar_that_is_not_shown_is_not_named() -> None:
    found = body(errors.SchedulingObjectExists(None, "a.ics"), collection_href="/calendars/users/ada/other/") or ""
    assert "unique-scheduling-object-resource" in found
    assert "a.ics" not in found
