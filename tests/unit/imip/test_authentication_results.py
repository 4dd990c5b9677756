"""Whether a mail is from the address in From, by what the mail server in front wrote (RFC 8601)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.imip.authentication_results import Result, is_authentic, parse

HERE = "mx.example.com"
DORA = "dora@contoso.example"


@pytest.mark.parametrize(
    "results",
    [
        "dmarc=pass header.from=contoso.example",
        "dmarc=pass (p=REJECT sp=NONE; dis=NONE) header.from=Contoso.Example",
        "spf=fail smtp.mailfrom=x.example; dkim=none; dmarc=pass header.from=contoso.example",
        "dkim=pass (2048-bit key) header.d=contoso.example header.i=@contoso.example header.b=abc=",
        "dkim=fail header.d=contoso.example; dkim = pass header.i=@contoso.example",
        'dkim/1=pass reason="good signature" header.d=contoso.example',
        "spf=pass smtp.mailfrom=bounce@contoso.example",
        "spf=pass (sender is (really) fine) smtp.mailfrom=contoso.example",
    ],
)
def test_what_passes_and_aligns_is_authentic(results: str) -> None:
    assert is_authentic([f"{HERE}; {results}"], HERE, DORA)
    assert is_authentic([f"MX.example.com 1;\r\n {results}"], HERE, DORA)


@pytest.mark.parametrize(
    "results",
    [
        "none",
        "",
        "dmarc=fail header.from=contoso.example",
        "dmarc=pass",
        "dmarc=pass header.from=evil.example",
        "dmarc=pass header.from=evil.example header.from=contoso.example",
        "dkim=pass header.d=evil.example",
        "dkim=pass header.d=example",
        "dkim=pass header.d=sub.contoso.example",
        "dkim=pass header.d=notcontoso.example",
        "dkim=pass",
        "dkim=neutral header.d=contoso.example",
        "spf=pass smtp.helo=contoso.example",
        "spf=softfail smtp.mailfrom=contoso.example",
        'spf=pass smtp.mailfrom="contoso.example"@evil.example',
        'spf=pass smtp.mailfrom="x; dmarc=pass header.from=contoso.example"@evil.example',
        'spf=pass smtp.mailfrom="x\\"; dmarc=pass header.from=contoso.example"@evil.example',
        "spf=pass smtp.mailfrom=x=smtp.mailfrom=contoso.example@evil.example",
        "spf=pass smtp.mailfrom=dmarc=pass@evil.example (header.from=contoso.example)",
        "spf=pass (; dmarc=pass header.from=contoso.example) smtp.mailfrom=evil.example",
        'spf=pass reason="; dmarc=pass header.from=contoso.example',
        "arc=pass header.d=contoso.example",
    ],
)
def test_what_does_not_pass_or_align_is_not(results: str) -> None:
    assert not is_authentic([f"{HERE}; {results}"], HERE, DORA)


def test_a_domain_above_aligns() -> None:
    assert is_authentic([f"{HERE}; dkim=pass header.d=contoso.example"], HERE, "dora@mail.contoso.example")


def test_only_the_topmost_field_of_our_server_counts() -> None:
    good, bad = f"{HERE}; dmarc=pass header.from=contoso.example", f"{HERE}; dmarc=fail header.from=contoso.example"
    other = "mx.elsewhere.example; dmarc=pass header.from=contoso.example"
    assert is_authentic([other, good, bad], HERE, DORA)
    assert not is_authentic([bad, good], HERE, DORA)
    assert not is_authentic([f"{HERE}; none", good], HERE, DORA)
    assert not is_authentic([other], HERE, DORA)
    assert not is_authentic([], HERE, DORA)


@pytest.mark.parametrize(
    "written",
    [f"(x) {HERE}", f'"{HERE}"', f"{HERE}.evil.example", f"x{HERE}", f"{HERE}(x)", f"{HERE}/1", f"=?x?q?{HERE}?="],
)
def test_a_name_that_is_disguised_is_not_ours(written: str) -> None:
    assert not is_authentic([f"{written}; dmarc=pass header.from=contoso.example"], HERE, DORA)


def test_without_a_name_or_a_sender_nothing_is_believed() -> None:
    good = f"{HERE}; dmarc=pass header.from=contoso.example"
    assert not is_authentic([good], "", DORA)
    assert not is_authentic(["; dmarc=pass header.from=contoso.example"], "", DORA)
    assert not is_authentic([good], HERE, None)


def test_a_field_is_read() -> None:
    field = 'mx.example.com; dkim=pass reason="a;b" header.d=contoso.example; spf=none'
    assert parse(field) == (
        "mx.example.com",
        (Result("dkim", "pass", (("reason", "a;b"), ("header.d", "contoso.example"))), Result("spf", "none", ())),
    )


@pytest.mark.parametrize("piece", ["a", "a=", '"', '\\"', "(", ";", "a;", "=", " ", '"x" ', "a=b "])
def test_long_fields_are_read_in_no_time(piece: str) -> None:
    for field in (piece * 100_000, f"{HERE}; x=" + piece * 100_000):
        assert not is_authentic([field] * 20, HERE, DORA)


@given(st.text(alphabet='ab@.;="\\()/ \r\n\0é', max_size=200) | st.text(max_size=200))
def test_any_field_is_read(field: str) -> None:
    parse(field)
    is_authentic([field], "a", "a@b.example")
