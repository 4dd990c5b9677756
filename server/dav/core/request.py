"""A request as the standards' modules see it, and the answer they give."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from server.auth import policy
from server.dav.core import paths, xml
from server.dav.core.errors import Refused
from server.dav.core.paths import Path
from server.dav.core.registry import Registry
from server.dav.core.resource import Resource, lacking, parent_of, resource_at
from server.dav.core.xml import Element
from server.domain.actors import Actor
from server.domain.changes import Cause
from server.domain.errors import AccessDenied, BadRequest, NotFound, ResourceTooLarge
from server.domain.grants import NO_GRANTS
from server.domain.objects import Target
from server.domain.principals import Principal
from server.domain.privileges import Privilege, Privileges
from server.domain.resolution import Resolution
from server.http.headers import listed
from server.http.wire import Wire
from server.services.lookup import Found
from server.services.permissions import home_of

if TYPE_CHECKING:
    from server.domain.limits import Limits
    from server.services.collections import Collections
    from server.services.granting import Granting
    from server.services.lookup import Lookup
    from server.services.objects import Objects
    from server.services.principals.people import People
    from server.services.reading import Reading
    from server.services.rooms.reading import RoomReading
    from server.services.scheduling.busy_times import BusyTimes
    from server.services.scheduling.implicit import Scheduling
    from server.services.scheduling.splitting import Splitting

_NONE: frozenset[str] = frozenset()
_REPEATED = ("PROPFIND", "REPORT")
"""Methods that an app sends again and again with the same body."""


@dataclass(frozen=True, slots=True)
class Site:
    """What every request shares: the registry, the services, and the settings that the protocol needs."""

    registry: Registry[Request]
    lookup: Lookup
    reading: Reading
    people: People
    objects: Objects
    scheduling: Scheduling
    splitting: Splitting
    collections: Collections
    granting: Granting
    rooms: RoomReading
    busy_times: BusyTimes
    limits: Limits
    page_size: int = 1000
    """Rows of a page of a listing; pages with texts are a tenth of it."""
    prefix: str = ""
    """The path under which a proxy shows this server, without a slash at its end."""
    installation: bytes = b""
    """The installation's id, from which resource ids are made."""


