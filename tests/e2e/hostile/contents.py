"""Calendar objects and cards as apps write them."""

from __future__ import annotations

_ZONE_LINES = (
    "BEGIN:VTIMEZONE",
    "TZID:Europe/Berlin",
    "BEGIN:DAYLIGHT",
    "TZOFFSETFROM:+0100",
    "RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU",
    "DTSTART:19810329T020000",
    "TZNAME:CEST",
    "TZOFFSETTO:+0200",
    "END:DAYLIGHT",
    "BEGIN:STANDARD",
    "TZOFFSETFROM:+0200",
    "RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU",
    "DTSTART:19961027T030000",
    "TZNAME:CET",
    "TZOFFSETTO:+0100",
    "END:STANDARD",
    "END:VTIMEZONE",
)


def _calendar(*lines: str) -> str:
    return "\r\n".join(("BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Test//App 1.0//EN", *lines, "END:VCALENDAR", ""))


def _component(kind: str, uid: str, *lines: str) -> tuple[str, ...]:
    return (f"BEGIN:{kind}", f"UID:{uid}", "DTSTAMP:20260101T000000Z", *lines, f"END:{kind}")


def _card(version: str, uid: str, *lines: str) -> str:
    return "\r\n".join(("BEGIN:VCARD", f"VERSION:{version}", f"UID:{uid}", *lines, "END:VCARD", ""))


ZONE = _calendar(*_ZONE_LINES)

_ALARM = ("BEGIN:VALARM", "ACTION:DISPLAY", "DESCRIPTION:Soon", "TRIGGER;RELATED=START:-PT15M", "END:VALARM")
_BERLIN = ("DTSTART;TZID=Europe/Berlin:20260302T090000", "DTEND;TZID=Europe/Berlin:20260302T100000")

