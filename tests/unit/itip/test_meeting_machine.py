"""Conversations of every kind end in agreement, whatever the post does with their messages.

When all has been delivered, every copy equals the organizer's object in times, SUMMARY, LOCATION, DESCRIPTION, STATUS
and all PARTSTATs, for each instance that the attendee is invited to, and has the SEQUENCE of the last message about it,
unless the attendee declined and removed it.

`KOYOMI_TEST_CONVERSATIONS` sets how many conversations are played; `make soak` plays a million.
"""

from __future__ import annotations

import os
import random
from collections import Counter

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from server.itip.messages import Method
from tests.conftest import IN_CI
from tests.unit.itip.delegations import Delegations
from tests.unit.itip.meeting_machine import ATTENDEES, MeetingMachine
from tests.unit.itip.range_edits import AllEdits, RangeEdits
from tests.unit.itip.wider_world import WiderWorld

CONVERSATIONS = int(os.environ.get("KOYOMI_TEST_CONVERSATIONS", "0")) or (10_000 if IN_CI else 500)

COSTLY = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]


@settings(max_examples=CONVERSATIONS // 5, suppress_health_check=COSTLY)
@given(st.binary(min_size=1, max_size=40))
# A REPLY about the series crosses a REQUEST for an instance that did not exist then.
@example(bytes([0, 0, 1, 1, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 1, 5, 0, 0, 9, 2]))
# A CANCEL for an instance comes before the series.
@example(bytes([0, 0, 1, 1, 0, 5, 1, 0, 0, 4, 0, 0, 0, 0, 5, 1]))
# The refresh of others after an answer for a series has its overrides.
@example(bytes([0, 0, 1, 1, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 1, 5, 0, 0, 2, 2]))
# An instance that was excluded by the attendee is not brought back by another change of its series.
@example(bytes([0, 0, 1, 0, 0, 5, 0, 0, 3, 0, 4, 0, 0, 0]))
# Who declined the series is asked about one instance of it, in the wrong order.
@example(bytes([0, 0, 1, 0, 0, 0, 2, 2, 0, 0, 0, 5, 0, 0, 5, 0, 0, 3, 0, 5, 0, 0]))
# An override that was answered is dropped by the organizer.
@example(bytes([0, 0, 1, 0, 0, 0, 2, 2, 0, 0, 0, 5, 0, 0, 3, 0, 0, 0, 0, 0, 0, 12]))
# A message comes twice, after its answer.
@example(bytes([0, 0, 1, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6, 2, 2, 0, 0, 5, 0, 0, 5, 2, 6, 3, 2, 2]))
@example(bytes([0, 0, 1, 5, 0, 0, 8, 3, 0, 0, 5, 1, 6, 3, 1, 5]))
# A change removes somebody from a series and leaves them an instance.
@example(bytes([0, 0, 1, 3, 0, 0, 9, 2, 0, 0, 0, 5, 0, 0, 0, 6, 2, 0, 1, 0, 0, 3, 2]))
# Who is told out of order that they were asked anew knows it from each later message.
@example(bytes([0, 0, 1, 0, 0, 0, 11, 0, 0, 0, 0, 0, 2, 2, 0, 0, 0, 5, 4, 0, 3, 0, 5, 0, 0, 12]))
# An answer for the series crosses an instance that is cancelled and takes place again.
@example(bytes([0, 0, 1, 0, 0, 5, 0, 0, 5, 0, 0, 0, 4, 1, 1, 0, 0, 0, 2, 2, 0, 0, 0, 0, 9, 3, 0, 0, 0, 3]))
# An instance is excluded while the series is declined, which is accepted then.
@example(bytes.fromhex("1f172206fca608280e8436819a7c19ce4a327a34988c6d239d7a9099504a0e5cf1bc18d4e863174c0574"))
# An instance that was cancelled without an answer takes place again, after an answer for its series.
@example(
    bytes([0, 0, 1, 4, 0, 5, 0, 0, 5, 0, 0, 0, 6, 0, 2, 0, 0, 5, 0, 0, 5, 0, 0, 3, 0, 0, 0, 0, 0, 0, 12, 0, 0, 0, 3, 1])
)
# An answer that is sent again reaches an override that nobody was told of.
@example(
    bytes([0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 12, 0, 0, 0, 5, 0, 0, 5, 0, 0, 0, 10, 2, 0, 0, 3])
)
# A copy whose series is cancelled is deleted, with an instance that its owner is still invited to.
@example(bytes([0, 0, 1, 5, 0, 0, 10, 2, 0, 0, 5, 0, 0, 0, 6, 1, 0, 1, 0, 0, 5, 0, 0, 5, 0, 0, 3, 1, 5]))
# Somebody answers a series, which gains instances before they are removed from it.
@example(
    bytes(
        [
            0,
            0,
            1,
            0,
            0,
            5,
            0,
            0,
            0,
            4,
            0,
            0,
            0,
            0,
            0,
            2,
            3,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            2,
            0,
            0,
            3,
            0,
            0,
            0,
            0,
            0,
            0,
            5,
            0,
            0,
            0,
            0,
            6,
            0,
            0,
            1,
        ]
    )
)
# An answer for the series comes after a later one, about an instance that was as the series then.
@example(
    bytes([0, 0, 1, 2, 0, 5, 0, 0, 3, 0, 0, 1, 0, 0, 5, 0, 0, 5, 0, 0, 5, 0, 0, 3, 0, 0, 0, 0, 0, 3, 0, 4, 0, 0, 5, 1])
)
# Two answers come in the wrong order, and a change crosses the second one.
@example(bytes([0, 0, 1, 5, 0, 5, 0, 0, 0, 9, 2, 0, 0, 0, 5, 0, 0, 3, 1, 0, 0, 0, 0, 3, 1, 0, 1, 0, 0, 5, 1, 0, 0]))
# An answer about an instance comes after a later one about its series, without the override.
@example(bytes.fromhex("0000010500050000030100000000000902000000050000050000000c000000050100030105000501"))
# An answer crosses the end of an override that its sender is not invited to.
@example(bytes([0, 0, 1, 2, 0, 0, 6, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 4, 0, 3, 0, 0, 1, 0, 0, 0, 12, 0, 0, 0, 3]))
# Who declined and deleted a series is asked about an instance, before an older message about the series comes.
@example(bytes([0, 0, 1, 1, 0, 5, 1, 0, 3, 2, 5, 0, 0, 2, 3, 0, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 3]))
# An instance that is as the declined series again changes once more.
@example(bytes([0, 0, 1, 0, 0, 5, 1, 0, 0, 2, 5, 0, 0, 0, 3, 1, 5, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 5]))
# An answer for a series is sent again, after one for an instance whose override is gone.
@example(bytes([0, 0, 1, 0, 0, 5, 2, 0, 0, 9, 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 3, 2]))
# An answer for a series is sent again, with instances that are as the series again.
@example(
    bytes(
        [
            0,
            0,
            1,
            4,
            0,
            5,
            1,
            0,
            0,
            2,
            5,
            0,
            0,
            0,
            5,
            2,
            0,
            0,
            12,
            0,
            0,
            0,
            3,
            1,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            5,
            0,
            0,
            0,
            8,
            2,
            0,
            0,
            3,
            1,
            6,
        ]
    )
)
# A declined series comes back after an instance of it did.
@example(bytes([0, 0, 1, 2, 0, 0, 0, 0, 0, 5, 0, 0, 0, 8, 3, 0, 0, 5, 0, 0, 3, 0, 5, 0, 0, 0, 0, 1, 5, 0, 0, 5, 6]))
# An instance that was excluded and cancelled is asked about anew.
@example(bytes([0, 0, 1, 3, 0, 0, 8, 3, 0, 0, 5, 0, 0, 0, 4, 1, 1, 0, 0, 3, 2, 4, 1, 0, 0, 2, 2, 0, 0, 0, 5, 1]))
# A copy is deleted in which an instance was answered and then cancelled; it takes place again.
@example(bytes([0, 0, 1, 1, 0, 5, 0, 0, 5, 0, 0, 0, 4, 0, 1, 0, 0, 3, 1, 2, 0, 0, 0, 5, 0, 0, 3, 1, 5, 0, 0, 12]))
# An answer for a series is sent again, older than one for an instance that was deleted with it.
@example(bytes([0, 0, 1, 2, 0, 5, 0, 6, 0, 2, 0, 0, 0, 0, 5, 1, 0, 0, 6, 1, 2, 0, 0, 5, 3, 0, 3, 0, 5]))
# An answer for a series is sent again, where an instance was answered and then cancelled.
@example(
    bytes(
        [
            3,
            0,
            1,
            4,
            0,
            5,
            1,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            3,
            1,
            2,
            1,
            0,
            0,
            3,
            1,
            0,
            1,
            0,
            0,
            0,
            4,
            1,
            1,
            0,
            0,
            5,
            6,
            0,
            0,
            12,
        ]
    )
)
# An instance that followed the declined series, after an answer of its own, changes once more.
@example(bytes([0, 0, 1, 1, 0, 5, 1, 0, 3, 2, 5, 0, 0, 2, 2, 0, 0, 0, 0, 9, 0, 1, 0, 0, 0, 12, 0, 0, 0, 0, 9, 2]))
# An instance that was left open, and is cancelled, takes place again while an answer for its series is sent again.
@example(
    bytes(
        [
            0,
            0,
            1,
            3,
            0,
            5,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            8,
            0,
            0,
            0,
            3,
            2,
            6,
            1,
            0,
            3,
            2,
            0,
            0,
            0,
            0,
            5,
            0,
            0,
            0,
            9,
            2,
            0,
            0,
            0,
            5,
            1,
            0,
            0,
            4,
            0,
            1,
            0,
            0,
            5,
            3,
            0,
            0,
            12,
        ]
    )
)
# Who declined and deleted a series is removed from it, while their answer about one instance of it is on its way.
@example(bytes.fromhex("0000010000050000050000050000030205000002020000000009000000000503000302000001000006020001"))
# Answers about instances of a series that was declined and deleted cross changes of the organizer.
@example(
    bytes.fromhex("383c524cbba02dcf2f614c42d7b9988b2d74db559e55341054b79b6fdd83eb7942e785fdf6c77a16b70cbc58bd7d33")
)
def test_all_copies_agree_in_the_end(data: bytes) -> None:
    machine = MeetingMachine(data)
    machine.play()
    machine.check()


@settings(max_examples=CONVERSATIONS // 2, suppress_health_check=COSTLY)
@given(st.binary(min_size=1, max_size=50))
# A delegation crosses a change of the times.
@example(bytes([0, 0, 0, 0, 0, 5, 1, 0, 0, 1, 2, 0, 0, 0, 0, 3, 1, 0, 3]))
# A delegation crosses a change of the rule.
@example(bytes([0, 0, 1, 0, 0, 0, 1, 8, 3, 0, 0, 0, 1, 5, 0, 1, 5, 5, 2, 0, 3, 2, 0, 3]))
# A delegation crosses the end of the meeting, by STATUS:CANCELLED and by a deletion.
@example(bytes([0, 0, 0, 1, 0, 5, 0, 0, 0, 0, 1, 0, 0, 3, 1]))
@example(bytes([0, 0, 0, 1, 0, 0, 1, 4, 5, 1, 0, 0, 1, 13, 0, 0, 0, 0, 0, 1, 0, 2]))
# A series is delegated that has an override of which the delegator does not know.
@example(bytes([0, 0, 1, 0, 0, 3, 0, 1, 5, 0, 0, 0, 0, 5, 2, 0, 0, 0, 5, 1, 0, 3, 2]))
# A series is delegated whose override nobody knows of, and that is in the delegator's copy alone.
@example(bytes([0, 0, 1, 2, 0, 0, 0, 5, 2, 0, 0, 0, 3, 0, 1, 5, 1, 0, 3, 2]))
# A message that was sent before a delegation comes after it, and another answer of the delegator.
@example(bytes([0, 0, 0, 0, 0, 3, 0, 1, 5, 1, 6, 3, 1, 0, 3, 0, 0, 0, 3, 1]))
def test_all_copies_agree_after_delegations(data: bytes) -> None:
    machine = Delegations(data)
    machine.play()
    machine.check()


@settings(max_examples=CONVERSATIONS // 2, suppress_health_check=COSTLY)
@given(st.binary(min_size=1, max_size=50))
# An app excludes the first instance of a range, and delegates the next one, which is the first of the range then.
@example(
    bytes.fromhex(
        "0000010100000000000100000005030005000003000100000000000000000302000001010003000103020101040000030201010201"
    )
)
# The first instance of a range is excluded by one attendee, while another answers the next one.
@example(
    bytes.fromhex(
        "068ca75d02db54d8ee2db984af26bd73db291f49212eb8e58add46d9ce9cde2ac826a9c52f40a5530b448150de24169c4cfcb9a69a99"
    )
)
def test_all_copies_agree_after_all_edits(data: bytes) -> None:
    machine = AllEdits(data)
    machine.play()
    machine.check()


ENDLESS = {5034925: RangeEdits, 5116756: AllEdits, 5117910: AllEdits}
"""Seeds of conversations in which an answer about a range was sent again for ever."""


@pytest.mark.parametrize(("seed", "edits"), ENDLESS.items())
def test_answers_about_ranges_are_not_sent_again_for_ever(seed: int, edits: type[MeetingMachine]) -> None:
    source = random.Random(seed)
    machine = edits(source.randbytes(source.randint(1, 80)))
    machine.play()
    machine.check()


RANGES = {
    "somebody is not invited to a range that describes all instances": "00000100000000000002",
    "the range that does not invite somebody describes its first instance only": (
        "0000010000000000000400000000000002000000000002"
    ),
    "a range begins while somebody who is invited to one instance of it answers": (
        "00000103000001010601030000050200000001030101050000"
    ),
    "such a range changes before the answer": "0000010300000101060103000005020000010108000000030101050000",
    "a series is deleted whose cancelled range describes all of it": "0000010000000001000000000300000001010d",
    "a single event that is cancelled for somebody becomes a series with an instance that invites them": (
        "0000000000000000000101060000000000000000000100040000000101060002"
    ),
    "an older message about a series comes after a later one about the first instance of its range": (
        "00000106000500000000000100000000000002000000000101000000030000030001020200000502"
    ),
}


def test_all_copies_agree_after_an_answer_that_an_instance_follows_which_the_copy_answered_otherwise() -> None:
    source = random.Random(10596256)
    machine = RangeEdits(source.randbytes(source.randint(1, 80)))
    machine.play()
    machine.check()


@pytest.mark.parametrize("conversation", RANGES.values(), ids=RANGES.keys())
def test_all_copies_agree_where(conversation: str) -> None:
    machine = RangeEdits(bytes.fromhex(conversation))
    machine.play()
    machine.check()


@settings(max_examples=CONVERSATIONS // 10, suppress_health_check=COSTLY)
@given(st.binary(min_size=1, max_size=60))
# An organizer hands the meeting over and invites a group that has nobody else.
@example(bytes([0, 0, 0, 5, 0, 1, 5, 0, 0, 0, 3, 0, 0, 0, 1, 5, 1]))
# The new organizer deletes the meeting.
@example(bytes([0, 0, 0, 0, 0, 1, 5, 1, 5, 1, 5, 0, 3, 1, 0, 13, 0]))
# The new organizer invites somebody to a series who had an instance of it that is cancelled for them.
@example(bytes.fromhex("00000105000100060102000001050000010500000003010301"))
def test_all_copies_agree_whatever_happens_around_the_meeting(data: bytes) -> None:
    machine = WiderWorld(data)
    machine.play()
    machine.check()


@pytest.mark.parametrize(
    "seed",
    [
        pytest.param(319319, id="two answers from elsewhere overtake each other"),
        pytest.param(6003442, id="somebody whom a former organizer removed is invited again"),
    ],
)
def test_all_copies_agree_around_a_meeting_where(seed: int) -> None:
    source = random.Random(seed)
    machine = WiderWorld(source.randbytes(source.randint(1, 80)))
    machine.play()
    machine.check()


def test_all_that_is_around_a_meeting_is_played() -> None:
    """Delegates, groups, people elsewhere, new addresses, and people who leave or are deleted."""
    seen: Counter[str] = Counter()
    acts = (
        "zoe acts for",
        "invites the group",
        "has a group of",
        "to mailto:dora@",
        "dora@example.com answers",
        "has another address",
        "ann leaves",
        "carl is deleted",
        "carl is erased",
    )
    for seed in range(200):
        machine = WiderWorld(random.Random(seed).randbytes(80))
        machine.play()
        machine.check()
        seen.update(act for act in acts if any(act in each for each in machine.history))
    assert set(acts) == seen.keys()


def test_conversations_are_varied() -> None:
    """The machine sends all methods of implicit scheduling, and people answer, decline and remove."""
    sent: Counter[str] = Counter()
    answers: Counter[str] = Counter()
    for seed in range(150):
        data = bytes((seed * 7 + step * step * 13 + (seed * step) // 3) % 256 for step in range(60))
        machine = MeetingMachine(data)
        machine.play()
        sent.update(each.split(" ")[1] for each in machine.history if each.startswith("deliver"))
        answers.update(each.split(" ")[1] for each in machine.history if not each.startswith("deliver"))
        further = Delegations(data)
        further.play()
        answers.update(each.split(" ")[1] for each in further.history if " delegates " in each)
    assert {Method.REQUEST, Method.REPLY, Method.CANCEL} <= sent.keys()
    assert {"answers", "deletes", "excludes", "sets", "delegates"} <= answers.keys()
    assert {"_edit_text", "_move", "_cancel_instance", "_change_people"} <= answers.keys()


@pytest.mark.parametrize("name", ATTENDEES)
def test_the_check_sees_a_copy_that_differs(name: str) -> None:
    machine = MeetingMachine(bytes([0, 0, 1, 0]))
    machine.play()
    machine.check()
    copy = machine.person(name).value
    assert copy is not None
    machine.person(name).value = copy.map_components(lambda each: each.with_value("SUMMARY", "Another"))
    with pytest.raises(AssertionError, match=f"^{name}, "):
        machine.check()
