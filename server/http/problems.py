"""Errors as problem+json (RFC 9457), for front ends whose answers are JSON."""

from __future__ import annotations

import json

from aiohttp.http import RESPONSES

from server.domain.errors import InvalidRequest, KoyomiError
from server.http.answer import Answer
from server.http.errors import reason, translate

CONTENT_TYPE = "application/problem+json"
TYPES = "/problems/"
"""What the types of problems begin with: references that are the same on every server, and lead to no document."""


def problem(error: KoyomiError, request_id: str = "") -> Answer:
    """The answer to an error; `request_id` is a member of it, if given."""
    row = translate(error)
    kind = TYPES + row.problem if row.problem else "about:blank"
    title = error.default_message() if row.problem else RESPONSES[row.status][0]
    members: dict[str, object] = {"type": kind, "title": title, "status": row.status, "detail": reason(error)}
    if request_id:
        members["request_id"] = request_id
    if isinstance(error, InvalidRequest):
        members["errors"] = [{"at": place, "detail": detail} for place, detail in error.errors]
    headers = {"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"}
    return Answer(row.status, json.dumps(members).encode() + b"\n", headers)
