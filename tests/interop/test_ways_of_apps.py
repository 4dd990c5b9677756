"""What is peculiar to one app, or a few: its conditions, its moves, its inbox, its mails (`tests/interop/apps`)."""

from __future__ import annotations

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
    with_answer,
    with_value,
)
from tests.interop.apps.thunderbird import Thunderbird
from tests.interop.conftest import Account
from tests.interop.test_meetings_between_apps import SECOND_DAY, SERIES, UID, Make, not_mailing

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


@pytest.mark.parametrize("mails", [False, True])
def test_thunderbird_accepts_a_mailed_invitation_that_the_server_has_put_there(
    three: list[Account], mails: bool
) -> None:
    """It has not asked for news yet, and makes the object under a name of its own (`If-None-Match: *`)."""
    ann, ben = Thunderbird(three[0]), Thunderbird(three[1], mails=mails)
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


def test_thunderbird_invites_by_mail_and_applies_a_mailed_answer(three: list[Account]) -> None:
    """The server has delivered the answer of somebody who is here already: the same answer by mail changes nothing."""
    ann, ben = Thunderbird(three[0], mails=True), Thunderbird(three[1])
    for each in (ann, ben):
        each.sync()
    ann.invite(UID, ben.email)
    mailed = ann.find(UID)[2].text.replace(";SCHEDULE-AGENT=CLIENT", "")
    assert ben.accept_mail(mailed) == 201
    assert ben.shown(UID).answers[ben.email] == "ACCEPTED"
    assert ann.shown(UID).answers[ben.email] == "ACCEPTED"
    assert ann.change(UID, lambda event: with_answer(event, ben.email, "ACCEPTED")) == 204
    for each in (ann, AppleCalendar(three[0])):
        assert each.shown(UID).answers[ben.email] == "ACCEPTED"
    assert ann.set_property(UID, "SUMMARY", "SUMMARY:New plan") == 204
    found = ann.shown(UID)
    assert (found.summary, found.answers[ben.email]) == ("New plan", "ACCEPTED")
    assert ben.shown(UID).summary == "Plan", "the mail has not come yet"
