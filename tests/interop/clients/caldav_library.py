"""What the `caldav` library does with a server; run by `test_caldav_library.py` in the library's own environment.

    python caldav_library.py URL USER PASSWORD CHECK

Each check is a function below. It fails with an exception.
"""

import datetime as dt
import sys
from collections.abc import Callable

from caldav import Calendar, DAVClient
from caldav.elements import dav
from caldav.elements import ical as apple
from caldav.lib.error import DAVError, NotFoundError

CHECKS: dict[str, Callable[[DAVClient], None]] = {}


def check(function: Callable[[DAVClient], None]) -> Callable[[DAVClient], None]:
    CHECKS[function.__name__] = function
    return function


def ical(uid: str, summary: str = "Lunch", component: str = "VEVENT", extra: str = "") -> str:
    time = "DTSTART:20260904T100000Z\nDTEND:20260904T110000Z" if component == "VEVENT" else "DUE:20260905T100000Z"
    return (
        f"BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//Example//EN\nBEGIN:{component}\nUID:{uid}\n"
        f"DTSTAMP:20260901T000000Z\n{time}\nSUMMARY:{summary}\n{extra}END:{component}\nEND:VCALENDAR\n"
    )


def new_calendar(client: DAVClient, components: list[str] | None = None) -> Calendar:
    return client.principal().make_calendar(name="From the library", supported_calendar_component_set=components)


@check
def discovers_principal_and_calendars(client: DAVClient) -> None:
    principal = client.principal()
    assert "/principals/" in str(principal.url)
    assert principal.get_display_name().startswith("Person")
    assert "/calendars/" in str(principal.calendar_home_set.url)
    found = {calendar.get_display_name(): calendar for calendar in principal.get_calendars()}
    assert {"calendar", "tasks"} <= set(found), found
    assert found["calendar"].get_supported_components() == ["VEVENT"]
    assert found["tasks"].get_supported_components() == ["VTODO"]
    options = client.options(str(client.url)).headers["DAV"]
    assert "calendar-access" in options and "addressbook" in options, options


@check
def makes_renames_and_deletes_a_calendar(client: DAVClient) -> None:
    calendar = new_calendar(client, ["VEVENT", "VTODO"])
    assert calendar.get_display_name() == "From the library"
    assert sorted(calendar.get_supported_components()) == ["VEVENT", "VTODO"]
    calendar.set_properties([dav.DisplayName("Renamed"), apple.CalendarColor("#11AA22")])
    assert calendar.get_property(dav.DisplayName()) == "Renamed"
    assert calendar.get_property(apple.CalendarColor()) == "#11AA22"
    again = client.principal().calendar(cal_url=calendar.url)
    assert again.get_display_name() == "Renamed"
    calendar.delete()
    assert str(calendar.url) not in [str(each.url) for each in client.principal().get_calendars()]


@check
def adds_changes_and_deletes_events(client: DAVClient) -> None:
    calendar = new_calendar(client)
    event = calendar.add_event(ical("one@example.org"))
    found = calendar.get_event_by_uid("one@example.org")
    assert found.url == event.url
    with found.edit_icalendar_component() as component:
        component["SUMMARY"] = "Dinner"
    found.save()
    event.load()
    assert event.icalendar_component["SUMMARY"] == "Dinner"
    assert len(calendar.get_events()) == 1
    made = calendar.add_event(
        dtstart=dt.datetime(2026, 9, 7, 10, tzinfo=dt.UTC), dtend=dt.datetime(2026, 9, 7, 11, tzinfo=dt.UTC),
        summary="By parameters", rrule={"FREQ": "WEEKLY", "COUNT": 3},
    )  # fmt: skip
    assert made.icalendar_component["SUMMARY"] == "By parameters"
    event.delete()
    try:
        calendar.get_event_by_uid("one@example.org")
    except NotFoundError:
        pass
    else:
        raise AssertionError("still there")
    assert [str(each.icalendar_component["SUMMARY"]) for each in calendar.get_events()] == ["By parameters"]


@check
def a_uid_lies_in_a_calendar_once(client: DAVClient) -> None:
    calendar = new_calendar(client)
    calendar.add_event(ical("one@example.org"))
    path = str(calendar.url.join("other-name.ics"))
    try:
        client.put(path, ical("one@example.org", "Twice"), {"Content-Type": "text/calendar; charset=utf-8"})
    except DAVError as error:
        assert "Forbidden" in str(error), error
    else:
        raise AssertionError("two of one UID")
    assert len(calendar.get_events()) == 1