CALENDARS = {
    "event": _calendar(*_component("VEVENT", "uid-0", "DTSTART:20260601T090000Z", "DTEND:20260601T100000Z",
    "SUMMARY:Talk")),
    "all-day event": _calendar(
        *_component("VEVENT", "uid-1", "DTSTART;VALUE=DATE:20260501", "DURATION:P2D", "SUMMARY:Fair",
                    "TRANSP:TRANSPARENT")
    ),
    "series": _calendar(
        *_ZONE_LINES,
        *_component(
            "VEVENT", "uid-2", *_BERLIN, "RRULE:FREQ=WEEKLY;BYDAY=MO,WE;UNTIL=20271231T080000Z;WKST=MO",
            "EXDATE;TZID=Europe/Berlin:20260309T090000,20260316T090000", "RDATE;TZID=Europe/Berlin:20260321T110000",
            "SUMMARY:Küche, Fenster\\; Tür", *_ALARM,
        ),
    ),
    "series with changes": _calendar(
        *_ZONE_LINES,
        *_component("VEVENT", "uid-3", *_BERLIN, "RRULE:FREQ=MONTHLY;BYDAY=2MO;COUNT=24", "SUMMARY:Board",
                    "SEQUENCE:2"),
        *_component(
            "VEVENT", "uid-3", "RECURRENCE-ID;TZID=Europe/Berlin:20260413T090000",
            "DTSTART;TZID=Europe/Berlin:20260414T093000", "DURATION:PT90M", "SUMMARY:Board, later",
        ),
    ),
    "meeting": _calendar(
        "CALSCALE:GREGORIAN",
        *_component(
            "VEVENT", "uid-4", "DTSTART:20260701T120000Z", "DURATION:PT1H", "SUMMARY:Planning", "LOCATION:Room 1",
            "ORGANIZER;CN=Ada;SCHEDULE-AGENT=CLIENT:mailto:ada@example.com",
            'ATTENDEE;CN="Bob, the second";CUTYPE=INDIVIDUAL;PARTSTAT=NEEDS-ACTION;RSVP=TRUE:mailto:bob@example.com',
            "ATTENDEE;CUTYPE=ROOM;PARTSTAT=ACCEPTED:mailto:room@example.com", "X-MICROSOFT-CDO-BUSYSTATUS:BUSY",
            "ATTACH;FMTTYPE=text/plain;ENCODING=BASE64;VALUE=BINARY:SGVsbG8=", "GEO:52.52;13.40", "PRIORITY:5",
            "CLASS:PUBLIC", "CATEGORIES:A,B\\,C", "STATUS:CONFIRMED", "URL:https://example.com/a?b=c&d",
            "X-APPLE-STRUCTURED-LOCATION;VALUE=URI;X-ADDRESS=Here;X-TITLE=\"A;B\":geo:52.52,13.40", *_ALARM,
        ),
    ),
    "task": _calendar(
        *_component(
            "VTODO", "uid-5", "DUE;VALUE=DATE:20260630", "DTSTART;VALUE=DATE:20260601", "PERCENT-COMPLETE:40",
            "STATUS:IN-PROCESS", "RELATED-TO;RELTYPE=PARENT:uid-0", "RRULE:FREQ=DAILY;INTERVAL=3", "SUMMARY:Paint",
        )
    ),
    "journal": _calendar(*_component("VJOURNAL", "uid-6", "DTSTART;VALUE=DATE:20260605", "DESCRIPTION:Long\\nday")),
    "availability": _calendar(
        *_component(
            "VAVAILABILITY", "uid-7", "BUSYTYPE:BUSY-UNAVAILABLE", "DTSTART:20260101T000000Z",
            *_component("AVAILABLE", "uid-8", *_BERLIN, "RRULE:FREQ=WEEKLY;BYDAY=MO,TU"),
        ),
        *_ZONE_LINES,
    ),
    "free-busy": _calendar(
        "METHOD:REQUEST",
        *_component(
            "VFREEBUSY", "uid-9", "DTSTART:20260601T000000Z", "DTEND:20260608T000000Z",
            "ORGANIZER:mailto:ada@example.com", "ATTENDEE:mailto:bob@example.com",
        ),
    ),
    "folded event": _calendar(
        *_component(
            "VEVENT", "uid-10", "DTSTART:20260801T090000", "DTEND:20260801T100000",
            "DESCRIPTION:A description that is long enough to be folded by every app th\r\n at folds at 75 octets\\, "
            "with more than one\r\n\tfold and ümlauts",
            "SUMMARY;LANGUAGE=de:Ferien",
        )
    ),
}  # fmt: skip
CARDS = {
    "plain": _card("3.0", "card-0", "FN:Cyrus Daboo", "N:Daboo;Cyrus;;;"),
    "full": _card(
        "3.0", "card-1", "FN:Zoë Müller", "N:Müller;Zoë;Anna,Maria;Dr.;MSc", "NICKNAME:Z", "ORG:Example;R&D",
        "item1.EMAIL;type=INTERNET;type=pref:zoe@example.com", "item1.X-ABLabel:_$!<Other>!$_", "TITLE:Head",
        "TEL;type=CELL;type=VOICE:+49 30 123456", "item2.ADR;type=WORK:;;Street 1;Berlin;;10115;Germany",
        "item2.X-ABADR:de", "BDAY;value=date:1980-02-29", "URL:http\\://example.com", "NOTE:Line 1\\nLine 2\\, more",
        "PHOTO;ENCODING=b;TYPE=JPEG:/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAP", "REV:2026-01-01T00:00:00Z",
        "X-ABUID:5\\:ABPerson", "CATEGORIES:Friends,Work", "X-SOCIALPROFILE;type=x:https://example.com/zoe",
    ),
    "group": _card(
        "3.0", "card-2", "FN:Friends", "N:Friends;;;;", "X-ADDRESSBOOKSERVER-KIND:group",
        "X-ADDRESSBOOKSERVER-MEMBER:urn:uuid:card-0", "X-ADDRESSBOOKSERVER-MEMBER:urn:uuid:card-1",
    ),
    "of version 4": _card(
        "4.0", "urn:uuid:03a0e51f-d1aa-4385-8a53-e29025acd8af", "KIND:individual", "FN;ALTID=1;LANGUAGE=en:Ann",
        "FN;ALTID=1;LANGUAGE=fr:Anne", "EMAIL;PREF=1;PID=1.1:ann@example.com", "GENDER:F", "LANG;PREF=1:fr",
        "TEL;VALUE=uri;TYPE=\"voice,home\":tel:+33-1-23-45-67-89;ext=5", "CLIENTPIDMAP:1;urn:uuid:53e374d9",
        "RELATED;TYPE=friend:urn:uuid:card-0", "ANNIVERSARY:--0203", "TZ:Europe/Paris",
    ),
    "folded": _card("3.0", "card-4",
    "FN:A very long name that somebody wanted to have in one line a\r\n nd that is folded", "N:L"),
}  # fmt: skip
