from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.calendar.component import Component, parse_calendar
from server.calendar.partial import CompSelection, check_selection, is_whole, select
from server.domain.errors import InvalidFilter
from tests.unit.calendar.texts import BERLIN, calendar, crlf, event

TEXT = calendar(
    BERLIN,
    event(
        "SUMMARY:a text that is folded he\n re\nATTENDEE;PARTSTAT=ACCEPTED:mailto:a@example.com\nX-A:b\n"
        "BEGIN:VALARM\nACTION:DISPLAY\nTRIGGER:-PT5M\nEND:VALARM"
    ),
)


def wanted(*components: CompSelection, **more: object) -> CompSelection:
    return CompSelection("VCALENDAR", components=components, **more)  # type: ignore[arg-type]


def test_all():
    assert select(TEXT, wanted(all_properties=True, all_components=True)) == TEXT


def test_named_properties_of_named_components():
    """The example of RFC 4791 §7.8.1: VERSION, one component with some properties, and the whole VTIMEZONE."""
    selection = wanted(
        CompSelection("vevent", properties=(("summary", False), ("UID", False), ("RECURRENCE-ID", False))),
        CompSelection("VTIMEZONE"),
        properties=(("VERSION", False),),
    )
    assert select(TEXT, selection) == crlf(
        f"BEGIN:VCALENDAR\nVERSION:2.0\n{BERLIN}\nBEGIN:VEVENT\nUID:1@example.com\n"
        "SUMMARY:a text that is folded he\n re\nEND:VEVENT\nEND:VCALENDAR\n"
    )


def test_an_empty_selection_is_the_whole_component():
    assert select(TEXT, wanted()) == TEXT
    assert is_whole(wanted())
    assert is_whole(wanted(all_properties=True, all_components=True))
    assert not is_whole(wanted(CompSelection("VEVENT")))
    version_and_event = wanted(CompSelection("VEVENT"), properties=(("VERSION", False),))
    start, end = TEXT.index("BEGIN:VEVENT"), TEXT.index("END:VCALENDAR")
    assert select(TEXT, version_and_event) == "".join(
        ("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n", TEXT[start:end], "END:VCALENDAR\r\n")
    )


def test_what_is_not_named_beside_something_named_is_left_out():
    only_properties = wanted(CompSelection("VEVENT", properties=(("SUMMARY", False),)))
    summary = "SUMMARY:a text that is folded he\n re\n"
    assert select(TEXT, only_properties) == crlf(f"BEGIN:VCALENDAR\nBEGIN:VEVENT\n{summary}END:VEVENT\nEND:VCALENDAR\n")
    alarm = "BEGIN:VALARM\nACTION:DISPLAY\nTRIGGER:-PT5M\nEND:VALARM\n"
    with_alarm = wanted(
        CompSelection("VEVENT", properties=(("SUMMARY", False),), components=(CompSelection("VALARM"),))
    )
    assert select(TEXT, with_alarm) == crlf(
        f"BEGIN:VCALENDAR\nBEGIN:VEVENT\n{summary}{alarm}END:VEVENT\nEND:VCALENDAR\n"
    )
    assert (
        select(TEXT, wanted(properties=(("VERSION", False),))) == "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nEND:VCALENDAR\r\n"
    )


def test_instances_keep_their_recurrence_id():
    """RFC 4791 §9.6.5."""
    instances = calendar(event("SUMMARY:first"), event("RECURRENCE-ID:20260112T090000Z\nSUMMARY:second"))
    summaries = wanted(CompSelection("vevent", properties=(("SUMMARY", False),)))
    second = "BEGIN:VEVENT\n{}SUMMARY:second\nEND:VEVENT\nEND:VCALENDAR\n"
    assert select(instances, summaries, expanded=True).endswith(crlf(second.format("RECURRENCE-ID:20260112T090000Z\n")))
    assert select(instances, summaries).endswith(crlf(second.format("")))
    without_value = wanted(CompSelection("VEVENT", properties=(("SUMMARY", False), ("RECURRENCE-ID", True))))
    assert select(instances, without_value, expanded=True).endswith(crlf(second.format("RECURRENCE-ID:\n")))


