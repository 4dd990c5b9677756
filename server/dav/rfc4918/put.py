"""PUT (RFC 4918 §9.7) of calendar objects (RFC 4791 §5.3.2) and cards (RFC 6352 §6.3.2)."""

from __future__ import annotations

from email.message import Message
from functools import lru_cache, partial

from server.dav.core.errors import Refused
from server.dav.core.paths import Path
from server.dav.core.request import Request
from server.dav.core.resource import MemberResource, Resource, collection_in, resource_at
from server.dav.rfc4918 import conditions
from server.dav.rfc4918.get import member
from server.dav.rfc4918.properties import http_date
from server.dav.rfc6638_implicit import sending, sent
from server.domain.errors import (
    AccessDenied,
    BadRequest,
    KoyomiError,
    NotFound,
    ParentMissing,
    PersonalOnly,
    PreconditionFailed,
    UnsupportedMediaType,
)
from server.domain.objects import Collection
from server.domain.privileges import Privilege
from server.http.answer import Answer
from server.services.changing import change
from server.services.lookup import Found
from server.services.objects import Put
from server.services.permissions import demand_writable

MEDIA_TYPES = {
    "calendar": ("text/calendar",),
    "outbox": ("text/calendar",),
    "addressbook": ("text/vcard", "text/x-vcard", "text/directory"),
}
CREATION = "create"
"""The operation of a PUT that adds an object to a calendar, for metrics and the log."""
UTF_8 = ("utf-8", "utf8", "us-ascii", "ascii", "")


async def refuse_put(request: Request) -> Answer:
    """Answers PUT where no member can be."""
    await request.resource(need=Privilege.WRITE_CONTENT)
    raise Refused(405, message="A collection has no content to put.")


async def put(request: Request) -> Answer:
    """Answers PUT of a member."""
    path = request.path
    look_up = partial(request.look_up, need=Privilege.BIND, or_need=Privilege.WRITE_CONTENT)
    try:
        result = await change(look_up, partial(put_member, request))
    except PreconditionFailed:
        shown = await current(request, path, 412) if request.representation else None
        if shown is None:
            raise
        return shown
    if result.created and request.tree == "calendars":
        request.operation = CREATION
    return await written(request, path, result, None)


async def put_member(request: Request, found: Found) -> Put:
    """Create the member at the request's path, or replace what was found there."""
    path = request.path
    if "Content-Range" in request.headers:
        raise BadRequest("A part of the content cannot be put (RFC 9110 §14.5).")
    if found.collection is None or len(path.segments) != 5:
        raise ParentMissing
    resource = resource_or_none(request, found)
    try:
        demand_writable(found)
    except AccessDenied as error:
        target = resource or collection_in(path, found)
        raise AccessDenied(target.href, error.privilege) from None
    unchanged = await conditions.demand(request, resource)
    check_media_type(request, found.collection)
    body = await request.body(request.site.limits.max_resource_size)
    try:
        with sending(request):
            return await request.site.scheduling.put(request.actor, found, body, sent(request), unchanged=unchanged)
    except PersonalOnly as error:
        raise AccessDenied(path.url, Privilege.WRITE_CONTENT, error.message) from None


def resource_or_none(request: Request, found: Found) -> Resource | None:
    """What is there already."""
    try:
        return resource_at(request.path, found)
    except NotFound:
        return None


def check_media_type(request: Request, collection: Collection, *, demanded: bool = False) -> None:
    """Raises `UnsupportedMediaType`, and `Refused` for another charset than UTF-8.

    No Content-Type stands for the right one unless it is `demanded`.
    """
    value = request.headers.get("Content-Type")
    if value is None and not demanded:
        return
    media_type, is_utf_8 = _read_media_type(value or "application/octet-stream")
    allowed = MEDIA_TYPES[collection.kind]
    if media_type not in allowed:
        raise UnsupportedMediaType(f"This collection takes {' or '.join(allowed)}.")
    if not is_utf_8:
        precondition = (
            "{urn:ietf:params:xml:ns:carddav}valid-address-data"
            if collection.kind == "addressbook"
            else "{urn:ietf:params:xml:ns:caldav}valid-calendar-data"
        )
        raise Refused(403, precondition, "The charset is UTF-8.")


@lru_cache(maxsize=256)
def _read_media_type(value: str) -> tuple[str, bool]:
    """The media type of a Content-Type header, and whether its charset, if it has one, is UTF-8."""
    message = Message()
    message["Content-Type"] = value
    charset = message.get_param("charset", "")
    return message.get_content_type(), not isinstance(charset, tuple) and charset.strip().lower() in UTF_8


async def written(request: Request, path: Path, result: Put, location: str | None) -> Answer:
    """The answer to a member that was put, copied or moved to `path`; with its text where that is preferred.

    The preference is ignored where the text cannot be read any more, or not by this person: the write has been
    committed, and its answer is a success (RFC 8144 §2.2, RFC 7240 §2).
    """
    answer = await current(request, path, 201 if result.created else 200) if request.representation else None
    if answer is None:
        answer = Answer(201 if result.created else 204)
        if result.as_sent and result.written.modified_at is not None:
            answer.headers["ETag"] = f'"{result.etag}"'
            answer.headers["Last-Modified"] = http_date(result.written.modified_at)
    if result.schedule_tag is not None:
        answer.headers["Schedule-Tag"] = f'"{result.schedule_tag}"'
    if location is not None:
        answer.headers["Location"] = location
    return answer


async def current(request: Request, path: Path, status: int) -> Answer | None:
    """The member at a path as it is now, with a status of a write; None where it cannot be read."""
    try:
        resource = await request.resource(path, text=True)
    except KoyomiError:
        return None
    if not isinstance(resource, MemberResource):
        return None
    answer = member(resource, {"ETag": conditions.entity_tag(resource), "Content-Location": request.url(resource.href)})
    answer.status = status
    answer.headers["Preference-Applied"] = "return=representation"
    return answer
