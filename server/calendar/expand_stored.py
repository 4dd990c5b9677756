"""CALDAV:expand from stored occurrences (RFC 4791 §9.6.5): only the lines that change are looked for in the text.

Returns the result of `server.calendar.expand.expand` at a fraction of its cost, for the texts of nearly all events. For
all other texts it returns None.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from functools import lru_cache
from typing import NamedTuple

from server.calendar.expand import duration_line, recurrence_id_line, time_line, written_time
from server.calendar.values import parse_duration
from server.domain.errors import InvalidCalendarData
from server.domain.occurrences import Kind, Timing

_OWN = re.compile(
    r"\n(D(?:TSTART|TEND|URATION)|R(?:RULE|DATE|ECURRENCE-ID)|EX(?:DATE|RULE))"
    r'(?:((?:;[^:"\r\n]*(?:"[^"\r\n]*"[^:"\r\n]*)*)?):([^\r\n]*)\r?(?=\n|\Z)((?:\n[ \t][^\n]*)*)|(?![A-Z0-9-]))'
)
"""A line that differs between instances: name, parameters, value and folds; the name alone where it is not plain."""
_STEP = 5
"""From one stretch that stays to the next, where `_OWN` divides."""
_SUSPECT = re.compile(r"\n(?:[A-Z-]*+[a-z\r\n]|BEGIN(?!:[A-Z-]++\r?\n)|END(?!:[A-Z-]++(?:\r?\n|\Z)))")
"""A name in lower case or folded, a blank line, or a component whose name is not plain."""
_EXTENSION = re.compile(r"\nX-[A-Z-]*+[a-z]")
"""A name in lower case that does not matter."""
_DATE = re.compile(r"VALUE=\"?DATE(?!-)")
_TIME = re.compile(r"[0-9]{8}(?:(T)[0-9]{6}(Z)?)?")
_LONG = 400
"""Characters of parameters that are not plain any more."""
_REMOVED = frozenset(("RRULE", "RDATE", "EXDATE", "EXRULE", "RECURRENCE-ID"))
_FIRST = re.compile(r"\ufeff?(BEGIN:VCALENDAR)(?=\r?\n)")
_LAST = re.compile(r"END:VCALENDAR(?:\r?\n)?")


class _Template(NamedTuple):
    """An event as text around the lines that each instance has for itself."""

    before: str
    after: str
    has_end: bool
    duration: tuple[str, str] | None
    """Parameters and value of DURATION, where there is no DTEND."""


def expand_stored(text: str, timings: Sequence[Timing]) -> str | None:
    """The instances of an event, each a VEVENT of its own with times in UTC.

    :param timings: of those that overlap the window, in order of place on the time line and recurrence id.
    :return: None where the text has to be read as a whole: use `expand` then.
    """
    first = _FIRST.match(text)
    if first is None or _is_odd(text):
        return None
    start = first.start(1)
    components = _components(text, start)
    if components is None:
        return None
    pieces = [text[start : components[0][1]]]
    templates: dict[int, _Template] = {}
    for timing in timings:
        begin, recurrence_id, end, kind, component = timing
        template = templates.get(component)
        if template is None:
            template = _template(text, *components[component]) if component < len(components) else None
            if template is None:
                return None
            templates[component] = template
        if template.has_end and end <= begin:
            return None
        if template.has_end and kind is Kind.TIMED:
            # Nearly all are this; `_instance_lines` would give the same.
            line = f"RECURRENCE-ID:{recurrence_id}\r\n" if recurrence_id else ""
            times = f"DTSTART:{written_time(begin, kind)}\r\nDTEND:{written_time(end, kind)}\r\n"
            pieces += (template.before, times, line, template.after)
        else:
            pieces += (template.before, _instance_lines(timing, template), template.after)
    pieces.append(text[components[-1][2] :])
    return "".join(pieces)


def _is_odd(text: str) -> bool:
    """Whether lines cannot be told from one another by the simple patterns used here."""
    found = _SUSPECT.search(text)
    while found is not None and _EXTENSION.match(text, found.start()):
        found = _SUSPECT.search(text, found.end())
    return found is not None


def _components(text: str, start: int) -> list[tuple[str, int, int]] | None:
    """The components of the VCALENDAR that begins at `start`: name, start and end of each.

    Returns None if there are no components, if lines stand between or after them, or if a component contains another of
    its own name.
    """
    components = []
    at = text.find("\nBEGIN:", start) + 1
    while text.startswith("BEGIN:", at):
        line_end = text.find("\n", at)
        name = text[at + len("BEGIN:") : line_end].rstrip("\r")
        end = _end_of(text, name, line_end)
        if end is None:
            return None
        components.append((name, at, end))
        at = end
    return components if components and _LAST.fullmatch(text, at) else None


def _end_of(text: str, name: str, at: int) -> int | None:
    """Behind the END line of a component of which the lines begin at `at`; None if others of its name are in it."""
    end = text.find(f"\nEND:{name}\r\n", at)
    length = len(name) + 7
    if end < 0:
        end, length = text.find(f"\nEND:{name}\n", at), len(name) + 6
    return None if end < 0 or text.find(f"\nBEGIN:{name}", at, end) >= 0 else end + length


def _divided(lines: str) -> list[str] | None:
    """The lines of a component divided at its own lines that differ between instances, as `_OWN` divides them.

    The components in it are no matter where they stand. None where the lines of one cannot be told from its own.
    """
    inner = lines.find("\nBEGIN:")
    if inner < 0:
        return _OWN.split(lines)
    divided = [""]
    at = 0
    while inner >= 0:
        line_end = lines.find("\n", inner + 1)
        end = _end_of(lines, lines[inner + len("\nBEGIN:") : line_end].rstrip("\r"), line_end)
        if end is None:
            return None
        first, *others = _OWN.split(lines[at:inner])
        divided[-1] += first
        divided += others
        # The line end that closes the component opens the next line.
        at = end - 1
        divided[-1] += lines[inner:at]
        inner = lines.find("\nBEGIN:", at)
    first, *others = _OWN.split(lines[at:])
    divided[-1] += first
    return divided + others


def _template(text: str, name: str, start: int, end: int) -> _Template | None:
    divided = _divided(text[start:end]) if name == "VEVENT" else None
    if divided is None or None in divided:
        return None
    own = {}
    for at in range(1, len(divided), _STEP):
        line = divided[at]
        if line in _REMOVED:
            if line == "RDATE" and "PERIOD" in divided[at + 1].upper():
                return None
        elif line in own or divided[at + 3]:
            return None
        else:
            own[line] = divided[at + 1], divided[at + 2]
    before, after = f"{divided[0]}\n", "".join(divided[_STEP::_STEP])[1:]
    if "DTSTART" not in own or "TZID" in before.upper() or "TZID" in after.upper():
        return None
    last = own.get("DTEND")
    if last is None:
        duration = own.get("DURATION")
        return _Template(before, after, False, duration and (duration[0].removeprefix(";"), duration[1]))
    return _Template(before, after, True, None) if _ends_after(*own["DTSTART"], *last) else None


def _ends_after(parameters: str, value: str, end_parameters: str, end_value: str) -> bool:
    """Whether a DTEND is plainly written and of the form that DTSTART has, and after it by the same clock."""
    if len(parameters) + len(end_parameters) > _LONG:
        return False
    found, end_found = _TIME.fullmatch(value), _TIME.fullmatch(end_value)
    if found is None or end_found is None or found.lastindex != end_found.lastindex:
        return False
    by_value = _order(parameters, end_parameters, found.lastindex)
    return by_value is not None and (not by_value or value < end_value)


@lru_cache(maxsize=256)
def _order(parameters: str, end_parameters: str, form: int | None) -> bool | None:
    """Whether the values of DTSTART and DTEND say which is earlier; False where occurrences do; None: neither.

    `form` is None for dates, 1 for times without Z and 2 for times with Z.
    """
    parameters, end_parameters = parameters.upper(), end_parameters.upper()
    if form is not None and (_DATE.search(parameters) or _DATE.search(end_parameters)):
        return None
    if parameters == end_parameters:
        return True
    return False if form == 1 and "TZID=" in parameters and "TZID=" in end_parameters else None


@lru_cache(maxsize=256)
def _length(value: str) -> timedelta | None:
    """The nominal length of a DURATION, days counted as 24 hours."""
    try:
        return parse_duration(value).timedelta
    except InvalidCalendarData:
        return None


def _instance_lines(timing: Timing, template: _Template) -> str:
    """DTSTART, its end and RECURRENCE-ID of an instance."""
    start, recurrence_id, end, kind, _ = timing
    lines = [time_line("DTSTART", written_time(start, kind), kind)]
    if template.has_end:
        lines.append(time_line("DTEND", written_time(end, kind), kind))
    elif template.duration is not None:
        parameters, value = template.duration
        exact = end - start
        lines.append(duration_line(parameters, value if _length(value) == exact else None, exact))
    if recurrence_id:
        lines.append(recurrence_id_line(recurrence_id))
    return "".join(lines)
