from __future__ import annotations

import re

import icalendar
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.calendar.contentline import (
    MAX_MARKS,
    content_lines,
    decode,
    decode_parameter,
    encode_parameter,
    escape_text,
    fold,
    parse_parameters,
    split_list,
    split_structure,
    unescape_text,
)
from server.domain.errors import InvalidCalendarData

characters = st.characters(exclude_categories=("Cs",), exclude_characters="\ufffe\uffff\x7f").filter(
    lambda character: character >= " "
)
printable = st.text(characters, max_size=200)
names = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,15}", fullmatch=True)


def lines(text: str) -> list[tuple[str, dict[str, list[str]], str]]:
    return [(line.name, line.params, line.value) for line in content_lines(text)]


def refused(text: str) -> int | None:
    with pytest.raises(InvalidCalendarData) as caught:
        list(content_lines(text))
    return caught.value.line


@pytest.mark.parametrize("mark", ["\n", '"'])
def test_more_than_one_match_may_go_over_is_refused(mark):
    assert decode(mark.encode() * MAX_MARKS) == mark * MAX_MARKS
    with pytest.raises(InvalidCalendarData, match="more than"):
        decode(mark.encode() * (MAX_MARKS + 1))


def test_a_fold_inside_a_character_moves_in_front_of_it():
    assert decode(b"SUMMARY:Caf\xc3\r\n \xa9\r\nX:\xe2\n\t\x82\n \xacx") == "SUMMARY:Caf\r\n é\r\nX:\n\t\n €x"
    with pytest.raises(InvalidCalendarData) as caught:
        decode(b"A:\xc3\r\n \xa9\r\nB:\xe9")
    assert caught.value.line == 3


@given(st.lists(st.tuples(names, printable), max_size=5), st.lists(st.integers(0, 1000), max_size=20), st.data())
def test_lines_may_be_folded_between_any_octets(written, places, data):
    text = "".join(f"{name}:{value}\r\n" for name, value in written)
    octets = text.encode()
    for place in sorted({place % (len(octets) + 1) for place in places}, reverse=True):
        before, after = octets[:place], octets[place:]
        if before[-1:] not in (b"", b"\r", b"\n") and after[:1] not in (b"", b"\r", b"\n"):
            octets = before + data.draw(st.sampled_from([b"\r\n ", b"\n\t", b"\r\r\n "])) + after
    assert lines(decode(octets)) == lines(text)
    assert decode(octets).count("\n") == octets.count(b"\n")


def test_name_parameters_value():
    (line,) = content_lines('ATTENDEE;CN="Doe; Jane, Dr.";partstat=ACCEPTED:mailto:jane@example.com\r\n')
    assert (line.name, line.value) == ("ATTENDEE", "mailto:jane@example.com")
    assert line.params == {"CN": ["Doe; Jane, Dr."], "PARTSTAT": ["ACCEPTED"]}
    assert line.parameter("PARTSTAT") == "ACCEPTED"
    assert line.parameter("ROLE") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A:b\nC:d", [("A", "b"), ("C", "d")]),
        ("A:b\r\r\nC:d\r\r\n", [("A", "b"), ("C", "d")]),
        ("\ufeffA:b\n", [("A", "b")]),
        ("A:b\r\n\r\n\r\nC:d\r\n\r\n  \r\n", [("A", "b"), ("C", "d")]),
        ("\n\n A:b".replace(" ", ""), [("A", "b")]),
        ("summary:x\n", [("SUMMARY", "x")]),
        ("SUM\r\n MARY:x\r\n", [("SUMMARY", "x")]),
        ("SUMMARY:a\r\n b\r\n\t c\r\n", [("SUMMARY", "ab c")]),
        ("SUMMARY:a\n \nX-B:c", [("SUMMARY", "a"), ("X-B", "c")]),
        ("X-A:\n", [("X-A", "")]),
        ("X-A::b:c\n", [("X-A", ":b:c")]),
        ("item1.X-A:b\n", [("ITEM1.X-A", "b")]),
        ("", []),
        ("\r\n\r\n", []),
    ],
)
def test_lines_and_folds(text, expected):
    assert [(line.name, line.value) for line in content_lines(text)] == expected


