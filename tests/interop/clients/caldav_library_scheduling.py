"""Meetings of three people who use the `caldav` library; run by `test_caldav_library.py` in the library's environment.

    python caldav_library_scheduling.py CHECK URL PASSWORD NAME NAME NAME

Each check is a function below that takes the clients of an organizer and two attendees. It fails with an exception.
"""

import datetime as dt
import sys
from collections.abc import Callable

from caldav import CalendarObjectResource, DAVClient
from caldav.lib.error import NotFoundError, ScheduleTagMismatchError
from icalendar import vCalAddress

CHECKS: dict[str, Callable[[DAVClient, DAVClient, DAVClient], None]] = {}
UID = "plan@example.org"
START = dt.datetime(2027, 9, 6, 10, tzinfo=dt.UTC)


def check(function: Callable[[DAVClient, DAVClient, DAVClient], None]) -> Callable[..., None]:
    CHECKS[function.__name__] = function
    return function


def ical(*lines: str) -> str:
    return "\n".join(
        (
            "BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Example//EN", "BEGIN:VEVENT", f"UID:{UID}",
            "DTSTAMP:20270901T000000Z", f"DTSTART:{START:%Y%m%dT%H%M%SZ}", "DURATION:PT1H", "SUMMARY:Plan", *lines,
            "END:VEVENT", "END:VCALENDAR", "",
        )
    )  # fmt: skip


def invite(organizer: DAVClient, *attendees: DAVClient, lines: tuple[str, ...] = ()) -> CalendarObjectResource:
    """A meeting as the library makes it."""
    calendar = organizer.principal().calendar(name="calendar")
    people = [each.principal() for each in (organizer, *attendees)]
    return calendar.save_with_invites(ical(*lines), people)


def copy_of(person: DAVClient) -> CalendarObjectResource:
    """What a person has of the meeting, read anew."""
    return person.principal().calendar(name="calendar").get_event_by_uid(UID).load()


def has_copy(person: DAVClient) -> bool:
    try:
        copy_of(person)
    except NotFoundError:
        return False
    return True


def messages(person: DAVClient) -> list[CalendarObjectResource]:
    """What lies in a person's inbox."""
    return list(person.principal().schedule_inbox().get_items())


def methods(person: DAVClient) -> list[str]:
    return sorted(str(each.icalendar_instance["METHOD"]) for each in messages(person))


def attendee(copy: CalendarObjectResource, person: DAVClient) -> vCalAddress:
    """The line of a person in somebody's copy."""
    address = str(person.principal().get_vcal_address())
    lines = copy.icalendar_component["ATTENDEE"]
    (found,) = [each for each in lines if str(each).lower() == address.lower()]
    return found


def answer(copy: CalendarObjectResource, person: DAVClient) -> str:
    return attendee(copy, person).params["PARTSTAT"]


@check
def finds_the_mailboxes_and_addresses(ann: DAVClient, ben: DAVClient, cleo: DAVClient) -> None:
    for client in (ann, ben, cleo):
        assert client.check_scheduling_support()
        principal = client.principal()
        assert "/inbox/" in str(principal.schedule_inbox().url)
        assert "/outbox/" in str(principal.schedule_outbox().url)
        addresses = principal.calendar_user_address_set()
        assert addresses[0] == f"mailto:{client.username}@example.com", addresses
        assert str(principal.url.path) in addresses
        assert str(principal.get_vcal_address()) == addresses[0]
        assert messages(client) == []


@check
def invites_and_hears_the_answers(ann: DAVClient, ben: DAVClient, cleo: DAVClient) -> None:
    invite(ann, ben, cleo)
    own = copy_of(ann)
    assert [attendee(own, each).params["SCHEDULE-STATUS"] for each in (ben, cleo)] == ["1.2", "1.2"]
    for person, reply, expected in (
        (ben, "accept_invite", "ACCEPTED"),
        (cleo, "tentatively_accept_invite", "TENTATIVE"),
    ):
        (message,) = messages(person)
        assert message.is_invite_request()
        assert answer(copy_of(person), person) == "NEEDS-ACTION"
        getattr(message, reply)()
        message.delete()
        assert messages(person) == []
        own = copy_of(ann)
        assert answer(own, person) == expected
        assert attendee(own, person).params["SCHEDULE-STATUS"] == "2.0"
    assert methods(ann) == ["REPLY", "REPLY"]
    assert all(each.is_invite_reply() for each in messages(ann))
    assert answer(copy_of(ben), cleo) == "TENTATIVE"  # and ben heard of it without a message
    assert methods(ben) == []


@check
def declines_and_deletes(ann: DAVClient, ben: DAVClient, cleo: DAVClient) -> None:
    invite(ann, ben, cleo)
    (message,) = messages(ben)
    message.decline_invite()
    assert answer(copy_of(ann), ben) == "DECLINED"
    copy_of(cleo).delete()
    assert answer(copy_of(ann), cleo) == "DECLINED"
    with (own := copy_of(ann)).edit_icalendar_component() as component:
        component["LOCATION"] = "Elsewhere"
    own.save()
    assert str(copy_of(ben).icalendar_component["LOCATION"]) == "Elsewhere"
    assert not has_copy(cleo)  # who declined and deleted gets nothing back


