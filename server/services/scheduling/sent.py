"""How a request made the change of a scheduling object."""

from __future__ import annotations

from server.domain.values import value


@value
class Sent:
    """How a request for a change was made."""

    tag_matches: bool = False
    """It had If-Schedule-Tag-Match, which held."""
    etag_matches: bool = False
    """It had If-Match, which held."""
    reply: bool = True
    """False: it had `Schedule-Reply: F` (RFC 6638 §8.1)."""
