"""Settings of the requests that Koyomi makes to other servers."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Literal

from pydantic import BeforeValidator, ByteSize

from server.http.addresses import Network
from server.http.rules import Rules
from server.settings.option import Part, option

Purpose = Literal["feeds", "caldav", "exchange", "issuers", "webhooks", "push"]
"""What a request is for; each has its own list of what is allowed."""

_HOST = re.compile(
    r"(?=.{1,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*(?!\d+$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
)


def _allowed(value: object) -> object:
    """Networks and names of hosts from a list, or from text with commas between them (the environment)."""
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, list | tuple):
        raise ValueError("not a list")
    return tuple(item if isinstance(item, IPv4Network | IPv6Network) else _network_or_host(str(item)) for item in value)


def _network_or_host(text: str) -> Network | str:
    host = text.lower().removesuffix(".")
    if _HOST.fullmatch(host):
        return host
    return ip_network(text)


Allowed = Annotated[tuple[Network | str, ...], BeforeValidator(_allowed)]


def _allow(purpose: str) -> Allowed:
    made: Allowed = option(
        (),
        f"Networks and hosts that {purpose} may reach although their addresses are private, of this machine or "
        "otherwise not of the public Internet.",
        allowed='a list of networks and names of hosts, as ["10.0.0.0/8", "intranet.example.org"] (in the environment: '
        "with commas between them)",
    )
    return made


class OutgoingSettings(Part):
    """Requests to other servers."""

    allow_feeds: Allowed = _allow("subscribed calendars")
    allow_caldav: Allowed = _allow("connections to other CalDAV and CardDAV servers")
    allow_exchange: Allowed = _allow("connections to Exchange")
    allow_issuers: Allowed = _allow("sign-in with other issuers of identities")
    allow_webhooks: Allowed = _allow("webhooks")
    allow_push: Allowed = _allow("push messages")
    timeout: float = option(
        30.0, "How long a request may take, with all redirects and the answer.", unit="seconds", gt=0, le=600
    )
    connect_timeout: float = option(10.0, "How long connecting may take.", unit="seconds", gt=0, le=600)
    max_size: ByteSize = option(
        ByteSize(20 << 20),
        "The largest answer that is read, before and after decompression.",
        unit="bytes",
        ge=1024,
        le=1 << 30,
    )
    max_redirects: int = option(5, "How many redirects are followed.", ge=0, le=20)

    def rules(self, purpose: Purpose) -> Rules:
        """The rules for requests of one purpose."""
        allowed: tuple[Network | str, ...] = getattr(self, f"allow_{purpose}")
        return Rules(
            networks=tuple(each for each in allowed if not isinstance(each, str)),
            hosts=frozenset(each for each in allowed if isinstance(each, str)),
            timeout=self.timeout,
            connect_timeout=self.connect_timeout,
            max_size=self.max_size,
            max_redirects=self.max_redirects,
        )
