"""Whose address a request comes from, when trusted proxies stand between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

MAX_HOPS = 20
"""Addresses of X-Forwarded-For that are looked at, from the right."""
LOCAL = "local"
"""The address that represents clients on a Unix socket."""


@lru_cache(4096)
def _parse(text: str) -> Address | None:
    """An address without port, brackets and zone; IPv4 where it is IPv4 within IPv6."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _values(headers: Mapping[str, str], name: str) -> str:
    """The values of a header that may come in several lines, with commas between them; empty for none."""
    getall = getattr(headers, "getall", None)
    return ",".join(getall(name, [])) if getall else headers.get(name, "")


class ClientAddresses:
    """Finds clients behind the proxies of `trusted`."""

    def __init__(self, trusted: Sequence[Network] = (), *, unix: bool = False) -> None:
        """`unix`: whether those who connect to the Unix socket are trusted; its permissions say who can."""
        self._trusted = tuple(trusted)
        self._unix = unix
        self._trusts = lru_cache(4096)(self._look_up)

    def _look_up(self, peer: str) -> bool:
        address = _parse(peer)
        return address is not None and any(address in network for network in self._trusted)

    def is_trusted(self, peer: str | None) -> bool:
        """Whether the other end of a connection is a trusted proxy."""
        if peer is None:
            return self._unix
        return bool(self._trusted) and self._trusts(peer)

    @staticmethod
    def is_local(peer: str | None) -> bool:
        """Whether it is this machine: loopback, or a Unix socket (None)."""
        if peer is None or peer in {"127.0.0.1", "::1"}:
            return True
        address = _parse(peer)
        return address is not None and address.is_loopback

    def encrypted(self, headers: Mapping[str, str], peer: str | None, *, tls: bool) -> bool | None:
        """Whether the client's own connection is encrypted; None if a trusted proxy does not say.

        `tls` is whether the connection to `peer` is. X-Forwarded-Proto of a trusted proxy says how clients reach the
        proxy; in a chain of proxies every hop must be https.
        """
        if self.is_trusted(peer):
            protocols = _values(headers, "X-Forwarded-Proto")
            if protocols:
                return all(value.strip().lower() == "https" for value in protocols.split(","))
            return True if tls else None
        return tls

    def client(self, headers: Mapping[str, str], peer: str | None) -> str:
        """The client's address: the rightmost in X-Forwarded-For that is no trusted proxy, else the peer's."""
        address = peer
        if self.is_trusted(peer):
            hops = _values(headers, "X-Forwarded-For").rsplit(",", MAX_HOPS)[-MAX_HOPS:]
            for hop in reversed(hops):
                parsed = _parse(hop)
                if parsed is None:
                    break
                address = str(parsed)
                if not self.is_trusted(address):
                    break
        if address is None:
            return LOCAL
        parsed = _parse(address)
        return LOCAL if parsed is None else str(parsed)


def failure_key(address: str) -> str:
    """The key under which failures of a client's address are counted: IPv6 by /64, which is one customer's."""
    parsed = _parse(address)
    if isinstance(parsed, IPv6Address):
        return str(IPv6Network((parsed, 64), strict=False))
    return address
