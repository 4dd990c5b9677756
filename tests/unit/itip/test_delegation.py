"""Delegation (RFC 5546 §2.1.2, §3.2.2.3, §4.2.5 to §4.2.7): the rules of `server.itip.delegation`."""

from __future__ import annotations

import pytest

from server.domain.errors import AttendeeChangeRefused
from server.itip.calendar_users import CalendarUser
from server.itip.messages import Answered, Message, Method, Reset
from server.itip.participants import attendee_line
from server.itip.reception import Memory, Received, Rows, Version, memory_of
from server.itip.scheduling_component import MASTER
from server.itip.scheduling_object import SchedulingObject, read_object
from tests.unit.itip.deliveries import (
    DAILY,
    LATER,
    ME,
    PEOPLE,
    SECOND,
    answer_of,
    instance,
    lines_of,
    meeting,
    message,
    received,
    stored,
)
from tests.unit.itip.plans import partstats, plan, sent
from tests.unit.itip.plans import stored as stored_by
from tests.unit.itip.texts import DIRECTORY, ORGANIZER, attendee, organizer, person

DELEGATE, OTHER = person(5), person(6)
TO, FROM = ';DELEGATED-TO="mailto:user05@example.com"', ';DELEGATED-FROM="mailto:user02@example.com"'
OPEN = (organizer(), attendee(1, "ACCEPTED"), attendee(2, "NEEDS-ACTION"), attendee(3))
HERE = (organizer(), attendee(1, "ACCEPTED"), attendee(2, "DELEGATED", TO), attendee(3))
"""The delegator is user02, the delegate user05."""
DELEGATED = (*HERE, attendee(5, "NEEDS-ACTION", f";RSVP=TRUE{FROM}"))
XENO = "mailto:xeno@example.org"
ELSEWHERE = DIRECTORY.user(XENO)


def says(partstat: str, parameters: str = "", *, sequence: int = 0, stamp: str = LATER) -> str:
    """A component of the delegator's REPLY."""
    return meeting(people=(organizer(), attendee(2, partstat, parameters)), sequence=sequence, stamp=stamp)


def reply(value: SchedulingObject, *parts: str, sender: CalendarUser = ME, rows: Rows | None = None) -> Received:
    """What a REPLY to the organizer does."""
    return received(message("REPLY", *parts, sender=sender, recipient=ORGANIZER), value, rows=rows)


def delegates(value: SchedulingObject | None, at: str = MASTER) -> list[str]:
    """The attendees with DELEGATED-FROM."""
    return [line.partition(":mailto:")[2] for line in lines_of(value, at) if "DELEGATED-FROM" in line]


def told(messages: tuple[Message, ...]) -> list[tuple[str, str, bool]]:
    """Method, recipient and whether it is quiet, of each message."""
    return [(each.method, each.recipient.address, each.quiet) for each in messages]


# -- the delegator ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("boss", "delegate", "tells"),
    [
        ("mailto:user01@example.com", "mailto:user05@example.com", False),
        ("mailto:user01@example.com", XENO, True),
        ("mailto:boss@example.org", "mailto:user05@example.com", True),
    ],
    ids=["all are here", "the delegate is elsewhere", "the organizer is elsewhere"],
)
def test_who_delegates_tells_the_organizer_and_whom_the_organizers_server_does_not_tell(
    boss: str, delegate: str, tells: bool
) -> None:
    def copy(*people: str) -> SchedulingObject:
        return stored(meeting("SUMMARY:A", people=(f"ORGANIZER:{boss}", attendee(3), *people)))

    by = f"ATTENDEE{FROM}:{delegate}"
    made = plan(copy(attendee(2)), copy(attendee(2, "DELEGATED", f';DELEGATED-TO="{delegate}"'), by), ME)
    assert [(each.method, each.recipient.address) for each in made.messages] == [
        (Method.REPLY, boss),
        *([(Method.REQUEST, delegate)] if tells else []),
    ]
    answer = made.messages[0].text.replace("\r\n ", "")
    assert f'PARTSTAT=DELEGATED;DELEGATED-TO="{delegate}":mailto:user02' in answer
    assert 'DELEGATED-FROM="mailto:user02@example.com"' in answer
    assert "user03" not in answer
    value = stored_by(made)
    line = attendee_line(value.components[0], DIRECTORY.user(delegate), DIRECTORY)
    assert line is not None
    assert (line.parameter("PARTSTAT"), line.parameter("RSVP")) == ("NEEDS-ACTION", "TRUE")
    assert sent(plan(value, value, ME)) == []


