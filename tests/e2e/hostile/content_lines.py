"""Mutations of iCalendar and vCard texts, line by line and below."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from tests.e2e.hostile.message import Message

DATES = (
    "20260101", "20260101T000000Z", "20260101T000000", "20260230", "20261301T000000Z", "20260101T240000Z",
    "20260101T235960Z",
    "00000101", "00010101T000000Z", "18991231T235959Z", "99991231T235959Z", "99991231", "100000101", "-20260101",
    "2026-01-01",
    "20260101T", "T000000", "20260101t000000z", "20260101T000000+0100", "20260329T023000", "20261025T023000",
    "２０２６０１０１", "",
    "19700101T000000Z", "20380119T031408Z", "2026010", "20260101T000000ZZ",
)  # fmt: skip
DURATIONS = (
    "P1D", "PT1H", "-PT15M", "P", "PT", "P0D", "P1W", "P1Y", "P1M", "PT1H1D", "P1DT", "+P1D", "P99999999999999999999D",
    "-P9999W", "PT0S", "P1.5D", "1D", "PT86400S", "P3650000D", "-P3650000D", "p1d", "",
)  # fmt: skip
RULES = (
    "FREQ=DAILY", "FREQ=SECONDLY", "FREQ=SECONDLY;COUNT=1000000000", "FREQ=YEARLY;INTERVAL=0",
    "FREQ=YEARLY;INTERVAL=999999999",
    "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;BYDAY=MO", "FREQ=NEVER", "FREQ=",
    "COUNT=3",
    "FREQ=DAILY;COUNT=3;UNTIL=20270101T000000Z", "FREQ=DAILY;COUNT=0", "FREQ=DAILY;COUNT=-1",
    "FREQ=DAILY;UNTIL=20200101T000000Z",
    "FREQ=DAILY;UNTIL=nothing", "FREQ=DAILY;BYDAY=XX", "FREQ=MONTHLY;BYDAY=6MO", "FREQ=YEARLY;BYDAY=54MO",
    "FREQ=DAILY;BYHOUR=24",
    "FREQ=WEEKLY;BYDAY=" + ",".join(["MO"] * 2000), "FREQ=DAILY;BYSETPOS=1", "FREQ=MONTHLY;BYDAY=MO;BYSETPOS=-1",
    "FREQ=DAILY;FREQ=DAILY",
    "FREQ=MINUTELY;BYSECOND=" + ",".join(map(str, range(60))),
    "FREQ=YEARLY;BYYEARDAY=" + ",".join(map(str, range(1, 367))),
    "FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=31", "FREQ=HOURLY;BYHOUR=3;BYMINUTE=61", "FREQ=YEARLY;BYWEEKNO=53;BYDAY=SU",
    "RSCALE=CHINESE;FREQ=YEARLY;SKIP=OMIT",
    "FREQ=DAILY;X-A=1", "FREQ=DAILY;;", "freq=daily;count=3", "FREQ=DAILY;INTERVAL=1e3", "FREQ=DAILY;WKST=XX",
    "FREQ=MINUTELY;INTERVAL=1439;BYHOUR=25",
    "FREQ=SECONDLY;BYHOUR=0;BYMINUTE=0;BYSECOND=0;BYMONTH=2;BYMONTHDAY=29;BYDAY=MO;BYYEARDAY=366",
    "FREQ=DAILY;COUNT=99999999999999999999",
)  # fmt: skip
TEXTS = (
    "", " ", "a", "a;b,c", "a\\", "\\n", "\\x", "a:b", '"', "^n^'", "ü", "𝒳" * 30, "\u202e", "\u0085", "\u2028",
    "x" * 76, "x" * 5000,
    "%s", "<b>", "&amp;", "mailto:", "mailto:a@b", "MAILTO:A@B", "http://[", "urn:uuid:", "TRUE", "FALSE", "maybe",
    "1", "-1", "1.5", "NaN",
    "101", "99999999999999999999", "12.3;400", "0;0;0", "SGVsbG8=", "!!!!", "BEGIN:VEVENT", "/etc/passwd",
    "{victim_calendar}",
)  # fmt: skip
ADDRESSES = (
    *(f"/principals/users/attacker{number}/" for number in range(8)), "{principal}", "mailto:a@example.com",
    "MAILTO:A@example.com?x=1", "mailto:", "", " ", "%00", "mailto:%00@x", "mailto:%ff%zz@x", "urn:uuid:", "urn:x-uid:",
    "urn:x-uid:" + "a" * 5000, "/principals/", "/principals/users/", "/principals/__uids__/%2e%2e/", "http://[/",
    "mailto:" + "a," * 500, "tel:1", "𝒳@x", "mailto:ü@ü", "/principals/users/%00/", "a@b@c", "mailto:<a@b>",
)  # fmt: skip
SCHEDULING = (
    "PARTSTAT=ACCEPTED", "PARTSTAT=", "PARTSTAT=X", "PARTSTAT=ACCEPTED,DECLINED", "RSVP=TRUE", "ROLE=CHAIR",
    "CUTYPE=GROUP",
    "SCHEDULE-AGENT=SERVER", "SCHEDULE-AGENT=CLIENT", "SCHEDULE-AGENT=none", "SCHEDULE-AGENT=", "SCHEDULE-AGENT=X",
    "SCHEDULE-FORCE-SEND=REQUEST", "SCHEDULE-FORCE-SEND=REPLY", "SCHEDULE-FORCE-SEND=X", "SCHEDULE-STATUS=1.2",
    'SCHEDULE-STATUS="1.2,x"', 'DELEGATED-TO="/principals/users/attacker1/"', 'DELEGATED-FROM="{principal}"',
    'DELEGATED-TO="' + '","'.join(["mailto:a@b"] * 300) + '"', 'MEMBER="{principal}"', 'SENT-BY="mailto:%00@x"',
    "EMAIL=%00", "CN=^n^'", 'CN="a;b:c"', "X-CALENDARSERVER-DTSTAMP=x", "X-A=1;X-A=2",
)  # fmt: skip
OFFSETS = ("+0000", "-0000", "+2400", "-9999", "+01", "+010203", "0100", "+0100Z", "+9959", "", "-1200", "+1400")
PROPERTIES = [
    "DTSTART",
    "DTEND",
    "DUE",
    "DURATION",
    "RRULE",
    "RDATE",
    "EXDATE",
    "EXRULE",
    "RECURRENCE-ID",
    "UID",
    "SUMMARY",
    "DESCRIPTION",
    "ATTENDEE",
    "ORGANIZER",
    "STATUS",
    "TRANSP",
    "CLASS",
    "PRIORITY",
    "SEQUENCE",
    "DTSTAMP",
    "CREATED",
    "LAST-MODIFIED",
    "COMPLETED",
    "PERCENT-COMPLETE",
    "GEO",
    "ATTACH",
    "CATEGORIES",
    "URL",
    "TRIGGER",
    "ACTION",
    "REPEAT",
    "TZID",
    "TZOFFSETFROM",
    "TZOFFSETTO",
    "TZNAME",
    "TZURL",
    "METHOD",
    "VERSION",
    "PRODID",
    "CALSCALE",
    "FREEBUSY",
    "BUSYTYPE",
    "RELATED-TO",
    "REQUEST-STATUS",
    "X-ODD",
    "NAME",
    "COLOR",
    "IMAGE",
    "BEGIN",
    "END",
    "FN",
    "N",
    "TEL",
    "EMAIL",
    "ADR",
    "ORG",
    "PHOTO",
    "BDAY",
    "REV",
    "NOTE",
    "KEY",
    "KIND",
    "MEMBER",
    "CATEGORIES",
    "NICKNAME",
    "item1.X-ABLABEL",
]
PARAMETERS = (
    "VALUE=DATE", "VALUE=DATE-TIME", "VALUE=PERIOD", "VALUE=DURATION", "VALUE=TEXT", "VALUE=NOTHING", "VALUE=",
    "VALUE", "TZID=Europe/Berlin",
    "TZID=Nowhere/At All", "TZID=", "TZID=W. Europe Standard Time", "TZID=/example.org/X/Europe/Berlin",
    "TZID=" + "z" * 3000, 'TZID="A;B"', "TZID=../../etc/passwd",
    "ENCODING=BASE64", "ENCODING=QUOTED-PRINTABLE", "ENCODING=8BIT", "CHARSET=UTF-7", "RANGE=THISANDFUTURE",
    "RANGE=THISANDPRIOR", "RELATED=END",
    'CN="unclosed', 'CN="a"b', "CN=a:b", "X-A=^n^^^'", "X=" + "p" * 9000, "=x", ";", "TYPE=a,b,,c", "PARTSTAT=ODD",
    "SCHEDULE-AGENT=SERVER", "TYPE=PREF;TYPE=PREF",
    'ALTREP="cid:x"', "LANGUAGE=de", "FBTYPE=ODD", "X-Ä=1", "VALUE=DATE;VALUE=PERIOD",
    "MEMBER=\"mailto:a\",\"mailto:b\"", "\x01=1", "A=\x7f",
)  # fmt: skip
KINDS = [
    "VEVENT",
    "VTODO",
    "VJOURNAL",
    "VFREEBUSY",
    "VTIMEZONE",
    "STANDARD",
    "DAYLIGHT",
    "VALARM",
    "VAVAILABILITY",
    "AVAILABLE",
    "VCALENDAR",
    "VCARD",
    "X-ODD",
    "vevent",
]
_PERIODS = (
    "20260101T000000Z/PT1H",
    "20260101T000000Z/20260102T000000Z",
    "20260102T000000Z/20260101T000000Z",
    "/",
    "20260101/P1D",
)

_DATED = ("DT", "RDATE", "EXDATE", "RECUR", "DUE", "BDAY", "REV")

_LARGE = 200_000
"""Bytes of a text that is large enough."""

LineMutation = Callable[[list[bytes], Random], None]


def _at(lines: list[bytes], chance: Random) -> int:
    """Some line between the first and the last."""
    return chance.randrange(1, max(2, len(lines) - 1)) if len(lines) > 1 else 0


def _value(name: str, chance: Random) -> str:
    """Something that is, or nearly is, or by no means is a value of a property."""
    pools: tuple[tuple[str, ...], ...] = (DATES, DURATIONS, RULES, TEXTS, OFFSETS, _PERIODS)
    fitting = {
        "RRULE": RULES, "EXRULE": RULES, "DURATION": DURATIONS, "TRIGGER": DURATIONS, "TZOFFSETTO": OFFSETS,
        "TZOFFSETFROM": OFFSETS,
        "FREEBUSY": _PERIODS,
    }.get(name, DATES if name.startswith(_DATED) else TEXTS)  # fmt: skip
    return chance.choice(fitting if chance.random() < 0.7 else chance.choice(pools))


def _property(chance: Random) -> bytes:
    name = chance.choice(PROPERTIES)
    parameter = ";" + chance.choice(PARAMETERS) if chance.random() < 0.3 else ""
    return f"{name}{parameter}:{_value(name, chance)}".encode()


def drop_line(lines: list[bytes], chance: Random) -> None:
    if lines:
        del lines[chance.randrange(len(lines))]


def repeat_line(lines: list[bytes], chance: Random) -> None:
    at = _at(lines, chance)
    if lines:
        lines[at:at] = [lines[at]] * chance.choice((1, 1, 2, 10, 300))


def swap_lines(lines: list[bytes], chance: Random) -> None:
    if len(lines) > 2:
        a, b = _at(lines, chance), _at(lines, chance)
        lines[a], lines[b] = lines[b], lines[a]


def add_property(lines: list[bytes], chance: Random) -> None:
    lines.insert(_at(lines, chance), _property(chance))


def other_value(lines: list[bytes], chance: Random) -> None:
    """A value of the wrong type."""
    at = _at(lines, chance)
    if lines:
        head, _, _ = lines[at].partition(b":")
        name = head.partition(b";")[0].decode("ascii", "replace").upper()
        lines[at] = head + b":" + _value(name, chance).encode()


def other_name(lines: list[bytes], chance: Random) -> None:
    at = _at(lines, chance)
    if lines:
        _, colon, value = lines[at].partition(b":")
        odd = (
            b"",
            b" ",
            b"X",
            b"dtstart",
            b"A B",
            b"\xc3\xa4",
            b"A" * 3000,
            b"item1.item2.FN",
            b".",
            b"group.DTSTART",
            b"X_Y",
            b"A\tB",
        )
        name = chance.choice(PROPERTIES).encode() if chance.random() < 0.6 else chance.choice(odd)
        lines[at] = name + colon + value


def parameter(lines: list[bytes], chance: Random) -> None:
    at = _at(lines, chance)
    if lines:
        head, colon, value = lines[at].partition(b":")
        if b";" in head and chance.random() < 0.4:
            lines[at] = head.partition(b";")[0] + colon + value
        else:
            times = chance.choice((1, 1, 1, 2, 200))
            lines[at] = head + (";" + chance.choice(PARAMETERS)).encode() * times + colon + value


def no_colon(lines: list[bytes], chance: Random) -> None:
    at = _at(lines, chance)
    if lines:
        lines[at] = lines[at].replace(b":", chance.choice((b"", b";", b"=", b"::", b" :")), 1)


def nest(lines: list[bytes], chance: Random) -> None:
    kind = chance.choice(KINDS).encode()
    depth = chance.choice((1, 1, 2, 5, 40, 400))
    a = _at(lines, chance)
    b = chance.randint(a, len(lines))
    lines[b:b] = [b"END:" + kind] * (depth if chance.random() < 0.8 else depth - 1)
    lines[a:a] = [b"BEGIN:" + kind] * depth


def other_component(lines: list[bytes], chance: Random) -> None:
    """A component of another kind, in one of its ends or in both."""
    found = [n for n, line in enumerate(lines) if line.startswith((b"BEGIN:", b"END:"))]
    if found:
        at = chance.choice(found)
        old, new = lines[at].partition(b":")[2], chance.choice(KINDS).encode()
        for n in found if chance.random() < 0.6 else [at]:
            if lines[n].endswith(b":" + old):
                lines[n] = lines[n].partition(b":")[0] + b":" + new


def repeat_component(lines: list[bytes], chance: Random) -> None:
    begins = [n for n, line in enumerate(lines) if line.startswith(b"BEGIN:")]
    if begins:
        start = chance.choice(begins)
        end = (
            lines.index(b"END:" + lines[start][6:], start) + 1
            if b"END:" + lines[start][6:] in lines[start:]
            else len(lines)
        )
        times = chance.choice((1, 1, 2, 5, 60))
        lines[end:end] = lines[start:end] * times


def many_instances(lines: list[bytes], chance: Random) -> None:
    """Changed instances, dates, attendees, alarms: many of what there may be many of."""
    count = chance.choice((3, 50, 400))
    what = chance.choice(
        (
            [b"RDATE:" + b",".join(b"2026%02d%02dT%02d0000Z" % (1 + n % 12, 1 + n % 28, n % 24) for n in range(count))],
            [b"EXDATE:2026%02d%02dT090000Z" % (1 + n % 12, 1 + n % 28) for n in range(count)],
            [b"ATTENDEE:mailto:a%d@example.com" % n for n in range(count)],
            [b"BEGIN:VALARM", b"ACTION:DISPLAY", b"TRIGGER:-PT1M", b"DESCRIPTION:x", b"END:VALARM"] * count,
            [b"CATEGORIES:" + b",".join([b"c"] * count * 20)],
            [b"X-%d:1" % n for n in range(count)],
        )
    )
    at = _at(lines, chance)
    lines[at:at] = what


def meeting(lines: list[bytes], chance: Random) -> None:
    """A meeting of the sender or somebody else, with people here, elsewhere and nowhere."""
    if chance.random() < 0.8:
        lines[:] = [line for line in lines if not line.startswith((b"ORGANIZER", b"ATTENDEE"))]
    organizer = chance.choice(("{principal}", "{principal}", "{principal}", *ADDRESSES))
    for at in [n for n, line in enumerate(lines) if line in (b"BEGIN:VEVENT", b"BEGIN:VTODO")][::-1]:
        if chance.random() < 0.1:
            organizer = chance.choice(ADDRESSES)
        count = chance.choice((0, 1, 2, 8, 8, 60))
        people = [f"ATTENDEE{_scheduling(chance)}:{chance.choice(ADDRESSES)}" for _ in range(count)]
        lines[at + 1 : at + 1] = [line.encode() for line in (f"ORGANIZER{_scheduling(chance)}:{organizer}", *people)]


def _scheduling(chance: Random) -> str:
    """Parameters of people."""
    return "".join(f";{chance.choice(SCHEDULING)}" for _ in range(chance.choice((0, 0, 1, 1, 2, 5, 40))))


def zone(lines: list[bytes], chance: Random) -> None:
    """A zone of its own, with rules that may make no sense."""
    names = ("Europe/Berlin", "Custom", "W. Europe Standard Time", "", "Ä", "x" * 2000, "UTC", "America/New_York\t")
    made = ["BEGIN:VTIMEZONE", f"TZID:{chance.choice(names)}"]
    for _ in range(chance.choice((0, 1, 2, 2, 60))):
        kind = chance.choice(("STANDARD", "DAYLIGHT", "STANDARD", "VEVENT"))
        made += [f"BEGIN:{kind}", f"DTSTART:{chance.choice(DATES)}", f"TZOFFSETFROM:{chance.choice(OFFSETS)}"]
        made += [f"TZOFFSETTO:{chance.choice(OFFSETS)}", f"RRULE:{chance.choice(RULES)}", f"END:{kind}"]
    made.append("END:VTIMEZONE")
    at = chance.choice((3, 3, _at(lines, chance)))
    lines[at:at] = [line.encode() for line in made]
    if chance.random() < 0.7:
        lines[:] = [line.replace(b"TZID=Europe/Berlin", b"TZID=" + made[1][5:].encode()) for line in lines]


LINES: dict[str, LineMutation] = {
    each.__name__: each
    for each in (
        drop_line, repeat_line, swap_lines, add_property, other_value, other_name, parameter, no_colon, nest,
        other_component,
        repeat_component, many_instances, meeting, zone,
    )
}  # fmt: skip


def mutate_lines(message: Message, chance: Random, mutation: LineMutation) -> None:
    if len(message.body) > _LARGE:
        return
    lines = message.body.split(b"\r\n")
    mutation(lines, chance)
    message.body = b"\r\n".join(lines)


# -- below the lines ---------------------------------------------------------------------------------------------------


def folding(message: Message, chance: Random) -> None:
    """Folds where none should be: in names, between the bytes of a character, before nothing, and without end."""
    body = message.body
    for _ in range(chance.choice((1, 1, 5, 50))):
        at = chance.randint(0, len(body))
        fold = chance.choice(
            (b"\r\n ", b"\r\n\t", b"\n ", b"\r ", b"\r\n  ", b"\r\n\r\n ", b"\r\n \r\n ", b"\r\n\xc2\xa0", b"\r\n \r\n")
        )
        body = body[:at] + fold + body[at:]
    if chance.random() < 0.05 and len(body) < _LARGE:
        body = b"\r\n ".join(bytes((byte,)) for byte in body)
    message.body = body


def line_ends(message: Message, chance: Random) -> None:
    ends = (b"\n", b"\r", b"\r\r\n", b"\n\r", b"\r\n\r\n", b"", b"\x0b", b"\x0c", b"\xc2\x85", b"\xe2\x80\xa8", b"\0")
    message.body = message.body.replace(b"\r\n", chance.choice(ends), chance.choice((1, -1)))


def damage(message: Message, chance: Random) -> None:
    """Bytes that are no UTF-8 or no characters of a text."""
    odd = (
        b"\0", b"\xff", b"\xfe\xff", b"\x80", b"\xc3", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80",
        b"\xf8\x88\x80\x80\x80", b"\x1b[31m",
        b"\x08", b"\x7f", b"\xef\xbb\xbf", b"\xef\xbf\xbe", b"\xe2\x80\xae", b"\x01" * 100,
    )  # fmt: skip
    for _ in range(chance.choice((1, 1, 3, 30))):
        at = chance.randint(0, len(message.body))
        message.body = message.body[:at] + chance.choice(odd) + message.body[at:]


def encoding(message: Message, chance: Random) -> None:
    codec = chance.choice(("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig", "latin-1", "utf-7", "cp037"))
    message.body = message.body.decode("utf-8", "replace").encode(codec, "replace")


def truncation(message: Message, chance: Random) -> None:
    at = chance.randint(0, len(message.body))
    message.body = chance.choice(
        (message.body[:at], message.body[at:], message.body + message.body[:at], message.body * 2, b"")
    )


def byte_changes(message: Message, chance: Random) -> None:
    """What is not told apart by any schema: bytes changed, doubled, swapped or left out."""
    data = bytearray(message.body)
    for _ in range(chance.randint(1, 6)):
        at, length = chance.randint(0, len(data)), chance.randint(0, 40)
        kind = chance.randrange(4)
        if kind == 0:
            del data[at : at + length]
        elif kind == 1:
            data[at:at] = chance.choice(
                (b"\0", b"\xff", b"<", b"&", b"]]>", b"\r\n", b'"', b"/>", b"%", b":", b";", b"'", b"\\", b"{", b"(")
            )
        elif kind == 2:
            data[at : at + length] = chance.randbytes(chance.randint(0, 20))
        else:
            data[at:at] = data[at : at + length] * chance.randint(1, 30)
    message.body = bytes(data)


def huge(message: Message, chance: Random) -> None:
    size = chance.choice((20_000, 100_000, 1_000_000, 11_000_000)) if chance.random() < 0.2 else 6_000
    piece = chance.choice(
        (b"x", b"\r\n x", b"\r\nX-A:1", b"\xc3\xa4", b"a,", b"\\n", b";", b"\r\n ", b"\r\n", b"BEGIN:VEVENT\r\n", b"^n")
    )
    at = chance.randint(0, len(message.body))
    message.body = message.body[:at] + piece * (size // len(piece)) + message.body[at:]


TEXT = {each.__name__: each for each in (folding, line_ends, damage, encoding, truncation, huge)}
