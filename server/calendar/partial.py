"""Partial retrieval of calendar objects (RFC 4791 §9.6.1 to §9.6.4): keeps some content lines of a text as they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from server.calendar.component import MAX_DEPTH
from server.calendar.contentline import BOM, Property, content_lines, fold
from server.domain.errors import InvalidFilter

MAX_SELECTED = 1000
"""Component and property names in one selection."""


@dataclass(frozen=True, slots=True)
class CompSelection:
    """A CALDAV:comp element: what is wanted of the components of a name (RFC 4791 §9.6.1).

    Names are compared without regard to case. An empty selection means the whole component, as the VTIMEZONE in the
    example of RFC 4791 §7.8.1. With anything named, what is not named is left out: properties without a component
    mean no components, and the other way round.
    """

    name: str
    all_properties: bool = False
    properties: tuple[tuple[str, bool], ...] = ()
    """Name and whether the value is left out (`novalue`)."""
    all_components: bool = False
    components: tuple[CompSelection, ...] = ()


@dataclass(frozen=True, slots=True)
class _Level:
    """A selection with its names folded."""

    properties: dict[str, bool] | None
    """None means all."""
    components: dict[str, _Level] | None
    """None means all, whole."""


_WHOLE = _Level(None, None)


def check_selection(selection: CompSelection) -> None:
    """See that a selection is one of VCALENDAR, and bounded.

    :raises InvalidFilter: otherwise.
    """
    if selection.name.upper() != "VCALENDAR":
        raise InvalidFilter(f"The outermost component is VCALENDAR, not {selection.name[:40]}.")
    count = 0
    waiting = [(selection, 1)]
    while waiting:
        current, depth = waiting.pop()
        count += 1 + len(current.properties)
        if count > MAX_SELECTED or depth > MAX_DEPTH:
            raise InvalidFilter("The selection of components and properties is too large.")
        waiting.extend((child, depth + 1) for child in current.components)


def is_whole(selection: CompSelection) -> bool:
    """Whether a selection of VCALENDAR leaves nothing out."""
    return _level(selection) == _WHOLE


def select(text: str, selection: CompSelection, *, expanded: bool = False) -> str:
    """The parts of a calendar object's text that a selection wants, which `check_selection` has accepted.

    Kept lines keep their spelling, folds and line ends; BEGIN and END of a wanted component are always kept.

    :param expanded: whether the components are instances of CALDAV:expand. Those keep RECURRENCE-ID even if the
        selection does not name it (RFC 4791 §9.6.5).
    :raises InvalidCalendarData: when the text cannot be read, which a stored text can.
    """
    level = _level(selection)
    if level == _WHOLE:
        return text
    if expanded and level.components is not None:
        level = _Level(level.properties, {name: _identified(part) for name, part in level.components.items()})
    return "".join(_selected(text, _Level(None, {selection.name.upper(): level})))


def _identified(level: _Level) -> _Level:
    """The same level, with RECURRENCE-ID among its properties."""
    if level.properties is None:
        return level
    return _Level({"RECURRENCE-ID": False, **level.properties}, level.components)


def _level(selection: CompSelection) -> _Level:
    """A selection by folded names; several of a name are put together."""
    if selection == CompSelection(selection.name):
        return _WHOLE
    properties: dict[str, bool] | None = None
    if not selection.all_properties:
        properties = {}
        for name, novalue in selection.properties:
            properties[name.upper()] = novalue and properties.get(name.upper(), True)
    components: dict[str, _Level] | None = None
    if not selection.all_components:
        components = {}
        for child in selection.components:
            name, level = child.name.upper(), _level(child)
            components[name] = _union(components[name], level) if name in components else level
    return _Level(properties, components)


def _union(one: _Level, other: _Level) -> _Level:
    properties: dict[str, bool] | None = None
    if one.properties is not None and other.properties is not None:
        properties = dict(one.properties)
        for name, novalue in other.properties.items():
            properties[name] = novalue and properties.get(name, True)
    components: dict[str, _Level] | None = None
    if one.components is not None and other.components is not None:
        components = dict(one.components)
        for name, level in other.components.items():
            components[name] = _union(components[name], level) if name in components else level
    return _Level(properties, components)


def _selected(text: str, wanted: _Level) -> Iterator[str]:
    """The wanted lines; neighbours that are kept whole come in one piece."""
    levels: list[_Level | None] = [wanted]
    kept_from = kept_to = 1 if text.startswith(BOM) else 0
    for line in content_lines(text):
        if line.name == "BEGIN":
            above = levels[-1]
            name = line.value.strip().upper()
            if above is None:
                level = None
            else:
                level = _WHOLE if above.components is None else above.components.get(name)
            levels.append(level)
            keep = level is not None
        elif line.name == "END":
            keep = levels.pop() is not None
        else:
            level = levels[-1]
            keep = level is not None and (level.properties is None or line.name in level.properties)
            if keep and level is not None and level.properties is not None and level.properties[line.name]:
                yield text[kept_from:kept_to]
                yield _without_value(text, line)
                kept_from = kept_to = line.end
                continue
        if not keep:
            continue
        if line.start != kept_to:
            yield text[kept_from:kept_to]
            kept_from = line.start
        kept_to = line.end
    yield text[kept_from:kept_to]


def _without_value(text: str, line: Property) -> str:
    """Name and parameters of a line, and the colon (RFC 4791 §9.6.4)."""
    parameters = f";{line.parameter_text}" if line.parameter_text else ""
    line_end = "\r\n" if text.startswith("\r\n", line.end - 2) else "\n"
    return fold(f"{line.name}{parameters}:", line_end)
