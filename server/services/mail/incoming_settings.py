"""Settings of scheduling messages that arrive by mail."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator

from server.imip.addresses import is_mail_address
from server.settings.option import Part, option

Network = IPv4Network | IPv6Network
_LISTENER = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")


def _items(value: object) -> list[str]:
    """The items of a list, or of text with commas between them (the environment)."""
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, list | tuple):
        raise ValueError("not a list")
    return [str(item) for item in value]


def _listeners(value: object) -> tuple[str, ...]:
    items = _items(value)
    for item in items:
        found = _LISTENER.fullmatch(item)
        if found is None or int(found[2]) > 65535:
            raise ValueError("not a host and a port")
    return tuple(items)


def _networks(value: object) -> tuple[Network, ...]:
    return tuple(ip_network(item) for item in _items(value))


def _domains(value: object) -> tuple[str, ...]:
    items = [item.lower() for item in _items(value)]
    if not all(is_mail_address(f"x@{item}") for item in items):
        raise ValueError("not a domain")
    return tuple(items)


class IncomingMailSettings(Part):
    """Scheduling messages that arrive by mail."""

    lmtp_socket: Path | None = option(
        None,
        "Unix socket to listen on for mail by LMTP. Its folder must exist; the group of the socket may connect.",
        allowed="a path, or empty",
    )
    lmtp_listen: Annotated[tuple[str, ...], BeforeValidator(_listeners)] = option(
        (),
        "Addresses to listen on for mail by LMTP.",
        allowed='a list of hosts with ports, as ["127.0.0.1:2424", "[::1]:2424"] (in the environment: with commas '
        "between them), or empty",
    )
    lmtp_clients: Annotated[tuple[Network, ...], BeforeValidator(_networks)] = option(
        (ip_network("127.0.0.0/8"), ip_network("::1/128")),
        "Networks of the mail servers that may deliver to lmtp_listen. What they say of senders is believed.",
        allowed='a list of networks, as ["10.0.0.0/8", "::1"] (in the environment: with commas between them)',
    )
    authserv_id: str = option(
        "",
        "The name that the mail server writes into the Authentication-Results fields of its own. If empty, only mails "
        "to tagged addresses are trusted.",
        allowed="a name, as mx.example.org, or empty",
        pattern=r"^[A-Za-z0-9._-]*$",
    )
    invitations: Literal["known", "all", "none"] = option(
        "known",
        "Whose trusted invitations are put into calendars: those of known senders (contacts, earlier meetings, "
        "domains), of all, or of none. Others lie in the inbox only, and go after 30 days.",
    )
    domains: Annotated[tuple[str, ...], BeforeValidator(_domains)] = option(
        (),
        "Mail domains of the organisation: senders of these are known to everybody.",
        allowed='a list of domains, as ["example.org"] (in the environment: with commas between them), or empty',
    )
    messages_per_hour: int = option(
        100,
        "Scheduling messages of one sender that are read in an hour. What exceeds them is passed over.",
        ge=1,
        le=1_000_000,
    )
