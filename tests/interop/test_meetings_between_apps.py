"""Meetings of people with different apps, each of which sends what that app sends (`tests/interop/apps`).

Two of three people use the apps that a test is about. The third has Thunderbird; it shows what everybody else learns.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.interop.apps.app import App
from tests.interop.apps.apple_calendar import AppleCalendar
from tests.interop.apps.caldav_synchronizer import CalDavSynchronizer
from tests.interop.apps.davx5 import DAVx5
from tests.interop.apps.meeting import (
    Lines,
    components,
    mail_address,
    parameter,
    unfold,
    value_of,
    with_alarm,
    with_value,
)
from tests.interop.apps.thunderbird import Thunderbird
from tests.interop.conftest import Account

Make = Callable[[Account], App]
UID = "0B7A5C4E-PLAN"


def not_mailing(account: Account) -> App:
    return CalDavSynchronizer(account, mails=False)


ORGANIZERS: dict[str, Make] = {
    "apple": AppleCalendar, "thunderbird": Thunderbird, "davx5": DAVx5, "synchronizer": not_mailing,
}  # fmt: skip
ATTENDEES: dict[str, Make] = {**ORGANIZERS, "synchronizer": CalDavSynchronizer}


@pytest.mark.parametrize("attendee", ATTENDEES)
@pytest.mark.parametrize("organizer", ORGANIZERS)
def test_the_life_of_a_meeting(three: list[Account], organizer: str, attendee: str) -> None:
    ann, ben, cleo = ORGANIZERS[organizer](three[0]), ATTENDEES[attendee](three[1]), Thunderbird(three[2])
    second = Thunderbird(three[0])  # what another app of the organizer shows
    for each in (ann, ben, cleo):
        each.sync()

    # Invite: everybody has it, and it is not answered.
    ann.invite(UID, ben.email, cleo.email)
    for each in (ben, cleo):
        found = each.shown(UID)
        assert found.answers == {ann.email: "ACCEPTED", ben.email: "NEEDS-ACTION", cleo.email: "NEEDS-ACTION"}
        assert (found.summary, found.start, found.transparent) == ("Plan", "20270906T100000", True)
        assert each.places(UID) == ["calendar"]
    assert second.shown(UID).delivered == {ben.email: "1.2", cleo.email: "1.2"}

    # Answer: all learn of it, and the time is taken now.
    assert ben.answer(UID, "ACCEPTED") == 204
    assert not ben.shown(UID).transparent
    for each in (ann, second, ben, cleo):
        assert each.shown(UID).answers[ben.email] == "ACCEPTED"
    assert second.shown(UID).delivered == {ben.email: "2.0", cleo.email: "1.2"}

    # A change of the title asks nobody anew.
    assert ann.set_property(UID, "SUMMARY", "SUMMARY:New plan") == 204
    for each in (ann, ben, cleo):
        found = each.shown(UID)
        assert (found.summary, found.answers[ben.email]) == ("New plan", "ACCEPTED")

    # What an attendee adds for themselves stays theirs, and sends nothing.
    assert ben.change(UID, with_alarm) == 204
    assert (ben.shown(UID).alarms, ann.shown(UID).alarms, cleo.shown(UID).alarms) == (1, 0, 0)
    assert second.shown(UID).delivered[ben.email] == "1.2"

    # Another time asks everybody anew; the alarm stays.
    assert ann.set_property(UID, "DTSTART", "DTSTART;TZID=Europe/Berlin:20270906T090000") == 204
    found = ben.shown(UID)
    assert (found.start, found.answers[ben.email], found.alarms) == ("20270906T090000", "NEEDS-ACTION", 1)
    assert ben.answer(UID, "TENTATIVE") == 204
    assert [each.shown(UID).answers[ben.email] for each in (ann, cleo)] == ["TENTATIVE", "TENTATIVE"]
    assert len({each.shown(UID).sequence for each in (second, cleo)}) == 1

    # Somebody declines by deleting.
    assert cleo.delete(UID) == 204
    assert [each.shown(UID).answers[cleo.email] for each in (ann, ben)] == ["DECLINED", "DECLINED"]
    assert ann.set_property(UID, "LOCATION", "LOCATION:Here") == 204
    assert ben.shown(UID).location == "Here"
    assert cleo.sees(UID) is None

    # The organizer deletes: the attendee sees it cancelled, and deletes it without an answer.
    assert ann.delete(UID) == 204
    found = ben.shown(UID)
    assert (found.status, found.summary) == ("CANCELLED", "New plan")
    assert ben.delete(UID) == 204
    assert [each.sees(UID) for each in (ann, second, ben, cleo)] == [None] * 4


MOVING: dict[str, Make] = {"apple": AppleCalendar, "thunderbird": Thunderbird, "synchronizer": not_mailing}


@pytest.mark.parametrize("app", MOVING)
def test_the_organizer_moves_a_meeting_to_another_calendar(three: list[Account], app: str) -> None:
    ann, ben = MOVING[app](three[0]), AppleCalendar(three[1])
    ann.make_calendar("work")
    ann.invite(UID, ben.email)
    ben.sync()
    assert ben.answer(UID, "ACCEPTED") == 204
    ben.see_messages()
    ann.sync()
    before = ben.find(UID)[2]

    ann.move(UID, "work")
    for each in (ann, Thunderbird(three[0])):
        assert each.shown(UID).answers[ben.email] == "ACCEPTED"
        assert each.places(UID) == ["work"]
    ben.sync()
    assert ben.find(UID)[2] == before, "nothing has changed for the attendee"
    assert ben.inbox == {}

    assert ann.set_property(UID, "LOCATION", "LOCATION:Here") == 204
    assert ben.shown(UID).location == "Here"
    assert ann.delete(UID) == 204
    assert ben.shown(UID).status == "CANCELLED"


@pytest.mark.parametrize("app", MOVING)
def test_an_attendee_moves_a_meeting_to_another_calendar(three: list[Account], app: str) -> None:
    ann, ben = AppleCalendar(three[0]), MOVING[app](three[1])
    ann.sync()
    ben.make_calendar("work")
    ann.invite(UID, ben.email)
    ben.sync()
    assert ben.answer(UID, "ACCEPTED") == 204
    ben.sync()
    assert len(ann.see_messages()) == 1

    ben.move(UID, "work")
    for each in (ben, Thunderbird(three[1])):
        assert each.shown(UID).answers[ben.email] == "ACCEPTED"
        assert each.places(UID) == ["work"]
    assert ann.shown(UID).answers[ben.email] == "ACCEPTED"
    assert ann.inbox == {}, "the organizer is told nothing"

    assert ann.set_property(UID, "LOCATION", "LOCATION:Here") == 204
    assert ben.shown(UID).location == "Here"
    assert ben.places(UID) == ["work"]
    assert ben.delete(UID) == 204
    assert ann.shown(UID).answers[ben.email] == "DECLINED"


def test_an_android_app_moves_a_meeting_by_making_another(three: list[Account]) -> None:
    """The attendees see one cancelled and are invited to another: no server can know better."""
    ann, ben = DAVx5(three[0]), Thunderbird(three[1])
    ann.make_calendar("work")
    ann.invite(UID, ben.email)
    ben.sync()
    ben.answer(UID, "ACCEPTED")
    ann.sync()
    ann.move(UID, "work")
    assert ben.shown(UID).status == "CANCELLED"
    assert ben.shown(f"new-{UID}").status == ""
    assert ann.sees(UID) is None
    assert ann.places(f"new-{UID}") == ["work"]


@pytest.mark.parametrize("app", ["apple", "thunderbird"])
def test_an_organizer_sees_when_others_are_busy(three: list[Account], app: str) -> None:
    ann, ben = ORGANIZERS[app](three[0]), Thunderbird(three[1])
    ann.sync()
    assert ann.ask_busy(ben.email) == {ben.email: []}
    ann.invite(UID, ben.email)
    ben.sync()
    assert ann.ask_busy(ben.email) == {ben.email: []}, "it is not answered"
    ben.answer(UID, "ACCEPTED")
    busy = ann.ask_busy(ann.email, ben.email)
    assert [[line.partition(":")[2] for line in lines] for lines in busy.values()] == [
        ["20270906T080000Z/20270906T090000Z"]
    ] * 2
    assert ann.ask_busy(ann.email, ben.email, hidden=UID) == {ann.email: [], ben.email: []}


def acknowledged(event: Lines) -> Lines:
    """An alarm that is dismissed, as Apple's apps write it."""
    place = event.index("END:VALARM")
    return [*event[:place], "ACKNOWLEDGED:20270906T074500Z", *event[place:]]