@pytest.mark.parametrize(
    ("text", "params", "value"),
    [
        ("PHOTO;BASE64:abc", {"BASE64": []}, "abc"),
        ("X-A;X-B:c", {"X-B": []}, "c"),
        ("X-A;X-B=:c", {"X-B": [""]}, "c"),
        ('X-A;B="c:d;e,f",g:h', {"B": ["c:d;e,f", "g"]}, "h"),
        ("X-A;B=c;B=d:e", {"B": ["c", "d"]}, "e"),
        ("X-A;B=c,,d:e", {"B": ["c", "", "d"]}, "e"),
        ('X-A;CN=Jane "J" Doe:e', {"CN": ['Jane "J" Doe']}, "e"),
        ('X-A;CN=5" disk:e', {"CN": ['5" disk']}, "e"),
        ("X-A;CN=a^nb^'c^^d^e:f", {"CN": ['a\nb"c^d^e']}, "f"),
        ("DTSTART;TZID=(UTC+01:00) Berlin:20260101T000000", {"TZID": ["(UTC+01:00) Berlin"]}, "20260101T000000"),
        (
            'DTSTART;TZID="(UTC+01:00) Berlin";X=y:20260101T000000',
            {"TZID": ["(UTC+01:00) Berlin"], "X": ["y"]},
            "20260101T000000",
        ),
        (
            "ATTENDEE;CN=Jane;ROLE=CHAIR:mailto:j@example.com",
            {"CN": ["Jane"], "ROLE": ["CHAIR"]},
            "mailto:j@example.com",
        ),
        (
            "STATUS;REASON={com.example}done;MODIFIED=20130212T120000Z:IN-PROCESS",
            {"REASON": ["{com.example}done"], "MODIFIED": ["20130212T120000Z"]},
            "IN-PROCESS",
        ),
    ],
)
def test_parameters(text, params, value):
    (line,) = content_lines(text)
    assert (line.params, line.value) == (params, value)


def test_quoted_printable_goes_on_after_soft_line_breaks():
    text = "DESCRIPTION;ENCODING=QUOTED-PRINTABLE:one=0Dtwo=\nEND:=\nthree\nSUMMARY:x\n"
    first, second = content_lines(text)
    assert first.value == "one=0DtwoEND:three"
    assert (second.name, second.line) == ("SUMMARY", 4)
    assert text[first.start : first.end].endswith("three\n")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("A:b\nno colon\n", 2),
        ("A:b\n\n\n:c\n", 4),
        (" A:b", 1),
        ("A:b\n\n c\n", 3),
        ("A:b\n c\nD;E=f\n", 3),
        ("A:b\rC:d\n", 1),
        ("A:b\n<html>\n", 2),
        ("Ä:b\n", 1),
    ],
)
def test_refused_with_the_line(text, line):
    assert refused(text) == line


def test_line_numbers_count_as_an_editor_does():
    text = "A:b\r\n\r\nSUMMARY:one\r\n two\r\n three\r\n \r\nD:e\r\n"
    assert [(line.name, line.line) for line in content_lines(text)] == [("A", 1), ("SUMMARY", 3), ("D", 7)]


def test_decode_keeps_a_byte_order_mark_and_refuses_what_xml_cannot_carry():
    assert decode(b"\xef\xbb\xbfA:\xc3\xa9\r\n") == "\ufeffA:é\r\n"
    for body, line in [
        (b"A:b\nC:\xe9\n", 2),
        (b"A:b\nC:\x00\n", 2),
        (b"A:b\n\nC:\x07\n", 3),
        (b"A:\xef\xbf\xbf\n", 1),
        (b"A:\xed\xa0\x80\n", 1),
    ]:
        with pytest.raises(InvalidCalendarData) as caught:
            decode(body)
        assert caught.value.line == line