@pytest.mark.parametrize(
    "more",
    [
        "",
        "ATTENDEE:mailto:user05@example.com",
        'ATTENDEE;DELEGATED-FROM="mailto:user03@example.com":mailto:user05@example.com',
        f"ATTENDEE{FROM}:mailto:user06@example.com",
    ],
)
def test_who_delegates_names_the_delegate(more: str) -> None:
    with pytest.raises(AttendeeChangeRefused):
        plan(stored(meeting(people=OPEN)), stored(meeting(more, people=HERE)), ME)


def test_a_delegator_delegates_to_another() -> None:
    """RFC 5546 §4.2.7: so they may where the delegate declines."""
    old = stored(meeting(people=(*HERE, attendee(5, "DECLINED", FROM))))
    text = old.text.replace("\r\n ", "").replace(TO, TO.replace("05", "06"))
    new = text.replace("END:VEVENT", f"{attendee(6, '', FROM)}\r\nEND:VEVENT")
    made = plan(old, read_object(new), ME)
    assert sent(made) == [("REPLY", "user01", (MASTER,))]
    assert "user06" in made.messages[0].text
    assert delegates(made.object) == ["user05@example.com", "user06@example.com"]
    organizers = received(made.messages[0], old)
    assert [user.key for user in organizers.invited] == [OTHER.key]


def test_overrides_follow_a_delegation_of_the_series() -> None:
    old = stored(meeting(DAILY, people=OPEN), instance(people=OPEN))
    new = stored(meeting(DAILY, people=DELEGATED))
    made = plan(old, new, ME)
    assert partstats(stored_by(made), ME) == {MASTER: "DELEGATED", SECOND: "DELEGATED"}
    assert partstats(stored_by(made), DELEGATE) == {MASTER: "NEEDS-ACTION!", SECOND: "NEEDS-ACTION!"}
    result = reply(old, says("DELEGATED", TO, sequence=1))
    assert result.object is not None
    assert partstats(result.object, ME) == {MASTER: "DELEGATED", SECOND: "DELEGATED"}
    assert partstats(result.object, DELEGATE) == {MASTER: "NEEDS-ACTION!", SECOND: "NEEDS-ACTION!"}


def test_no_delegate_is_named_where_an_override_follows_another_answer() -> None:
    old = stored(meeting(DAILY, people=DELEGATED), instance(people=DELEGATED))
    accepted = (organizer(), attendee(1, "ACCEPTED"), attendee(2, "ACCEPTED"), *DELEGATED[3:])
    made = plan(old, stored(meeting(DAILY, people=accepted)), ME)
    result = reply(old, says("ACCEPTED", sequence=1))
    for value in (made.object, result.object):
        assert answer_of(value, at=SECOND) == "ACCEPTED"
        assert not any("DELEGATED-TO" in line for line in lines_of(value, SECOND))


# -- the organizer's object -------------------------------------------------------------------------------------------


def test_a_delegation_invites_the_delegate() -> None:
    result = reply(stored(meeting(people=OPEN, sequence=3)), says("DELEGATED", TO, sequence=2))
    assert answer_of(result.object) == "DELEGATED"
    assert result.object is not None
    line = attendee_line(result.object.components[0], DELEGATE, DIRECTORY)
    assert line is not None
    assert line.params == {
        "CN": ["User 05"],
        "PARTSTAT": ["NEEDS-ACTION"],
        "RSVP": ["TRUE"],
        "DELEGATED-FROM": ["mailto:user02@example.com"],
        "SCHEDULE-STATUS": ["1.0"],
    }
    assert [user.key for user in result.invited] == [DELEGATE.key]
    # What the delegate answered to an earlier invitation does not count.
    assert result.resets == (Reset(MASTER, 3, frozenset((DELEGATE.key,))),)
    # The copy of the delegator may have lost the delegate by a message that was sent before.
    assert told(result.messages) == [("REQUEST", ME.address, True)]


