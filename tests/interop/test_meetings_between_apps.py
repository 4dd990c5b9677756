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
    name_of,
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


# -- Apple Calendar ----------------------------------------------------------------------------------------------------


def test_apple_shows_what_a_message_changed_and_deletes_it(three: list[Account]) -> None:
    ann, ben = Thunderbird(three[0]), AppleCalendar(three[1])
    ann.sync()
    ann.invite(UID, ben.email)
    (text,) = ben.see_messages()
    assert "METHOD:REQUEST" in text
    assert ben.last_changes == ["create"]
    assert ann.set_property(UID, "SUMMARY", "SUMMARY:New plan") == 204
    ben.see_messages()
    assert ben.last_changes == ["update"]
    assert ben.inbox == {}
    assert ben.shown(UID).summary == "New plan", "what is deleted is the message alone"
    ann.delete(UID)
    ben.see_messages()
    assert ben.last_changes == ["cancel"]
    assert ben.shown(UID).status == "CANCELLED"


def test_apple_deletes_an_invitation_and_tells_nobody(three: list[Account]) -> None:
    ann, ben = AppleCalendar(three[0]), AppleCalendar(three[1])
    ann.sync()
    ann.invite(UID, ben.email)
    ben.sync()
    assert ben.delete_silently(UID) == 204
    assert ann.shown(UID).answers[ben.email] == "NEEDS-ACTION"
    assert ann.inbox == {}
    assert ben.sees(UID) is None


def test_apple_and_davx5_write_over_answers_that_they_have_not_seen(three: list[Account]) -> None:
    """Their If-Schedule-Tag-Match holds when others have answered, and what they did not know stays."""
    for number, make in enumerate((AppleCalendar, DAVx5)):
        uid = f"{UID}-{number}"
        ann, ben, cleo = make(three[0]), Thunderbird(three[1]), make(three[2])
        for each in (ann, cleo):
            each.sync()
        ann.invite(uid, ben.email, cleo.email)
        for each in (ann, ben, cleo):
            each.sync()
        assert ben.answer(uid, "ACCEPTED") == 204
        assert cleo.answer(uid, "TENTATIVE") == 204
        assert ann.set_property(uid, "SUMMARY", "SUMMARY:New plan") == 204
        for each in (ann, ben, cleo):
            found = each.shown(uid)
            assert (found.summary, found.answers[ben.email], found.answers[cleo.email]) == (
                "New plan", "ACCEPTED", "TENTATIVE",
            )  # fmt: skip


# -- DAVx5 -------------------------------------------------------------------------------------------------------------


def test_davx5_gives_up_an_answer_to_what_has_changed(three: list[Account]) -> None:
    ann, ben = Thunderbird(three[0]), DAVx5(three[1])
    ann.sync()
    ann.invite(UID, ben.email)
    ben.sync()
    assert ann.set_property(UID, "DTSTART", "DTSTART;TZID=Europe/Berlin:20270906T090000") == 204
    assert ben.answer(UID, "ACCEPTED") == 412
    found = ben.shown(UID)
    assert (found.start, found.answers[ben.email]) == ("20270906T090000", "NEEDS-ACTION")
    assert ben.answer(UID, "ACCEPTED") == 204
    assert ann.shown(UID).answers[ben.email] == "ACCEPTED"


def test_davx5_answers_for_one_day_without_its_recurrence_id(three: list[Account]) -> None:
    """Somebody is invited to one day of a series. Their phone makes an event of it that recurs not."""
    ann, ben = Thunderbird(three[0]), DAVx5(three[1])
    ann.sync()
    ann.invite(UID, lines=SERIES)
    ann.sync()

    def with_guest(lines: Lines) -> Lines:
        day = [line for line in lines if name_of(line) != "RRULE"]
        day = with_value(day, "RECURRENCE-ID", SECOND_DAY)
        day = with_value(day, "DTSTART", SECOND_DAY.replace("RECURRENCE-ID", "DTSTART"))
        day = with_value(day, "DTEND", "DTEND;TZID=Europe/Berlin:20270907T110000")
        return [*lines, *day[:-1], f"ATTENDEE;PARTSTAT=NEEDS-ACTION;RSVP=TRUE:mailto:{ben.email}", day[-1]]

    assert ann.change(UID, with_guest) == 204
    assert ben.shown(UID).start == "20270907T100000"
    assert ben.answer(UID, "ACCEPTED") == 204
    (_, _, item) = Thunderbird(three[1]).found(UID)
    assert value_of(components(unfold(item.text))[0], "RECURRENCE-ID") == "20270907T100000", "it is put back"
    _, _, own = ann.found(UID)
    day = components(unfold(own.text))[1]
    assert [parameter(line, "PARTSTAT") for line in day if mail_address(line) == ben.email] == ["ACCEPTED"]


# -- Thunderbird -------------------------------------------------------------------------------------------------------


