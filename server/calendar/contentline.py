"""iCalendar content lines (RFC 5545 §3.1), with parameters (§3.2, RFC 6868) and TEXT (§3.3.11).

The tokenizer goes over the text once with one regular expression, keeps where each line lies in the text, and does no
more with a line than to split it: parameters are parsed when they are asked for.

It is lenient where a text has one meaning only: bare LF and CR CR LF end lines, blank lines are skipped, names have any
case, parameters may lack their value, TZID may hold an unquoted colon, and quoted-printable values of vCalendar 1.0 may
go on after a soft line break.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from server.domain.errors import InvalidCalendarData


def possessive(group: str) -> str:
    """The pattern of any number of a group, into which no match goes back: `(?:group)*+`.

    Before 3.11.5, as in Debian 12, Python goes on from a wrong place when the last repeat of such a group fails after
    something repeated in it. Two levels, so that long texts keep little for going back, which never happens.
    """
    return f"(?>(?:(?>(?:{group}){{1,500}}))*)"


# What is written `(?:...)*+` below can fail only where nothing in the group was repeated before (see `possessive`).
_EOL = r"(?:\n|\r\n|\r\r\n)"
_LINE = re.compile(rf"([A-Za-z0-9_.-]++)([:;])([^\r\n]*+(?:{_EOL}[ \t][^\r\n]*+)*+)(?:{_EOL}|\Z)")
_LINE_OR_ODD = re.compile(_LINE.pattern + r"|[\s\S]")
_ANY_LINE_END = re.compile(r"\r{0,2}\n")
_BLANK_LINE = rf"[ \t]*+{_EOL}"
_BLANK_LINES = _BLANK_LINE + possessive(_BLANK_LINE)
_BLANK = re.compile(rf"{_BLANK_LINES}[ \t]*+\Z|{_BLANK_LINES}|[ \t]++\Z")
_FOLD = re.compile(rf"{_EOL}[ \t]")
_FOLDED_LINE = re.compile(rf"[^\r\n]++(?:{_EOL}[ \t][^\r\n]*+)*+(?:{_EOL}|\Z)")
_PHYSICAL_LINE = re.compile(rf"([^\r\n]*+)(?:{_EOL}|\Z)")
_UP_TO_VALUE = re.compile("(" + possessive(r'[^":]++|"[^"]*+"') + "):")
_PARAMETER = re.compile(r'(?:[^";]++|"[^"]*+"?)++')
_PARAMETER_VALUE = re.compile(r'(?:[^",]++|"[^"]*+"?)++|(?<=,)(?=,|\Z)|\A(?=,|\Z)')
_CIRCUMFLEX = re.compile(r"\^(['n^])")
_CIRCUMFLEX_MEANINGS = {"'": '"', "n": "\n", "^": "^"}
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_TO_ESCAPE = re.compile(r"[\\;,]|\r\n?|\n")
_UNESCAPED_COMMA = re.compile(r"((?:[^\\,]++|\\.?)*+)(,|\Z)", re.DOTALL)
_UNESCAPED_SEMICOLON = re.compile(r"((?:[^\\;]++|\\.?)*+)(;|\Z)", re.DOTALL)
_OCTET_FOLD = rb"(?:\n|\r\n|\r\r\n)[ \t]"
_TORN_CHARACTER = re.compile(  # with a fold between two of its octets
    rb"[\xc2-\xf4][\x80-\xbf]{0,2}(?:%(fold)s)(?:(?:%(fold)s)?[\x80-\xbf]){1,3}" % {b"fold": _OCTET_FOLD}
)
_OCTET_FOLDS = re.compile(_OCTET_FOLD)
_CONTROLS = bytes(byte for byte in range(0x20) if byte not in b"\t\r\n")
_NO_XML_CHARACTERS = (b"\xef\xbf\xbe", b"\xef\xbf\xbf")

_VALUE_WITHOUT_COLON = frozenset(("DTSTART", "DTEND", "DUE", "RECURRENCE-ID", "RDATE", "EXDATE", "COMPLETED"))
"""Properties whose values are dates and times: an unquoted colon can only belong to TZID."""

BOM = "\ufeff"
MAX_MARKS = 1_000_000
"""Lines, and quotation marks, of one text. One match of a pattern may go over all of them, and no other thread runs
meanwhile: of ten million it takes a quarter of a second."""


class Property:
    """One content line.

    `name` is upper-case; `value` is the raw value, unfolded and still escaped. `line` counts from 1. `start` and `end`
    are the offsets of the content line in the text, with its folds and its line end.
    """

    __slots__ = ("_params", "end", "line", "name", "parameter_text", "start", "value")

    def __init__(self, name: str, parameter_text: str, value: str, line: int = 0, start: int = 0, end: int = 0) -> None:
        self.name = name
        self.parameter_text = parameter_text
        """The text between the name's semicolon and the value's colon, unfolded; empty without parameters."""
        self.value = value
        self.line = line
        self.start = start
        self.end = end
        self._params: dict[str, list[str]] | None = None

    def __repr__(self) -> str:
        parameters = f";{self.parameter_text}" if self.parameter_text else ""
        return f"<Property {self.name}{parameters}:{self.value} (line {self.line})>"

    @property
    def span(self) -> tuple[int, int]:
        """Start and end offset in the text."""
        return self.start, self.end

    @property
    def params(self) -> dict[str, list[str]]:
        """Values by upper-case name, without quotes, RFC 6868 decoded; a parameter without `=` has no values."""
        if self._params is None:
            self._params = parse_parameters(self.parameter_text) if self.parameter_text else {}
        return self._params

    def parameter(self, name: str) -> str | None:
        """The first value of the parameter with this upper-case name, None without it."""
        if not self.parameter_text:
            return None
        values = self.params.get(name)
        return None if values is None else values[0] if values else ""

    @property
    def text(self) -> str:
        """The value as TEXT, unescaped."""
        return unescape_text(self.value)


def decode(body: bytes) -> str:
    """The text of a body in UTF-8, a byte order mark included.

    Lines may be folded between the octets of one character (RFC 5545 §3.1): the text then has the fold in front of that
    character, and differs from the body. Each line keeps its number.

    :raises InvalidCalendarData: for what is not UTF-8 or holds characters that neither iCalendar nor XML can carry, and
        for more lines or quotation marks than `MAX_MARKS`.
    """
    for mark, what in (b"\n", "lines"), (b'"', "quotation marks"):
        if body.count(mark) > MAX_MARKS:
            raise InvalidCalendarData(f"There are more than {MAX_MARKS} {what}.")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        body = join_characters(body)
        try:
            text = body.decode("utf-8")
        except UnicodeDecodeError as error:
            line = body.count(b"\n", 0, error.start) + 1
            message = f"This is not UTF-8: byte {body[error.start]:#04x} in line {line}."
            raise InvalidCalendarData(message, line) from None
    if len(body.translate(None, _CONTROLS)) != len(body):
        offset = next(index for index, byte in enumerate(body) if byte in _CONTROLS)
        line = body.count(b"\n", 0, offset) + 1
        raise InvalidCalendarData(f"Line {line} holds the control character {body[offset]:#04x}.", line)
    for sequence in _NO_XML_CHARACTERS:
        if sequence in body:
            line = body.count(b"\n", 0, body.index(sequence)) + 1
            raise InvalidCalendarData(f"Line {line} holds a code point that is no character.", line)
    return text


def join_characters(body: bytes) -> bytes:
    """A body with every fold that stands between the octets of one UTF-8 character moved in front of that character.

    Unfolding comes before decoding (RFC 5545 §3.1, RFC 6350 §3.2); the value of each line stays the same.
    """
    return _TORN_CHARACTER.sub(_with_folds_first, body)


def _with_folds_first(match: re.Match[bytes]) -> bytes:
    folds = b"".join(_OCTET_FOLDS.findall(match[0]))
    return folds + _OCTET_FOLDS.sub(b"", match[0])


def content_lines(text: str, strict: bool = True) -> Iterator[Property]:
    """The content lines of a text, in order; a byte order mark and blank lines are skipped.

    Unless `strict`, a line that cannot be read comes with an empty name and no value.

    :raises InvalidCalendarData: if `strict`, with the line, for a line that is not `name *(";" param) ":" value`.
    """
    position = 1 if text.startswith(BOM) else 0
    length = len(text)
    number = 1
    while position < length:
        for match in _LINE_OR_ODD.finditer(text, position):
            name, separator, rest = match.groups()
            if name is None:
                break
            start, end = match.span()
            name = name.upper()
            line = number
            if "\n" in rest:
                number += rest.count("\n")
                rest = _FOLD.sub("", rest)
            number += 1
            position = end
            if separator == ":":
                yield Property(name, "", rest, line, start, end)
                continue
            try:
                parameter_text, value = _split_parameters(name, rest, line)
            except InvalidCalendarData:
                if strict:
                    raise
                name = parameter_text = value = ""
            soft_break = value[-1:] == "=" and "QUOTED-PRINTABLE" in parameter_text.upper()
            if soft_break:
                value, position = _join_soft_line_breaks(text, value, end)
                number = line + text.count("\n", start, position)
            yield Property(name, parameter_text, value, line, start, position)
            if soft_break:
                break
        if position < length and not _LINE.match(text, position):
            blank = _BLANK.match(text, position)
            if blank is not None:
                number += text.count("\n", position, blank.end())
                position = blank.end()
            else:
                try:
                    odd = _line_with_folded_name(text, position, number)
                except InvalidCalendarData:
                    if strict:
                        raise
                    odd = Property("", "", "", number, position, text.find("\n", position) + 1 or length)
                number += text.count("\n", position, odd.end)
                position = odd.end
                yield odd


def _line_with_folded_name(text: str, position: int, number: int) -> Property:
    """A content line folded within its name; an error for every other line that the fast pattern does not take."""
    match = _FOLDED_LINE.match(text, position)
    if match is None or text[position] in " \t":
        reason = "holds a carriage return that ends no line" if match is None else "continues no line"
        raise InvalidCalendarData(f"Line {number} {reason}.", number)
    logical = _FOLD.sub("", match.group()).rstrip("\r\n")
    again = _LINE.fullmatch(logical)
    if again is None:
        name = logical.partition(":")[0][:40]
        raise InvalidCalendarData(f"Line {number} is no content line: {name!r}.", number)
    name, separator, rest = again.groups()
    name = name.upper()
    parameter_text, value = ("", rest) if separator == ":" else _split_parameters(name, rest, number)
    return Property(name, parameter_text, value, number, position, match.end())


def _split_parameters(name: str, rest: str, number: int) -> tuple[str, str]:
    """Split what follows the first semicolon at the colon that begins the value."""
    if '"' not in rest:
        if name in _VALUE_WITHOUT_COLON:
            parameter_text, colon, value = rest.rpartition(":")
        else:
            parameter_text, colon, value = rest.partition(":")
    else:
        match = _UP_TO_VALUE.match(rest)
        if match is not None:
            return match.group(1), rest[match.end() :]
        parameter_text, colon, value = rest.partition(":")
    if not colon:
        raise InvalidCalendarData(f"Line {number} has no value: a colon is missing after {name}.", number)
    return parameter_text, value


def _join_soft_line_breaks(text: str, value: str, end: int) -> tuple[str, int]:
    """A quoted-printable value of vCalendar 1.0 goes on in the next line as long as lines end with `=`."""
    parts = [value]
    while parts[-1].endswith("=") and end < len(text):
        match = _PHYSICAL_LINE.match(text, end)
        if match is None or match.end() == end:
            break
        parts[-1] = parts[-1][:-1]
        parts.append(match.group(1))
        end = match.end()
    return "".join(parts), end


def parse_parameters(text: str) -> dict[str, list[str]]:
    """The parameters of a content line from the unfolded text between name and value (RFC 5545 §3.2).

    Names are upper-case; values lose their quotes and are decoded as RFC 6868 says. Values of a parameter that is there
    several times are put together.
    """
    result: dict[str, list[str]] = {}
    for part in _PARAMETER.findall(text) if '"' in text else text.split(";"):
        name, equals, written = part.partition("=")
        name = name.strip().upper()
        if not equals:
            values: list[str] = []
        elif '"' not in written and "," not in written:
            values = [decode_parameter(written)]
        else:
            pieces = _PARAMETER_VALUE.findall(written)
            values = [decode_parameter(_unquote(piece)) for piece in pieces]
        if name in result:
            result[name].extend(values)
        else:
            result[name] = values
    result.pop("", None)
    return result


def _unquote(value: str) -> str:
    """A parameter value without the quotes around it."""
    value = value.strip()
    if value.startswith('"'):
        return value[1:-1] if value.endswith('"') and len(value) > 1 else value[1:]
    return value


def decode_parameter(value: str) -> str:
    """RFC 6868 §3.1: `^n`, `^^` and `^'`; other circumflexes stay."""
    if "^" not in value:
        return value
    return _CIRCUMFLEX.sub(lambda match: _CIRCUMFLEX_MEANINGS[match.group(1)], value)


def encode_parameter(value: str) -> str:
    """A parameter value as written: RFC 6868 encoded, in quotes where RFC 5545 §3.2 wants them."""
    encoded = value.replace("^", "^^").replace("\r\n", "^n").replace("\n", "^n").replace('"', "^'")
    return f'"{encoded}"' if any(character in encoded for character in ":;,") else encoded


def unescape_text(value: str) -> str:
    """A TEXT value without its escapes (RFC 5545 §3.3.11).

    `\\\\`, `\\;`, `\\,`, `\\n` and `\\N` mean what the RFC says; a backslash before any other character, such as `\\"`
    or `\\:`, is dropped, as the clients that write these mean it.
    """
    if "\\" not in value:
        return value
    return _ESCAPE.sub(lambda match: "\n" if match.group(1) in "nN" else match.group(1), value)


def escape_text(text: str) -> str:
    """A string as a TEXT value (RFC 5545 §3.3.11)."""
    return _TO_ESCAPE.sub(lambda match: "\\n" if match.group()[0] in "\r\n" else "\\" + match.group(), text)


def split_list(value: str) -> list[str]:
    """The parts of a raw value at unescaped commas, still escaped; an empty value is one empty part."""
    return _split(_UNESCAPED_COMMA, value) if "\\" in value else value.split(",")


def split_structure(value: str) -> list[str]:
    """The parts of a raw value at unescaped semicolons, still escaped; an empty value is one empty part."""
    return _split(_UNESCAPED_SEMICOLON, value) if "\\" in value else value.split(";")


def _split(pattern: re.Pattern[str], value: str) -> list[str]:
    """Parts of a value by a pattern of a part (1) and its separator, or the end (2)."""
    parts: list[str] = []
    for match in pattern.finditer(value):
        parts.append(match.group(1))
        if not match.group(2):
            break
    return parts


def content_line(name: str, params: Mapping[str, Sequence[str]], value: str) -> str:
    """A content line, folded, with CR LF at its end (RFC 5545 §3.1).

    :param params: values by name, not yet encoded; a parameter without values is written without `=`.
    :param value: as it is written in the line.
    """
    written = [name]
    for param, values in params.items():
        written.append(f"{param}={','.join(map(encode_parameter, values))}" if values else param)
    return fold(f"{';'.join(written)}:{value}")


def fold(line: str, line_end: str = "\r\n") -> str:
    """A content line, with its line end, folded so that no line has more than 75 octets (RFC 5545 §3.1).

    Characters are never torn apart.
    """
    if len(line) <= 75 and line.isascii():
        return line + line_end
    pieces: list[str] = []
    encoded = line.encode()
    start, room = 0, 75
    while len(encoded) - start > room:
        cut = start + room
        while encoded[cut] & 0xC0 == 0x80:
            cut -= 1
        pieces.append(encoded[start:cut].decode())
        start, room = cut, 74
    pieces.append(encoded[start:].decode())
    return f"{line_end} ".join(pieces) + line_end


def with_crlf(lines: str) -> str:
    """Whole lines with CR LF at their ends."""
    if lines.count("\n") != lines.count("\r\n") or "\r\r" in lines or not lines.endswith("\n"):
        lines = _ANY_LINE_END.sub("\r\n", lines)
        if not lines.endswith("\n"):
            lines += "\r\n"
    return lines
