"""Streams of many components taken apart into calendar objects."""

import mmap
import tempfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.calendar import octet_lines
from server.calendar.calendar_object import folded_tzid, read_calendar_object
from server.calendar.contentline import content_lines, decode
from server.calendar.stream import CalendarStream, Lines, Part, same_components
from server.domain.errors import InvalidCalendarData, InvalidData
from server.domain.limits import Limits
from tests.unit.calendar.texts import aggregated

BERLIN = (
    "BEGIN:VTIMEZONE\r\nTZID:Europe/Berlin\r\nBEGIN:STANDARD\r\nDTSTART:19961027T030000\r\nTZOFFSETFROM:+0200\r\n"
    "TZOFFSETTO:+0100\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\n"
)
HERE = BERLIN.replace("Europe/Berlin", "Here")


def event(uid: str | None, *lines: str, name: str = "VEVENT", start: str = "DTSTART:20260901T100000Z") -> str:
    first = [] if uid is None else [f"UID:{uid}"]
    return "".join(f"{line}\r\n" for line in (f"BEGIN:{name}", *first, start, *lines, f"END:{name}"))


def calendar(*components: str, head: str = "VERSION:2.0\r\nPRODID:-//Example//A//EN\r\n") -> str:
    return f"BEGIN:VCALENDAR\r\n{head}{''.join(components)}END:VCALENDAR\r\n"


def parts(text: str) -> list[Part]:
    return list(CalendarStream(text.encode()).objects())


def test_components_of_one_uid_are_one_object_with_the_zones_it_uses() -> None:
    override = event("a", "RECURRENCE-ID;TZID=Here:20260902T120000", start="DTSTART;TZID=Europe/Berlin:20260902T130000")
    master = event("a", "RRULE:FREQ=DAILY;COUNT=3", start="DTSTART;TZID=Here:20260901T120000")
    first, second = parts(calendar(HERE, master, event("b"), BERLIN, override))
    assert first.body.decode() == calendar(HERE, BERLIN, master, override)
    assert second.body.decode() == calendar(event("b"))
    assert (first.uid, second.uid) == ("a", "b")
    assert not first.whole


def test_one_object_is_left_as_it_is() -> None:
    text = "\ufeff" + calendar(HERE, event("a").replace("\r\n", "\n"), head="X-A:b\n") + "\n"
    assert parts(text) == [Part("VEVENT", text.encode(), "a", Lines(), True)]


def test_method_is_dropped_and_other_properties_of_exports_too() -> None:
    head = "VERSION:2.0\r\nPRODID:x\r\nMETHOD:PUBLISH\r\nX-WR-CALNAME:Work\r\nCALSCALE:GREGORIAN\r\n"
    stream = CalendarStream(calendar(event("a"), head=head).encode())
    (part,) = stream.objects()
    assert part.body.decode() == calendar(event("a"), head="VERSION:2.0\r\nPRODID:x\r\nCALSCALE:GREGORIAN\r\n")
    assert {line.name: line.value for line in stream.properties()}["X-WR-CALNAME"] == "Work"


def test_a_missing_uid_is_derived_from_the_text_and_always_the_same() -> None:
    one, other = parts(calendar(event(None, "SUMMARY:a"), event(None, "SUMMARY:b")))
    assert one.uid != other.uid
    assert [part.uid for part in parts(calendar(event(None, "SUMMARY:a")))] == [one.uid]
    assert read_calendar_object(one.body, Limits()).uid == one.uid


def test_the_uid_of_an_alarm_is_not_that_of_the_event() -> None:
    alarm = ("BEGIN:VALARM", "UID:alarm", "ACTION:AUDIO", "TRIGGER:-PT5M", "END:VALARM")
    first, second = parts(calendar(event(None, *alarm), event("b", *alarm)))
    assert second.uid == "b"
    assert first.uid not in ("alarm", "b")


def test_of_one_uid_twice_the_newer_wins() -> None:
    """RFC 5546 §2.1.5: SEQUENCE, then DTSTAMP; of equal ones the first."""
    old, new = event("a", "SEQUENCE:2", "SUMMARY:old"), event("a", "SEQUENCE:10", "SUMMARY:new")
    override = event("a", "RECURRENCE-ID:20260902T100000Z")
    for order in ((old, override, new), (new, override, old), (old, new, new, old, override)):
        text = calendar(*order)
        (part,) = parts(text)
        assert read_calendar_object(part.body, Limits()).summary()["summary"] == "new"
        assert part.body.count(b"BEGIN:VEVENT") == 2
        assert [line for line, _ in part.superseded] == [text[: text.index(old)].count("\r\n") + 1]
    stamps = [event("a", f"DTSTAMP:2026010{day}T000000Z") for day in (1, 3, 2)]
    (part,) = parts(calendar(*stamps))
    assert (b"20260103" in part.body, len(part.superseded)) == (True, 2)
    (part,) = parts(calendar(event("a", "SUMMARY:1"), event("a", "SUMMARY:2")))
    assert b"SUMMARY:1" in part.body


