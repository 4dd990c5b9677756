"""How elements are written, whatever their names."""

from __future__ import annotations

import pytest

from server.dav.core import names


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("{DAV:}prop", ("<D:prop>", "</D:prop>", "<D:prop/>")),
        ("{urn:x}a", ('<a xmlns="urn:x">', "</a>", '<a xmlns="urn:x"/>')),
        ('{urn:"<&}a', ('<a xmlns="urn:&quot;&lt;&amp;">', "</a>", '<a xmlns="urn:&quot;&lt;&amp;"/>')),
        ("a", ('<a xmlns="">', "</a>", '<a xmlns=""/>')),
    ],
)
def test_tags(name: str, written: tuple[str, str, str]) -> None:
    assert names.tags(name) == written


def test_long_names_are_not_kept_in_memory() -> None:
    """Clients make them up; a thousand of 60 KB would take as much memory as a worker."""
    long = "{DAV:}" + "n" * 60_000
    assert names.tags(long) == (f"<D:{'n' * 60_000}>", f"</D:{'n' * 60_000}>", f"<D:{'n' * 60_000}/>")
    assert names.tags(long)[0] is not names.tags(long)[0]
    assert names.tags("{DAV:}prop")[0] is names.tags("{DAV:}prop")[0]
