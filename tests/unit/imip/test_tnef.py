"""Meetings in TNEF (winmail.dat): mails by a writer of our own (`tnef_writer`), and what they are in iCalendar."""

from __future__ import annotations

import contextlib
import random
import struct
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.calendar.calendar_object import read_calendar_object
from server.domain.errors import InvalidCalendarData, InvalidData, ResourceTooLarge
from server.domain.limits import Limits
from server.imip.html_text import text_of_html
from server.imip.mail import addresses_in, read_mail
from server.imip.mapi import MAX_PROPERTIES, Tag
from server.imip.octets import Octets
from server.imip.outlook_meeting import Addressed, calendar_of, is_meeting
from server.imip.outlook_recurrence import read_recurrence
from server.imip.outlook_zones import zone_of_definition, zone_of_structure
from server.imip.parsing import messages_in
from server.imip.tnef import MAX_RECIPIENTS, read_tnef
from server.itip.calendar_users import Directory
from server.itip.message_text import read_message
from server.itip.scheduling_object import SchedulingObject, read_object
from tests.unit.imip.tnef_kinds import (
    CALENDARS,
    EXCHANGE,
    KINDS,
    MAILS,
    appointment,
    at,
    basic,
    mail_with,
    mails,
    meeting,
    recurring,
    request,
)
from tests.unit.imip.tnef_writer import BERLIN, Changed, Old, global_id, properties, series, stream, zone_definition

CLARA = Directory().user("mailto:clara@example.com")
FROM_DORA = Addressed("dora@contoso.example", (("Clara", "clara@example.com"),))
WITH_MEETING = [name for name in KINDS if name != "tnef-no-meeting"]
BEGIN, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2036, 1, 1, tzinfo=UTC)


def calendar(data: bytes, addressed: Addressed = FROM_DORA) -> SchedulingObject:
    return read_object(calendar_of(read_tnef(data), addressed))


def starts(value: SchedulingObject, most: int = 12) -> list[datetime]:
    """The local starts in Berlin of the first instances of a series, those that are modified included."""
    assert value.series is not None
    found = []
    for instance in value.series.instances(BEGIN, END):
        if len(found) == most:
            break
        found.append(instance.start.local)
    return found


@pytest.mark.parametrize(("name", "data"), list(mails()), ids=list(KINDS))
def test_the_files_are_what_the_writer_writes_and_the_reader_reads(name: str, data: bytes) -> None:
    assert (MAILS / f"{name}.eml").read_bytes() == data
    found = messages_in(read_mail(data))
    assert not found.problems
    assert "".join(found.messages) == (CALENDARS / f"{name}.ics").read_bytes().decode()


@pytest.mark.parametrize("name", WITH_MEETING)
def test_what_is_read_is_a_message_and_a_calendar_object(name: str) -> None:
    (text,) = messages_in(read_mail((MAILS / f"{name}.eml").read_bytes())).messages
    sender = Directory().user("mailto:dora@contoso.example")
    message = read_message(text, sender, CLARA)
    assert message.object.name == "VEVENT"
    read_calendar_object(text.replace(f"METHOD:{message.method}\r\n", "").encode(), Limits())


def test_files_of_no_mail_are_gone() -> None:
    assert {path.stem for path in CALENDARS.iterdir()} == set(KINDS)
    assert {path.stem for path in MAILS.glob("tnef-*")} == set(KINDS)


# -- series --------------------------------------------------------------------------------------------------------


def test_deleted_and_modified_instances() -> None:
    value = calendar(KINDS["tnef-weekly"][1])
    # Every second week on Monday and Wednesday, without 4 and 16 March; 18 and 30 March are modified.
    assert starts(value, 5) == [at(2), at(18), at(30), at(1, 10, 4), at(13, 10, 4)]
    moved, whole = (each for each in value.components if each.value("RECURRENCE-ID"))
    assert (moved.value("SUMMARY"), moved.value("LOCATION")) == ("Planning\\, later", "Küche")
    assert whole.value("DTSTART") == "20260331"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("tnef-daily", [at(day) for day in range(2, 21, 2)]),
        ("tnef-working-days", [at(day) for day in range(2, 32) if at(day).weekday() < 5]),
        (
            "tnef-monthly",
            [at(30), at(30, 10, 4), at(30, 10, 5), at(30, 10, 6), at(30, 10, 7), at(30, 10, 8)],
        ),
        ("tnef-monthly-end", [at(31), at(30, 10, 6), at(30, 10, 9), at(31, 10, 12)]),
        ("tnef-monthly-nth", [at(2), at(4, 10, 5), at(6, 10, 7), at(7, 10, 9), at(2, 10, 11)]),
        ("tnef-monthly-last-working-day", [at(31), at(30, 10, 4), at(29, 10, 5), at(30, 10, 6)]),
        ("tnef-yearly", [at(2), datetime(2027, 3, 2, 10), datetime(2028, 3, 2, 10)]),
        ("tnef-yearly-nth", [at(2)]),
    ],
)
def test_the_instances_of_a_series(name: str, expected: list[datetime]) -> None:
    value = calendar(KINDS[name][1])
    found = starts(value, len(expected) + 1)
    master = value.master
    assert master is not None
    ends = "COUNT" in (master.value("RRULE") or "") or "UNTIL" in (master.value("RRULE") or "")
    assert (found if ends else found[: len(expected)]) == expected