def test_one_instance_in_two_spellings_is_one() -> None:
    master = event("a", "RRULE:FREQ=DAILY;COUNT=5", start="DTSTART;TZID=Europe/Berlin:20260901T120000")
    local = event("a", "RECURRENCE-ID;TZID=Europe/Berlin:20260902T120000", "SEQUENCE:1")
    utc, other = (event("a", f"RECURRENCE-ID:2026090{day}T100000Z", "SEQUENCE:2") for day in (2, 3))
    text = calendar(BERLIN, master, local, utc, other)
    (part,) = parts(text)
    assert [line for line, _ in part.superseded] == [text[: text.index(local)].count("\r\n") + 1]
    assert len(read_calendar_object(part.body, Limits()).overrides) == 2
    (part,) = parts(calendar(BERLIN, master, local, other))
    assert (part.whole, part.superseded) == (True, ())


def test_several_calendars_in_one_file_are_one_stream() -> None:
    text = calendar(HERE, event("a", start="DTSTART;TZID=Here:20260901T120000")) + calendar(
        event("b", start="DTSTART;TZID=Here:20260901T120000"), event("a", start="DTSTART;TZID=Here:20260901T120000")
    )
    assert [part.uid for part in parts(text)] == ["a", "b"]
    assert all(part.body.count(b"BEGIN:VEVENT") == part.body.count(b"TZID:Here") == 1 for part in parts(text))


def test_a_broken_component_costs_none_of_the_others() -> None:
    broken = event("b").replace("END:VEVENT\r\n", "")
    first, second, third = parts(calendar(event("a"), broken, event("c")))
    assert read_calendar_object(first.body, Limits()).uid == "a"
    assert read_calendar_object(third.body, Limits()).uid == "c"
    with pytest.raises(InvalidCalendarData):
        read_calendar_object(second.body, Limits())


def test_lines_are_those_of_the_file() -> None:
    text = calendar(event("a"), HERE, event("b", "RECURRENCE-ID:20260901T100000Z", start="DTSTART;TZID=Here:nonsense"))
    _, part = parts(text)
    with pytest.raises(InvalidData) as raised:
        read_calendar_object(part.body, Limits())
    wrong = text.splitlines().index("DTSTART;TZID=Here:nonsense") + 1
    assert part.lines.place(raised.value.line) == wrong
    assert f"line {wrong}" in part.lines.message(raised.value.message)


def test_lines_after_a_derived_uid_are_those_of_the_file() -> None:
    text = calendar(event("a"), event(None, start="DTSTART:nonsense"))
    _, part = parts(text)
    with pytest.raises(InvalidData) as raised:
        read_calendar_object(part.body, Limits())
    assert part.lines.place(raised.value.line) == text.splitlines().index("DTSTART:nonsense") + 1


@pytest.mark.parametrize("text", ["", "hello", "BEGIN:VEVENT\r\nUID:a\r\nEND:VEVENT\r\n"])
def test_what_is_no_calendar_comes_as_it_is(text: str) -> None:
    assert parts(text) == [Part("", text.encode(), "", Lines(), True)]


def test_an_empty_calendar_holds_nothing() -> None:
    assert parts(calendar()) == parts(calendar(HERE)) == parts(calendar() + calendar()) == []


@pytest.mark.parametrize("text", [calendar()[:-15], calendar("BEGN:VEVENT\r\nEND:VEVENT\r\n")])
def test_a_calendar_of_which_nothing_is_understood_comes_as_it_is(text: str) -> None:
    assert parts(text) == [Part("", text.encode(), "", Lines(), True)]


def test_a_component_outside_of_a_calendar_comes_too() -> None:
    first, second = parts(event("a") + calendar(event("b")))
    assert (first.uid, second) == ("b", Part("", event("a").encode(), "", Lines(((1, 1),)), False))


def test_an_end_too_many_costs_its_own_component_only() -> None:
    texts = parts(calendar(event("a"), event("b", "END:VALARM"), event("c")))
    assert [part.uid for part in texts] == ["a", "b", "c"]
    with pytest.raises(InvalidCalendarData, match="END:VALARM"):
        read_calendar_object(texts[1].body, Limits())


def test_an_empty_uid_is_like_a_missing_one_and_lines_stay_those_of_the_file() -> None:
    text = calendar(event("a"), event("", "UID\r\n :", "DUE:nonsense", "BEGIN:VALARM", "UID:", "END:VALARM"))
    part = parts(text)[1]
    with pytest.raises(InvalidData) as raised:
        read_calendar_object(part.body, Limits())
    assert part.lines.place(raised.value.line) == text.splitlines().index("DUE:nonsense") + 1
    assert part.body.count(b"UID:") == 2  # its own, and the alarm's


