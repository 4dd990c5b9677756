"""Multistatus bodies by their meaning: order, prefixes, white space between elements and hosts do not matter."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import urlsplit

from lxml import etree

Element: TypeAlias = etree._Element

CALDAV = "urn:ietf:params:xml:ns:caldav"
CARDDAV = "urn:ietf:params:xml:ns:carddav"
CALENDARSERVER = "http://calendarserver.org/ns/"
APPLE = "http://apple.com/ns/ical/"


def dav(name: str) -> str:
    return f"{{DAV:}}{name}"


def caldav(name: str) -> str:
    return f"{{{CALDAV}}}{name}"


def carddav(name: str) -> str:
    return f"{{{CARDDAV}}}{name}"


def calendarserver(name: str) -> str:
    return f"{{{CALENDARSERVER}}}{name}"


def apple(name: str) -> str:
    return f"{{{APPLE}}}{name}"


@dataclass
class Response:
    """A DAV:response: a status of the resource, or properties by status."""

    status: int | None = None
    props: dict[int, dict[str, str]] = field(default_factory=dict)
    """Meanings of values, by status and name."""
    errors: set[str] = field(default_factory=set)
    """Preconditions in its DAV:error and those of its propstats."""

    @property
    def found(self) -> dict[str, str]:
        """The properties with 200."""
        return self.props.get(200, {})

    def status_of(self, name: str) -> int:
        """The status of a property."""
        (status,) = (status for status, props in self.props.items() if name in props)
        return status


@dataclass
class Multistatus:
    responses: dict[str, Response] = field(default_factory=dict)
    """By the path of the href, in the order in which they stand."""
    token: str | None = None
    """DAV:sync-token."""

    def __getitem__(self, href: str) -> Response:
        return self.responses[href]

    @property
    def hrefs(self) -> list[str]:
        return list(self.responses)

    @property
    def only(self) -> Response:
        (found,) = self.responses.values()
        return found


def read(root: Element) -> Multistatus:
    """A DAV:multistatus, held against the rules of RFC 4918 §14.16, §14.22 and §14.24."""
    assert root.tag == dav("multistatus")
    found = Multistatus(token=root.findtext(dav("sync-token")))
    for element in root.findall(dav("response")):
        hrefs = [path_of(href.text or "") for href in element.findall(dav("href"))]
        response = Response(errors=errors_in(element))
        status = element.find(dav("status"))
        propstats = element.findall(dav("propstat"))
        assert (status is None) == bool(propstats), "a response has either propstats or a status"
        if status is not None:
            response.status = code(status)
        else:
            assert len(hrefs) == 1
            response.props, more = read_propstats(element)
            response.errors |= more
        for href in hrefs:
            assert href not in found.responses, f"{href} is there twice"
            found.responses[href] = response
    return found


def read_propstats(parent: Element) -> tuple[dict[int, dict[str, str]], set[str]]:
    """The properties by status, and the preconditions."""
    props: dict[int, dict[str, str]] = {}
    errors: set[str] = set()
    for propstat in parent.findall(dav("propstat")):
        status = propstat.find(dav("status"))
        prop = propstat.find(dav("prop"))
        assert status is not None
        assert prop is not None
        group = props.setdefault(code(status), {})
        for item in prop:
            assert item.tag not in group, f"{item.tag} is there twice"
            group[str(item.tag)] = inner(item)
        errors |= errors_in(propstat)
    return props, errors


def errors_in(element: Element) -> set[str]:
    return {str(item.tag) for error in element.findall(dav("error")) for item in error}


def code(status: Element) -> int:
    """The number in a DAV:status."""
    protocol, number, _ = (status.text or "").split(" ", 2)
    assert protocol == "HTTP/1.1"
    return int(number)


def path_of(href: str) -> str:
    """The path of an href, absolute or not."""
    parts = urlsplit(href.strip())
    return parts.path + (f"?{parts.query}" if parts.query else "")


def inner(element: Element) -> str:
    """What is inside an element, in one spelling; that of text alone is the text."""
    if not any(isinstance(child.tag, str) for child in element):
        return "".join(element.itertext()).replace("\r\n", "\n").strip()
    return "".join(sorted(meaning(child) for child in element))


def meaning(element: Element) -> str:
    """An element without mixed content in one spelling; the order of its children does not matter."""
    attributes = "".join(f" {name}={value!r}" for name, value in sorted(element.items()))
    return f"<{element.tag}{attributes}>{inner(element)}</>"


def example(text: str) -> Multistatus:
    """A multistatus as a document prints it."""
    return read(etree.fromstring(text.strip().encode()))


def hrefs_in(value: str) -> list[str]:
    """The texts of the DAV:href elements in a value as `inner` gives it."""
    return [part.split("</>")[0] for part in value.split(f"<{dav('href')}>")[1:]]
