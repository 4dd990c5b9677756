"""What requests to other servers may reach. The settings name it, so that it loads no HTTP client."""

from __future__ import annotations

from dataclasses import dataclass

from server.http.addresses import Network


@dataclass(frozen=True, slots=True)
class Rules:
    """What a request may reach, and how much it may take."""

    networks: tuple[Network, ...] = ()
    """Allowed although they are not of the public Internet."""
    hosts: frozenset[str] = frozenset()
    """Names (lower case, without a dot at the end) that are allowed wherever they lead."""
    timeout: float = 30.0
    """Seconds for all: resolving, redirects, the answer."""
    connect_timeout: float = 10.0
    """Seconds to connect, with TLS."""
    max_size: int = 20 << 20
    """Bytes of the answer's body, before and after decompression."""
    max_redirects: int = 5
