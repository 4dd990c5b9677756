"""Tagged addresses: what was signed is read, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.imip.tags import MAX_BASE, MAX_LOCAL_PART, BounceTag, ReplyTag, Tags

ADDRESS = "calendar@example.org"
TAGS = Tags(b"k" * 32, ADDRESS)
NUMBERS = st.integers(0, 2**48 - 1)


@given(NUMBERS, st.text(), st.emails())
def test_a_reply_tag_names_home_meeting_and_attendee(home_id: int, uid: str, attendee: str) -> None:
    tag = TAGS.read(TAGS.reply_address(home_id, uid, f"mailto:{attendee}"))
    assert isinstance(tag, ReplyTag)
    assert tag.home_id == home_id
    assert TAGS.is_about(tag, uid)
    assert not TAGS.is_about(tag, f"{uid}x")
    assert TAGS.is_of(tag, f"MAILTO:{attendee}")
    assert not TAGS.is_of(tag, f"mailto:x{attendee}")


@given(NUMBERS, NUMBERS)
def test_a_bounce_tag_names_home_and_mail(home_id: int, mail_id: int) -> None:
    assert TAGS.read(TAGS.bounce_address(home_id, mail_id)) == BounceTag(home_id, mail_id)


def test_mail_servers_may_change_the_case_and_add_angle_brackets() -> None:
    address = TAGS.bounce_address(1, 2)
    assert TAGS.read(f"<{address.upper()}>") == BounceTag(1, 2)


def test_the_longest_base_leaves_room_for_the_tag() -> None:
    address = Tags(b"k" * 32, f"{'a' * MAX_BASE}@example.org").reply_address(2**48 - 1, "uid", "mailto:b@example.com")
    assert len(address.rpartition("@")[0]) == MAX_LOCAL_PART


@given(st.integers(0, 43), st.sampled_from("abcdefghijklmnopqrstuvwxyz234567"))
def test_a_changed_tag_is_none(position: int, letter: str) -> None:
    address = TAGS.reply_address(7, "uid", "mailto:a@example.com")
    at = address.index("+") + 1 + position
    changed = address[:at] + letter + address[at + 1 :]
    # The last character has bits that nothing is encoded in.
    assert (TAGS.read(changed) is not None) is (
        changed == address or position == 43 and TAGS.read(changed) == TAGS.read(address)
    )


@pytest.mark.parametrize(
    "other", [Tags(b"l" * 32, ADDRESS), Tags(b"k" * 32, "calendar@example.com"), Tags(b"k" * 32, "other@example.org")]
)
def test_tags_of_others_are_none(other: Tags) -> None:
    assert TAGS.read(other.bounce_address(1, 2)) is None


@given(st.text())
def test_whatever_else_is_none(text: str) -> None:
    assert TAGS.read(text) is None
    assert TAGS.read(f"calendar+{text}@example.org") is None
