"""What others see of private calendar objects."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.calendar.component import parse_calendar
from server.calendar.personal import neutral
from server.calendar.visibility import ACCESS, Sight, may_be_private, shown_to_others, sights

CANARY = "canary"
TIMES = ("UID:a", "DTSTAMP:20260101T000000Z", "DTSTART:20260601T090000Z", "DTEND:20260601T100000Z")
HIDDEN = (
    f"DESCRIPTION:{CANARY}",
    f"ATTENDEE;CN={CANARY}:mailto:{CANARY}@example.com",
    f"ORGANIZER:mailto:{CANARY}@example.com",
    f"X-SOMETHING;X-P={CANARY}:1",
    f"CATEGORIES:{CANARY}",
    "PRIORITY:1",
    f"COMMENT:{CANARY}\r\n folded",
    f"BEGIN:VALARM\r\nACTION:DISPLAY\r\nDESCRIPTION:{CANARY}\r\nTRIGGER:-PT5M\r\nEND:VALARM",
    f"BEGIN:X-PART\r\nNAME:{CANARY}\r\nEND:X-PART",
)
RESTRICTED = ("SUMMARY:seen", "LOCATION;LANGUAGE=de:there")


def calendar(*events: tuple[str, ...], top: tuple[str, ...] = ()) -> str:
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:x", *top]
    for event in events:
        lines += ["BEGIN:VEVENT", *event, "END:VEVENT"]
    return "\r\n".join([*lines, "END:VCALENDAR", ""])


def shown(text: str) -> str:
    kinds = sights(parse_calendar(text))
    assert kinds is not None
    return shown_to_others(text, neutral(text), kinds)


TABLE = [
    (None, None, Sight.WHOLE),
    (None, "PUBLIC", Sight.WHOLE),
    (None, "public ", Sight.WHOLE),
    (None, "PRIVATE", Sight.BLOCK),
    (None, "CONFIDENTIAL", Sight.BLOCK),
    (None, "X-WHATEVER", Sight.BLOCK),
    (None, "", Sight.BLOCK),
    ("PUBLIC", "PRIVATE", Sight.WHOLE),
    ("RESTRICTED", None, Sight.RESTRICTED),
    ("restricted", "PRIVATE", Sight.RESTRICTED),
    ("CONFIDENTIAL", "PUBLIC", Sight.BLOCK),
    ("PRIVATE", None, Sight.HIDDEN),
    ("X-WHATEVER", None, Sight.HIDDEN),
]


@pytest.mark.parametrize(("access", "class_", "sight"), TABLE)
def test_the_table_of_marks(access: str | None, class_: str | None, sight: Sight) -> None:
    top = () if access is None else (f"{ACCESS}:{access}",)
    own = () if class_ is None else (f"CLASS:{class_}",)
    found = sights(parse_calendar(calendar((*TIMES, *own), top=top)))
    assert found == (None if sight is Sight.WHOLE else (sight,))


def test_of_several_marks_the_one_that_shows_least_counts() -> None:
    text = calendar((*TIMES, "CLASS:PUBLIC", "CLASS:PRIVATE"))
    assert sights(parse_calendar(text)) == (Sight.BLOCK,)
    text = calendar(TIMES, top=(f"{ACCESS}:PUBLIC", f"{ACCESS}:PRIVATE"))
    assert sights(parse_calendar(text)) == (Sight.HIDDEN,)


def test_a_block_has_the_times_and_nothing_else() -> None:
    more = ("SEQUENCE:3", "STATUS:CONFIRMED", "TRANSP:TRANSPARENT")
    text = calendar((*TIMES, *more, "CLASS:PRIVATE", *RESTRICTED, *HIDDEN), top=("X-WR-CALNAME:canary",))
    assert shown(text) == calendar((*TIMES, *more))


def test_a_restricted_block_has_summary_and_location_too() -> None:
    mark = (f"{ACCESS}:RESTRICTED",)
    assert shown(calendar((*TIMES, "CLASS:PUBLIC", *RESTRICTED, *HIDDEN), top=mark)) == calendar(
        (*TIMES, *RESTRICTED), top=mark
    )


def test_a_mark_counts_for_its_component() -> None:
    series = (*TIMES, "RRULE:FREQ=DAILY", "SUMMARY:all see it", "TRANSP:TRANSPARENT")
    override = (*TIMES, "RECURRENCE-ID:20260602T090000Z", "SUMMARY:canary", "TRANSP:TRANSPARENT")
    text = calendar(series, (*override, "CLASS:PRIVATE"))
    # Whether it makes busy is personal in what others see whole, and part of a block.
    assert shown(text) == calendar(series[:-1], (*override[:-2], override[-1]))
    text = calendar((*series, "CLASS:PRIVATE"), override)
    assert shown(text) == calendar((*TIMES, "RRULE:FREQ=DAILY", "TRANSP:TRANSPARENT"), override[:-1])


def test_parameters_that_anything_could_be_in_go() -> None:
    text = calendar(
        (
            "UID;X-A=canary:a",
            'DTSTART;X-B="canary:1";TZID="Europe/Berlin":20260601T090000',
            "RDATE;VALUE=DATE;X-C=canary:" + ",".join(f"202607{day:02}" for day in range(1, 20)),
            "CLASS:CONFIDENTIAL",
        )
    )
    assert CANARY not in shown(text)
    (event,) = parse_calendar(shown(text)).components
    assert [(each.name, dict(each.params), each.value) for each in event.properties] == [
        ("UID", {}, "a"),
        ("DTSTART", {"TZID": ["Europe/Berlin"]}, "20260601T090000"),
        ("RDATE", {"VALUE": ["DATE"]}, ",".join(f"202607{day:02}" for day in range(1, 20))),
    ]


def test_availability_keeps_its_times() -> None:
    times = "DTSTART:20260101T000000Z"
    inner = f"BEGIN:AVAILABLE\r\nUID:b\r\n{times}\r\nSUMMARY:canary\r\nRRULE:FREQ=DAILY\r\nEND:AVAILABLE"
    lines = (
        f"BEGIN:VAVAILABILITY\r\nUID:a\r\nCLASS:PRIVATE\r\n{times}\r\nSUMMARY:canary\r\n{inner}\r\nEND:VAVAILABILITY"
    )
    text = f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{lines}\r\nEND:VCALENDAR\r\n"
    assert shown(text) == text.replace("SUMMARY:canary\r\n", "").replace("CLASS:PRIVATE\r\n", "")


@pytest.mark.parametrize("name", ["VTODO", "VJOURNAL", "VFREEBUSY", "VPOLL"])
def test_other_components_hide_their_texts(name: str) -> None:
    text = calendar((*TIMES, "CLASS:PRIVATE", *RESTRICTED, *HIDDEN)).replace("VEVENT", name)
    (found,) = parse_calendar(shown(text)).components
    assert found.components == []
    assert "UID" in {each.name for each in found.properties}
    assert {each.name for each in found.properties} <= {"UID", "DTSTAMP", "DTSTART", "DTEND"}


def fold(text: str, at: int) -> str:
    """A text with a fold inside of each of its lines, which may hide a mark from who does not unfold."""
    return "".join(
        f"{line[:at]}\r\n {line[at:]}\r\n" if len(line) > at else f"{line}\r\n" for line in text.splitlines()
    )


lines = st.lists(st.sampled_from([*HIDDEN, *RESTRICTED, "SEQUENCE:1", "TRANSP:OPAQUE"]), unique=True)
marks = st.sampled_from([None, "CLASS:PRIVATE", "cLaSS:CONFIDENTIAL", "CLASS:PUBLIC", "CLASS:X-A"])


@given(
    events=st.lists(st.tuples(lines, marks), min_size=1, max_size=4),
    access=st.sampled_from([None, "PUBLIC", "RESTRICTED", "CONFIDENTIAL", "PRIVATE"]),
    at=st.integers(0, 12),
)
def test_nothing_hidden_is_shown(events: list[tuple[list[str], str | None]], access: str | None, at: int) -> None:
    made = []
    for number, (own, mark) in enumerate(events):
        recurrence = (f"RECURRENCE-ID:2026060{number}T090000Z",) if number else ("RRULE:FREQ=DAILY",)
        made.append((*TIMES, *recurrence, *own, *([] if mark is None else [mark])))
    text = calendar(*made, top=() if access is None else (f"{ACCESS}:{access}",))
    if at:
        text = fold(text, at)
    kinds = sights(parse_calendar(text))
    assert may_be_private(text) or kinds is None
    if kinds is None:
        return
    seen = shown_to_others(text, neutral(text), kinds)
    components = parse_calendar(seen).components
    whole = parse_calendar(neutral(text)).components
    assert len(components) == len(whole)
    for kind, component, other in zip(kinds, components, whole, strict=True):
        content = [(each.name, each.value) for each in component.properties]
        if kind is Sight.WHOLE:
            assert content == [(each.name, each.value) for each in other.properties]
        else:
            assert CANARY not in seen[slice(*component.span)]
            assert not component.components
            assert ("SUMMARY" in dict(content)) <= (kind is Sight.RESTRICTED)
            assert not {"CLASS", "PRIORITY", "ORGANIZER", "ATTENDEE"} & dict(content).keys()
    # What one sees a part of is itself an object that anybody may see as far.
    again = sights(parse_calendar(seen))
    assert again is None or access is not None
