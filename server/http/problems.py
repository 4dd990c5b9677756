"""Errors as problem+json (RFC 9457), for front ends whose answers are JSON."""

from __future__ import annotations

import json

from aiohttp.http import RESPONSES

from server.domain.errors import KoyomiError
from server.http.answer import Answer
from server.http.errors import reason, translate

CONTENT_TYPE = "application/problem+json"
TYPES = "/problems/"
"""What the types of problems begin with: references that are the same on every server, and lead to no document."""


def problem(error: KoyomiError) -> Answer:
    """The answer to an error."""
    row = translate(error)
    kind = TYPES + row.problem if row.problem else "about:blank"
    title = error.default_message() if row.problem else RESPONSES[row.status][0]
    members = {"type": kind, "title": title, "status": row.status, "detail": reason(error)}
    headers = {"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"}
    return Answer(row.status, json.dumps(members).encode() + b"\n", headers)
