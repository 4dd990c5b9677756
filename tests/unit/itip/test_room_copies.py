"""The copy of a room without what its policy strips."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from server.booking.policy import Policy
from server.calendar.contentline import escape_text, unescape_text
from server.itip.room_copies import discreet
from tests.unit.itip.texts import attendee, event, organizer, read

POLICIES = st.builds(
    Policy,
    strip_subject=st.booleans(),
    organizer_in_subject=st.booleans(),
    strip_body=st.booleans(),
    strip_attachments=st.booleans(),
)
TITLES = st.none() | st.text("aA: ,;\\", max_size=8)


@given(POLICIES, TITLES, st.booleans())
def test_a_copy_has_only_what_its_policy_leaves_and_is_stripped_once(
    policy: Policy, title: str | None, recurs: bool
) -> None:
    lines = [organizer(), attendee(2), "DESCRIPTION:d", "ATTACH:https://example.org", "CLASS:PRIVATE"]
    lines += [] if title is None else [f"SUMMARY:{escape_text(title)}"]
    lines += ["RRULE:FREQ=DAILY;COUNT=3"] if recurs else []
    value = read(event(*lines))
    made = discreet(value, policy)
    assert discreet(made, policy) is made
    (component,) = made.components
    names = {line.name for line in component.lines}
    assert ("DESCRIPTION" in names) is not policy.strip_body
    assert ("ATTACH" in names) is not policy.strip_attachments
    assert "CLASS" in names
    shown = unescape_text(component.value("SUMMARY") or "")
    kept = "" if policy.strip_subject else (title or "")
    assert kept.strip() in shown
    assert shown.startswith("User 01") or not policy.organizer_in_subject
    if not policy.organizer_in_subject:
        assert shown.strip() == kept.strip()
    if policy == Policy():
        assert made is value
