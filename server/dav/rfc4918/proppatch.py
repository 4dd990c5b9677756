"""PROPPATCH (RFC 4918 §9.2), and how values of properties are taken, for the methods that make collections too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from server.auth import policy
from server.dav.core import names, xml
from server.dav.core.errors import Refused
from server.dav.core.multistatus import answer, properties_of, propstat, response
from server.dav.core.names import dav
from server.dav.core.registry import Property
from server.dav.core.request import Request
from server.dav.core.resource import CollectionResource, InHome, MemberResource, Resource
from server.dav.rfc4918 import conditions
from server.domain.changes import PropertyChanges, Unchanged
from server.domain.errors import AccessDenied, BadRequest
from server.domain.objects import PERSONAL_PROPERTIES
from server.domain.privileges import Privilege
from server.http.answer import Answer
from server.services.changing import change

MAX_INSTRUCTIONS = 1000
"""Properties that one request may set or remove."""
PROTECTED = names.element(dav("cannot-modify-protected-property"))
TIMEZONES = frozenset((names.caldav("calendar-timezone"), names.caldav("calendar-timezone-id")))
"""Two names of one value, which is read and stored as iCalendar text (RFC 7809 §3.1.5)."""
COMPONENTS = names.caldav("supported-calendar-component-set")
SOURCE = names.calendarserver("source")


@dataclass(slots=True)
class Instructions:
    """Changes taken from a body, and those that are refused."""

    properties: dict[str, str | None] = field(default_factory=dict)
    timezone: str | None = None
    source: str | None = None
    components: tuple[str, ...] = ()
    """What a new calendar is to take; empty where nothing was said."""
    names: list[str] = field(default_factory=list)
    """Every property named, in order, each once."""
    refused: dict[str, tuple[int, str, str]] = field(default_factory=dict)
    """Status, precondition markup and description by name."""

    taken: int = 0

    def _name(self, element: xml.Element) -> str:
        """The property of the next instruction. Raises `BadRequest` for one too many, whatever the others name."""
        self.taken += 1
        if self.taken > MAX_INSTRUCTIONS:
            raise BadRequest(f"At most {MAX_INSTRUCTIONS} properties can be set or removed at once.")
        name = str(element.tag)
        if name not in self.names:
            self.names.append(name)
        self.refused.pop(name, None)
        return name

    async def take(self, request: Request, resource: Resource, element: xml.Element, *, creating: bool) -> None:
        """Take one property element of a `DAV:set`. Raises `BadRequest`."""
        name = self._name(element)
        item = known_as(request, resource, name)
        limits = request.site.limits
        if item is not None:
            settable = item.settable if item.settable is not None else item.kinds
            if item.read is None or (item.creation_only and not creating) or resource.kind not in settable:
                self.refused[name] = (403, PROTECTED, "")
                return
        try:
            value = await self._value(request, resource, item, element)
        except Refused as error:
            inner = names.element(error.precondition, error.inner) if error.precondition else ""
            self.refused[name] = (error.status, inner, error.message)
            return
        if value is not None and len(value) > limits.max_property_size:
            self.refused[name] = (507, "", "The value is too large.")
            return
        if name in TIMEZONES:
            self.timezone = value or ""
        elif name == SOURCE:
            self.source = value or ""
        elif name == COMPONENTS:
            self.components = tuple((value or "").split())
        else:
            self.properties[_stored_as(item, name)] = value

    @staticmethod
    async def _value(
        request: Request, resource: Resource, item: Property[Request, Any] | None, element: xml.Element
    ) -> str | None:
        if item is None or item.read is None:
            return xml.to_fragment(element)
        value = item.read(request, resource, element)
        return value if value is None or isinstance(value, str) else await value

    def remove(self, request: Request, resource: Resource, element: xml.Element) -> None:
        """Take one property element of a `DAV:remove`; one that is not there is removed with success.

        Raises `BadRequest`.
        """
        name = self._name(element)
        item = known_as(request, resource, name)
        if item is not None and (item.read is None or item.creation_only):
            self.refused[name] = (403, PROTECTED, "")
        elif name in TIMEZONES:
            self.timezone = ""
        elif name == SOURCE:
            self.source = ""
        else:
            self.properties[_stored_as(item, name)] = None

    def bound(self, stored: Mapping[str, str], limit: int) -> None:
        """Refuse what would leave a resource with more properties than `limit`, of which it has `stored`."""
        kept = {name for name in stored if self.properties.get(name, "") is not None}
        added = [name for name, value in self.properties.items() if value is not None and name not in stored]
        if added and len(kept) + len(added) > limit:
            self.refused = dict.fromkeys(added, (507, "", f"A resource has at most {limit} properties."))

    def changes(self) -> PropertyChanges:
        """What storage is asked to do."""
        return PropertyChanges(self.properties, self.timezone, self.source)

    def propstats(self) -> str:
        """The outcome for each property: all, or none, were changed."""
        if not self.refused:
            return propstat("".join(names.tags(name)[2] for name in self.names), 200)
        parts = []
        for name, (status, error, description) in self.refused.items():
            parts.append(propstat(names.tags(name)[2], status, error, description))
        held_back = [name for name in self.names if name not in self.refused]
        if held_back:
            parts.append(propstat("".join(names.tags(name)[2] for name in held_back), 424))
        return "".join(parts)


def _stored_as(item: Property[Request, Any] | None, name: str) -> str:
    return name if item is None else item.stored_as or name


def known_as(request: Request, resource: Resource, name: str) -> Property[Request, Any] | None:
    """The live property of that name; None for a dead one, as one is that other kinds of resources have.

    One that is protected where it exists is protected everywhere, so that nobody takes a dead one for it.
    """
    found = request.site.registry.by_kind[resource.kind].get(name)
    if found is not None:
        return found
    elsewhere = request.site.registry.properties.get(name)
    return elsewhere if elsewhere is not None and elsewhere.read is None else None


async def read_update(request: Request, resource: Resource, root: xml.Element) -> Instructions:
    """The instructions of a `DAV:propertyupdate`, in document order. Raises `BadRequest`."""
    out = Instructions()
    for instruction in xml.elements(root):
        if instruction.tag not in (dav("set"), dav("remove")):
            continue
        for prop in instruction.findall(dav("prop")):
            for element in xml.elements(prop):
                if instruction.tag == dav("set"):
                    await out.take(request, resource, element, creating=False)
                else:
                    out.remove(request, resource, element)
    if not out.names:
        raise BadRequest("The body names no property.")
    return out


async def read_creation(request: Request, resource: Resource, props: Iterable[xml.Element]) -> Instructions:
    """The properties that a collection is made with. `resource` stands for what is to be made."""
    out = Instructions()
    for prop in props:
        for element in xml.elements(prop):
            await out.take(request, resource, element, creating=True)
    if not out.refused:
        out.bound({}, request.site.limits.max_properties)
    return out


async def proppatch(request: Request) -> Answer:
    """Answers PROPPATCH."""
    return await change(partial(request.find, need=Privilege.WRITE_PROPERTIES), partial(patch, request))


async def patch(request: Request, resource: Resource) -> Answer:
    """Change the properties of a resource as the request's body says, all or none."""
    unchanged = await conditions.demand(request, resource)
    root = await request.demand_xml(dav("propertyupdate"))
    instructions = await read_update(request, resource, root)
    demand_allowed(request, resource, instructions)
    if not instructions.refused:
        instructions.bound(properties_of(request, resource), request.site.limits.max_properties)
    if not instructions.refused:
        await apply(request, resource, instructions, unchanged)
    if request.minimal and not instructions.refused:
        return Answer(200, headers={"Preference-Applied": "return=minimal"})
    return answer(request, response(request.url(resource.href), instructions.propstats()))