@pytest.mark.parametrize(("sender", "invites"), [(ME, False), (ELSEWHERE, True)], ids=["here", "elsewhere"])
def test_a_delegate_elsewhere_has_the_request_of_a_delegator_here(sender: CalendarUser, invites: bool) -> None:
    yves = "mailto:yves@example.org"
    own = f'ATTENDEE;PARTSTAT=DELEGATED;DELEGATED-TO="{yves}":{sender.address}'
    value = stored(meeting(people=(*OPEN, f"ATTENDEE:{XENO}")))
    result = reply(value, meeting(people=(organizer(), own), stamp=LATER), sender=sender)
    assert result.object is not None
    assert attendee_line(result.object.components[0], DIRECTORY.user(yves), DIRECTORY) is not None
    assert bool(result.invited) is invites


def test_who_is_invited_already_stays_as_they_are() -> None:
    value = stored(meeting(people=(*OPEN, attendee(5, "ACCEPTED"))))
    result = reply(value, says("DELEGATED", TO))
    assert (answer_of(result.object), answer_of(result.object, 5)) == ("DELEGATED", "ACCEPTED")
    assert (result.invited, result.resets, result.messages) == ((), (), ())


@pytest.mark.parametrize(
    "rows",
    [Rows(resets=(Reset(MASTER, 1, frozenset((ME.key,))),)), Rows((Answered(ME.key, MASTER, 0, "20261201T130000Z"),))],
    ids=["it crossed a reset", "a later answer came before"],
)
def test_a_delegation_that_does_not_count_invites_nobody(rows: Rows) -> None:
    result = reply(stored(meeting(people=OPEN, sequence=1)), says("DELEGATED", TO), rows=rows)
    assert (result.object, result.invited) == (None, ())
    assert told(result.messages) == [("REQUEST", ME.address, True)]
    assert delegates(result.messages[0].object) == []


@pytest.mark.parametrize(("sender", "address"), [(DELEGATE, DELEGATE.address), (ELSEWHERE, XENO)], ids=["here", "else"])
def test_the_answer_of_a_delegate_waits_for_that_of_the_delegator_where_both_are_here(
    sender: CalendarUser, address: str
) -> None:
    """RFC 5546 §5.2.2. The server of a delegate here sends it again."""
    answer = meeting(people=(organizer(), f"ATTENDEE;PARTSTAT=ACCEPTED{FROM}:{address}"), stamp=LATER)
    result = reply(stored(meeting(people=OPEN)), answer, sender=sender)
    assert result.item
    assert ((result.object is None), bool(result.answers)) == (sender.is_here, not sender.is_here)


def test_nobody_is_added_for_somebody_who_is_not_invited() -> None:
    answer = meeting(
        people=(organizer(), f'ATTENDEE;PARTSTAT=ACCEPTED;DELEGATED-FROM="mailto:user06@example.com":{XENO}')
    )
    assert reply(stored(meeting(people=OPEN)), answer, sender=ELSEWHERE).object is None


def test_the_organizer_who_removes_the_delegate_asks_the_delegator_anew() -> None:
    old = stored(meeting("SUMMARY:A", people=DELEGATED))
    made = plan(old, stored(meeting("SUMMARY:A", people=HERE)))
    assert sent(made)[0] == ("REQUEST", "user02", (MASTER,))
    assert ("CANCEL", "user05", (MASTER,)) in sent(made)
    assert partstats(stored_by(made), ME) == {MASTER: "NEEDS-ACTION!"}
    assert "DELEGATED-TO" not in stored_by(made).text
    assert made.resets == (Reset(MASTER, 1, frozenset((ME.key,))),)