def test_octets_that_are_no_text_stay_in_their_object() -> None:
    good, bad = event("a"), event("b", "SUMMARY:caf\xe9")
    stream = CalendarStream(calendar(good).encode()[:-15] + bad.encode("latin-1") + b"END:VCALENDAR\r\n")
    first, second = stream.objects()
    assert read_calendar_object(first.body, Limits()).uid == "a"
    with pytest.raises(InvalidCalendarData, match="not UTF-8"):
        read_calendar_object(second.body, Limits())


def test_a_mapped_file_is_read_as_octets_are() -> None:
    text = calendar(HERE, event("a"), event("b")).encode()
    with tempfile.TemporaryFile() as file:
        file.write(text)
        file.flush()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            assert list(CalendarStream(mapped).objects()) == list(CalendarStream(text).objects())


_CHARACTERS = st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="\ufffe\uffff")
_UIDS = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=20).map(
    lambda text: text.replace("\\", "x").replace(";", "y").replace(",", "z")
)


@st.composite
def objects(draw: st.DrawFn) -> list[str]:
    texts = []
    for number, uid in enumerate(draw(st.lists(_UIDS, unique=True, max_size=6))):
        zone = draw(st.sampled_from(["", "Here", "Europe/Berlin"]))
        start = f"DTSTART;TZID={zone}:20260901T120000" if zone else "DTSTART:20260901T120000Z"
        summary = draw(st.text(_CHARACTERS, max_size=30))
        name = draw(st.sampled_from(["VEVENT", "VTODO", "VJOURNAL"]))
        master = event(uid, f"SUMMARY:{number}{summary}", "RRULE:FREQ=DAILY;COUNT=5", name=name, start=start)
        override = event(uid, "RECURRENCE-ID:20260902T100000Z", name=name) if draw(st.booleans()) else ""
        zones = {"Here": HERE, "Europe/Berlin": BERLIN}.get(zone, "")
        texts.append(calendar(zones, master, override))
    return texts


@given(objects())
def test_objects_put_together_and_taken_apart_are_the_same(texts: list[str]) -> None:
    whole = aggregated(texts, "A calendar")
    found = parts(whole)
    assert len(found) == len(texts)
    for part, text in zip(found, texts, strict=True):
        assert same_components(part.body.decode(), text)
        stored, again = (read_calendar_object(each, Limits()) for each in (text.encode(), part.body))
        assert (stored.uid, stored.component, stored.tzids) == (again.uid, again.component, again.tzids)
        assert again.uid == part.uid
        assert {folded_tzid(tzid) for tzid in again.tzids} <= {
            folded_tzid(zone.text("TZID") or "") for zone in again.tree.children("VTIMEZONE")
        }
    assert parts(aggregated([part.body.decode() for part in found], "A calendar")) == found


@given(objects(), st.lists(st.integers(0, 10_000), max_size=40), st.sampled_from([20, 1000, 1 << 20]))
def test_lines_may_be_folded_between_any_octets(texts: list[str], places: list[int], block: int) -> None:
    octets = aggregated(texts, "A calendar").encode()
    folded = octets
    for place in sorted({place % len(octets) for place in places}, reverse=True):
        if folded[place - 1 : place] not in (b"", b"\r", b"\n") and folded[place : place + 1] not in (b"\r", b"\n"):
            folded = folded[:place] + b"\r\n " + folded[place:]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(octet_lines, "_BLOCK", block)
        found = list(CalendarStream(folded).objects())
    expected = parts(octets.decode())
    assert [(part.component, part.uid) for part in found] == [(part.component, part.uid) for part in expected]
    for part, other in zip(found, expected, strict=True):
        one, two = (list(content_lines(decode(each.body))) for each in (part, other))
        assert [(line.name, line.params, line.value) for line in one] == [
            (line.name, line.params, line.value) for line in two
        ]


@given(st.lists(st.sampled_from([
    "BEGIN:VCALENDAR", "END:VCALENDAR", "BEGIN:VEVENT", "END:VEVENT", "BEGIN:VTIMEZONE", "END:VTIMEZONE", "UID:a",
    "TZID:b", "BEGIN:VALARM", "END:VALARM", "METHOD:X", " folded", "BEGIN:", "END:X", "DTSTART;TZID=b:20260101T000000",
    "SUMMARY:\udcff", "nonsense", "",
]), max_size=30))  # fmt: skip
def test_whatever_comes_is_taken_apart_without_an_error(lines: list[str]) -> None:
    stream = CalendarStream("\n".join(lines).encode("utf-8", "surrogateescape"))
    found = list(stream.objects())
    assert len(found) == len(stream)
    for part in found:
        try:
            read_calendar_object(part.body, Limits())
        except InvalidData as error:
            assert 1 <= part.lines.place(error.line) <= len(lines) + 1
