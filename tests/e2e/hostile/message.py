"""A request as bytes that can be damaged anywhere, and where the bytes of requests lead."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Literal

Media = Literal["xml", "calendar", "card", "none"]
Header = tuple[bytes, bytes]

_PLACE = re.compile(rb"\{([a-z_]+)\}")


@dataclass(slots=True)
class Message:
    """A request; what a mutation changes."""

    name: str
    """Which client sends it, and what for."""
    media: Media
    method: bytes
    target: bytes
    headers: list[Header]
    body: bytes = b""
    wire: bytes | None = None
    """What is sent after the head, where that is not the body as Content-Length counts it; all that is sent where the
    method is empty."""
    alone: bool = False
    """Whether nothing is sent before its answer has come: its head is such that the connection may be closed."""
    loose: bool = False
    """Whether it may have several answers or none: it has a connection of its own, which is closed soon."""

    def copy(self) -> Message:
        return replace(self, headers=list(self.headers))

    def set(self, name: bytes, value: bytes) -> None:
        """Give a header this value, in the place of those of its name."""
        self.headers = [each for each in self.headers if each[0].lower() != name.lower()] + [(name, value)]

    def encode(self) -> bytes:
        """The bytes of the request."""
        if not self.method and self.wire is not None:
            return self.wire
        lines = [self.method + b" " + self.target + b" HTTP/1.1"]
        lines += [name + b": " + value for name, value in self.headers]
        if self.wire is None and (self.body or self.method in (b"PUT", b"POST")):
            lines.append(b"Content-Length: %d" % len(self.body))
        return b"\r\n".join([*lines, b"", b""]) + (self.body if self.wire is None else self.wire)


@dataclass(frozen=True, slots=True)
class Template:
    """A request as a client sends it, with `{places}` that differ from one person to the next."""

    name: str
    media: Media
    method: str
    target: str
    headers: dict[str, str]
    body: str = ""

    def message(self, places: Places) -> Message:
        """The request of one person."""
        headers = [(name.encode(), places.fill(value.encode())) for name, value in self.headers.items()]
        headers.append((b"Authorization", places.authorization))
        return Message(
            self.name, self.media, self.method.encode(), places.fill(self.target.encode()), headers,
            places.fill(self.body.encode()),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Places:
    """Who sends, and what the places in templates are for them."""

    name: str
    authorization: bytes
    values: dict[str, bytes] = field(default_factory=dict)

    def fill(self, text: bytes) -> bytes:
        """Put the values into a text; what is no place stays."""
        return _PLACE.sub(lambda found: self.values.get(found[1].decode(), found[0]), text)
