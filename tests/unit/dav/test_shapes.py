"""What paths can name by their shapes, and which routes that gives them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from server.dav.core.front_end import not_offered
from server.dav.core.paths import Path
from server.dav.core.registry import build
from server.dav.core.resource import Kind
from server.dav.core.shapes import ADD_MEMBER, BELOW, MEMBERS, NOWHERE, SHAPES, kind_shown, shape_of
from server.dav.standards import standards
from server.domain.errors import NotFound

REGISTRY = build(standards(b"installation"), not_offered)


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("/", Kind.ROOT),
        ("/principals/", Kind.PRINCIPALS),
        ("/principals/users/", Kind.PRINCIPALS),
        ("/principals/__uids__/a", Kind.PRINCIPAL),
        ("/principals/__uids__/a/calendar-proxy-read/", Kind.READ_DELEGATES),
        ("/principals/groups/a/calendar-proxy-write", Kind.WRITE_DELEGATES),
        ("/principals/users/a/elsewhere", NOWHERE),
        ("/principals/users/a/calendar-proxy-read/b", BELOW),
        ("/calendars", Kind.HOMES),
        ("/calendars/locations/", Kind.HOMES),
        ("/calendars/users/a/", Kind.CALENDAR_HOME),
        ("/calendars/users/a/work", Kind.CALENDAR),
        ("/calendars/users/a/inbox/", Kind.INBOX),
        ("/calendars/users/a/outbox/", Kind.OUTBOX),
        ("/calendars/users/a/notification/", Kind.NOTIFICATIONS),
        ("/calendars/users/a/work/1.ics", Kind.CALENDAR_OBJECT),
        ("/calendars/users/a/work/;add-member", ADD_MEMBER),
        ("/calendars/users/a/work/1.ics/deeper", BELOW),
        ("/calendars/users/a/b/c/d/e/f", BELOW),
        ("/addressbooks/__uids__/", Kind.HOMES),
        ("/addressbooks/users/a", Kind.ADDRESSBOOK_HOME),
        ("/addressbooks/users/a/inbox", Kind.ADDRESSBOOK),
        ("/addressbooks/users/a/b/1.vcf", Kind.ADDRESS_OBJECT),
        ("/addressbooks/users/a/b/;add-member", ADD_MEMBER),
        ("/nowhere/at/all/1/2/3", NOWHERE),
        ("/calendars/nowhere/a/b/c/", NOWHERE),
        ("/.well-known/other", NOWHERE),
    ],
)
def test_shapes(path: str, shape: str) -> None:
    assert shape_of(Path.parse(path)) == shape


SEGMENTS = st.sampled_from(
    ["principals", "calendars", "addressbooks", "__uids__", "users", "groups", "inbox", ";add-member", "a", "é /"]
)


@given(st.lists(SEGMENTS, max_size=7), st.booleans())
def test_every_path_has_a_shape_that_agrees_with_what_is_looked_for(segments: list[str], slash: bool) -> None:
    path = Path.of(tuple(segments), slash)
    shape = shape_of(path)
    assert shape in SHAPES
    assert REGISTRY.allow[kind_shown(path)].startswith("OPTIONS, GET, HEAD")
    try:
        target = path.target()
    except NotFound:
        assert shape == NOWHERE
        return
    if shape in MEMBERS:
        assert target is not None
        assert target.object is not None
    elif shape in (Kind.CALENDAR, Kind.ADDRESSBOOK, Kind.INBOX, ADD_MEMBER):
        assert target is not None
        assert target.collection is not None
        assert target.object is None
    elif shape in (Kind.CALENDAR_HOME, Kind.ADDRESSBOOK_HOME, Kind.PRINCIPAL):
        assert target is not None
        assert target.collection is None


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_every_method_has_a_route_on_every_shape(shape: str) -> None:
    """What a resource does not offer is refused by a handler, after its lookup."""
    headers: CIMultiDict[str] = CIMultiDict()
    found = {method: REGISTRY.routes.find(method, shape, headers) for method in REGISTRY.routes.methods}
    assert {method for method, route in found.items() if route.handler is not_offered or route.open} == set()
    assert {method for method, route in found.items() if not route.takes_body} == {"DELETE", "COPY", "MOVE"}
    assert found["PUT"].handler.__name__ == ("put" if shape in MEMBERS | {BELOW} else "refuse_put")
    posts = {
        ADD_MEMBER: "post",
        Kind.CALENDAR_OBJECT: "post",
        Kind.OUTBOX: "post_to_outbox",
        Kind.INBOX: "refuse_post_to_inbox",
    }
    assert found["POST"].handler.__name__ == posts.get(shape, "refuse_post")
    assert REGISTRY.routes.find("LOCK", shape, headers).handler is not_offered
