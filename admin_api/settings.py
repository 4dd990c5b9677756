"""Settings of the JSON API."""

from __future__ import annotations

from pydantic import ByteSize

from server.settings.option import Part, option


class ApiSettings(Part):
    """The JSON API."""

    requests_per_minute: int = option(
        600,
        "Requests that a person may send to each worker in a minute, with all their credentials together; 0 limits "
        "nobody. Others get 429.",
        ge=0,
        le=1_000_000,
    )
    max_body: ByteSize = option(1 << 20, "Largest body of a request to the API.", ge=1 << 10, le=1 << 30)