@pytest.mark.parametrize(("day", "in_february"), [(29, 28), (30, 28), (31, 28), (28, 28)])
def test_a_short_month_has_its_last_day(day: int, in_february: int) -> None:
    first = datetime(2026, 1, day, 10)
    blob = series(first, first + timedelta(hours=1), 0x200C, 2, 1, (day,))
    assert starts(calendar(recurring(blob)), 2) == [first, datetime(2026, 2, in_february, 10)]


@settings(max_examples=80)
@given(
    mask=st.integers(1, 127),
    weeks=st.integers(1, 4),
    first_weekday=st.integers(0, 6),
    gone=st.sets(st.integers(0, 9), max_size=5),
    hour=st.integers(0, 22),
)
def test_weekly_series_have_the_instances_of_outlook(
    mask: int, weeks: int, first_weekday: int, gone: set[int], hour: int
) -> None:
    def is_on(day: datetime) -> bool:
        return bool(mask >> day.isoweekday() % 7 & 1)

    day = at(2, hour)
    while not is_on(day):
        day += timedelta(days=1)
    begin = day - timedelta(days=(day.isoweekday() - first_weekday) % 7)
    expected = [
        each
        for each in (day + timedelta(days=number) for number in range(400))
        if is_on(each) and (each - begin).days // 7 % weeks == 0
    ][:10]
    blob = series(
        day,
        day + timedelta(minutes=50),
        0x200B,
        1,
        weeks,
        (mask,),
        count=10,
        first_weekday=first_weekday,
        deleted=[expected[number].replace(hour=0) for number in gone],
    )
    assert starts(calendar(recurring(blob))) == [each for number, each in enumerate(expected) if number not in gone]


@pytest.mark.parametrize(
    "blob",
    [
        series(at(2), at(3), 0x200A, 0, 100),  # no whole days
        series(at(2), at(3), 0x200A, 0, 0),
        series(at(2), at(3), 0x200B, 1, 1, (0,)),
        series(at(2), at(3), 0x200B, 0, 1),
        series(at(2), at(3), 0x200C, 3, 1, (2, 6)),
        series(at(2), at(3), 0x200C, 2, 1, (32,)),
        series(at(2), at(3), 0x200C, 10, 1, (2,), calendar=6),  # a Hijri one
        series(at(2), at(3), 0x200D, 2, 7, (2,)),
        series(at(2), at(3), 0x200A, 0, 1440, count=0),
        series(at(2), at(2, 9), 0x200A, 0, 1440),
        series(at(2), at(3), 0x200A, 0, 1440)[:-30],
        series(at(2), at(3), 0x3000, 0, 1440),
        b"",
    ],
)
def test_a_recurrence_that_has_no_rule_is_refused(blob: bytes) -> None:
    with pytest.raises(InvalidCalendarData):
        read_recurrence(blob, "")


def test_a_series_without_a_zone_is_refused() -> None:
    blob = series(at(2), at(2, 11), 0x200A, 0, 1440)
    with pytest.raises(InvalidCalendarData, match="no time zone"):
        calendar(request({appointment(0x8216): blob, appointment(0x825E): b""}))


# -- identity, zones, people, texts --------------------------------------------------------------------------------


def test_all_messages_of_a_meeting_have_its_uid() -> None:
    uids = {calendar(KINDS[name][1]).uid for name in ("tnef-request", "tnef-instance", "tnef-instance-cancelled")}
    assert uids == {global_id(EXCHANGE).hex().upper()}


@pytest.mark.parametrize("identity", [b"", global_id(EXCHANGE)[:30], b"\x05" + global_id(EXCHANGE)[1:]])
def test_a_meeting_without_identity_is_refused(identity: bytes) -> None:
    with pytest.raises(InvalidCalendarData, match="global object id"):
        calendar(request({meeting(0x0003): identity}))


def test_an_instance_is_named_by_the_date_alone_where_nothing_else_is_said() -> None:
    value = calendar(request({meeting(0x0003): global_id(EXCHANGE, at(9))}))
    assert value.components[0].value("RECURRENCE-ID") == "20260309T100000"


