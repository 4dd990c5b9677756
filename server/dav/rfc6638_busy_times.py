"""RFC 6638 §5: POST to the outbox, which asks when calendar users are busy."""

from __future__ import annotations

from collections.abc import Sequence

from server.dav.core import names
from server.dav.core.errors import Refused
from server.dav.core.names import caldav, dav
from server.dav.core.registry import Standard
from server.dav.core.request import Request
from server.dav.core.resource import CollectionResource, Kind, Kinds
from server.dav.rfc4918.put import check_media_type
from server.domain.errors import NotFound, TooManyInstances
from server.domain.privileges import Privilege
from server.http.answer import Answer
from server.http.routes import Route
from server.services.scheduling.busy_times import Answered

OUTBOX = Kinds.of(CollectionResource, Kind.OUTBOX)


async def post_to_outbox(request: Request) -> Answer:
    """Answers with the busy times of the attendees in a VFREEBUSY request.

    Privileges are checked first, then the data, then the message.
    """
    need = Privilege.SCHEDULE_SEND_FREE_BUSY
    outbox = await request.resource(need=need)
    if not isinstance(outbox, CollectionResource):
        raise NotFound
    # A page of another site can make a browser send a POST without a type, with remembered credentials (no-cors).
    check_media_type(request, outbox.collection, demanded=True)
    body = await request.body(request.site.limits.max_resource_size)
    try:
        with request.denied_at(outbox.href):
            answered = await request.site.busy_times.ask(request.actor, outbox.found, body)
    except TooManyInstances as error:
        raise Refused(403, dav("number-of-matches-within-limits"), error.message) from None
    return Answer(200, _schedule_response(answered).encode(), {"Content-Type": "application/xml; charset=utf-8"})


async def refuse_post_to_inbox(request: Request) -> Answer:
    """Answers POST to an inbox; who may not read it is refused as at a name that is free."""
    await request.look_up(need=Privilege.BIND)
    raise Refused(403, message="Scheduling messages are posted to an outbox (RFC 6638 §5).")


def _schedule_response(answered: Sequence[Answered]) -> str:
    """CALDAV:schedule-response (§10.1)."""
    start, end, _ = names.tags(caldav("schedule-response"))
    inner = "".join(map(_response, answered))
    return f"{names.PROLOGUE}{start[:-1]} {names.DECLARATIONS}>{inner}{end}"


def _response(answered: Answered) -> str:
    """CALDAV:response of one attendee (§10.2)."""
    parts = [
        names.element(caldav("recipient"), names.href(answered.recipient)),
        names.element(caldav("request-status"), names.escape(answered.status)),
    ]
    if answered.calendar is not None:
        parts.append(names.element(caldav("calendar-data"), names.escape(answered.calendar)))
    return names.element(caldav("response"), "".join(parts))


STANDARD = Standard(
    "RFC 6638 §5",
    routes=(
        Route("POST", OUTBOX, post_to_outbox),
        Route("POST", frozenset({Kind.INBOX}), refuse_post_to_inbox),
    ),
    offers=(("POST", OUTBOX),),
)
