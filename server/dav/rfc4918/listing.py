"""The plain HTML pages that a browser gets for collections."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from server.dav.core.paths import KIND_FOLDERS
from server.dav.core.request import Request
from server.dav.core.resource import HomeResource, Kind, PrincipalResource, Resource, collection_of


def frame(title: str) -> tuple[bytes, bytes]:
    """A page's start and end, between which its links stand."""
    start = (
        f'<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{escape(title)}</title></head>\n'
        f"<body>\n<h1>{escape(title)}</h1>\n<ul>\n"
    )
    return start.encode(), b"</ul>\n</body>\n</html>\n"


def links(items: Iterable[tuple[str, str]]) -> bytes:
    """Links, each of an href and a text."""
    return "".join(f'<li><a href="{escape(href)}">{escape(text)}</a></li>\n' for href, text in items).encode()


def page(title: str, items: Iterable[tuple[str, str]]) -> bytes:
    """A whole page of links."""
    start, end = frame(title)
    return start + links(items) + end


async def home_listing(request: Request, resource: HomeResource) -> bytes:
    """The page of a home. It shows nothing of its owner, whose changes do not change the ETag."""
    children = await request.site.reading.collections(request.actor, resource.found)
    return page(
        "Calendars" if resource.home.kind == "calendar" else "Address books",
        [(request.url(collection_of(resource, child).href), child.name) for child in children],
    )


def principal_listing(resource: PrincipalResource) -> bytes:
    """The page of a principal."""
    return page(resource.owner.display_name or resource.owner.name, [])


def fixed_listing(request: Request, resource: Resource) -> bytes:
    """The page of a resource above principals and homes."""
    if resource.kind is Kind.ROOT:
        return page("Koyomi", [(request.url(f"/{name}/"), name) for name in fixed_children("/")])
    children = fixed_children(resource.href)
    return page(resource.href, [(request.url(resource.href + name + "/"), name) for name in children])


def fixed_children(href: str) -> list[str]:
    """Names of the fixed resources below one; the folders' own members, people, are not listed."""
    if href == "/":
        return ["addressbooks", "calendars", "principals"]
    if href == "/addressbooks/":
        return ["__uids__", "users"]
    if href in ("/calendars/", "/principals/"):
        return ["__uids__", *KIND_FOLDERS.values()]
    return []
