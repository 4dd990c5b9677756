from __future__ import annotations

import icalendar
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.calendar.component import MAX_DEPTH, Component, outline, parse_calendar, parse_components
from server.domain.errors import InvalidCalendarData
from tests.unit.calendar.texts import BERLIN, calendar, component, event


def shape(tree: Component) -> tuple[object, ...]:
    return (
        tree.name,
        tuple((prop.name, prop.parameter_text, prop.value) for prop in tree.properties),
        tuple(shape(child) for child in tree.components),
    )


def test_tree_with_places():
    text = calendar(BERLIN, event("SUMMARY:a\nBEGIN:VALARM\nACTION:DISPLAY\nEND:VALARM"))
    tree = parse_calendar(text)
    zone, vevent = tree.components
    assert text[tree.start : tree.end] == text
    assert text[zone.start : zone.end].startswith("BEGIN:VTIMEZONE\r\n")
    assert text[vevent.start : vevent.end].endswith("END:VEVENT\r\n")
    assert text.split("\r\n")[vevent.line - 1] == "BEGIN:VEVENT"
    assert vevent.text("SUMMARY") == "a"
    assert vevent.first("LOCATION") is None
    assert [child.name for child in vevent.children("VALARM")] == ["VALARM"]
    assert [part.name for part in tree.walk()] == [
        "VCALENDAR", "VTIMEZONE", "DAYLIGHT", "STANDARD", "VEVENT", "VALARM",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 1),
        ("\n \n", 1),
        ("BEGIN:VCARD\nEND:VCARD\n", 1),
        ("BEGIN:VCALENDAR\n", 1),
        ("BEGIN:VCALENDAR\nBEGIN:VEVENT\nEND:VCALENDAR\n", 3),
        ("BEGIN:VCALENDAR\nEND:VCALENDAR\nBEGIN:VCALENDAR\nEND:VCALENDAR\n", 3),
        ("BEGIN:VCALENDAR\nEND:VCALENDAR\nEND:VCALENDAR\n", 3),
        ("BEGIN:VCALENDAR\nEND:VCALENDAR\nX-A:b\n", 3),
        ("X-A:b\nBEGIN:VCALENDAR\nEND:VCALENDAR\n", 1),
    ],
)
def test_what_is_not_one_calendar_is_refused(text, line):
    with pytest.raises(InvalidCalendarData) as caught:
        parse_calendar(text)
    assert caught.value.line == line


def test_case_and_spaces_of_component_names():
    tree = parse_calendar("begin:vcalendar\nBegin:vEvent \nEND: VEVENT\nend:VCalendar")
    assert [child.name for child in tree.components] == ["VEVENT"]


def test_depth_and_counts_are_bounded():
    deep = "BEGIN:X\n" * (MAX_DEPTH + 1) + "END:X\n" * (MAX_DEPTH + 1)
    with pytest.raises(InvalidCalendarData) as caught:
        parse_components(deep)
    assert caught.value.line == MAX_DEPTH + 1
    assert parse_components("BEGIN:X\n" * MAX_DEPTH + "END:X\n" * MAX_DEPTH)
    with pytest.raises(InvalidCalendarData):
        parse_components("BEGIN:X\n" * 500_000)
    with pytest.raises(InvalidCalendarData):
        parse_components("BEGIN:X\nEND:X\n" * 11, max_components=10)
    with pytest.raises(InvalidCalendarData):
        parse_components("BEGIN:X\n" + "A:b\n" * 11 + "END:X\n", max_properties=10)


names = st.sampled_from(["VEVENT", "vtodo", "VTIMEZONE", "X-FOO", "VALARM"])
line = st.sampled_from(
    [
        "SUMMARY:a",
        "SUMMARY:a\n BEGIN:b",
        "X-BEGIN:VEVENT",
        "BEGINNING:x",
        "DESCRIPTION:x\\nEND:VEVENT",
        "END-X:y",
        "",
        "E:f",
    ]
)
trees = st.recursive(
    st.builds(lambda name, body: component(name, "\n".join(body), None), names, st.lists(line, max_size=3)),
    lambda inner: st.builds(
        lambda name, body, parts: component(name, "\n".join([*body, *parts]), None),
        names,
        st.lists(line, max_size=2),
        st.lists(inner, max_size=3),
    ),
    max_leaves=6,
)


@settings(max_examples=200)
@given(st.lists(trees, max_size=4), st.sampled_from(["\n", "\r\n", "\r\r\n"]), st.booleans(), st.booleans())
def test_outline_finds_what_the_parser_finds(parts, line_end, marked, ended):
    text = calendar(*parts).replace("\r\n", line_end)
    text = ("\ufeff" if marked else "") + (text if ended else text.rstrip("\r\n"))
    parsed = parse_calendar(text)
    assert [(child.name, child.start, child.end) for child in outline(text)] == [
        (child.name, child.start, child.end) for child in parsed.components
    ]


@pytest.mark.parametrize(
    "text",
    [
        "BEGIN:VCALENDAR\nBEG\n IN:VEVENT\nUID:1\nE\n ND:VEVENT\nEND:VCALENDAR\n",
        "BEGIN:VCALENDAR\nBEGIN:VE\n VENT\nUID:1\nEND:VE\n VENT\nEND:VCALENDAR\n",
        "BEGIN:VCALENDAR\nBEGIN;X=y:VEVENT\nUID:1\nEND;X=y:VEVENT\nEND:VCALENDAR\n",
        "BEGIN:VCALENDAR\nBEGIN:VEVENT\nX;ENCODING=QUOTED-PRINTABLE:=\nEND:VEVENT\nUID:1\nEND:VEVENT\nEND:VCALENDAR\n",
        "\nBEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:1\nEND:VEVENT\nEND:VCALENDAR\n",
    ],
)
def test_outline_of_unusual_lines(text):
    (found,) = outline(text)
    (parsed,) = parse_calendar(text).components
    assert (found.name, found.start, found.end) == (parsed.name, parsed.start, parsed.end)
    assert parsed.text("UID") == "1"


@settings(max_examples=100)
@given(st.lists(trees, max_size=3))
def test_a_second_library_sees_the_same_tree(parts):
    text = calendar(*parts)

    def names_of(tree: icalendar.Component) -> tuple[object, ...]:
        return (str(tree.name).upper(), tuple(names_of(child) for child in tree.subcomponents))

    def own(tree: Component) -> tuple[object, ...]:
        return (tree.name, tuple(own(child) for child in tree.components))

    assert own(parse_calendar(text)) == names_of(icalendar.Component.from_ical(text))


@settings(max_examples=200)
@given(st.lists(st.sampled_from(["BEGIN:A\n", "BEGIN:B\n", "END:A\n", "END:B\n", "X:y\n", "\n", " "]), max_size=12))
def test_any_sequence_is_a_tree_or_refused(pieces):
    text = "".join(pieces)
    try:
        outermost = parse_components(text)
    except InvalidCalendarData as error:
        assert error.line is not None
        return
    for tree in outermost:
        assert shape(parse_components(text[tree.start : tree.end])[0]) == shape(tree)
