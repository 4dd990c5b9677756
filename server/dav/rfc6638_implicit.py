"""RFC 6638 §3, §8: requests that change scheduling objects."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from server.dav.core.request import Request
from server.dav.core.resource import home_href
from server.domain.errors import AccessDenied
from server.services.scheduling.sent import Sent


def sent(request: Request) -> Sent:
    """The headers of a request that matter to scheduling (§8). Its conditions hold."""
    return Sent(
        tag_matches="If-Schedule-Tag-Match" in request.headers,
        etag_matches=request.headers.get("If-Match", "*").strip() != "*",
        reply=request.headers.get("Schedule-Reply", "T").strip().upper() != "F",
    )


@contextmanager
def sending(request: Request) -> Iterator[None]:
    """Names the outbox of those in whose name the person may not send (§6.2)."""
    try:
        yield
    except AccessDenied as error:
        if error.sender is None:
            raise
        by_uid = request.path.segments[1] == "__uids__"
        raise AccessDenied(f"{home_href(error.sender, 'calendar', by_uid)}outbox/", error.privilege) from None