def test_the_rule_that_holds_is_that_of_the_zone() -> None:
    rules = [(0, 2000, 0, -60, (10, 0, 5, 2), (3, 0, 5, 1)), (2, 2010, -60, -60, (10, 0, 5, 3), (3, 0, 5, 2))]
    found = zone_of_definition(zone_definition("", [*rules, (0, 2020, -120, 0, None, None)]))
    assert (found.tzid, found.zone.to_local(datetime(2026, 7, 1, tzinfo=UTC)).hour) == ("UTC+0100", 2)


@pytest.mark.parametrize(
    "data", [zone_definition("x", []), BERLIN[:40], zone_definition("x", [(2, 0, 1440, 0, None, None)])]
)
def test_a_zone_that_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidCalendarData):
        zone_of_definition(data)


@pytest.mark.parametrize("onset", [(13, 0, 1, 2), (3, 7, 1, 2), (3, 0, 6, 2), (3, 0, 1, 24)])
def test_an_onset_that_is_none_is_refused(onset: tuple[int, int, int, int]) -> None:
    month, weekday, week, hour = onset
    systemtime = struct.pack("<8H", 0, month, weekday, week, hour, 0, 0, 0)
    with pytest.raises(InvalidCalendarData):
        zone_of_structure(struct.pack("<iiiH", 0, 0, -60, 0) + systemtime + bytes(18), "x")


def test_who_has_no_mail_address_is_found_in_the_header() -> None:
    row = {0x0C15: 1, 0x3001: "Clara", 0x3002: "EX", 0x3003: "/O=X/CN=CLARA"}
    value = calendar(request({}, recipients=[row]))
    (attendee,) = value.components[0].all("ATTENDEE")
    assert attendee.value == "mailto:clara@example.com"


def test_a_message_without_anybody_is_refused() -> None:
    data = request({0x0065: "/O=X/CN=DORA", 0x0064: "EX"}, recipients=[])
    with pytest.raises(InvalidCalendarData, match="no sender"):
        calendar(data, Addressed(None))


def test_nothing_in_a_text_begins_a_line_of_its_own() -> None:
    evil = "x\r\nATTENDEE:mailto:evil@example.com\x00\x07\n\u2028END:VEVENT"
    row = {0x0C15: 1, 0x3001: f'"{evil}', 0x3002: "SMTP", 0x3003: "clara@example.com"}
    value = calendar(request({0x0042: evil, appointment(0x8208): evil}, evil, subject=evil, recipients=[row]))
    (component,) = value.components
    assert [line.value for line in component.all("ATTENDEE")] == ["mailto:clara@example.com"]


def test_texts_in_a_code_page() -> None:
    value = calendar(stream("IPM.Microsoft Schedule.MtgReq", {**basic(), 0x0037: Old("会議", "cp932")}, codepage=932))
    assert value.components[0].value("SUMMARY") == "会議"


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>One</p><p>Two<br>Three</p>", "One\n\nTwo\nThree"),
        ("a&nbsp;&lt;b&gt;", "a <b>"),
        ("<script>alert('<p>')</script>x<style>p{}</style>y", "xy"),
        ("a<!-- <p>b</p> -->c", "ac"),
        ("a <b", "a"),
        ("<script>a", ""),
        ("", ""),
    ],
)
def test_the_words_of_html(html: str, text: str) -> None:
    assert text_of_html(html) == text


@pytest.mark.parametrize("piece", ["<", "<!--", "<p", "<script>", "&", "<p>", "</style", ">"])
def test_long_html_is_read_in_no_time(piece: str) -> None:
    text_of_html(piece * 200_000)


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("a@x.example, B <b@x.example>", (("", "a@x.example"), ("B", "b@x.example"))),
        ('"Berger, \\"D\\" " <d@x.example>', (('Berger, "D" ', "d@x.example"),)),
        ("=?utf-8?q?D=C3=B6ra?= <d@x.example>, nobody", (("Döra", "d@x.example"),)),
        ("=?utf-8?b?a?= <d@x.example>", (("=?utf-8?b?a?=", "d@x.example"),)),
        ("", ()),
    ],
)
def test_a_field_with_many_addresses(written: str, found: tuple[tuple[str, str], ...]) -> None:
    assert addresses_in(written) == found


@pytest.mark.parametrize("piece", ['"', "(", "<", ",", "a,", "=?", '\\"', '"\\'])
def test_long_fields_of_addresses_are_read_in_no_time(piece: str) -> None:
    assert addresses_in(piece * 100_000) == ()


@pytest.mark.parametrize("all_day", [True, False])
def test_an_instance_that_takes_no_time_has_no_end(all_day: bool) -> None:
    moved = Changed(at(3), at(4, 0), at(4, 0), all_day=all_day)
    blob = series(at(2), at(2, 11), 0x200A, 0, 1440, count=5, changed=[moved])
    text = calendar(recurring(blob)).text
    assert text.count("DTEND") == 1, "of the series alone"
    read_calendar_object(text.replace("METHOD:REQUEST\r\n", "").encode(), Limits())


