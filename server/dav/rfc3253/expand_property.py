"""RFC 3253 §3.8: expand-property, properties of the resources that a property's hrefs lead to, to any depth."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import islice

from lxml import etree

from server.dav.core import names, xml, xml_trees
from server.dav.core.errors import Refused
from server.dav.core.multistatus import STATUS, answer, describe, status_response
from server.dav.core.names import dav
from server.dav.core.registry import Report, Standard
from server.dav.core.request import Request
from server.dav.core.resource import EVERY, Resource
from server.dav.rfc3744.principals import resources_at
from server.domain.errors import AccessDenied, BadRequest, NotFound
from server.http.answer import Answer

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
    # Counted before they are read, which takes longer.
    if sum(1 for _ in islice(root.iter(dav("property")), MAX_PROPERTIES + 1)) > MAX_PROPERTIES:
        raise BadRequest(f"The body names at most {MAX_PROPERTIES} properties.")
    asked = read(root)
    (response,) = await Expansion(request).of([(resource.href, resource)], asked)
    return answer(request, etree.tostring(response, encoding="unicode"))


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


class Expansion:
    """An answer in the making: all resources of one depth are read together."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.left = MAX_EXPANDED

    async def of(self, resources: Sequence[tuple[str, Resource]], asked: Sequence[Asked]) -> list[xml.Element]:
        """The responses of resources under the URLs that they were found by."""
        request = self.request
        wanted = list(dict.fromkeys(item.name for item in asked))
        await request.prepare([resource for _, resource in resources], wanted)
        responses = []
        for href, resource in resources:
            response = _element(describe(request, resource, wanted))
            found = response.find(dav("href"))
            assert found is not None
            found.text = request.url(href)
            responses.append(response)
        for name, inner in {item.name: item.inner for item in asked if item.inner}.items():
            hrefs = [href for response in responses for href in _hrefs(response, name)]
            self.left -= len(hrefs)
            self._demand(self.left >= 0)
            await self._replace(hrefs, inner)
        return responses

    async def _replace(self, items: Sequence[xml.Element], asked: Sequence[Asked]) -> None:
        """Puts responses in the places of hrefs."""
        hrefs = list(dict.fromkeys(xml.text_of(item) for item in items))
        principals = await resources_at(self.request, hrefs)
        found: dict[str, tuple[str, Resource]] = {}
        responses: dict[str, xml.Element] = {}
        for href in hrefs:
            if href in principals:
                found[href] = (self.request.parse_href(href).href + "/", principals[href])
                continue
            resource = await self._elsewhere(href)
            if isinstance(resource, str):
                responses[href] = _element(resource)
            else:
                found[href] = (resource.href, resource)
        if found:
            responses.update(zip(found, await self.of(list(found.values()), asked), strict=True))
        # A resource that several hrefs lead to was read once, and is written for each.
        sizes = {href: sum(1 for _ in response.iter(dav("response"))) for href, response in responses.items()}
        self._demand(sum(sizes[xml.text_of(item)] for item in items) <= MAX_EXPANDED)
        for item in items:
            parent = item.getparent()
            assert parent is not None
            parent.replace(item, deepcopy(responses[xml.text_of(item)]))

    @staticmethod
    def _demand(short_enough: bool) -> None:
        if not short_enough:
            raise Refused(507, dav("number-of-matches-within-limits"), "The answer would be too long.")

    async def _elsewhere(self, href: str) -> Resource | str:
        """What is no principal, or the response of what may not be read: that does not show what it is."""
        request = self.request
        try:
            return await request.resource(request.parse_href(href))
        except AccessDenied:
            return status_response(href, 403, names.element(dav("need-privileges")))
        except (NotFound, BadRequest):
            return status_response(href, 404)


def _hrefs(response: xml.Element, name: str) -> list[xml.Element]:
    """The hrefs in a property that was found."""
    return [
        href
        for propstat in response.iterchildren(dav("propstat"))
        if xml.text_of(propstat.find(dav("status"))) == _OK
        for prop in propstat.iterchildren(dav("prop"))
        for value in prop.iterchildren(name)
        for href in value.iter(dav("href"))
    ]


def _element(response: str) -> xml.Element:
    return xml_trees.read(f"<r {names.DECLARATIONS}>{response}</r>".encode())[0]


STANDARD = Standard("RFC 3253 §3.8", reports=(Report(dav("expand-property"), EVERY, expand_property),))
