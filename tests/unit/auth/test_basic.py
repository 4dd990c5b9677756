"""Authorization headers, right and hostile."""

import base64
import contextlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from server.auth.basic import Credentials, parse
from server.domain.errors import SignInRequired


def header(text: bytes) -> str:
    return "Basic " + base64.b64encode(text).decode()


def test_examples_of_rfc_7617() -> None:
    assert parse("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==") == Credentials("Aladdin", "open sesame")
    assert parse("Basic dGVzdDoxMjPCow==") == Credentials("test", "123£")


@pytest.mark.parametrize(
    ("sent", "found"),
    [
        (header(b"a:b:c:"), Credentials("a", "b:c:")),
        (header(b"a:"), Credentials("a", "")),
        (header("ä:ö".encode("latin-1")), Credentials("ä", "ö")),
        ("bAsIc   YTpi  ", Credentials("a", "b")),
        ("Basic YTpiYw", Credentials("a", "bc")),
    ],
)
def test_what_is_understood(sent: str, found: Credentials) -> None:
    assert parse(sent) == found


@pytest.mark.parametrize(
    "sent",
    [
        "",
        "Basic",
        "Basic ",
        "Basic YQ==",
        "Basic :::",
        header(b":password"),
        header(b"a\x00:b"),
        header(b"a:b\x00"),
        "Basic YTpi\xe9",
        "Basic YTpi\udce9",
        "Basic Y Tpi",
        "Basic YTpi, Basic YTpi",
        "Digest username=a",
        "Bearer YTpi",
        "Basic " + "A" * 100_000,
    ],
)
def test_what_is_refused(sent: str) -> None:
    with pytest.raises(SignInRequired):
        parse(sent)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters=":\x00"), min_size=1), st.text())
def test_what_was_encoded_is_found(login: str, password: str) -> None:
    if "\x00" not in password and len(login) + len(password) < 1000:
        text = f"{login}:{password}".encode(errors="replace")
        assert parse(header(text)) == Credentials(*text.decode().split(":", 1))


@given(st.one_of(st.text(), st.text().map("Basic ".__add__), st.binary().map(header)))
@example("Basic \ud800")
def test_anything_else_is_a_domain_error(sent: str) -> None:
    with contextlib.suppress(SignInRequired):
        assert parse(sent).login


def test_a_password_is_not_in_a_repr() -> None:
    assert "sesame" not in repr(Credentials("Aladdin", "open sesame"))