def last_acknowledged(event: Lines) -> Lines:
    """The same as Thunderbird writes it."""
    return with_value(event, "X-MOZ-LASTACK", "X-MOZ-LASTACK:20270906T074500Z")


@pytest.mark.parametrize(("app", "dismissed"), [("apple", acknowledged), ("thunderbird", last_acknowledged)])
def test_who_dismisses_an_alarm_tells_nobody(
    three: list[Account], app: str, dismissed: Callable[[Lines], Lines]
) -> None:
    ann, ben = ORGANIZERS[app](three[0]), ORGANIZERS[app](three[1])
    watching = [AppleCalendar(account) for account in three[:2]]
    ann.sync()
    ann.invite(UID, ben.email)
    ben.sync()
    ben.answer(UID, "ACCEPTED")
    ann.sync()
    for each in (ann, ben):
        assert each.change(UID, with_alarm, significant=False) == 204
    for each in watching:
        each.see_messages()
    before = [each.shown(UID).sequence for each in (ann, ben)]
    for each in (ann, ben):
        each.sync()
        assert each.change(UID, dismissed, significant=False) == 204
    for each in watching:
        each.sync()
        assert each.inbox == {}
    assert [each.shown(UID).sequence for each in (ann, ben)] == before
    assert [each.shown(UID).alarms for each in (ann, ben)] == [1, 1]