def demand_allowed(request: Request, resource: Resource, instructions: Instructions) -> None:
    """Raises `AccessDenied` where the person may not change the properties, except those of their own view."""
    held = request.privileges(resource)
    if Privilege.WRITE_PROPERTIES in held:
        known = request.site.registry.by_kind[resource.kind]
        elsewhere = all(name in known and (known[name].write or not known[name].read) for name in instructions.names)
        if isinstance(resource, InHome) or elsewhere:
            return
    elif isinstance(resource, CollectionResource):
        keeps_view = policy.may_keep_view(request.person, resource.owner, resource.collection, held)
        if keeps_view and PERSONAL_PROPERTIES.issuperset(instructions.names):
            return
    raise AccessDenied(resource.href, Privilege.WRITE_PROPERTIES)


async def apply(
    request: Request, resource: Resource, instructions: Instructions, unchanged: tuple[Unchanged, ...] = ()
) -> None:
    """Set the properties of a resource of any kind, unless one of the states has changed."""
    site = request.site
    changes = instructions.changes()
    if not isinstance(resource, InHome):
        for name, value in instructions.properties.items():
            set_value = site.registry.by_kind[resource.kind][name].write
            assert set_value is not None
            await set_value(request, resource, value or "")
        return
    if isinstance(resource, MemberResource):
        write = site.objects.set_properties
    elif isinstance(resource, CollectionResource):
        write = site.collections.set_properties
    else:
        write = site.collections.set_home_properties
    await write(request.actor, resource.found, changes, unchanged=unchanged)
