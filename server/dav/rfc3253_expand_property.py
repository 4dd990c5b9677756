"""RFC 3253 §3.8: expand-property, properties of the resources that a property's hrefs lead to, to any depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lxml import etree

from server.dav.core import names, xml
from server.dav.core.errors import Refused
from server.dav.core.multistatus import STATUS, answer, describe, status_response
from server.dav.core.names import dav
from server.dav.core.registry import Standard
from server.dav.core.request import Answer, Request
from server.dav.core.resource import EVERY, Resource
from server.dav.principals import at, resource_of
from server.errors import AccessDenied, BadRequest, NotFound

MAX_PROPERTIES = 200
"""Properties that one body names, at all depths."""
MAX_EXPANDED = 5000
"""Resources that one answer leads to."""
_OK = STATUS[200]


@dataclass(frozen=True, slots=True)
class Asked:
    """A property, and what is asked of the resources that it leads to."""

    name: str
    inner: tuple[Asked, ...]


async def expand_property(request: Request, resource: Resource, root: xml.Element) -> Answer:
    """Answers the report on one resource."""
    asked = read(root)
    if _count(asked) > MAX_PROPERTIES:
        raise BadRequest(f"The body names at most {MAX_PROPERTIES} properties.")
    return answer(request, await Expansion(request).of(resource, resource.href, asked))


def read(element: xml.Element) -> tuple[Asked, ...]:
    """The properties that an element's children name. Raises `BadRequest`."""
    out = []
    for item in element.iterchildren(dav("property")):
        name = item.get("name", "")
        namespace = item.get("namespace", "DAV:")
        try:
            qualified = str(etree.QName(namespace or None, name).text)
        except ValueError:
            raise BadRequest("A DAV:property has the name of an XML element.") from None
        out.append(Asked(qualified, read(item)))
    return tuple(out)


def _count(asked: Sequence[Asked]) -> int:
    return sum(1 + _count(item.inner) for item in asked)


class Expansion:
    """An answer in the making."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.left = MAX_EXPANDED

    async def of(self, resource: Resource, href: str, asked: Sequence[Asked]) -> str:
        """The response of a resource under the URL that it was found by."""
        request = self.request
        wanted = list(dict.fromkeys(item.name for item in asked))
        request.loaded.clear()
        request.facts.clear()
        await request.prepare(resource, wanted)
        text = describe(request, resource, wanted)
        inner = {item.name: item.inner for item in asked if item.inner}
        if not inner:
            return _under(request.url(href), text)
        root = etree.fromstring(f"<r {names.DECLARATIONS}>{text}</r>".encode())
        response = root[0]
        for propstat in response.iterchildren(dav("propstat")):
            if xml.text_of(propstat.find(dav("status"))) != _OK:
                continue
            for value in propstat.iterchildren(dav("prop")):
                for element in xml.elements(value):
                    if element.tag in inner:
                        await self._replace(element, inner[str(element.tag)])
        found = response.find(dav("href"))
        assert found is not None
        found.text = request.url(href)
        return etree.tostring(response, encoding="unicode")

    async def _replace(self, element: xml.Element, asked: Sequence[Asked]) -> None:
        """Puts responses in the places of hrefs."""
        hrefs = [item for item in element.iter(dav("href")) if item.getparent() is not None]
        self.left -= len(hrefs)
        if self.left < 0:
            raise Refused(507, dav("number-of-matches-within-limits"), "The answer would be too long.")
        principals = await at(self.request, (xml.text_of(item) for item in hrefs))
        for item in hrefs:
            href = xml.text_of(item)
            principal = principals.get(href)
            if principal is not None:
                by_uid = self.request.parse_href(href).segments[1] == "__uids__"
                text = await self.of(resource_of(principal, by_uid), self.request.parse_href(href).href + "/", asked)
            else:
                text = await self._elsewhere(href, asked)
            parent = item.getparent()
            assert parent is not None
            parent.replace(item, etree.fromstring(f"<r {names.DECLARATIONS}>{text}</r>".encode())[0])

    async def _elsewhere(self, href: str, asked: Sequence[Asked]) -> str:
        """The response of what is no principal; one that may not be read does not show what it is."""
        request = self.request
        try:
            path = request.parse_href(href)
            resource = await request.resource(path)
        except AccessDenied:
            return status_response(href, 403, names.element(dav("need-privileges")))
        except (NotFound, BadRequest):
            return status_response(href, 404)
        return await self.of(resource, resource.href, asked)


def _under(href: str, response: str) -> str:
    """A response whose href is written as it was found."""
    start = response.index("<D:href>") + len("<D:href>")
    return response[:start] + names.escape(href) + response[response.index("</D:href>") :]


STANDARD = Standard("RFC 3253 §3.8", reports=((dav("expand-property"), EVERY, expand_property),))