class Request:
    """A request under way."""

    def __init__(self, wire: Wire, site: Site, path: Path) -> None:
        self.wire = wire
        self.site = site
        self.method = wire.method
        self.headers = wire.headers
        self.path = path
        self._actor: Actor | None = None
        self._looked_up: tuple[Target | None, Resolution] | None = None
        """The lookup that confirmed the sign-in before the body was read, for the next `look_up` of the same target."""
        self.loaded: dict[tuple[str, str], str] = {}
        """Values of properties that needed more than the resource, by its href and the property's name."""
        self.concerned: int | None = None
        """The id of the principal whose resource was looked for last."""
        self.facts: dict[object, object] = {}
        """What loading a property found out, for those whose value differs from one listed resource to the next."""
        self._preferences: frozenset[str] | None = None
        self.operation = ""
        """The qualified name of the report asked for, for metrics and logs."""

    # -- what it is about ---------------------------------------------------------------------------------------------

    @property
    def destination(self) -> Path | None:
        """Where COPY and MOVE lead (RFC 4918 §10.3); None where the Destination header is missing or not a URL."""
        value = self.headers.get("Destination") if self.method in ("COPY", "MOVE") else None
        try:
            return self.parse_href(value) if value else None
        except BadRequest:
            return None

    @property
    def person(self) -> Principal:
        """Who is signed in; only after a look-up."""
        assert self.viewer is not None
        return self.viewer

    @property
    def viewer(self) -> Principal | None:
        """Who is signed in, as far as it is known yet."""
        return None if self._actor is None else self._actor.principal

    @property
    def acting_for(self) -> int | None:
        """The id of the principal for whom a delegate acts, as far as it is known yet."""
        return None if self._actor is None else self._actor.acting_for

    @property
    def cause(self) -> Cause | None:
        """Who acts, as the journal has it, as far as it is known yet."""
        return None if self._actor is None else self._actor.cause

    @property
    def tree(self) -> str:
        """The tree of URLs that the path lies in; empty for none, for metrics and logs."""
        return self.path.tree if self.path.tree in paths.TREES else ""

    @property
    def actor(self) -> Actor:
        """Who acts; only after a look-up."""
        assert self._actor is not None
        return self._actor

    async def signed_in(self) -> Principal:
        """Who asks, without looking for anything. Raises `SignInRequired`."""
        await self._resolve(None, text=False)
        return self.person

    async def look_up(
        self, path: Path | None = None, *, need: Privilege, or_need: Privilege = Privilege.READ, text: bool = False
    ) -> Found:
        """What there is at a path, the request's own by default, as `Lookup.find` finds it.

        Raises `NotFound` for paths that can name nothing, `AccessDenied`, `SignInRequired`.
        """
        path = path or self.path
        target = path.target()
        known = await self._resolve(target, text=text)
        try:
            return await self.site.lookup.find(self.actor, target, need, or_need=or_need, text=text, known=known)
        except AccessDenied:
            raise AccessDenied(lacking(path, need), need) from None

    async def _resolve(self, target: Target | None, *, text: bool) -> Resolution:
        """What storage knows of a target, by the statement that confirms the sign-in; the first one makes the actor."""
        earlier, self._looked_up = self._looked_up, None
        if earlier is not None and earlier[0] == target and not text:
            return earlier[1]
        found = await self.wire.confirmed(lambda id_: self.site.lookup.resolve(id_, target, text=text))
        if self._actor is None:
            self._actor = self._actor_of(found)
        self.concerned = None if found.owner is None else found.owner.id
        return found

    def _actor_of(self, found: Resolution) -> Actor:
        origin = "carddav" if self.path.tree == "addressbooks" else "caldav"
        owner, delegated = found.owner, False
        if found.grants is not NO_GRANTS and found.home is not None and found.home.kind == "calendar":
            delegated = policy.acts_for(found.viewer, owner, found.grants)
        acting_for = owner.id if owner is not None and delegated else None
        return Actor(found.viewer, origin, self.wire.request_id, acting_for, self.wire.trace)

    async def resource(
        self, path: Path | None = None, *, need: Privilege = Privilege.READ, text: bool = False, on_parent: bool = False
    ) -> Resource:
        """The resource at a path, with the privilege checked, on what it lies in if `on_parent`.

        Raises `NotFound`, `AccessDenied`.
        """
        found = await self.find(path, need=need, text=text)
        self.require(parent_of(found) if on_parent else found, need)
        return found

    async def find(self, path: Path | None = None, *, need: Privilege, text: bool = False) -> Resource:
        """The resource at a path, for a caller that checks the privilege itself. Raises `NotFound`, `AccessDenied`."""
        path = path or self.path
        found = await self.look_up(path, need=need, text=text)
        try:
            return resource_at(path, found)
        except NotFound:
            self.demand_sight(path, found, need)
            raise

    def demand_sight(self, path: Path, found: Found, need: Privilege) -> None:
        """Raises `AccessDenied` where the person may not learn what is missing."""
        with self.denied_at(lacking(path, need)):
            found.demand_sight(need)

    @contextlib.contextmanager
    def denied_at(self, href: str) -> Iterator[None]:
        """Adds the URL of the resource to what a service denies, for services know no URLs.

        Not to a denial to send in somebody's name: `server.dav.rfc6638_implicit.sending` names their outbox.
        """
        try:
            yield
        except AccessDenied as error:
            if error.sender is not None:
                raise
            raise AccessDenied(href, error.privilege) from None

    def require(self, resource: Resource, privilege: Privilege) -> None:
        """Raises `AccessDenied` when the person lacks a privilege on a resource."""
        if privilege not in self.privileges(resource):
            raise AccessDenied(resource.href, privilege)

    def privileges(self, resource: Resource) -> Privileges:
        """What the person may do with a resource (DAV:current-user-privilege-set)."""
        return resource.found.privileges

    def parse_href(self, href: str) -> Path:
        """The path of an href in a body or header. Raises `BadRequest`."""
        return Path.parse(href.strip(), self.site.prefix)

    async def prepare(self, resources: Sequence[Resource], wanted: Sequence[str]) -> None:
        """Read what properties of resources need beyond the resources themselves, of all that are of a kind at once."""
        for kind in {resource.kind for resource in resources}:
            known = self.site.registry.by_kind[kind]
            alike: list[Resource] | None = None
            for name in wanted:
                item = known.get(name)
                if item is None or item.load is None:
                    continue
                if alike is None:
                    alike = [resource for resource in resources if resource.kind is kind]
                for resource, value in zip(alike, await item.load(self, alike), strict=True):
                    if value is not None:
                        self.loaded[resource.href, name] = value

    async def prepare_listed(self, collections: Sequence[Resource], wanted: Sequence[str]) -> None:
        """The same for collections that a home lists, and for the properties with `load_in_listings` only."""
        names = [name for name in wanted if name in self.site.registry.loaded_in_listings]
        if names:
            await self.prepare(collections, names)

    async def collections_of(self, found: Found) -> Sequence[Found]:
        """The collections that the home which was found shows, in the person's view; read once for a request."""
        key = ("collections", home_of(found).id)
        if key not in self.facts:
            self.facts[key] = await self.site.reading.collections(self.actor, found)
        return cast("Sequence[Found]", self.facts[key])

    async def prepare_members(self, holder: Resource, wanted: Sequence[str]) -> None:
        """The same for the members of a collection, or all that lies in a home: it is read once for all of them."""
        properties = self.site.registry.properties
        for name in wanted:
            item = properties.get(name)
            if item is not None and item.load is not None and item.same_for_members:
                await item.load(self, [holder])

    def url(self, href: str) -> str:
        """An href as clients see it."""
        return self.site.prefix + href

    # -- headers ------------------------------------------------------------------------------------------------------

    def depth(self, default: str) -> str:
        """The Depth header: `0`, `1` or `infinity` (RFC 4918 §10.2). Raises `BadRequest`."""
        value = self.headers.get("Depth")
        if value is None:
            return default
        value = value.strip().lower()
        if value not in ("0", "1", "infinity"):
            raise BadRequest("Depth is 0, 1 or infinity.")
        return value

    @property
    def preferences(self) -> frozenset[str]:
        """Preferences of the Prefer header that are known here, and Brief as `return=minimal` (RFC 7240, RFC 8144)."""
        if self._preferences is None:
            self._preferences = self._preferred() if "Prefer" in self.headers or "Brief" in self.headers else _NONE
        return self._preferences

    def _preferred(self) -> frozenset[str]:
        prefer = listed(self.headers, "Prefer")
        found = set()
        if prefer:
            for part in prefer.split(","):
                token = part.partition(";")[0].strip().replace(" ", "").replace('"', "").lower()
                if token in ("return=minimal", "return=representation", "depth-noroot"):
                    found.add(token)
            if {"return=minimal", "return=representation"} <= found:
                found -= {"return=minimal", "return=representation"}
        if self.headers.get("Brief", "").strip().lower() == "t":
            found.add("return=minimal")
        return frozenset(found)

    @property
    def minimal(self) -> bool:
        """Whether failures of properties may be left out (RFC 8144 §2.1)."""
        return "return=minimal" in self.preferences

    @property
    def representation(self) -> bool:
        """Whether the state of the resource is wanted in the answer of a write (RFC 8144 §2.2)."""
        return "return=representation" in self.preferences

    @property
    def noroot(self) -> bool:
        """Whether the resource itself is to be left out of a listing (RFC 8144 §2.3)."""
        return "depth-noroot" in self.preferences

    # -- body ---------------------------------------------------------------------------------------------------------

    async def body(self, limit: int) -> bytes:
        """The body, at most `limit` bytes; of a person whose sign-in the database has confirmed.

        The confirming statement is the request's own lookup, which the next `look_up` takes over.
        """
        if self._actor is None:
            try:
                target = self.path.target()
            except NotFound:
                target = None
            self._looked_up = target, await self._resolve(target, text=False)
        return await self.wire.read(limit)

    async def xml(self) -> Element | None:
        """The body as XML whatever its Content-Type says; None when there is none. Raises `BadRequest`, `Refused`."""
        limit = self.site.limits.max_xml_size
        try:
            data = await self.body(limit)
        except ResourceTooLarge:
            raise Refused(413, message=f"An XML body has at most {limit} bytes.") from None
        if not data.strip():
            return None
        return await xml.parse_body(data, again=self.method in _REPEATED)

    async def demand_xml(self, *roots: str) -> Element:
        """The body as XML with one of these root elements. Raises `BadRequest`."""
        root = await self.xml()
        if root is None:
            raise BadRequest("An XML body is needed.")
        if roots and root.tag not in roots:
            raise BadRequest(f"The root element may not be {root.tag!s:.100}.")
        return root