def test_whole_components_without_properties_of_the_calendar():
    found = select(TEXT, wanted(all_components=True))
    assert found == TEXT.replace("VERSION:2.0\r\nPRODID:-//Example//Test//EN\r\n", "")


def test_values_left_out():
    selection = wanted(CompSelection("VEVENT", properties=(("ATTENDEE", True), ("SUMMARY", True), ("X-A", False))))
    expected = (
        "BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY:\nATTENDEE;PARTSTAT=ACCEPTED:\nX-A:b\nEND:VEVENT\nEND:VCALENDAR\n"
    )
    assert select(TEXT, selection) == crlf(expected)
    assert select(TEXT.replace("\r\n", "\n"), selection) == expected


def test_inner_components():
    inner = CompSelection("VEVENT", components=(CompSelection("VALARM", all_properties=True),))
    assert select(TEXT, wanted(inner)) == crlf(
        "BEGIN:VCALENDAR\nBEGIN:VEVENT\nBEGIN:VALARM\nACTION:DISPLAY\nTRIGGER:-PT5M\nEND:VALARM\nEND:VEVENT\nEND:VCALENDAR\n"
    )


def test_several_of_a_name_are_put_together():
    selection = wanted(
        CompSelection("VEVENT", properties=(("X-A", True),)),
        CompSelection("vevent", properties=(("x-a", False), ("UID", True))),
    )
    assert select(TEXT, selection) == crlf("BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:\nX-A:b\nEND:VEVENT\nEND:VCALENDAR\n")


@pytest.mark.parametrize(
    "selection",
    [
        CompSelection("VEVENT"),
        wanted(*(CompSelection("VEVENT") for _ in range(1000))),
        wanted(properties=tuple((f"X-{number}", False) for number in range(1000))),
        wanted(CompSelection("A", components=(CompSelection("B", properties=(("C", False),) * 1000),))),
    ],
)
def test_selections_that_are_refused(selection):
    with pytest.raises(InvalidFilter):
        check_selection(selection)


def test_deep_selections_are_refused():
    selection = CompSelection("X")
    for _ in range(20):
        selection = CompSelection("X", components=(selection,))
    with pytest.raises(InvalidFilter):
        check_selection(wanted(selection))


selections = st.recursive(
    st.builds(
        CompSelection,
        st.sampled_from(["VEVENT", "VTIMEZONE", "VALARM", "DAYLIGHT", "valarm"]),
        st.booleans(),
        st.lists(
            st.tuples(st.sampled_from(["UID", "summary", "X-A", "TRIGGER", "TZID", "DTSTART"]), st.just(False)),
            max_size=3,
        ).map(tuple),
        st.booleans(),
    ),
    lambda inner: st.builds(
        CompSelection,
        st.sampled_from(["VEVENT", "VTIMEZONE"]),
        st.booleans(),
        st.just(()),
        st.booleans(),
        st.lists(inner, max_size=2).map(tuple),
    ),
    max_leaves=5,
)


def pruned(component: Component, parts: list[CompSelection] | None) -> list[str]:
    """What RFC 4791 §9.6 leaves of a component: a slow reading of the text."""
    lines = [f"BEGIN:{component.name}"]
    if parts is not None and any(part == CompSelection(part.name) for part in parts):
        parts = None
    every = parts is None or any(part.all_properties for part in parts)
    names = {name.upper() for part in parts or () for name, _ in part.properties}
    lines += [f"{prop.name}:{prop.value}" for prop in component.properties if every or prop.name in names]
    for child in component.components:
        inner = [sub for part in parts or () for sub in part.components if sub.name.upper() == child.name]
        if parts is None or any(part.all_components for part in parts):
            lines += pruned(child, None)
        elif inner:
            lines += pruned(child, inner)
    return [*lines, f"END:{component.name}"]


@settings(max_examples=200)
@given(st.lists(selections, max_size=3), st.booleans(), st.sampled_from(["", "\ufeff"]))
def test_selection_against_a_slow_reading(parts, every, mark):
    selection = wanted(*parts, all_properties=every)
    check_selection(selection)
    found = parse_calendar(select(mark + TEXT, selection))
    assert pruned(found, None) == pruned(parse_calendar(TEXT), [selection])
