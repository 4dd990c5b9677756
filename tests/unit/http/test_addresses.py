"""Which addresses are refused unasked."""

from __future__ import annotations

import ast
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from server.http.addresses import embedded, is_allowed, special_purpose
from server.http.settings import OutgoingSettings

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    "text",
    [
        "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.9.9.9", "169.254.1.1", "169.254.169.254",
        "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1",
        "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
        "168.63.129.16", "::", "::1", "::8.8.8.8", "::ffff:8.8.8.8", "::ffff:127.0.0.1", "::ffff:0:8.8.8.8",
        "64:ff9b::8.8.8.8", "64:ff9b:1::8.8.8.8", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2002:808:808::1",
        "2001:2::1", "2001:db8::1", "3fff::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1",
        "ff02::1", "100::1", "5f00::1", "4000::1",
    ],
)  # fmt: skip
def test_special_purpose_addresses_are_refused(text: str) -> None:
    assert special_purpose(ip_address(text)) is not None
    assert not is_allowed(ip_address(text), ())


@pytest.mark.parametrize("text", ["8.8.8.8", "100.63.255.255", "172.32.0.1", "2606:4700::1111", "2a00:1450::1"])
def test_public_addresses_are_not(text: str) -> None:
    assert is_allowed(ip_address(text), ())


@given(st.ip_addresses(v=4) | st.ip_addresses(v=6))
def test_what_is_not_refused_is_global_and_holds_no_other_address(address: IPv4Address | IPv6Address) -> None:
    if special_purpose(address) is None:
        assert address.is_global
        assert not (address.is_multicast or address.is_reserved or address.is_unspecified or address.is_link_local)
        if isinstance(address, IPv6Address):
            assert address.ipv4_mapped is None
            assert address.sixtofour is None
            assert address.teredo is None
    elif not address.is_multicast and address.version == 4 and address.is_global:
        assert any(address in ip_network(each) for each in ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32"))


def test_an_allowed_network_allows_its_own_addresses_only() -> None:
    networks = (ip_network("10.0.0.0/8"), ip_network("169.254.0.0/16"))
    assert is_allowed(ip_address("10.1.2.3"), networks)
    assert not is_allowed(ip_address("192.168.0.1"), networks)
    assert not is_allowed(ip_address("::ffff:10.1.2.3"), networks)
    assert not is_allowed(ip_address("64:ff9b::10.1.2.3"), networks)


def test_a_metadata_service_is_allowed_by_its_own_address_only() -> None:
    metadata = ip_address("169.254.169.254")
    assert not is_allowed(metadata, (ip_network("169.254.0.0/16"),))
    assert not is_allowed(metadata, (), by_name=True)
    assert is_allowed(metadata, (ip_network("169.254.169.254/32"),))


INNER = {
    "::ffff:{0}": "::ffff:0:0/96",
    "::ffff:0:{0}": "::ffff:0:0:0/96",
    "64:ff9b::{0}": "64:ff9b::/96",
    "2002:{1}:{2}::1": "2002::/16",
    "64:ff9b:1:{1}:{2}::": "64:ff9b:1::/48",
    "64:ff9b:1::{0}": "64:ff9b:1::/48",
}
"""Ways to write an IPv4 address inside an IPv6 address, by text, high and low half, with the network around it."""


def nested(form: str, inner: str) -> IPv6Address:
    high, low = divmod(int(ip_address(inner)), 1 << 16)
    if form.startswith("64:ff9b:1:{1}"):
        # A prefix of 48 bits: two octets, the reserved octet, two octets.
        return IPv6Address((0x64FF9B0001 << 80) | (high << 64) | (low << 40))
    return IPv6Address(form.format(inner, f"{high:x}", f"{low:x}"))


@pytest.mark.parametrize("form", INNER)
def test_an_address_inside_another_must_be_allowed_too(form: str) -> None:
    outer = ip_network(INNER[form])
    for inner in ("169.254.169.254", "127.0.0.1", "10.1.2.3"):
        assert not is_allowed(nested(form, inner), (outer,))
        assert IPv4Address(inner) in embedded(nested(form, inner))
    assert not is_allowed(nested(form, "169.254.169.254"), (outer,), by_name=True)
    assert is_allowed(nested(form, "10.1.2.3"), (outer, ip_network("10.0.0.0/8"), ip_network("0.0.0.0/8")))
    if form != "64:ff9b:1:{1}:{2}::":
        assert is_allowed(nested(form, "93.184.215.14"), (outer, ip_network("0.0.0.0/8")))


def test_each_purpose_has_its_own_list() -> None:
    made = OutgoingSettings.model_validate({"allow_feeds": "10.0.0.0/8, Intranet.example.org., ::1", "max_size": 5000})
    rules = made.rules("feeds")
    assert rules.networks == (ip_network("10.0.0.0/8"), ip_network("::1"))
    assert rules.hosts == {"intranet.example.org"}
    assert rules.max_size == 5000
    for other in ("caldav", "exchange", "issuers", "webhooks", "push"):
        assert (made.rules(other).networks, made.rules(other).hosts) == ((), frozenset())


@pytest.mark.parametrize("text", ["10.0.0.1/8", "10.0.0.300", "a b", "http://x", "*.example.org", "-a.org", "x:80"])
def test_what_is_neither_network_nor_host_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        OutgoingSettings.model_validate({"allow_push": [text]})


def test_nobody_else_makes_http_requests() -> None:
    """`koyomi doctor` asks the installation's own address, by `http.client`; import-linter names it."""
    names = {"ClientSession", "TCPConnector", "UnixConnector", "urlopen", "build_opener"}
    users = {
        path.relative_to(ROOT).as_posix()
        for folder in ("server", "storage_plugins")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Attribute) and node.attr in names)
        or (isinstance(node, ast.ImportFrom) and names & {each.name for each in node.names})
    }
    assert users == {"server/http/outgoing.py"}
