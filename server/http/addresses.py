"""Which IP addresses Koyomi connects to unasked: those of the public Internet only."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_METADATA: Final = "a metadata service of a cloud"
_EMBEDDED: Final = "an IPv6 address with an IPv4 address in it"
_PRIVATE: Final = "a private network"
_DOCUMENTATION: Final = "a network for documentation"
_BENCHMARKING: Final = "a network for benchmarks"
_RESERVED: Final = "a reserved network"

_REFUSED: Final[tuple[tuple[Network, str], ...]] = tuple(
    (ip_network(text), kind)
    for text, kind in (
        ("169.254.169.254/32", _METADATA),
        ("169.254.170.2/32", _METADATA),
        ("100.100.100.200/32", _METADATA),
        ("168.63.129.16/32", _METADATA),
        ("192.0.0.192/32", _METADATA),
        ("fd00:ec2::254/128", _METADATA),
        ("fd20:ce::254/128", _METADATA),
        ("0.0.0.0/8", "the unspecified network"),
        ("10.0.0.0/8", _PRIVATE),
        ("100.64.0.0/10", "the shared network of a carrier"),
        ("127.0.0.0/8", "this machine"),
        ("169.254.0.0/16", "the local link"),
        ("172.16.0.0/12", _PRIVATE),
        ("192.0.0.0/24", _RESERVED),
        ("192.0.2.0/24", _DOCUMENTATION),
        ("192.88.99.0/24", "a relay of 6to4"),
        ("192.168.0.0/16", _PRIVATE),
        ("198.18.0.0/15", _BENCHMARKING),
        ("198.51.100.0/24", _DOCUMENTATION),
        ("203.0.113.0/24", _DOCUMENTATION),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", _RESERVED),
        ("::/128", "the unspecified address"),
        ("::1/128", "this machine"),
        ("::/96", _EMBEDDED),  # IPv4-compatible
        ("::ffff:0:0/96", _EMBEDDED),  # IPv4-mapped
        ("::ffff:0:0:0/96", _EMBEDDED),  # IPv4-translated
        ("64:ff9b::/96", _EMBEDDED),  # NAT64
        ("64:ff9b:1::/48", _EMBEDDED),  # NAT64 of one network
        ("2001::/32", _EMBEDDED),  # Teredo
        ("2002::/16", _EMBEDDED),  # 6to4
        ("2001:2::/48", _BENCHMARKING),
        ("2001::/23", _RESERVED),
        ("2001:db8::/32", _DOCUMENTATION),
        ("3fff::/20", _DOCUMENTATION),
        ("fc00::/7", _PRIVATE),
        ("fe80::/10", "the local link"),
        ("fec0::/10", _PRIVATE),
        ("ff00::/8", "multicast"),
    )
)
"""The special-purpose networks of IANA's registries (RFC 6890), the first that fits counts."""
_LOCAL_NAT64: Final = IPv6Network("64:ff9b:1::/48")
"""NAT64 of one network (RFC 8215)."""
_LAST_32_BITS: Final = tuple(map(IPv6Network, ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96")))
"""Networks whose addresses end with an IPv4 address: compatible, mapped, translated, NAT64."""
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
"""All that is assigned of IPv6 for the public Internet (RFC 4291 §2.4 and IANA's registry)."""


def special_purpose(address: Address) -> str | None:
    """What an address is for, in words, where that is not the public Internet; else None."""
    for network, kind in _REFUSED:
        if address in network:
            return kind
    if isinstance(address, IPv6Address) and (address not in _GLOBAL_UNICAST or address.scope_id is not None):
        return _RESERVED
    return None


def embedded(address: Address) -> tuple[IPv4Address, ...]:
    """The IPv4 addresses that an IPv6 address contains, and that a gateway or this machine may connect to instead."""
    if isinstance(address, IPv4Address):
        return ()
    number = int(address)
    last = IPv4Address(number & 0xFFFFFFFF)
    if address.teredo is not None:
        return address.teredo
    if address.sixtofour is not None:
        return (address.sixtofour,)
    if address in _LOCAL_NAT64:
        # RFC 6052 §2.2: the place depends on the length of the prefix, and bits 64 to 71 are left out.
        packed = address.packed
        octets = (packed[6:8] + packed[9:11], packed[7:8] + packed[9:12], packed[9:13], packed[12:16])
        return tuple(IPv4Address(part) for part in octets)
    return (last,) if any(address in network for network in _LAST_32_BITS) and number > 1 else ()


def is_allowed(address: Address, networks: tuple[Network, ...], *, by_name: bool = False) -> bool:
    """Whether to connect to an address where an administrator allows `networks`.

    `by_name`: the administrator allows the name whose address it is. A metadata service is allowed by a network that
    has this one address only: it hands out credentials, and lies inside networks that are allowed for other reasons. An
    IPv4 address inside an IPv6 address must be allowed, too.
    """
    if not all(is_allowed(inner, networks, by_name=by_name) for inner in embedded(address)):
        return False
    kind = special_purpose(address)
    if kind is None:
        return True
    if kind == _METADATA:
        return any(address in network and network.num_addresses == 1 for network in networks)
    return by_name or any(address in network for network in networks)
