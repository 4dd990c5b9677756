"""The values that a parameter of a booking policy takes, as JSON."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from server.domain.errors import InvalidPrincipal

MAX_NAMES = 200
"""People and groups that one parameter names."""
MAX_NAME = 255
"""Characters of a name."""
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Audience:
    """People and groups."""

    everyone: bool = False
    """All people of the installation; those of outside, too, where a policy admits them."""
    names: tuple[str, ...] = ()
    """Names or stable ids of people and groups, as the policy has them."""


EVERYONE = Audience(everyone=True)
NOBODY = Audience()


class Kind(Protocol):
    """A kind of values."""

    @property
    def words(self) -> str:
        """What values are, for people."""

    def read(self, value: object, what: str) -> Any:
        """A value from JSON. Raises `InvalidPrincipal`, whose message begins with `what`."""


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false."""

    words: str = "true or false"

    def read(self, value: object, what: str) -> bool:
        """See `Kind`."""
        if not isinstance(value, bool):
            raise InvalidPrincipal(f"{what} must be {self.words}.")
        return value


@dataclass(frozen=True, slots=True)
class Number:
    """A whole number, or null for no limit."""

    least: int
    most: int

    @property
    def words(self) -> str:
        """See `Kind`."""
        return f"{self.least} to {self.most}, or null for no limit"

    def read(self, value: object, what: str) -> int | None:
        """See `Kind`."""
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or not self.least <= value <= self.most:
            raise InvalidPrincipal(f"{what} must be a whole number from {self.words}.")
        return value


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several words."""

    of: tuple[str, ...]

    @property
    def words(self) -> str:
        """See `Kind`."""
        return ", ".join(self.of[:-1]) + f" or {self.of[-1]}"

    def read(self, value: object, what: str) -> str:
        """See `Kind`."""
        if not isinstance(value, str) or value not in self.of:
            raise InvalidPrincipal(f"{what} must be {self.words}.")
        return value


@dataclass(frozen=True, slots=True)
class Sentence:
    """A text of several lines."""

    most: int

    @property
    def words(self) -> str:
        """See `Kind`."""
        return f"a text of at most {self.most} characters"

    def read(self, value: object, what: str) -> str:
        """See `Kind`."""
        if not isinstance(value, str) or len(value) > self.most:
            raise InvalidPrincipal(f"{what} must be {self.words}.")
        if _CONTROLS.search(value):
            raise InvalidPrincipal(f"{what} may not contain control characters.")
        return value.strip()


@dataclass(frozen=True, slots=True)
class Who:
    """Everyone, nobody, or a list of people and groups."""

    words: str = "everyone, nobody, or a list of names or ids of people and groups"

    def read(self, value: object, what: str) -> Audience:
        """See `Kind`."""
        if value == "everyone":
            return EVERYONE
        if value == "nobody":
            return NOBODY
        if not isinstance(value, list):
            raise InvalidPrincipal(f"{what} must be {self.words}.")
        if len(value) > MAX_NAMES:
            raise InvalidPrincipal(f"{what} may name at most {MAX_NAMES} people and groups.")
        for each in value:
            if not isinstance(each, str) or not 0 < len(each) <= MAX_NAME or _CONTROLS.search(each):
                raise InvalidPrincipal(f"Each of {what} must be a name of at most {MAX_NAME} characters.")
        return Audience(names=tuple(dict.fromkeys(value)))


def to_json(value: object) -> object:
    """The JSON of a value of any kind."""
    if isinstance(value, Audience):
        return "everyone" if value.everyone else list(value.names) or "nobody"
    return value


Automation = Literal["none", "update", "accept"]
BeyondWindow = Literal["truncate", "decline"]
Capacity = Literal["off", "warn", "enforce"]
CheckInBy = Literal["off", "link", "panel"]


def known_only(values: Mapping[str, object], names: Mapping[str, object], what: str) -> None:
    """See that values have known names only. Raises `InvalidPrincipal`."""
    unknown = [name for name in values if name not in names]
    if unknown:
        raise InvalidPrincipal(f"{what} has no {unknown[0][:MAX_NAME]!r}. It has {', '.join(names)}.")
