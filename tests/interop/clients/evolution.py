"""A meeting of two people who use Evolution; run by `test_evolution.py` with Debian's Python, in a D-Bus session.

    python3 evolution.py HOST PORT PASSWORD ORGANIZER ATTENDEE

What GNOME Calendar and Evolution do with CalDAV is done by evolution-data-server, which this asks as they do.
"""

import sys
import time
from collections.abc import Callable

import gi

gi.require_version("EDataServer", "1.2")
gi.require_version("ECal", "2.0")
gi.require_version("ICalGLib", "3.0")
from gi.repository import ECal, EDataServer, GLib, ICalGLib  # noqa: E402 - their versions come first

UID = "plan@example.org"
NONE = ECal.OperationFlags.NONE
WHOLE = ECal.ObjModType.ALL
PATIENCE = 30.0


class Calendar:
    """A calendar in Evolution."""

    def __init__(self, registry: EDataServer.SourceRegistry, login: list[str], person: str, calendar: str) -> None:
        host, port, password = login
        self.email = f"{person}@example.com"
        uid = f"{person}-{calendar}"
        made = EDataServer.Source.new_with_uid(uid, None)
        made.set_display_name(uid)
        made.set_parent("caldav-stub")
        made.get_extension(EDataServer.SOURCE_EXTENSION_CALENDAR).set_backend_name("caldav")
        signing_in = made.get_extension(EDataServer.SOURCE_EXTENSION_AUTHENTICATION)
        signing_in.set_host(host)
        signing_in.set_port(int(port))
        signing_in.set_user(person)
        signing_in.set_method("plain/password")
        signing_in.set_remember_password(False)
        made.get_extension(EDataServer.SOURCE_EXTENSION_SECURITY).set_method("none")
        place = made.get_extension(EDataServer.SOURCE_EXTENSION_WEBDAV_BACKEND)
        place.set_resource_path(f"/calendars/users/{person}/{calendar}/")
        place.set_email_address(self.email)  # which the assistant for accounts has found
        place.set_calendar_auto_schedule(True)
        registry.commit_source_sync(made, None)
        source = registry.ref_source(uid)
        self.client = ECal.Client.connect_sync(source, ECal.ClientSourceType.EVENTS, 1, None)
        known = EDataServer.NamedParameters.new()
        known.set("username", person)
        known.set("password", password)
        source.invoke_authenticate_sync(known, None)
        until(lambda: source.get_connection_status() == EDataServer.SourceConnectionStatus.CONNECTED)

    def text(self) -> str:
        """What Evolution has of the meeting, without folds; empty where it has none."""
        self.client.refresh_sync(None)
        try:
            _, found = self.client.get_object_sync(UID, None, None)
        except GLib.Error:
            return ""
        return str(found.as_ical_string()).replace("\r\n ", "")

    def attendee(self, email: str) -> str:
        """The line of an attendee."""
        return next((line for line in self.text().splitlines() if line.endswith(f"mailto:{email}")), "")

    def shows(self, email: str, *words: str) -> None:
        """Wait until the line of an attendee has these words."""
        until(lambda: all(word in self.attendee(email) for word in words), lambda: self.text())

    def has(self, *words: str) -> None:
        """Wait until the meeting has these words; without any, until it is not there."""
        until(lambda: all(w in self.text() for w in words) if words else not self.text(), lambda: self.text())

    def change(self, before: str, after: str) -> None:
        """Write the meeting with lines replaced."""
        text = self.text()
        assert before in text, (before, text)
        self.client.modify_object_sync(component(text.replace(before, after)), WHOLE, NONE, None)

    def answer(self, partstat: str) -> None:
        line = self.attendee(self.email)
        assert "PARTSTAT=NEEDS-ACTION" in line, line
        self.change(line, line.replace("PARTSTAT=NEEDS-ACTION", f"PARTSTAT={partstat}"))

    def add(self, text: str) -> None:
        self.client.create_object_sync(component(text), NONE, None)

    def remove(self) -> None:
        self.client.remove_object_sync(UID, None, WHOLE, NONE, None)


def component(text: str) -> ICalGLib.Component:
    return ICalGLib.Component.new_from_string(text)


def until(holds: Callable[[], bool], found: Callable[[], object] = lambda: "") -> None:
    """Wait for what Evolution's processes do."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        while GLib.MainContext.default().iteration(False):
            pass
        assert time.monotonic() < deadline, found()
        time.sleep(0.1)


def run() -> None:
    *login, ann, ben = sys.argv[1:]
    registry = EDataServer.SourceRegistry.new_sync(None)
    own, copy = Calendar(registry, login, ann, "calendar"), Calendar(registry, login, ben, "calendar")
    elsewhere = Calendar(registry, login, ben, "work")

    own.add(
        "\r\n".join(
            (
                "BEGIN:VEVENT", f"UID:{UID}", "DTSTAMP:20270901T080000Z", "DTSTART:20270912T150000Z",
                "DTEND:20270912T160000Z", "SUMMARY:Plan", f"ORGANIZER:mailto:{own.email}",
                f"ATTENDEE;CUTYPE=INDIVIDUAL;PARTSTAT=ACCEPTED:mailto:{own.email}",
                f"ATTENDEE;CUTYPE=INDIVIDUAL;PARTSTAT=NEEDS-ACTION;RSVP=TRUE:mailto:{copy.email}", "END:VEVENT", "",
            )
        )
    )  # fmt: skip
    own.shows(copy.email, "SCHEDULE-STATUS=1.2")
    copy.shows(copy.email, "PARTSTAT=NEEDS-ACTION")

    copy.answer("ACCEPTED")
    own.shows(copy.email, "PARTSTAT=ACCEPTED", "SCHEDULE-STATUS=2.0")

    _, busy = own.client.get_free_busy_sync(1820700000, 1820900000, [copy.email], None)
    shown = "".join(each.get_as_string() for each in busy)
    assert "FREEBUSY:20270912T150000Z/20270912T160000Z" in shown, shown

    own.change("DTSTART:20270912T150000Z", "DTSTART:20270912T140000Z")
    copy.has("DTSTART:20270912T140000Z", "SEQUENCE:1")
    copy.shows(copy.email, "PARTSTAT=NEEDS-ACTION")

    # The invitation comes by mail, too, and is answered in the mail.
    mailed = own.text().replace("BEGIN:VEVENT", "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT", 1)
    line = own.attendee(copy.email)
    answered = mailed.replace(line, line.replace("PARTSTAT=NEEDS-ACTION", "PARTSTAT=TENTATIVE"))
    copy.client.receive_objects_sync(component(f"{answered}END:VCALENDAR\r\n"), NONE, None)
    own.shows(copy.email, "PARTSTAT=TENTATIVE")

    # A move to another calendar: a new object there, and the old one is removed.
    elsewhere.add(copy.text())
    copy.remove()
    elsewhere.shows(copy.email, "PARTSTAT=TENTATIVE")
    copy.has()
    own.shows(copy.email, "PARTSTAT=TENTATIVE")

    own.remove()
    elsewhere.has("STATUS:CANCELLED")
    elsewhere.remove()
    elsewhere.has()


if __name__ == "__main__":
    run()