# -- one day of a series -----------------------------------------------------------------------------------------------

SERIES = ["RRULE:FREQ=DAILY;COUNT=3"]
SECOND_DAY = "RECURRENCE-ID;TZID=Europe/Berlin:20270907T100000"


@pytest.mark.parametrize("attendee", ATTENDEES)
def test_an_attendee_declines_one_day(three: list[Account], attendee: str) -> None:
    ann, ben = Thunderbird(three[0]), ATTENDEES[attendee](three[1])
    ann.sync()
    ann.invite(UID, ben.email, lines=SERIES)
    ben.sync()
    assert ben.answer(UID, "ACCEPTED") == 204
    ben.sync()
    assert ben.answer(UID, "DECLINED", on=SECOND_DAY) in (200, 204)
    ann.sync()
    (_, _, item) = ann.find(UID)
    answers = [
        next(parameter(line, "PARTSTAT") for line in event if mail_address(line) == ben.email)
        for event in components(unfold(item.text))
    ]
    assert answers == ["ACCEPTED", "DECLINED"]
    assert value_of(components(unfold(item.text))[1], "RECURRENCE-ID") == "20270907T100000"


@pytest.mark.parametrize("organizer", ORGANIZERS)
def test_an_organizer_cancels_one_day(three: list[Account], organizer: str) -> None:
    ann, ben = ORGANIZERS[organizer](three[0]), AppleCalendar(three[1])
    ann.sync()
    ann.invite(UID, ben.email, lines=SERIES)
    ben.sync()
    assert ben.answer(UID, "ACCEPTED") == 204
    ben.see_messages()
    ann.sync()
    excluded = "EXDATE;TZID=Europe/Berlin:20270907T100000"
    assert ann.change(UID, lambda event: with_value(event, "EXDATE", excluded)) == 204
    assert sorted(value_of(unfold(text), "METHOD") for text in ben.see_messages()) == ["CANCEL", "REQUEST"]
    series, day = components(unfold(ben.find(UID)[2].text))
    assert value_of(series, "STATUS") != "CANCELLED"
    assert (value_of(day, "RECURRENCE-ID"), value_of(day, "STATUS")) == ("20270907T100000", "CANCELLED")
    assert ben.shown(UID).answers[ben.email] == "ACCEPTED"