# -- the calendar beside it ----------------------------------------------------------------------------------------


def test_a_calendar_in_the_same_mail_counts_alone() -> None:
    text = (CALENDARS / "tnef-accepted.ics").read_text().replace("SEQUENCE:1", "SEQUENCE:2")
    part = f"--x\r\nContent-Type: text/calendar; method=REPLY\r\n\r\n{text}\r\n--x--\r\n".encode()
    data = (MAILS / "tnef-accepted.eml").read_bytes().replace(b"--x--\r\n", part)
    (message,) = messages_in(read_mail(data)).messages
    assert "SEQUENCE:2" in message


def test_a_broken_stream_is_told() -> None:
    data = KINDS["tnef-request"][1]
    found = messages_in(read_mail(mail_with(data[: len(data) // 2], "nothing", "x")))
    assert (found.messages, len(found.problems)) == ((), 1)


# -- hostile input -------------------------------------------------------------------------------------------------


def survives(data: bytes) -> None:
    """Read a stream; what is wrong with it is told as what it is."""
    with contextlib.suppress(InvalidData, ResourceTooLarge):
        message = read_tnef(data)
        if is_meeting(message):
            read_object(calendar_of(message, FROM_DORA))


def changed(chance: random.Random, data: bytes) -> bytes:
    """A stream in which octets, numbers or pieces are changed, doubled or lost."""
    made = bytearray(data)
    for _ in range(chance.randint(1, 5)):
        place = chance.randrange(len(made) + 1)
        match chance.randrange(5):
            case 0:
                made[place : place + 1] = bytes([chance.randrange(256)])
            case 1:
                made[place : place + 4] = struct.pack("<I", chance.choice([0, 1, 2**16, 2**31, 2**32 - 1]))
            case 2:
                del made[place : place + chance.randint(1, 40)]
            case 3:
                made[place:place] = made[place : place + chance.randint(1, 40)]
            case _:
                del made[place:]
                made = made or bytearray(b"\0")
    return bytes(made)


def test_mutated_streams_raise_no_other_error() -> None:
    chance = random.Random(0x223E9F78)
    streams = [data for _, data in KINDS.values()]
    for _ in range(4000):
        survives(changed(chance, chance.choice(streams)))


@settings(max_examples=300)
@given(data=st.binary(max_size=400), kind=st.sampled_from([0x8216, 0x8233, 0x825E, 0x820D]))
def test_any_bytes_are_a_property(data: bytes, kind: int) -> None:
    survives(request({appointment(kind): data}))
    survives(request({meeting(0x0003): global_id(data)}))
    survives(struct.pack("<IH", 0x223E9F78, 1) + data)
    for read in (lambda: read_recurrence(data, ""), lambda: zone_of_structure(data, "")):
        with contextlib.suppress(InvalidData, ResourceTooLarge):
            read()


@settings(max_examples=200)
@given(changes=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=8))
def test_any_changed_series_is_read_or_refused(changes: list[tuple[int, int]]) -> None:
    blob = bytearray(KINDS["tnef-weekly"][1])
    begin = blob.index(bytes.fromhex("043004300b20"))
    for place, octet in changes:
        blob[begin + place % 250] = octet
    survives(bytes(blob))


def test_bounds_hold() -> None:
    with pytest.raises(ResourceTooLarge):
        read_tnef(stream("IPM.Note", dict.fromkeys(range(1, MAX_PROPERTIES + 2), 1)))
    with pytest.raises(ResourceTooLarge):
        read_tnef(stream("IPM.Note", {}, [{0x0C15: 1}] * (MAX_RECIPIENTS + 1)))
    with pytest.raises(ResourceTooLarge):
        read_tnef(stream("IPM.Note", {}) + struct.pack("<BIIH", 2, 0x0006800F, 0, 0) * 5000)
    with pytest.raises(InvalidCalendarData, match="2147483647 octets are announced, and 1 are there"):
        Octets(b"x").take(2**31 - 1)
    blob = series(at(2), at(3), 0x200A, 0, 1440, deleted=[at(2) + timedelta(days=day) for day in range(5001)])
    with pytest.raises(ResourceTooLarge):
        read_recurrence(blob, "")


def test_a_property_of_another_type_is_not_there() -> None:
    found = read_tnef(stream("IPM.Note", {Tag.SUBJECT: 7, Tag.IMPORTANCE: "high"})).properties
    assert (found.text(Tag.SUBJECT), found.number(Tag.IMPORTANCE), found.time(Tag.BODY)) == ("", None, None)
    assert properties({}) == bytes(4)