def test_a_delegate_stays_until_the_organizer_has_read_of_them() -> None:
    old = stored(meeting("SUMMARY:A", people=(*HERE, attendee(5, "ACCEPTED", FROM))))
    made = plan(old, stored(meeting("SUMMARY:B", people=OPEN)))
    assert [name for _, name, _ in sent(made)] == ["user02", "user03", "user05"]
    assert partstats(stored_by(made), DELEGATE) == {MASTER: "ACCEPTED"}
    assert partstats(stored_by(made), ME) == {MASTER: "DELEGATED"}
    # Also in an override that the app makes.
    series = stored(meeting(DAILY, people=DELEGATED))
    made = plan(series, stored(meeting(DAILY, people=DELEGATED), instance("SUMMARY:B", people=OPEN)))
    assert partstats(stored_by(made), DELEGATE) == {MASTER: "NEEDS-ACTION!", SECOND: "NEEDS-ACTION!"}


def test_a_delegate_whom_the_delegator_no_longer_names_can_be_removed() -> None:
    accepted = (organizer(), attendee(1, "ACCEPTED"), attendee(2, "ACCEPTED"), attendee(3))
    old = stored(meeting(people=(*accepted, attendee(5, "ACCEPTED", FROM))))
    made = plan(old, stored(meeting(people=accepted)))
    assert ("CANCEL", "user05", (MASTER,)) in sent(made)
    assert partstats(stored_by(made), ME) == {MASTER: "ACCEPTED"}


def test_a_reset_asks_the_delegator_and_the_delegate_anew() -> None:
    made = plan(stored(meeting(people=DELEGATED)), stored(meeting(people=DELEGATED, hour=15)))
    for user in (ME, DELEGATE):
        assert partstats(stored_by(made), user) == {MASTER: "NEEDS-ACTION!"}
    assert "DELEGATED-TO" not in stored_by(made).text


# -- the delegator's copy ---------------------------------------------------------------------------------------------


def crossed(*people: str, known: tuple[str, ...] = DELEGATED, resets: dict[str, int] | None = None) -> Received:
    """What a REQUEST with these people does to the delegator's copy, which has delegated."""
    copy = stored(meeting(people=known))
    memory = Memory(memory_of(copy).versions, answered={MASTER: 0})
    update = message("REQUEST", meeting("SUMMARY:New", people=people, sequence=1))
    return received(update, copy, memory=memory, resets=resets or {})


def test_a_delegation_that_crosses_an_update_stays_with_the_delegate() -> None:
    result = crossed(*PEOPLE)
    assert (answer_of(result.object), delegates(result.object)) == ("DELEGATED", ["user05@example.com"])
    (again,) = result.messages
    assert (again.method, again.quiet, delegates(again.object)) == (Method.REPLY, True, ["user05@example.com"])
    assert again.sequence == 1


def test_a_delegation_that_crosses_a_reset_is_void() -> None:
    result = crossed(*PEOPLE, resets={MASTER: 1})
    assert (answer_of(result.object), delegates(result.object), result.messages) == ("NEEDS-ACTION", [], ())


def test_a_second_delegation_that_crosses_an_update_stays_with_its_delegate() -> None:
    earlier = attendee(2, "DELEGATED", TO.replace("05", "06"))
    result = crossed(organizer(), earlier, attendee(6, "DECLINED", FROM))
    assert sorted(delegates(result.object)) == ["user05@example.com", "user06@example.com"]
    assert len(result.messages) == 1


def test_a_delegate_who_is_known_elsewhere_is_open_where_the_organizer_does_not_invite_them() -> None:
    """The organizer's server invites the delegate to an instance that it has not invited them to."""
    accepted = attendee(5, "ACCEPTED", FROM)
    copy = stored(meeting(DAILY, people=(*HERE, accepted)))
    memory = Memory({MASTER: Version(0, "20261201T000000Z")}, answered={MASTER: 0})
    result = received(message("REQUEST", instance(people=PEOPLE, sequence=1)), copy, memory=memory, resets={})
    assert (answer_of(result.object, at=SECOND), answer_of(result.object, 5, SECOND)) == ("DELEGATED", "NEEDS-ACTION")