@check
def changes_reach_everybody(ann: DAVClient, ben: DAVClient, cleo: DAVClient) -> None:
    invite(ann, ben)
    messages(ben)[0].accept_invite()
    with (own := copy_of(ann)).edit_icalendar_component() as component:
        component["SUMMARY"] = "New plan"
    own.save()
    copy = copy_of(ben)
    assert (str(copy.icalendar_component["SUMMARY"]), answer(copy, ben)) == ("New plan", "ACCEPTED")
    own = copy_of(ann)
    own.set_dtend(START + dt.timedelta(hours=3), move_dtstart=True)
    own.add_attendee(cleo.principal())
    own.save()
    copy = copy_of(ben)
    assert copy.icalendar_component["DTSTART"].dt == START + dt.timedelta(hours=2)
    assert answer(copy, ben) == "NEEDS-ACTION"  # asked anew
    assert answer(copy_of(cleo), cleo) == "NEEDS-ACTION"
    assert methods(ben) == ["REQUEST", "REQUEST", "REQUEST"]
    assert methods(cleo) == ["REQUEST"]
    sequence = int(copy_of(ann).icalendar_component["SEQUENCE"])
    assert int(copy.icalendar_component["SEQUENCE"]) == sequence


@check
def cancels(ann: DAVClient, ben: DAVClient, cleo: DAVClient) -> None:
    invite(ann, ben, cleo)
    messages(ben)[0].accept_invite()
    copy_of(ann).delete()
    assert methods(ben) == ["CANCEL", "REQUEST"]
    for person in (ben, cleo):
        copy = copy_of(person)
        assert str(copy.icalendar_component["STATUS"]) == "CANCELLED"
        copy.delete()
    assert methods(ann) == ["REPLY"]  # ben's, before
    assert not has_copy(ann)


@check
def cancels_one_day_of_a_series(ann: DAVClient, ben: DAVClient, cleo: DAVClient) -> None:
    invite(ann, ben, lines=("RRULE:FREQ=DAILY;COUNT=3",))
    own = copy_of(ann)
    with own.edit_icalendar_component() as component:
        component.add("EXDATE", START + dt.timedelta(days=1))
    own.save()
    assert methods(ben) == ["CANCEL", "REQUEST", "REQUEST"]  # the series, too, without the day
    copy = copy_of(ben)
    cancelled = [each for each in copy.icalendar_instance.events if each.get("STATUS") == "CANCELLED"]
    assert [each["RECURRENCE-ID"].dt for each in cancelled] == [START + dt.timedelta(days=1)]


@check
def a_stale_schedule_tag_is_refused_and_a_current_one_merges(ann: DAVClient, ben: DAVClient, cleo: DAVClient) -> None:
    invite(ann, ben, cleo)
    mine = copy_of(ann)
    assert mine.schedule_tag
    messages(ben)[0].accept_invite()
    with mine.edit_icalendar_component() as component:
        component["SUMMARY"] = "New plan"  # by a text that has not heard of ben's answer
    mine.save()
    assert answer(copy_of(ann), ben) == "ACCEPTED"
    assert answer(copy_of(cleo), ben) == "ACCEPTED"
    stale = copy_of(cleo)
    with (own := copy_of(ann)).edit_icalendar_component() as component:
        component["LOCATION"] = "Here"
    own.save()
    stale.change_attendee_status(partstat="ACCEPTED")
    try:
        stale.save(increase_seqno=False)
    except ScheduleTagMismatchError:
        pass
    else:
        raise AssertionError("an answer to what the organizer has changed")
    fresh = copy_of(cleo)
    fresh.change_attendee_status(partstat="ACCEPTED")
    fresh.save(increase_seqno=False)
    assert answer(copy_of(ann), cleo) == "ACCEPTED"


@check
def asks_when_others_are_busy(ann: DAVClient, ben: DAVClient, cleo: DAVClient) -> None:
    invite(ben, cleo)
    messages(cleo)[0].accept_invite()
    people = [ben.principal(), cleo.principal(), "nobody@elsewhere.example"]
    found = ann.principal().freebusy_request(START, START + dt.timedelta(days=1), people)
    errors = found.pop("errors")
    assert [status.split(";")[0] for status in errors.values()] == ["3.7"], errors
    assert len(found) == 2, found
    for busy in found.values():
        assert "20270906T100000Z" in busy.icalendar_component["FREEBUSY"].to_ical().decode()


def run() -> None:
    name, url, password, *people = sys.argv[1:]
    clients = [DAVClient(url=url, username=each, password=password) for each in people]
    try:
        CHECKS[name](*clients)
    finally:
        for client in clients:
            client.close()


if __name__ == "__main__":
    run()