@check
def keeps_tasks_and_journals(client: DAVClient) -> None:
    tasks = new_calendar(client, ["VTODO"])
    tasks.add_todo(ical("t1@example.org", "Buy bread", "VTODO"))
    tasks.add_todo(ical("t2@example.org", "Bake", "VTODO", "PRIORITY:1\n"))
    assert len(tasks.get_todos()) == 2
    todo = tasks.get_todo_by_uid("t1@example.org")
    todo.complete()
    assert [str(each.icalendar_component["UID"]) for each in tasks.get_todos()] == ["t2@example.org"]
    assert len(tasks.get_todos(include_completed=True)) == 2
    journals = new_calendar(client, ["VJOURNAL"])
    journals.add_journal(ical("j@example.org", "Dear diary", "VJOURNAL").replace("DUE:", "DTSTART:"))
    assert len(journals.get_journals()) == 1
    try:
        tasks.add_event(ical("e@example.org"))
    except DAVError:
        pass
    else:
        raise AssertionError("an event in a list of tasks")


@check
def searches_by_property(client: DAVClient) -> None:
    calendar = new_calendar(client, ["VEVENT", "VTODO"])
    calendar.add_event(ical("a@example.org", "Swimming pool", extra="CATEGORIES:sport,water\nCLASS:PRIVATE\n"))
    calendar.add_event(ical("b@example.org", "Football", extra="CATEGORIES:sport\nLOCATION:Swimming hall\n"))
    calendar.add_todo(ical("c@example.org", "Swimming trunks", "VTODO"))

    def found(**wanted: object) -> list[str]:
        return sorted(str(each.icalendar_component["UID"])[0] for each in calendar.search(**wanted))

    assert found(event=True, summary="Swimming") == ["a"]
    assert found(todo=True, summary="Swimming") == ["c"]
    assert found(event=True) == ["a", "b"]
    assert found(event=True, category="water") == ["a"]
    assert found(event=True, class_="PRIVATE") == ["a"]
    assert found(event=True, no_class=True) == ["b"]
    assert found(event=True, uid="b@example.org") == ["b"]


@check
def searches_by_time(client: DAVClient) -> None:
    calendar = new_calendar(client)
    calendar.add_event(ical("a@example.org", "Daily", extra="RRULE:FREQ=DAILY;COUNT=5\n"))
    calendar.add_event(ical("b@example.org", "Once"))
    day = dt.datetime(2026, 9, 6, tzinfo=dt.UTC)  # the library itself asks for a day more on both sides
    found = calendar.search(start=day, end=day + dt.timedelta(days=1), event=True)
    assert [str(each.icalendar_component["UID"]) for each in found] == ["a@example.org"]
    expanded = calendar.search(start=day, end=day + dt.timedelta(days=30), event=True, expand=False, server_expand=True)
    starts = [each["DTSTART"].dt for item in expanded for each in item.icalendar_instance.walk("VEVENT")]
    assert starts == [dt.datetime(2026, 9, day, 10, tzinfo=dt.UTC) for day in (5, 6, 7, 8)], starts


@check
def synchronises_by_tokens(client: DAVClient) -> None:
    calendar = new_calendar(client)
    first = calendar.add_event(ical("a@example.org"))
    calendar.add_event(ical("b@example.org"))
    known = calendar.get_objects_by_sync_token(load_objects=True)
    assert len(list(known)) == 2
    nothing = calendar.get_objects_by_sync_token(sync_token=known.sync_token)
    assert list(nothing) == []
    calendar.add_event(ical("c@example.org"))
    with first.edit_icalendar_component() as component:
        component["SUMMARY"] = "Changed"
    first.save()
    calendar.get_event_by_uid("b@example.org").delete()
    updated, deleted = known.sync()
    assert {str(each.icalendar_component["UID"])[0] for each in updated} == {"a", "c"}
    assert len(list(deleted)) == 1
    assert {str(each.icalendar_component["UID"])[0] for each in known} == {"a", "c"}


@check
def gets_many_at_once(client: DAVClient) -> None:
    calendar = new_calendar(client)
    for number in range(5):
        calendar.add_event(ical(f"{number}@example.org"))
    urls = [each.url for each in calendar.get_events()]
    found = list(calendar.multiget(urls[:3]))
    assert len(found) == 3
    assert all("BEGIN:VEVENT" in each.data for each in found)


def run() -> None:
    url, user, password, name = sys.argv[1:]
    with DAVClient(url=url, username=user, password=password) as client:
        CHECKS[name](client)


if __name__ == "__main__":
    run()