def test_thunderbird_writes_over_what_it_has_not_seen_when_its_user_says_so(three: list[Account]) -> None:
    """It asks its user after a 412, and then writes without a condition: answers that it does not know stay."""
    ann, ben, cleo = Thunderbird(three[0]), AppleCalendar(three[1]), Thunderbird(three[2])
    ann.sync()
    ann.invite(UID, ben.email, cleo.email)
    for each in (ben, cleo):
        each.sync()
    assert ben.answer(UID, "ACCEPTED") == 204
    assert ann.set_property(UID, "SUMMARY", "SUMMARY:New plan") == 412
    ann.overwrites = True
    assert ann.set_property(UID, "SUMMARY", "SUMMARY:New plan") == 204
    cleo.overwrites = True
    assert cleo.answer(UID, "TENTATIVE") == 204
    for each in (ann, ben, cleo):
        found = each.shown(UID)
        assert (found.summary, found.answers[ben.email], found.answers[cleo.email]) == (
            "New plan", "ACCEPTED", "TENTATIVE",
        )  # fmt: skip


# -- CalDAV Synchronizer -----------------------------------------------------------------------------------------------


def test_outlook_drags_a_meeting_and_deletes_it_first(three: list[Account]) -> None:
    """The profile of the old folder may run before that of the new one. Nothing is lost in the end."""
    ann, ben = not_mailing(three[0]), CalDavSynchronizer(three[1])
    ann.make_calendar("work")
    ben.make_calendar("work")
    ann.invite(UID, ben.email)
    ben.sync()
    assert ben.answer(UID, "ACCEPTED") == 204
    ben.sync()
    item = ben.find(UID)[2]
    assert ben.delete(UID) == 204
    assert ann.shown(UID).answers[ben.email] == "DECLINED"
    assert ben.add("work", UID, item.text) == 201
    assert ann.shown(UID).answers[ben.email] == "ACCEPTED"
    assert ben.shown(UID).status == ""
    assert ben.places(UID) == ["work"]

    ann.sync()
    item = ann.find(UID)[2]
    assert ann.delete(UID) == 204
    assert ben.shown(UID).status == "CANCELLED"
    assert ann.add("work", UID, item.text) == 201
    found = ben.shown(UID)
    assert (found.status, found.answers[ben.email]) == ("", "NEEDS-ACTION")
    assert ben.answer(UID, "ACCEPTED") == 204
    assert ann.shown(UID).answers[ben.email] == "ACCEPTED"
    assert ann.places(UID) == ["work"]


# -- apps that mail ----------------------------------------------------------------------------------------------------


def thunderbird_mailing(account: Account) -> App:
    return Thunderbird(account, mails=True)


MAILING: dict[str, Make] = {"thunderbird": thunderbird_mailing, "synchronizer": CalDavSynchronizer}


@pytest.mark.parametrize("app", MAILING)
def test_who_mails_an_answer_has_it_delivered_too(three: list[Account], app: str) -> None:
    """SCHEDULE-AGENT=CLIENT of an attendee is put back where the organizer is here."""
    ann, ben = AppleCalendar(three[0]), MAILING[app](three[1])
    ann.sync()
    ann.invite(UID, ben.email)
    ben.sync()
    assert ben.answer(UID, "ACCEPTED") == 204
    (_, _, item) = Thunderbird(three[1]).found(UID)
    assert "SCHEDULE-AGENT" not in "".join(unfold(item.text))
    assert ann.shown(UID).answers[ben.email] == "ACCEPTED"
    assert ann.set_property(UID, "LOCATION", "LOCATION:Here") == 204
    assert ben.shown(UID).location == "Here"


@pytest.mark.parametrize("app", MAILING)
def test_who_mails_invitations_sends_none_by_the_server(three: list[Account], app: str) -> None:
    ann, ben = MAILING[app](three[0]), AppleCalendar(three[1])
    ann.sync()
    ann.invite(UID, ben.email)
    assert ben.sees(UID) is None
    assert ben.inbox == {}
    assert ann.set_property(UID, "SUMMARY", "SUMMARY:New plan") == 204
    assert ann.delete(UID) == 204
    assert ben.sees(UID) is None
    assert ben.inbox == {}


def test_thunderbird_accepts_a_mailed_invitation_that_the_server_has_put_there(three: list[Account]) -> None:
    """It has not asked for news yet, and makes the object under a name of its own (`If-None-Match: *`)."""
    ann, ben = Thunderbird(three[0]), Thunderbird(three[1])
    for each in (ann, ben):
        each.sync()
    ann.invite(UID, ben.email)
    assert ben.accept_mail(ann.find(UID)[2].text) == 201
    found = ben.shown(UID)
    assert found.answers[ben.email] == "ACCEPTED"
    assert list(ben.calendars["calendar"].items) == [f"{ben.calendars['calendar'].href}{UID}.ics"]
    assert ann.shown(UID).answers[ben.email] == "ACCEPTED"
    assert ann.set_property(UID, "LOCATION", "LOCATION:Here") == 204
    assert ben.shown(UID).location == "Here"
    # Somebody whose app has asked for news changes what is there.
    assert AppleCalendar(three[1]).found(UID)[2].text == ben.find(UID)[2].text