@given(names, st.dictionaries(names, printable, max_size=4), printable)
def test_what_is_written_is_read(name, params, value):
    written = "".join(f";{key}={encode_parameter(text)}" for key, text in params.items())
    text = fold(f"{name}{written}:{value}") + "END:X\r\n"
    line, last = content_lines(text)
    expected: dict[str, list[str]] = {}
    for key, content in params.items():
        expected.setdefault(key.upper(), []).append(content)
    assert (line.name, line.value, line.params) == (name.upper(), value, expected)
    assert text[line.start : line.end] + text[last.start : last.end] == text
    assert all(len(physical.encode()) <= 75 for physical in text.split("\r\n"))


@given(printable)
def test_text_escapes_round_trip(text):
    assert unescape_text(escape_text(text)) == text
    assert split_list(escape_text(text)) == [escape_text(text)]
    assert split_structure(escape_text(text)) == [escape_text(text)]


@given(st.lists(printable, min_size=1, max_size=5))
def test_lists_split_at_unescaped_separators(parts):
    escaped = [escape_text(part) for part in parts]
    assert split_list(",".join(escaped)) == escaped
    assert split_structure(";".join(escaped)) == escaped


@given(st.text(st.sampled_from('\\,;"ab'), max_size=12))
def test_splitting_loses_nothing(value):
    assert ",".join(split_list(value)) == value
    assert ";".join(split_structure(value)) == value


@given(st.text(characters | st.sampled_from("\n^\"'n"), max_size=60))
def test_parameter_values_round_trip(value):
    assert decode_parameter(encode_parameter(value).strip('"')) == value


def test_text_is_lenient():
    assert unescape_text(r"a\"b\:c\\n\N\,") == 'a"b:c\\n\n,'
    assert unescape_text("end\\") == "end\\"


fragments = st.sampled_from(
    [
        "\r\n",
        "\n",
        "\r",
        " ",
        "\t",
        ":",
        ";",
        "=",
        '"',
        ",",
        "^",
        "\\",
        "A",
        "BEGIN:X",
        "END:X",
        "ENCODING=QUOTED-PRINTABLE",
    ]
)


@settings(max_examples=300)
@given(st.lists(fragments | st.text(max_size=3), max_size=30).map("".join))
def test_any_text_is_read_or_refused_and_spans_hold(text):
    try:
        found = list(content_lines(text))
    except InvalidCalendarData as error:
        assert error.line is not None
        assert 1 <= error.line <= text.count("\n") + 1
        return
    position = 1 if text.startswith("\ufeff") else 0
    for line in found:
        assert re.fullmatch(r"[\r\n\t ]*", text[position : line.start])
        assert text.count("\n", 0, line.start) + 1 == line.line
        assert parse_parameters(line.parameter_text) == line.params
        position = line.end
    assert re.fullmatch(r"[\r\n\t ]*", text[position:])


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body):
    try:
        list(content_lines(decode(body)))
    except InvalidCalendarData as error:
        assert error.line is not None


@given(
    names,
    st.dictionaries(names.map(str.upper), st.text(st.sampled_from('ab ;,:é"'), max_size=8), max_size=3),
    printable,
)
def test_a_second_library_reads_the_same(name, params, value):
    written = "".join(f";{key}={encode_parameter(text)}" for key, text in params.items())
    text = fold(f"{name}{written}:{value}")
    (line,) = content_lines(text)
    other_name, other_params, other_value = icalendar.parser.Contentline.from_ical(text.removesuffix("\r\n")).parts()
    assert (line.name, line.value) == (other_name.upper(), other_value)
    assert set(line.params) == {key.upper() for key in other_params}


@pytest.mark.parametrize(
    "pattern",
    [
        "A",
        "\n",
        "A:b\n\n",
        "SUM\n MARY:x\n",
        'A;"',
        'A;"a";',
        "A:b\n \n",
        "A\n ",
        "A:\r",
        "A;X=,",
        'A;X="",',
        ";A=b",
        "^",
        "\\",
    ],
)
def test_hostile_lengths_are_read_in_one_pass(pattern):
    """With work that grew as the square of the length this would take hours."""
    text = f"X;Y={pattern * 200_000}:\\{pattern * 200_000}\n{pattern * 200_000}"
    try:
        for line in content_lines(text):
            unescape_text(line.value)
            split_list(line.value)
            assert "" not in line.params
    except InvalidCalendarData as error:
        assert error.line is not None
