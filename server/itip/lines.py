"""Content lines that can be put together to texts again: as they were written, or made anew.

A `Line` is a `Property`, so that the functions of `server.calendar` read it. It never changes: what would change it
gives another line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from server.calendar.contentline import Property, content_line, encode_parameter, fold, parse_parameters

_PARAMETER = re.compile(r'(?:[^";]++|"[^"]*+"?)++')


class Line(Property):
    """One content line with its text."""

    __slots__ = ("written",)

    def __init__(self, name: str, parameter_text: str, value: str, written: str, line: int = 0) -> None:
        super().__init__(name, parameter_text, value, line)
        self.written = written
        """The line as it stands in a text, with its folds and its line end, and blank lines in front of it."""

    @property
    def params(self) -> dict[str, list[str]]:
        """As `Property.params`; nobody may change them, since lines that are spelled alike share them."""
        if self._params is None:
            self._params = _parameters(self.parameter_text) if self.parameter_text else {}
        return self._params

    @property
    def content(self) -> tuple[str, str, str]:
        """Name, parameters and value without regard to folds: equal for lines that are spelled alike."""
        return self.name, self.parameter_text, self.value

    def with_value(self, value: str) -> Line:
        """The line with another value, as it is written in a line."""
        return spelled(self.name, self.parameter_text, value)

    def with_parameter(self, name: str, value: str | Sequence[str] | None) -> Line:
        """The line with another value, or list of values, of a parameter; None removes it. The others stay as spelled.

        :param name: upper-case.
        :param value: not yet encoded.
        """
        return self.with_parameters({name: value})

    def with_parameters(self, values: Mapping[str, str | Sequence[str] | None]) -> Line:
        """The line with several parameters set or removed, as `with_parameter`; itself if nothing differs."""
        wanted = {
            name: None if value is None else [value] if isinstance(value, str) else list(value)
            for name, value in values.items()
        }
        present = self.params
        if all(present.get(name) == value for name, value in wanted.items()):
            return self
        pieces: list[str] = []
        for piece in _PARAMETER.findall(self.parameter_text):
            name = piece.partition("=")[0].strip().upper()
            if name not in wanted:
                pieces.append(piece)
                continue
            value = wanted[name]
            if value is not None:
                pieces.append(_written(name, value))
                wanted[name] = None
        pieces += [_written(name, value) for name, value in wanted.items() if value is not None]
        return spelled(self.name, ";".join(pieces), self.value)

    def without_parameters(self, *names: str) -> Line:
        """The line without the parameters of some upper-case names."""
        return self.with_parameters(dict.fromkeys(names))


def spelled(name: str, parameter_text: str, value: str) -> Line:
    """A line from the text of its parameters and its value as written."""
    return Line(name, parameter_text, value, fold(f"{name}{';' if parameter_text else ''}{parameter_text}:{value}"))


def made(name: str, value: str, params: Mapping[str, Sequence[str]] | None = None) -> Line:
    """A new line.

    :param value: as it is written in the line: a TEXT must be escaped (`server.calendar.contentline.escape_text`).
    :param params: values by upper-case name, not yet encoded.
    """
    parameter_text = ";".join(_written(param, values) for param, values in (params or {}).items())
    return Line(name, parameter_text, value, content_line(name, params or {}, value))


@lru_cache(maxsize=2048)
def _parameters(text: str) -> dict[str, list[str]]:
    return parse_parameters(text)


def _written(name: str, values: Sequence[str]) -> str:
    return f"{name}={','.join(map(encode_parameter, values))}" if values else name
