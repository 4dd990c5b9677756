"""Whose address a request comes from."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from server.http.client_address import LOCAL, MAX_HOPS, ClientAddresses, failure_key

PROXIES = ClientAddresses([ip_network("10.0.0.0/8"), ip_network("2001:db8:1::/64")])


def forwarded(*lines: str) -> CIMultiDict[str]:
    return CIMultiDict([("X-Forwarded-For", line) for line in lines])


@pytest.mark.parametrize(
    ("lines", "peer", "client"),
    [
        ([], "192.0.2.1", "192.0.2.1"),
        (["198.51.100.7"], "192.0.2.1", "192.0.2.1"),
        (["198.51.100.7"], "10.0.0.1", "198.51.100.7"),
        (["6.6.6.6, 198.51.100.7"], "10.0.0.1", "198.51.100.7"),
        (["6.6.6.6, 198.51.100.7, 10.0.0.2"], "10.0.0.1", "198.51.100.7"),
        (["6.6.6.6", "198.51.100.7"], "10.0.0.1", "198.51.100.7"),
        (["10.0.0.3"], "10.0.0.1", "10.0.0.3"),
        (["nonsense"], "10.0.0.1", "10.0.0.1"),
        (["198.51.100.7, nonsense"], "10.0.0.1", "10.0.0.1"),
        ([""], "10.0.0.1", "10.0.0.1"),
        (["198.51.100.7:4711"], "10.0.0.1", "198.51.100.7"),
        (["[2001:db8::1]:4711"], "10.0.0.1", "2001:db8::1"),
        (['"[2001:db8::1]"'], "10.0.0.1", "2001:db8::1"),
        (["2001:DB8:0::1"], "2001:db8:1::9", "2001:db8::1"),
        (["198.51.100.7"], "::ffff:10.0.0.1", "198.51.100.7"),
        (["::ffff:198.51.100.7"], "10.0.0.1", "198.51.100.7"),
        (["198.51.100.7"], None, LOCAL),
        ([], "fe80::1%eth0", "fe80::1"),
    ],
)
def test_the_client_is_the_last_that_is_no_trusted_proxy(lines: list[str], peer: str | None, client: str) -> None:
    assert PROXIES.client(forwarded(*lines), peer) == client


def test_a_long_list_is_read_from_the_right_only() -> None:
    hops = ["198.51.100.7"] + ["10.0.0.9"] * (MAX_HOPS + 5)
    assert PROXIES.client(forwarded(", ".join(hops)), "10.0.0.1") == "10.0.0.9"


@given(st.text(), st.text())
def test_any_header_and_peer_give_an_address(line: str, peer: str) -> None:
    assert PROXIES.client({"X-Forwarded-For": line}, "10.0.0.1")
    assert PROXIES.client({}, peer)


def test_ipv6_is_counted_by_its_network() -> None:
    assert failure_key("2001:db8::1") == failure_key("2001:db8:0:0:ffff::2") == "2001:db8::/64"
    assert failure_key("2001:db8:0:1::1") != failure_key("2001:db8::1")
    assert failure_key("192.0.2.1") != failure_key("192.0.2.2")
    assert failure_key(LOCAL) == LOCAL


def test_this_machine() -> None:
    for peer in (None, "127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"):
        assert ClientAddresses.is_local(peer)
    for peer in ("", "192.0.2.1", "::2", "localhost"):
        assert not ClientAddresses.is_local(peer)
