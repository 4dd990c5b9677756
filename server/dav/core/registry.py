"""The registry: what the standards' modules offer, put together once at start.

A standard's module has a `STANDARD`, which lists its live properties, reports, methods and compliance tokens; the
server is the sum of those in `server.dav.standards`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from server.dav.core.resource import OBJECTS, Kind, Kinds, Resource
from server.dav.core.xml import Element
from server.domain.privileges import Privilege
from server.domain.rows import MemberColumn
from server.http.answer import Answer
from server.http.routes import Handler, Route, Routes

R = TypeVar("R")
"""The request: `server.dav.core.request` knows the registry, so that the registry does not know it."""

T = TypeVar("T", bound=Resource)
"""The type of the resources that something is registered for; their kinds have it (`Kinds`)."""

Render = Callable[[R, T], str | None]
"""Markup inside the property's element; None where the resource does not have the property."""
Load = Callable[[R, Sequence[T]], Awaitable[Sequence[str | None]]]
"""Takes all resources of one kind whose values are wanted, so that they are read together; returns a value for each."""
Read = Callable[[R, Resource, Element], str | Awaitable[str | None] | None]
"""Checks a value that a client sets and returns the text to store (None: the property is removed). Raises `Refused`.

The resource may be one that is about to be made.
"""
Write = Callable[[R, T, str], Awaitable[None]]


class TakesLong(Exception):
    """A value cannot be given without work that would keep the event loop."""


@dataclass(frozen=True, slots=True)
class MemberValue:
    """How a property of a collection's members is read from rows, without a resource for each."""

    columns: tuple[MemberColumn, ...]
    render: Callable[..., str | None] | None = None
    """Returns the markup of the columns' values; None where the one column needs no escaping and is never null."""
    before: str = ""
    after: str = ""
    """Markup around the value."""
    heavy: bool = False
    """Whether rendering parses texts, and so is done off the event loop."""
    attempt: Callable[..., str] | None = None
    """Returns what a heavy `render` returns, or raises `TakesLong` if that may block the event loop."""


@dataclass(frozen=True, slots=True)
class Property(Generic[R, T]):
    """A live property."""

    name: str
    """Qualified name."""
    kinds: Kinds[T]
    render: Render[R, T]
    member: MemberValue | None = None
    """For properties of members that stand in row columns."""
    same_for_members: bool = False
    """Whether all members of a collection have the one value that `render` returns for the collection."""
    read: Read[R] | None = None
    """How a client's value is taken; None: the property is protected."""
    stored: bool = False
    """Whether the value set is stored under the property's name among the resource's properties."""
    stored_as: str = ""
    """The name of the property that this is another name of: a value set is stored under that name."""
    settable: frozenset[Kind] | None = None
    """Kinds on which it can be set, if not on all that have it."""
    in_allprop: bool = False
    """Whether `DAV:allprop` includes it: those of RFC 4918 only, as later standards demand."""
    privilege: Privilege = Privilege.READ
    """What reading it needs: DAV:read, DAV:read-acl or DAV:read-current-user-privilege-set (RFC 3744)."""
    load: Load[R, T] | None = None
    """For a property that needs more than the resource: what `render` would give, awaited where it is asked for."""
    load_in_listings: bool = False
    """Whether a listing of the home calls `load`, too; otherwise the listing takes the value from `render`."""
    write: Write[R, T] | None = None
    """How a value that `read` gave is stored, where it is neither among the resource's properties nor in a column."""
    creation_only: bool = False
    """Whether it can be set by MKCALENDAR and extended MKCOL only, and is protected afterwards."""


@dataclass(frozen=True, slots=True)
class Report(Generic[R, T]):
    """A report that REPORT asks for."""

    name: str
    """Qualified name."""
    kinds: Kinds[T]
    answer: Callable[[R, T, Element], Awaitable[Answer]]
    privilege: Privilege = Privilege.READ
    """What it needs on the resource."""


@dataclass(frozen=True, slots=True)
class Getter(Generic[R, T]):
    """What GET of a collection shows, where it is not a page for a browser."""

    kinds: Kinds[T]
    answer: Callable[[R, T, dict[str, str]], Awaitable[Answer]]
    """The headers given (ETag, Last-Modified) belong into the answer."""


@dataclass(frozen=True, slots=True)
class Standard(Generic[R]):
    """What a module offers."""

    name: str
    properties: Sequence[Property[R, Any]] = ()
    reports: Sequence[Report[R, Any]] = ()
    routes: Sequence[Route[R]] = ()
    """Handlers of methods, by what a path can name (`server.dav.core.shapes`)."""
    offers: Sequence[tuple[str, frozenset[Kind]]] = ()
    """Methods with the kinds on which `Allow` names them (an unmapped URL has those of what could be made there)."""
    getters: Sequence[Getter[R, Any]] = ()
    tokens: Sequence[tuple[str, frozenset[Kind]]] = ()
    """Tokens of the `DAV` header with the kinds of resources that answer them."""


@dataclass(slots=True)
class Registry(Generic[R]):
    """All that is offered, ready for look-ups."""

    routes: Routes[R]
    properties: dict[str, Property[R, Any]] = field(default_factory=dict)
    by_kind: dict[Kind, dict[str, Property[R, Any]]] = field(default_factory=dict)
    reports: dict[str, Report[R, Any]] = field(default_factory=dict)
    loaded_in_listings: set[str] = field(default_factory=set)
    """Names of the properties with `load_in_listings`."""
    getters: dict[Kind, Getter[R, Any]] = field(default_factory=dict)
    allow: dict[Kind, str] = field(default_factory=dict)
    tokens: dict[Kind, str] = field(default_factory=dict)

    def reports_of(self, kind: Kind) -> list[str]:
        """Names of the reports that a resource of this kind answers."""
        return [name for name, report in self.reports.items() if kind in report.kinds]


def build(standards: Iterable[Standard[R]], otherwise: Handler[R]) -> Registry[R]:
    """The registry of these standards; `otherwise` answers what has no route.

    Two that claim one name are a mistake: `ValueError`.
    """
    standards = list(standards)
    routes = Routes((route for standard in standards for route in standard.routes), otherwise)
    registry = Registry(routes, by_kind={kind: {} for kind in Kind})
    allowed: dict[Kind, list[str]] = {kind: [] for kind in Kind}
    tokens: dict[Kind, list[str]] = {kind: [] for kind in Kind}
    for standard in standards:
        for item in standard.properties:
            for kind in item.kinds:
                if item.name in registry.by_kind[kind]:
                    raise ValueError(f"{standard.name}: {item.name} is registered twice for {kind}")
                registry.by_kind[kind][item.name] = item
            if item.kinds & OBJECTS and item.member is None and not item.same_for_members:
                raise ValueError(f"{standard.name}: {item.name} does not say how it is read from member rows")
            registry.properties[item.name] = item
            if item.load_in_listings:
                registry.loaded_in_listings.add(item.name)
        for report in standard.reports:
            if report.name in registry.reports:
                raise ValueError(f"{standard.name}: report {report.name} is registered twice")
            registry.reports[report.name] = report
        for name, kinds in standard.offers:
            for kind in kinds:
                allowed[kind].append(name)
        for getter in standard.getters:
            registry.getters.update(dict.fromkeys(getter.kinds, getter))
        for token, kinds in standard.tokens:
            for kind in kinds:
                tokens[kind].append(token)
    registry.allow = {kind: ", ".join(names) for kind, names in allowed.items()}
    registry.tokens = {kind: ", ".join(names) for kind, names in tokens.items()}
    return registry
